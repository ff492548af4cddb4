import { Alert } from "antd";

import { BaseList } from "./BaseList";
import { BaseView } from "./BaseView";
import { DocumentView } from "./DocumentView";
import type { Route } from "./route";

interface Props {
  route: Exclude<Route, { place: "chat" }>;
  /** Writes the answers. */
  model: string | null;
  /** On a phone. */
  compact: boolean;
}

export function KnowledgePage({ route, model, compact }: Props) {
  return (
    <Alert.ErrorBoundary key={JSON.stringify(route)}>
      <div className="knowledge">
        {route.place === "bases" && <BaseList />}
        {route.place === "base" && (
          <BaseView key={route.base} base={route.base} tab={route.tab} model={model} />
        )}
        {route.place === "document" && (
          <DocumentView
            key={`${route.base}/${route.document}`}
            base={route.base}
            id={route.document}
            chunkId={route.chunk}
            compact={compact}
          />
        )}
      </div>
    </Alert.ErrorBoundary>
  );
}
