import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { toRequest } from "./chat";
import { type Conversation, History, type Message, titleFrom } from "./history";

/** A browser's storage, which is full once it has more characters than `room`. */
class FakeStorage {
  room = Number.POSITIVE_INFINITY;

  getItem(key: string): string | null {
    return (this as Record<string, unknown>)[key] as string | null ?? null;
  }

  setItem(key: string, value: string): void {
    if (value.length > this.room) throw new Error("QuotaExceededError");
    (this as Record<string, unknown>)[key] = value;
  }

  removeItem(key: string): void {
    delete (this as Record<string, unknown>)[key];
  }
}

let storage: FakeStorage;

beforeEach(() => {
  vi.useFakeTimers();
  storage = new FakeStorage();
  vi.stubGlobal("localStorage", storage);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function conversation(id: string, updated: number, messages: Message[] = []): Conversation {
  return { id, title: id, updated, messages };
}

test("a conversation is found again, the latest first", () => {
  const history = new History();
  history.put(conversation("old", 1));
  history.put(conversation("new", 2));
  vi.runAllTimers();
  expect(new History().snapshot().conversations.map(({ id }) => id)).toEqual(["new", "old"]);
});

test("what had arrived before a reload stays, marked as interrupted", () => {
  const history = new History();
  history.put(conversation("a", 1, [{ id: "1", role: "assistant", content: "" }]));
  history.patchMessage("a", "1", { content: "half" });
  history.save();
  const [message] = new History().get("a")?.messages ?? [];
  expect(message).toMatchObject({ content: "half", ending: "interrupted" });
});

test("a full storage is reported, and forgotten once a deletion has made room", () => {
  const history = new History();
  storage.room = 10;
  history.put(conversation("a", 1));
  history.put(conversation("b", 2));
  vi.runAllTimers();
  expect(history.snapshot().full).toBe(true);
  storage.room = Number.POSITIVE_INFINITY;
  history.remove("a");
  expect(history.snapshot().full).toBe(false);
  expect(new History().snapshot().conversations.map(({ id }) => id)).toEqual(["b"]);
});

test("broken entries are passed over", () => {
  storage.setItem("qingtan.conversation.x", "{broken");
  storage.setItem("qingtan.conversation.y", '{"id":"y","messages":[{}]}');
  storage.setItem("qingtan.conversation.z", "null");
  storage.setItem("qingtan.conversation.a", JSON.stringify(conversation("a", 1)));
  expect(new History().snapshot().conversations.map(({ id }) => id)).toEqual(["a"]);
});

test("text for a conversation deleted meanwhile does not bring it back", () => {
  const history = new History();
  history.put(conversation("a", 1, [{ id: "1", role: "assistant", content: "" }]));
  history.remove("a");
  history.patchMessage("a", "1", { content: "late" });
  vi.runAllTimers();
  expect(new History().snapshot().conversations).toEqual([]);
});

test("a title is the question's first line, not cut within a character", () => {
  expect(titleFrom("  第一行\n第二行")).toBe("第一行");
  expect(titleFrom("😀".repeat(50))).toBe("😀".repeat(40));
});

test("questions without any answer are not sent along", () => {
  const messages: Message[] = [
    { id: "1", role: "user", content: "lost" },
    { id: "2", role: "assistant", content: "", ending: "unreachable" },
    { id: "3", role: "user", content: "asked" },
    { id: "4", role: "assistant", content: "answered", ending: "stop" },
    { id: "5", role: "user", content: "now" },
  ];
  expect(toRequest(messages, "be brief").map(({ content }) => content)).toEqual([
    "be brief",
    "asked",
    "answered",
    "now",
  ]);
});
