import type { KeyboardEvent } from "react";

/** True while an input method is composing; Safari then says so by key code 229 alone. */
export function isComposing(event: KeyboardEvent): boolean {
  return event.nativeEvent.isComposing || event.keyCode === 229;
}
