import { afterEach, expect, test, vi } from "vitest";

import { type Answered } from "./api";
import { type Asked, Questions, turns } from "./questions";

afterEach(() => vi.unstubAllGlobals());

const manner = { mode: "search", how: "quoted", model: null } as const;

function answered(text: string): Answered {
  const empty = { sentences: [], passages: [], nearest: [], suspicious: [] };
  return { id: "a", text, refused: false, ...empty };
}

function asked(id: number, question: string, answer: Answered | null): Asked {
  return { id, question, answered: answer, lesson: null, error: undefined, stopped: false };
}

test("what was said before goes along, without questions that got no answer", () => {
  const before = [asked(1, "甲？", answered("甲。")), asked(2, "乙？", null)];
  expect(turns(before)).toEqual([
    { role: "user", content: "甲？" },
    { role: "assistant", content: "甲。" },
  ]);
  const many = Array.from({ length: 9 }, (_, i) => asked(i, `${i}？`, answered(`${i}。`)));
  expect(turns(many)).toHaveLength(6);
  expect(turns(many).at(-1)?.content).toBe("8。");
});

test("questions of each base are its own, and an error is kept", async () => {
  const responses = [Response.json(answered("好。")), new Response("{}", { status: 500 })];
  vi.stubGlobal("fetch", () => Promise.resolve(responses.shift()));
  const questions = new Questions();
  questions.ask("kb", "一？", manner);
  await vi.waitFor(() => expect(questions.of("kb")[0]?.answered?.text).toBe("好。"));
  questions.ask("kb", "二？", manner);
  await vi.waitFor(() => expect(questions.of("kb")[1]?.error).toBeDefined());
  expect(questions.of("kb2")).toEqual([]);
  questions.clear("kb");
  expect(questions.of("kb")).toEqual([]);
});

test("a lesson goes on from where it was", async () => {
  const states: unknown[] = [];
  vi.stubGlobal("fetch", (_: string, { body }: { body: string }) => {
    const { said, state } = JSON.parse(body) as { said: string; state: object };
    states.push(state);
    return Promise.resolve(Response.json({ text: "想一想", done: false, state: { said } }));
  });
  const questions = new Questions();
  const tutor = { ...manner, mode: "tutor" } as const;
  for (const [index, said] of ["一", "二"].entries()) {
    questions.ask("kb", said, tutor);
    await vi.waitFor(() => expect(questions.of("kb")[index]?.lesson?.text).toBe("想一想"));
  }
  questions.clear("kb");
  questions.ask("kb", "三", tutor);
  expect(states).toEqual([{}, { said: "一" }, {}]);
});

test("a question can be stopped", async () => {
  vi.stubGlobal("fetch", (_: string, { signal }: RequestInit) => {
    return new Promise((_resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason));
    });
  });
  const questions = new Questions();
  questions.ask("kb", "一？", manner);
  questions.stop("kb");
  await vi.waitFor(() => expect(questions.of("kb")[0]?.stopped).toBe(true));
});
