import { DislikeFilled, DislikeOutlined, LikeFilled, LikeOutlined } from "@ant-design/icons";
import { App, Button, Tooltip } from "antd";
import { useState } from "react";

import { useTexts } from "../i18n";
import { type Vote, vote } from "./api";
import { failureText } from "./failure";

/** Thumbs up and down; what is said is stored for a person to review. */
export function VoteButtons({ about }: { about: Omit<Vote, "vote"> }) {
  const texts = useTexts();
  const t = texts.knowledge;
  const { message } = App.useApp();
  const [given, setGiven] = useState<Vote["vote"] | null>(null);

  async function give(choice: Vote["vote"]) {
    if (choice === given) return;
    const before = given;
    setGiven(choice);
    try {
      await vote({ ...about, vote: choice });
      void message.success(t.voted);
    } catch (error) {
      setGiven(before);
      void message.error(failureText(error, texts));
    }
  }

  return (
    <span className="votes">
      <Tooltip title={t.up}>
        <Button
          type="text"
          size="small"
          icon={given === "up" ? <LikeFilled /> : <LikeOutlined />}
          aria-label={t.up}
          aria-pressed={given === "up"}
          onClick={() => give("up")}
        />
      </Tooltip>
      <Tooltip title={t.down}>
        <Button
          type="text"
          size="small"
          icon={given === "down" ? <DislikeFilled /> : <DislikeOutlined />}
          aria-label={t.down}
          aria-pressed={given === "down"}
          onClick={() => give("down")}
        />
      </Tooltip>
    </span>
  );
}
