import { ReloadOutlined } from "@ant-design/icons";
import { Alert, Button } from "antd";

import { useTexts } from "../i18n";
import type { Message } from "../history";
import { ActionButton } from "./ActionButton";
import { CopyButton } from "./CopyButton";
import { Markdown } from "./Markdown";

interface Props {
  message: Message;
  /** Absent where the answer is not the last one, which alone can be had anew. */
  onRetry?: () => void;
}

export function Answer({ message, onRetry }: Props) {
  const streaming = message.ending === undefined;
  return (
    <div className={streaming ? "answer streaming" : "answer"}>
      {message.content !== "" && <Markdown text={message.content} />}
      {!streaming && <Ending message={message} onRetry={onRetry} />}
    </div>
  );
}

/** Says why the answer ended where it did, unless it simply came to its end. */
function Ending({ message, onRetry }: Props) {
  const t = useTexts();
  switch (message.ending) {
    case "length":
    case "stopped":
    case "interrupted":
      return <p className="ending">{t.endings[message.ending]}</p>;
    case "unreachable":
    case "refused":
      return (
        <Alert
          type="error"
          showIcon
          title={t.endings[message.ending]}
          description={message.error}
          action={
            onRetry && (
              <Button size="small" icon={<ReloadOutlined />} onClick={onRetry}>
                {t.tryAgain}
              </Button>
            )
          }
        />
      );
    default:
      return null;
  }
}

/** The buttons below an answer that has ended. */
export function AnswerActions({ message, onRetry }: Props) {
  const t = useTexts();
  return (
    <div className="actions">
      {message.content !== "" && <CopyButton text={message.content} />}
      {onRetry && <ActionButton label={t.retry} icon={<ReloadOutlined />} onClick={onRetry} />}
      {message.tokens !== undefined && (
        <span className="tokens">{t.tokens(message.tokens)}</span>
      )}
    </div>
  );
}
