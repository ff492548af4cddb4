import { Sender } from "@ant-design/x";
import { Alert, Button, Select, Spin } from "antd";
import { useEffect, useRef, useState, useSyncExternalStore } from "react";

import { useTexts } from "../i18n";
import { isComposing } from "../keyboard";
import { AnsweredView } from "./AnsweredView";
import type { Mode } from "./api";
import { failureText } from "./failure";
import { type Asked, type How, isRunning, Questions } from "./questions";

const questions = new Questions();
const MODES: readonly Mode[] = ["search", "law", "medicine", "tutor"];
const HOWS: readonly How[] = ["quoted", "written", "passages"];

export function Ask({ base, model }: { base: string; model: string | null }) {
  const texts = useTexts();
  const t = texts.knowledge;
  const asked = useSyncExternalStore(questions.subscribe, () => questions.of(base));
  const [draft, setDraft] = useState("");
  const [mode, setMode] = useState<Mode>("search");
  const [how, setHow] = useState<How>("quoted");
  const log = useRef<HTMLDivElement>(null);
  const last = asked.at(-1);
  const running = last !== undefined && isRunning(last);

  useEffect(() => {
    if (last !== undefined) log.current?.lastElementChild?.scrollIntoView({ block: "start" });
    // oxlint-disable-next-line react/exhaustive-effect-dependencies -- also when it is answered
  }, [last]);

  function submit() {
    const question = draft.trim();
    if (question === "") return;
    setDraft("");
    questions.ask(base, question, { mode, how, model });
  }

  return (
    <div className="ask">
      <div className="manner">
        <Select
          value={how}
          disabled={mode === "tutor"}
          aria-label={t.how}
          popupMatchSelectWidth={false}
          options={HOWS.map((value) => ({ value, label: t.hows[value] }))}
          onChange={setHow}
        />
        <Select
          value={mode}
          aria-label={t.mode}
          popupMatchSelectWidth={false}
          options={MODES.map((value) => ({ value, label: t.modes[value] }))}
          onChange={setMode}
        />
        {asked.length > 0 && (
          <Button size="small" onClick={() => questions.clear(base)}>
            {t.clearQuestions}
          </Button>
        )}
      </div>
      {asked.length === 0 && <p className="hint">{t.askHint}</p>}
      <div ref={log} role="log" aria-busy={running} aria-label={t.tabs.ask}>
        {asked.map((item) => (
          <AskedView key={item.id} base={base} asked={item} />
        ))}
      </div>
      <div className="asker">
        <Sender
          value={draft}
          loading={running}
          placeholder={t.askPlaceholder}
          aria-label={texts.question}
          autoSize={{ minRows: 1, maxRows: 6 }}
          onChange={setDraft}
          onSubmit={submit}
          onCancel={() => questions.stop(base)}
          onKeyDown={(event) => (isComposing(event) ? false : undefined)}
          suffix={(_, { components: { SendButton, LoadingButton } }) =>
            running ? (
              <LoadingButton aria-label={texts.stop} title={texts.stop} />
            ) : (
              <SendButton
                aria-label={texts.send}
                title={texts.send}
                disabled={draft.trim() === ""}
              />
            )
          }
        />
        <p className="notice">{texts.notice}</p>
      </div>
    </div>
  );
}

function AskedView({ base, asked }: { base: string; asked: Asked }) {
  const texts = useTexts();
  const t = texts.knowledge;
  return (
    <article className="asked">
      <h2>{asked.question}</h2>
      {isRunning(asked) && (
        <p className="hint">
          <Spin size="small" /> {t.thinking}
        </p>
      )}
      {asked.stopped && <p className="ending">{texts.endings.stopped}</p>}
      {asked.error !== undefined && (
        <Alert type="error" showIcon title={failureText(asked.error, texts)} />
      )}
      {asked.lesson !== null && <p className="answered">{asked.lesson.text}</p>}
      {asked.answered !== null && (
        <AnsweredView base={base} question={asked.question} answered={asked.answered} />
      )}
    </article>
  );
}
