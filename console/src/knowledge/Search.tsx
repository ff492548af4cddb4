import { Alert, Input } from "antd";
import { useRef, useState } from "react";

import { useTexts } from "../i18n";
import { type Passage, search } from "./api";
import { failureText } from "./failure";
import { PassageCard } from "./PassageCard";

const LIMIT = 20;

interface Result {
  query: string;
  passages: Passage[];
}

export function Search({ base }: { base: string }) {
  const texts = useTexts();
  const t = texts.knowledge;
  const [query, setQuery] = useState("");
  const [result, setResult] = useState<Result | null>(null);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const running = useRef<AbortController>(null);

  async function find() {
    const wanted = query.trim();
    if (wanted === "") return;
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    setBusy(true);
    setError(undefined);
    try {
      const { data } = await search([base], wanted, LIMIT, controller.signal);
      setResult({ query: wanted, passages: data });
    } catch (problem) {
      if (controller.signal.aborted) return;
      setError(problem);
    }
    setBusy(false);
  }

  return (
    <div className="search">
      <Input.Search
        value={query}
        loading={busy}
        enterButton={t.find}
        placeholder={t.queryHint}
        aria-label={t.query}
        onChange={(event) => setQuery(event.target.value)}
        onSearch={(_, event) => {
          // An input method's Enter takes a word over and asks for nothing.
          const native = event?.nativeEvent as Partial<KeyboardEvent> | undefined;
          if (!native?.isComposing) void find();
        }}
      />
      {error !== undefined && <Alert type="error" showIcon title={failureText(error, texts)} />}
      <output className="hint">
        {result !== null &&
          (result.passages.length === 0 ? t.foundNothing : t.found(result.passages.length))}
      </output>
      <ol className="passages">
        {result?.passages.map((passage) => (
          <PassageCard
            key={`${result.query} ${passage.chunk.id}`}
            passage={passage}
            question={result.query}
            answer=""
            scores
          />
        ))}
      </ol>
    </div>
  );
}
