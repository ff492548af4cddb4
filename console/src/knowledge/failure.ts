import { ApiError } from "../api";
import type { Texts } from "../i18n";
import { TooLarge } from "./uploads";

/** What to tell a person of an error. */
export function failureText(error: unknown, t: Texts): string {
  if (error instanceof ApiError && error.kind === "refused") return error.message;
  if (error instanceof TooLarge) return t.knowledge.tooLarge(Math.floor(error.most / 2 ** 20));
  return t.unreachable;
}
