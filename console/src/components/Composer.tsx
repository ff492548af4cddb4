import { Sender } from "@ant-design/x";
import type { GetRef } from "antd";
import { useEffect, useRef, useState } from "react";

import { useTexts } from "../i18n";
import { isComposing } from "../keyboard";

interface Props {
  conversationId: string | null;
  running: boolean;
  /** On a phone. */
  compact: boolean;
  onAsk: (question: string) => void;
  onStop: () => void;
}

export function Composer({ conversationId, running, compact, onAsk, onStop }: Props) {
  const t = useTexts();
  const sender = useRef<GetRef<typeof Sender>>(null);
  const [draft, setDraft] = useState("");

  // Ready to type in, except where that would open a phone's keyboard.
  useEffect(() => {
    if (!compact) sender.current?.focus();
    // oxlint-disable-next-line react/exhaustive-effect-dependencies -- runs when another is shown
  }, [compact, conversationId]);

  function submit() {
    if (draft.trim() === "") return;
    setDraft("");
    onAsk(draft.trim());
  }

  return (
    <div className="composer">
      <Sender
        ref={sender}
        value={draft}
        loading={running}
        placeholder={compact ? t.placeholderShort : t.placeholder}
        aria-label={t.question}
        autoSize={{ minRows: 1, maxRows: 8 }}
        onChange={setDraft}
        onSubmit={submit}
        onCancel={onStop}
        onKeyDown={(event) => (isComposing(event) ? false : undefined)}
        suffix={(_, { components: { SendButton, LoadingButton } }) =>
          running ? (
            <LoadingButton aria-label={t.stop} title={t.stop} />
          ) : (
            <SendButton aria-label={t.send} title={t.send} disabled={draft.trim() === ""} />
          )
        }
      />
      <p className="notice">{t.notice}</p>
    </div>
  );
}
