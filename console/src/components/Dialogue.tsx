import { DownOutlined } from "@ant-design/icons";
import { Bubble, type BubbleItemType } from "@ant-design/x";
import { Button, type GetRef } from "antd";
import { type UIEvent, useEffect, useRef, useState } from "react";

import { type Conversation, type Message, runningAnswer } from "../history";
import { useTexts } from "../i18n";
import { Answer, AnswerActions } from "./Answer";
import { Logo } from "./Logo";
import { QuestionActions, QuestionEditor } from "./Question";

interface Props {
  conversation: Conversation;
  /** Asks the question of that id again, with other words if given. */
  onAskAgain: (questionId: string, text?: string) => void;
}

// Scrolled up by more than this, a button leads back to the latest text.
const FAR_UP_PX = 240;

export function Dialogue({ conversation, onAskAgain }: Props) {
  const t = useTexts();
  const list = useRef<GetRef<typeof Bubble.List>>(null);
  const [editing, setEditing] = useState<string | null>(null);
  const [farUp, setFarUp] = useState(false);
  const { messages } = conversation;
  const running = runningAnswer(conversation) !== undefined;

  // A new question is always shown, wherever the user had scrolled to.
  useEffect(() => {
    // A list just shown is at its bottom, and has no scroll box to move yet.
    if (list.current?.scrollBoxNativeElement) {
      list.current.scrollTo({ top: "bottom", behavior: "instant" });
    }
    // oxlint-disable-next-line react/exhaustive-effect-dependencies -- runs when one is added
  }, [messages.length]);

  function askAgain(questionId: string, text?: string) {
    setEditing(null);
    onAskAgain(questionId, text);
  }

  // Only the last question can be asked again: elsewhere that would cost what followed it.
  function question(message: Message, index: number): BubbleItemType {
    const base = { key: message.id, role: "user", placement: "end" as const };
    if (editing === message.id) {
      const content = (
        <QuestionEditor
          text={message.content}
          onAsk={(text) => askAgain(message.id, text)}
          onCancel={() => setEditing(null)}
        />
      );
      return { ...base, variant: "borderless", content };
    }
    const last = index === messages.length - 2;
    const onEdit = last && !running ? () => setEditing(message.id) : undefined;
    return {
      ...base,
      variant: "filled",
      shape: "corner",
      content: message.content,
      footer: <QuestionActions text={message.content} onEdit={onEdit} />,
    };
  }

  function answer(message: Message, index: number): BubbleItemType {
    const questionId = messages[index - 1]?.id;
    const last = index === messages.length - 1;
    const onRetry = last && questionId ? () => askAgain(questionId) : undefined;
    const ended = message.ending !== undefined;
    const failed = message.ending === "unreachable" || message.ending === "refused";
    return {
      key: message.id,
      role: "ai",
      variant: "borderless",
      avatar: <Logo size={28} />,
      loading: !ended && message.content === "",
      content: <Answer message={message} onRetry={onRetry} />,
      footer: ended && (
        <AnswerActions message={message} onRetry={failed ? undefined : onRetry} />
      ),
    };
  }

  return (
    // Busy while text arrives, so that a screen reader reads the answer once, when it is whole.
    <section className="dialogue" role="log" aria-label={t.dialogue} aria-busy={running}>
      <Bubble.List
        ref={list}
        items={messages.map((message, index) =>
          message.role === "user" ? question(message, index) : answer(message, index),
        )}
        onScroll={(event: UIEvent<HTMLDivElement>) =>
          // The list counts from its bottom, upwards in negative numbers.
          setFarUp(event.currentTarget.scrollTop < -FAR_UP_PX)
        }
      />
      {farUp && (
        <Button
          className="to-bottom"
          shape="circle"
          icon={<DownOutlined />}
          aria-label={t.toBottom}
          onClick={() => list.current?.scrollTo({ top: "bottom" })}
        />
      )}
    </section>
  );
}
