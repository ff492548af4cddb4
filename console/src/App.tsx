import { Alert, Button, Drawer, Grid } from "antd";
import { useState, useSyncExternalStore } from "react";

import { Composer } from "./components/Composer";
import { ConversationList } from "./components/ConversationList";
import { Dialogue } from "./components/Dialogue";
import { Logo } from "./components/Logo";
import { SettingsDrawer } from "./components/SettingsDrawer";
import { Start } from "./components/Start";
import { TopBar } from "./components/TopBar";
import { Chat } from "./chat";
import { History, runningAnswer } from "./history";
import { useTexts } from "./i18n";
import { KnowledgePage } from "./knowledge/KnowledgePage";
import { go, useRoute } from "./knowledge/route";
import { BaseNav, Places } from "./knowledge/Side";
import { loadSettings, saveSettings, type Settings } from "./settings";
import * as storage from "./storage";
import { useModels } from "./useModels";

const history = new History();
const chat = new Chat(history);
// Leaving the page must not lose what has arrived since the last save.
window.addEventListener("pagehide", () => history.save());

const CURRENT = "current";

function storedCurrent(): string | null {
  const id = storage.read(CURRENT);
  return typeof id === "string" && history.get(id) ? id : null;
}

export function App({ onLanguage }: { onLanguage: () => void }) {
  const t = useTexts();
  const route = useRoute();
  const compact = !Grid.useBreakpoint().md;
  const { conversations, full } = useSyncExternalStore(history.subscribe, history.snapshot);
  const [currentId, setCurrentId] = useState(storedCurrent);
  const [settings, setSettings] = useState(loadSettings);
  const [settingsOpen, setSettingsOpen] = useState(false);
  const [historyOpen, setHistoryOpen] = useState(false);
  const { models, failure, reload } = useModels();

  const current = conversations.find(({ id }) => id === currentId);
  const chosen = settings.model !== null && models.includes(settings.model);
  const model = (chosen ? settings.model : models[0]) ?? null;

  function select(id: string | null) {
    setCurrentId(id);
    storage.write(CURRENT, id);
    setHistoryOpen(false);
  }

  function change(next: Settings) {
    setSettings(next);
    saveSettings(next);
  }

  function ask(question: string) {
    select(chat.ask(current?.id ?? null, question, model, settings));
    if (failure) reload();
  }

  function askAgain(questionId: string, text?: string) {
    if (!current) return;
    chat.askAgain(current.id, questionId, model, settings, text);
    if (failure) reload();
  }

  function rename(id: string, title: string) {
    const conversation = history.get(id);
    if (conversation) history.put({ ...conversation, title });
  }

  function remove(id: string) {
    chat.remove(id);
    if (id === currentId) select(null);
  }

  const side = (
    <>
      <div className="brand">
        <Logo size={28} />
        <span>清谈 Qingtan</span>
      </div>
      <Places route={route} onGo={() => setHistoryOpen(false)} />
      {route.place === "chat" ? (
        <ConversationList
          conversations={conversations}
          currentId={current?.id ?? null}
          onSelect={select}
          onRename={rename}
          onRemove={remove}
        />
      ) : (
        <BaseNav route={route} onGo={() => setHistoryOpen(false)} />
      )}
    </>
  );

  return (
    <div className="page">
      {compact ? (
        <Drawer
          open={historyOpen}
          placement="left"
          size={300}
          closable={false}
          rootClassName="side-drawer"
          aria-label={t.history}
          onClose={() => setHistoryOpen(false)}
        >
          {side}
        </Drawer>
      ) : (
        <aside className="side">{side}</aside>
      )}
      <div className="main">
        <TopBar
          models={models}
          model={model}
          compact={compact}
          onModel={(id) => change({ ...settings, model: id })}
          onHistory={() => setHistoryOpen(true)}
          onNewChat={() => {
            select(null);
            go({ place: "chat" });
          }}
          onLanguage={onLanguage}
          onSettings={() => setSettingsOpen(true)}
        />
        {failure && (
          <Alert
            banner
            type="error"
            title={failure === "unreachable" ? t.unreachable : t.noModels}
            action={
              <Button size="small" onClick={reload}>
                {t.tryAgain}
              </Button>
            }
          />
        )}
        {full && <Alert banner type="warning" title={t.storageFull} />}
        {route.place === "chat" ? (
          <main className="content">
            {current ? (
              // Whatever a conversation holds, the others must stay within reach.
              <Alert.ErrorBoundary key={current.id}>
                <Dialogue conversation={current} onAskAgain={askAgain} />
              </Alert.ErrorBoundary>
            ) : (
              <Start model={model} onAsk={ask} />
            )}
            <Composer
              conversationId={current?.id ?? null}
              running={runningAnswer(current) !== undefined}
              compact={compact}
              onAsk={ask}
              onStop={() => current && chat.stop(current.id)}
            />
          </main>
        ) : (
          <main className="content">
            <KnowledgePage route={route} model={model} compact={compact} />
          </main>
        )}
      </div>
      <SettingsDrawer
        open={settingsOpen}
        settings={settings}
        onChange={change}
        onClose={() => setSettingsOpen(false)}
      />
    </div>
  );
}
