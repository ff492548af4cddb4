import { useCallback, useEffect, useState } from "react";

import { ApiError, type FailureKind, listModels } from "./api";

interface Models {
  models: string[];
  failure: FailureKind | null;
  reload: () => void;
}

/** The models that the server offers. */
export function useModels(): Models {
  const [models, setModels] = useState<string[]>([]);
  const [failure, setFailure] = useState<FailureKind | null>(null);

  const reload = useCallback(() => {
    listModels().then(
      (ids) => {
        setModels(ids);
        setFailure(null);
      },
      (error: unknown) => setFailure(error instanceof ApiError ? error.kind : "unreachable"),
    );
  }, []);

  useEffect(reload, [reload]);

  return { models, failure, reload };
}
