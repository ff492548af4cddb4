/** The bases, as the list beside the page and the page itself show them. */
import { type Base, listBases } from "./api";

export interface BasesSnapshot {
  /** Undefined before the server has said. */
  bases: readonly Base[] | undefined;
  error: unknown;
}

export class Bases {
  #snapshot: BasesSnapshot = { bases: undefined, error: undefined };
  #listeners = new Set<() => void>();

  snapshot = (): BasesSnapshot => this.#snapshot;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  reload = (): void => {
    listBases().then(
      (bases) => this.#publish({ bases, error: undefined }),
      (error: unknown) => this.#publish({ ...this.#snapshot, error }),
    );
  };

  #publish(snapshot: BasesSnapshot): void {
    this.#snapshot = snapshot;
    for (const listener of this.#listeners) listener();
  }
}

export const bases = new Bases();
