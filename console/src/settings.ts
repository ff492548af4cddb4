/** What the user can set; kept in the browser. */
import * as storage from "./storage";

export interface Settings {
  systemPrompt: string;
  /** Null leaves these to the model's own defaults. */
  temperature: number | null;
  topP: number | null;
  maxTokens: number | null;
  /** Null means the first model that the server lists. */
  model: string | null;
}

export const DEFAULTS: Settings = {
  systemPrompt: "",
  temperature: null,
  topP: null,
  maxTokens: null,
  model: null,
};

const KEY = "settings";

export function loadSettings(): Settings {
  const stored = storage.read(KEY);
  const value = (typeof stored === "object" ? stored : null) as Partial<Settings> | null;
  return {
    systemPrompt: typeof value?.systemPrompt === "string" ? value.systemPrompt : "",
    temperature: within(value?.temperature, 0, 2),
    topP: within(value?.topP, 0.01, 1),
    maxTokens: within(value?.maxTokens, 1, Number.MAX_SAFE_INTEGER),
    model: typeof value?.model === "string" ? value.model : null,
  };
}

export function saveSettings(settings: Settings): void {
  storage.write(KEY, settings);
}

function within(value: unknown, low: number, high: number): number | null {
  return typeof value === "number" && value >= low && value <= high ? value : null;
}
