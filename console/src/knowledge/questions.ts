/** The questions that were asked of each base, and their answers, until the page is left. */
import { type Answered, ask, type Lesson, type Mode, teach, type Turn } from "./api";

export interface Asked {
  id: number;
  question: string;
  answered: Answered | null;
  /** What the tutor says instead. */
  lesson: Lesson | null;
  error: unknown;
  stopped: boolean;
}

/** Quoted from a passage, written by the model and checked, or the passages alone. */
export type How = "quoted" | "written" | "passages";

export interface Manner {
  mode: Mode;
  how: How;
  model: string | null;
}

// Follow-up questions are understood from what was said just before.
const TURNS_SENT = 6;
const NONE: readonly Asked[] = [];

export class Questions {
  #asked = new Map<string, readonly Asked[]>();
  #listeners = new Set<() => void>();
  #running = new Map<string, AbortController>();
  #lessons = new Map<string, Lesson["state"]>();
  #next = 1;

  of = (base: string): readonly Asked[] => this.#asked.get(base) ?? NONE;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  ask(base: string, question: string, manner: Manner): void {
    this.stop(base);
    const before = this.of(base);
    const id = this.#next++;
    const asked = {
      id,
      question,
      answered: null,
      lesson: null,
      error: undefined,
      stopped: false,
    };
    this.#publish(base, [...before, asked]);
    const stop = new AbortController();
    this.#running.set(base, stop);
    this.#reply(base, question, before, manner, stop.signal).then(
      (reply) => this.#patch(base, id, reply),
      (error: unknown) =>
        this.#patch(base, id, stop.signal.aborted ? { stopped: true } : { error }),
    );
  }

  async #reply(
    base: string,
    question: string,
    before: readonly Asked[],
    { mode, how, model }: Manner,
    signal: AbortSignal,
  ): Promise<Partial<Asked>> {
    if (mode === "tutor") {
      const state = this.#lessons.get(base) ?? {};
      const lesson = await teach({ bases: [base], said: question, state }, signal);
      this.#lessons.set(base, lesson.state);
      return { lesson };
    }
    const body = {
      bases: [base],
      question,
      history: turns(before),
      mode,
      retrieval_only: how === "passages",
      written: how === "written",
      ...(model === null ? {} : { model }),
    };
    return { answered: await ask(body, signal) };
  }

  stop(base: string): void {
    this.#running.get(base)?.abort();
  }

  clear(base: string): void {
    this.stop(base);
    this.#lessons.delete(base);
    this.#publish(base, NONE);
  }

  #patch(base: string, id: number, change: Partial<Asked>): void {
    const patched = this.of(base).map((item) => (item.id === id ? { ...item, ...change } : item));
    this.#publish(base, patched);
  }

  #publish(base: string, asked: readonly Asked[]): void {
    this.#asked.set(base, asked);
    for (const listener of this.#listeners) listener();
  }
}

export function isRunning({ answered, lesson, error, stopped }: Asked): boolean {
  return answered === null && lesson === null && error === undefined && !stopped;
}

export function turns(asked: readonly Asked[]): Turn[] {
  return asked
    .filter(({ answered }) => answered !== null && answered.text !== "")
    .flatMap(({ question, answered }): Turn[] => [
      { role: "user", content: question },
      { role: "assistant", content: answered?.text ?? "" },
    ])
    .slice(-TURNS_SENT);
}
