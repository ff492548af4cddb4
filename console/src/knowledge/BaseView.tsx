import { DeleteOutlined } from "@ant-design/icons";
import { App, Button, Tabs, Tooltip } from "antd";

import { useTexts } from "../i18n";
import { removeBase } from "./api";
import { Ask } from "./Ask";
import { bases } from "./bases";
import { Documents } from "./Documents";
import { failureText } from "./failure";
import { FeedbackList } from "./FeedbackList";
import { go, routeHash, type Tab } from "./route";
import { Search } from "./Search";

interface Props {
  base: string;
  tab: Tab;
  model: string | null;
}

export function BaseView({ base, tab, model }: Props) {
  const texts = useTexts();
  const t = texts.knowledge;
  const { modal, message } = App.useApp();

  function confirmRemoval() {
    modal.confirm({
      title: t.removeBaseTitle,
      content: t.removeBaseText(base),
      okText: texts.remove,
      okButtonProps: { danger: true },
      cancelText: texts.cancel,
      onOk: async () => {
        try {
          await removeBase(base);
          bases.reload();
          go({ place: "bases" });
        } catch (error) {
          void message.error(failureText(error, texts));
        }
      },
    });
  }

  return (
    <section className="knowledge-page">
      <header className="knowledge-head">
        <nav aria-label={t.back}>
          <a href={routeHash({ place: "bases" })}>{t.bases}</a>
          <span aria-hidden="true">/</span>
        </nav>
        <h1>{base}</h1>
        <Tooltip title={t.removeBase}>
          <Button
            type="text"
            icon={<DeleteOutlined />}
            aria-label={t.removeBase}
            onClick={confirmRemoval}
          />
        </Tooltip>
      </header>
      <Tabs
        activeKey={tab}
        onChange={(key) => go({ place: "base", base, tab: key as Tab })}
        items={[
          { key: "documents", label: t.tabs.documents, children: <Documents base={base} /> },
          { key: "ask", label: t.tabs.ask, children: <Ask base={base} model={model} /> },
          { key: "search", label: t.tabs.search, children: <Search base={base} /> },
          {
            key: "feedback",
            label: t.tabs.feedback,
            // Made anew each time, for it is what has been said until now.
            children: tab === "feedback" && <FeedbackList base={base} />,
          },
        ]}
      />
    </section>
  );
}
