import { DislikeOutlined, LikeOutlined } from "@ant-design/icons";
import { Alert, Tag } from "antd";
import { useCallback } from "react";

import { useTexts } from "../i18n";
import { type Feedback, listFeedback } from "./api";
import { failureText } from "./failure";
import { useLoaded } from "./useLoaded";

export function FeedbackList({ base }: { base: string }) {
  const texts = useTexts();
  const t = texts.knowledge;
  const load = useCallback(() => listFeedback(base), [base]);
  const { value: given, error } = useLoaded(load);
  return (
    <>
      <p className="hint">{t.feedbackHint}</p>
      {error !== undefined && <Alert type="error" showIcon title={failureText(error, texts)} />}
      {given?.length === 0 && <p className="nothing">{t.noFeedback}</p>}
      <ul className="feedback">
        {given?.map((item) => (
          <FeedbackRow key={item.id} item={item} />
        ))}
      </ul>
    </>
  );
}

function FeedbackRow({ item }: { item: Feedback }) {
  const texts = useTexts();
  const t = texts.knowledge;
  const up = item.vote === "up";
  return (
    <li>
      <header>
        <Tag color={up ? "success" : "error"} icon={up ? <LikeOutlined /> : <DislikeOutlined />}>
          {up ? t.up : t.down}
        </Tag>
        <span>{item.chunk === "" ? t.ofAnswer : t.ofPassage}</span>
        <time dateTime={item.time}>{new Date(item.time).toLocaleString(texts.lang)}</time>
      </header>
      <strong>{item.question}</strong>
      <blockquote>{item.text}</blockquote>
      {item.comment !== "" && <p>{item.comment}</p>}
    </li>
  );
}
