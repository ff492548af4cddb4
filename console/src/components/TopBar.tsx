import { MenuOutlined, PlusOutlined, SettingOutlined } from "@ant-design/icons";
import { Button, Select } from "antd";

import { useTexts } from "../i18n";

interface Props {
  models: readonly string[];
  model: string | null;
  /** On a phone the history is in a drawer, which a button here opens. */
  compact: boolean;
  onModel: (model: string) => void;
  onHistory: () => void;
  onNewChat: () => void;
  onLanguage: () => void;
  onSettings: () => void;
}

export function TopBar(props: Props) {
  const { models, model, compact } = props;
  const t = useTexts();
  return (
    <header className="top-bar">
      {compact && (
        <Button
          type="text"
          icon={<MenuOutlined />}
          aria-label={t.openHistory}
          onClick={props.onHistory}
        />
      )}
      {models.length > 1 ? (
        <Select
          variant="borderless"
          value={model}
          aria-label={t.model}
          popupMatchSelectWidth={false}
          options={models.map((id) => ({ value: id, label: id }))}
          onChange={props.onModel}
        />
      ) : (
        <span className="model">{model}</span>
      )}
      <span className="spring" />
      {compact && (
        <Button
          type="text"
          icon={<PlusOutlined />}
          aria-label={t.newChat}
          onClick={props.onNewChat}
        />
      )}
      <Button type="text" aria-label={t.switchLanguage} onClick={props.onLanguage}>
        {t.otherLanguage}
      </Button>
      <Button
        type="text"
        icon={<SettingOutlined />}
        aria-label={t.settings}
        onClick={props.onSettings}
      />
    </header>
  );
}
