import { DeleteOutlined, DownloadOutlined, EllipsisOutlined } from "@ant-design/icons";
import { Alert, App, Button, Dropdown, Input } from "antd";
import { useCallback, useState } from "react";

import { useTexts } from "../i18n";
import { listDocuments, originalPath, removeDocument, type StoredDocument } from "./api";
import { bases } from "./bases";
import { failureText } from "./failure";
import { routeHash } from "./route";
import { UploadBox } from "./UploadBox";
import { useLoaded } from "./useLoaded";

// More than this is narrowed down by name: the browser draws no thousand rows at once.
const SHOWN = 200;

export function Documents({ base }: { base: string }) {
  const texts = useTexts();
  const t = texts.knowledge;
  const load = useCallback(() => listDocuments(base), [base]);
  const { value: documents, error, reload } = useLoaded(load);
  const [filter, setFilter] = useState("");

  const changed = useCallback(() => {
    reload();
    bases.reload();
  }, [reload]);

  const wanted = filter.trim().toLowerCase();
  const matching = documents?.filter(
    ({ name, title }) =>
      name.toLowerCase().includes(wanted) || title.toLowerCase().includes(wanted),
  );
  return (
    <>
      <UploadBox base={base} onAdded={changed} />
      {error !== undefined && <Alert type="error" showIcon title={failureText(error, texts)} />}
      {documents?.length === 0 && <p className="nothing">{t.noDocuments}</p>}
      {documents !== undefined && documents.length > 8 && (
        <Input
          allowClear
          className="document-filter"
          value={filter}
          placeholder={t.filterDocuments}
          aria-label={t.filterDocuments}
          onChange={(event) => setFilter(event.target.value)}
        />
      )}
      <ul className="documents">
        {matching?.slice(0, SHOWN).map((document) => (
          <DocumentRow key={document.id} base={base} document={document} onRemoved={changed} />
        ))}
      </ul>
      {matching !== undefined && matching.length > SHOWN && (
        <p className="nothing">
          {SHOWN} / {t.documentsCount(matching.length)}
        </p>
      )}
    </>
  );
}

interface RowProps {
  base: string;
  document: StoredDocument;
  onRemoved: () => void;
}

function DocumentRow({ base, document, onRemoved }: RowProps) {
  const texts = useTexts();
  const t = texts.knowledge;
  const { modal, message } = App.useApp();
  const { id, name, title } = document;

  function confirmRemoval() {
    modal.confirm({
      title: t.removeDocumentTitle,
      content: t.removeDocumentText(name),
      okText: texts.remove,
      okButtonProps: { danger: true },
      cancelText: texts.cancel,
      onOk: async () => {
        try {
          await removeDocument(base, id);
          onRemoved();
        } catch (error) {
          void message.error(failureText(error, texts));
        }
      },
    });
  }

  const facts = [
    document.pages === null ? "" : t.pages(document.pages),
    t.chunksCount(document.chunks),
    document.topic,
    document.date ?? "",
  ];
  return (
    <li>
      <a href={routeHash({ place: "document", base, document: id })}>
        <strong>{title}</strong>
        {title !== name && <span>{name}</span>}
        <small>{facts.filter((fact) => fact !== "").join(" · ")}</small>
      </a>
      <Dropdown
        trigger={["click"]}
        menu={{
          items: [
            {
              key: "download",
              icon: <DownloadOutlined />,
              label: (
                <a href={originalPath(base, id)} download>
                  {t.download}
                </a>
              ),
            },
            { key: "remove", icon: <DeleteOutlined />, label: texts.remove, danger: true },
          ],
          onClick: ({ key }) => key === "remove" && confirmRemoval(),
        }}
      >
        <Button type="text" icon={<EllipsisOutlined />} aria-label={t.documentMenu(name)} />
      </Dropdown>
    </li>
  );
}
