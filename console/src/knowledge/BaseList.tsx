import { PlusOutlined } from "@ant-design/icons";
import { Alert, Button, Form, Input, Modal } from "antd";
import { useEffect, useState, useSyncExternalStore } from "react";

import { useTexts } from "../i18n";
import { createBase } from "./api";
import { bases } from "./bases";
import { failureText } from "./failure";
import { go, routeHash } from "./route";

export function BaseList() {
  const texts = useTexts();
  const t = texts.knowledge;
  const { bases: known, error } = useSyncExternalStore(bases.subscribe, bases.snapshot);
  const [creating, setCreating] = useState(false);
  useEffect(() => bases.reload(), []);

  return (
    <section className="knowledge-page">
      <header className="knowledge-head">
        <h1>{t.bases}</h1>
        <Button type="primary" icon={<PlusOutlined />} onClick={() => setCreating(true)}>
          {t.newBase}
        </Button>
      </header>
      <p className="hint">{t.basesHint}</p>
      {error !== undefined && <Alert type="error" showIcon title={failureText(error, texts)} />}
      {known?.length === 0 && <p className="nothing">{t.noBases}</p>}
      <ul className="bases">
        {known?.map((base) => (
          <li key={base.name}>
            <a href={routeHash({ place: "base", base: base.name, tab: "documents" })}>
              <strong>{base.name}</strong>
              {base.about !== "" && <span>{base.about}</span>}
              <small>
                {t.documentsCount(base.documents)} · {t.chunksCount(base.chunks)}
              </small>
            </a>
          </li>
        ))}
      </ul>
      {creating && <NewBase onClose={() => setCreating(false)} />}
    </section>
  );
}

function NewBase({ onClose }: { onClose: () => void }) {
  const texts = useTexts();
  const t = texts.knowledge;
  const [name, setName] = useState("");
  const [about, setAbout] = useState("");
  const [words, setWords] = useState("");
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);

  async function create() {
    if (name.trim() === "" || busy) return;
    setBusy(true);
    try {
      const separate = words.split(/[\s,，、;；]+/).filter((word) => word !== "");
      const made = await createBase({ name: name.trim(), about: about.trim(), words: separate });
      bases.reload();
      onClose();
      go({ place: "base", base: made.name, tab: "documents" });
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  }

  return (
    <Modal
      open
      title={t.newBase}
      okText={t.create}
      cancelText={texts.cancel}
      okButtonProps={{ disabled: name.trim() === "", loading: busy }}
      onOk={create}
      onCancel={onClose}
    >
      <Form layout="vertical">
        <Form.Item label={t.baseName} htmlFor="base-name">
          <Input
            id="base-name"
            // Opened by the user's click, who wants to type here next.
            // oxlint-disable-next-line jsx-a11y/no-autofocus
            autoFocus
            value={name}
            maxLength={64}
            onChange={(event) => setName(event.target.value)}
            onPressEnter={(event) => event.nativeEvent.isComposing || void create()}
          />
        </Form.Item>
        <Form.Item label={t.baseAbout} htmlFor="base-about">
          <Input
            id="base-about"
            value={about}
            maxLength={200}
            onChange={(event) => setAbout(event.target.value)}
          />
        </Form.Item>
        <Form.Item label={t.baseWords} htmlFor="base-words" extra={t.baseWordsHint}>
          <Input.TextArea
            id="base-words"
            value={words}
            autoSize={{ minRows: 1, maxRows: 6 }}
            onChange={(event) => setWords(event.target.value)}
          />
        </Form.Item>
      </Form>
      {error !== undefined && <Alert type="error" showIcon title={failureText(error, texts)} />}
    </Modal>
  );
}
