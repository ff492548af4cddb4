import { useCallback, useEffect, useState } from "react";

export interface Loaded<T> {
  /** What came last; undefined before anything has. */
  value: T | undefined;
  error: unknown;
  reload: () => void;
}

/** What `load` gives, asked for when the component is shown and when `load` changes. */
export function useLoaded<T>(load: () => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ value?: T; error?: unknown }>({});
  const [turn, setTurn] = useState(0);

  useEffect(() => {
    let current = true;
    load().then(
      (value) => current && setState({ value }),
      (error: unknown) => current && setState((before) => ({ ...before, error })),
    );
    return () => {
      current = false;
    };
    // oxlint-disable-next-line react/exhaustive-effect-dependencies -- `turn` is what asks anew
  }, [load, turn]);

  const reload = useCallback(() => setTurn((before) => before + 1), []);
  return { value: state.value, error: state.error, reload };
}
