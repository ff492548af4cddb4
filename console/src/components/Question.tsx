import { EditOutlined } from "@ant-design/icons";
import { Button, Input } from "antd";
import { type KeyboardEvent, useState } from "react";

import { useTexts } from "../i18n";
import { isComposing } from "../keyboard";
import { ActionButton } from "./ActionButton";
import { CopyButton } from "./CopyButton";

interface EditorProps {
  text: string;
  onAsk: (text: string) => void;
  onCancel: () => void;
}

/** The question as a text field, to be asked again with other words. */
export function QuestionEditor({ text, onAsk, onCancel }: EditorProps) {
  const t = useTexts();
  const [draft, setDraft] = useState(text);
  const blank = draft.trim() === "";

  function onKeyDown(event: KeyboardEvent) {
    if (isComposing(event)) return;
    if (event.key === "Escape") onCancel();
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    if (!blank) onAsk(draft);
  }

  return (
    <div className="question-editor">
      <Input.TextArea
        // Opened by the user's click, who wants to type here next.
        // oxlint-disable-next-line jsx-a11y/no-autofocus
        autoFocus
        autoSize={{ maxRows: 12 }}
        value={draft}
        aria-label={t.question}
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <div className="question-editor-buttons">
        <Button size="small" onClick={onCancel}>
          {t.cancel}
        </Button>
        <Button size="small" type="primary" disabled={blank} onClick={() => onAsk(draft)}>
          {t.send}
        </Button>
      </div>
    </div>
  );
}

export function QuestionActions({ text, onEdit }: { text: string; onEdit?: () => void }) {
  const t = useTexts();
  return (
    <div className="actions">
      <CopyButton text={text} />
      {onEdit && <ActionButton label={t.edit} icon={<EditOutlined />} onClick={onEdit} />}
    </div>
  );
}
