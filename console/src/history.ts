/** The conversations, in memory and in the browser's storage. */
import type { FailureKind } from "./api";
import * as storage from "./storage";

/** How an answer ended: by itself, at the length limit, by the user, by a reload, by an error. */
export type Ending = "stop" | "length" | "stopped" | "interrupted" | FailureKind;

export interface Message {
  id: string;
  role: "user" | "assistant";
  content: string;
  /** An answer has none while it is still arriving. */
  ending?: Ending;
  /** The server's words where it refused. */
  error?: string;
  tokens?: number;
}

export interface Conversation {
  id: string;
  title: string;
  updated: number;
  messages: Message[];
}

export interface Snapshot {
  /** Latest first. */
  conversations: readonly Conversation[];
  /** True once the browser refused to store something. */
  full: boolean;
}

const KEY = "conversation.";
// Long enough to spare the storage while an answer streams, short enough to lose next to nothing.
const SAVE_AFTER_MS = 300;

/** Not crypto.randomUUID, which browsers offer on https and localhost only. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function titleFrom(question: string): string {
  const line = question.trim().split("\n", 1)[0] ?? "";
  return [...line].slice(0, 40).join("");
}

/** The answer that is still arriving, if there is one. */
export function runningAnswer(conversation: Conversation | undefined): Message | undefined {
  const last = conversation?.messages.at(-1);
  return last?.role === "assistant" && last.ending === undefined ? last : undefined;
}

/**
 * Each conversation has a key of its own, so that a save is small and two open pages do not
 * overwrite each other's conversations.
 */
export class History {
  #snapshot: Snapshot;
  #listeners = new Set<() => void>();
  #unsaved = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.#snapshot = { conversations: load(), full: false };
  }

  snapshot = (): Snapshot => this.#snapshot;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  get(id: string): Conversation | undefined {
    return this.#snapshot.conversations.find((conversation) => conversation.id === id);
  }

  /** Adds the conversation or replaces the one of that id; the newest comes first. */
  put(conversation: Conversation): void {
    const others = this.#snapshot.conversations.filter(({ id }) => id !== conversation.id);
    this.#publish({ ...this.#snapshot, conversations: latestFirst([conversation, ...others]) });
    this.#unsaved.add(conversation.id);
    this.#timer ??= setTimeout(() => this.save(), SAVE_AFTER_MS);
  }

  /** Nothing happens where the conversation or the message has been deleted meanwhile. */
  patchMessage(id: string, messageId: string, patch: Partial<Message>): void {
    const conversation = this.get(id);
    if (!conversation?.messages.some((message) => message.id === messageId)) return;
    const messages = conversation.messages.map((message) =>
      message.id === messageId ? { ...message, ...patch } : message,
    );
    this.put({ ...conversation, messages });
  }

  remove(id: string): void {
    const conversations = this.#snapshot.conversations.filter((item) => item.id !== id);
    this.#unsaved.delete(id);
    storage.erase(KEY + id);
    // Deleting makes room, so whatever did not fit before gets another chance.
    this.#publish({ conversations, full: false });
    if (this.#unsaved.size > 0) this.save();
  }

  /** Writes what is not stored yet; also called when the page is left. */
  save(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const id of this.#unsaved) {
      if (storage.write(KEY + id, this.get(id))) this.#unsaved.delete(id);
    }
    const full = this.#unsaved.size > 0;
    if (full !== this.#snapshot.full) this.#publish({ ...this.#snapshot, full });
  }

  #publish(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    for (const listener of this.#listeners) listener();
  }
}

function latestFirst(conversations: Conversation[]): Conversation[] {
  return conversations.toSorted((a, b) => b.updated - a.updated);
}

function load(): Conversation[] {
  const stored = storage.keys(KEY).map((key) => storage.read(key));
  return latestFirst(stored.filter(isConversation).map(closeAnswers));
}

/** An answer that was arriving when the page was left will get no further. */
function closeAnswers(conversation: Conversation): Conversation {
  const messages = conversation.messages.map((message) =>
    message.role === "assistant" && message.ending === undefined
      ? { ...message, ending: "interrupted" as const }
      : message,
  );
  return { ...conversation, messages };
}

function isConversation(value: unknown): value is Conversation {
  const item = value as Conversation | null | undefined;
  return (
    typeof item?.id === "string" &&
    typeof item.title === "string" &&
    typeof item.updated === "number" &&
    Array.isArray(item.messages) &&
    item.messages.every(isMessage)
  );
}

function isMessage(value: unknown): value is Message {
  const item = value as Message | null | undefined;
  return (
    typeof item?.id === "string" &&
    (item.role === "user" || item.role === "assistant") &&
    typeof item.content === "string"
  );
}
