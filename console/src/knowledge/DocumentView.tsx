import { DownloadOutlined } from "@ant-design/icons";
import { Alert, Button, Segmented, Spin } from "antd";
import { useCallback, useEffect, useRef, useState } from "react";

import { useTexts } from "../i18n";
import { type Block, type Chunk, getDocument, listBlocks, listChunks, originalPath } from "./api";
import { failureText } from "./failure";
import { PageView } from "./PageView";
import { isCited, pageOf } from "./pages";
import { Place } from "./Place";
import { go, routeHash } from "./route";
import { Table } from "./Table";
import { useLoaded } from "./useLoaded";

interface Props {
  base: string;
  id: string;
  /** The passage that is shown in its place. */
  chunkId?: string;
  /** On a phone there is room for one of the two columns. */
  compact: boolean;
}

type View = "page" | "content" | "chunks";

/** A document's pages or its blocks, and beside them the chunks that were made of them. */
export function DocumentView({ base, id, chunkId, compact }: Props) {
  const texts = useTexts();
  const t = texts.knowledge;
  const load = useCallback(
    () => Promise.all([getDocument(base, id), listBlocks(base, id), listChunks(base, id)]),
    [base, id],
  );
  const { value, error } = useLoaded(load);
  const [picked, setPicked] = useState<View>();
  // The page that was turned to, until another passage is chosen.
  const [turned, setTurned] = useState<{ chunk: string | undefined; page: number }>();

  if (error !== undefined) {
    return (
      <section className="knowledge-page">
        <Alert type="error" showIcon title={failureText(error, texts)} />
      </section>
    );
  }
  if (value === undefined) return <Spin className="loading" />;
  const [document, blocks, chunks] = value;
  const chosen = chunks.find((chunk) => chunk.id === chunkId);
  const count = document.media_type === "application/pdf" ? (document.pages ?? 0) : 0;
  const views: { value: View; label: string }[] =
    count > 0
      ? [
          { value: "page", label: t.pageView },
          { value: "content", label: t.textView },
        ]
      : [{ value: "content", label: t.content }];
  if (compact) views.push({ value: "chunks", label: t.chunks });
  const view = views.find((each) => each.value === picked)?.value ?? views[0]?.value;
  const page = turned && turned.chunk === chunkId ? turned.page : pageOf(blocks, chosen);

  function choose(chunk: Chunk) {
    if (view === "chunks") setPicked(undefined);
    setTurned(undefined);
    go({ place: "document", base, document: id, chunk: chunk.id });
  }

  return (
    <section className="document">
      <header className="knowledge-head">
        <nav aria-label={t.back}>
          <a href={routeHash({ place: "bases" })}>{t.bases}</a>
          <span aria-hidden="true">/</span>
          <a href={routeHash({ place: "base", base, tab: "documents" })}>{base}</a>
          <span aria-hidden="true">/</span>
        </nav>
        <h1>{document.title}</h1>
        <Button
          type="text"
          icon={<DownloadOutlined />}
          href={originalPath(base, id)}
          download
          aria-label={t.download}
          title={t.download}
        />
      </header>
      {document.warnings.length > 0 && (
        <Alert
          type="warning"
          showIcon
          title={t.warnings}
          description={document.warnings.join(" ")}
        />
      )}
      {chunkId !== undefined && chosen === undefined && (
        <Alert type="info" showIcon title={t.missingPassage} />
      )}
      {views.length > 1 && (
        <Segmented
          className="views"
          block={compact}
          value={view}
          aria-label={t.view}
          options={views}
          onChange={setPicked}
        />
      )}
      <div className="columns">
        {view === "page" && (
          <PageView
            base={base}
            id={id}
            blocks={blocks}
            chosen={chosen}
            page={page}
            count={count}
            onTurn={(to) => setTurned({ chunk: chunkId, page: to })}
          />
        )}
        {view === "content" && <Blocks blocks={blocks} chosen={chosen} />}
        {(!compact || view === "chunks") && (
          <Chunks
            chunks={chunks}
            title={document.title}
            chosen={chosen}
            onChoose={choose}
          />
        )}
      </div>
    </section>
  );
}

function Blocks({ blocks, chosen }: { blocks: Block[]; chosen: Chunk | undefined }) {
  const t = useTexts().knowledge;
  const box = useRef<HTMLElement>(null);

  useEffect(() => {
    if (chosen === undefined) return;
    box.current?.querySelector(".block.chosen")?.scrollIntoView({ block: "center" });
  }, [chosen]);

  return (
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- the keyboard scrolls it
    <section className="blocks" ref={box} aria-label={t.content} tabIndex={0}>
      {blocks.map((block, index) => (
        <BlockView
          key={block.number}
          block={block}
          newPage={block.page !== null && block.page !== blocks[index - 1]?.page}
          chosen={isCited(block, chosen)}
        />
      ))}
    </section>
  );
}

interface BlockProps {
  block: Block;
  /** The first of its page. */
  newPage: boolean;
  chosen: boolean;
}

function BlockView({ block, newPage, chosen }: BlockProps) {
  const t = useTexts().knowledge;
  return (
    <>
      {newPage && block.page !== null && <p className="page-mark">{t.page(block.page)}</p>}
      <div
        className={`block ${block.kind}${chosen ? " chosen" : ""}`}
        aria-current={chosen ? "location" : undefined}
      >
        <span className="block-number" title={t.blockKinds[block.kind]}>
          {block.number}
        </span>
        <BlockText block={block} />
      </div>
    </>
  );
}

/** A document's words, never its markup: whatever they are, they are shown as text. */
function BlockText({ block }: { block: Block }) {
  if (block.kind === "table" && block.rows.length > 0) {
    return <Table rows={block.rows} headerRows={block.header_rows} />;
  }
  if (block.kind === "heading") {
    // One below the page's own title.
    const Heading = `h${Math.min(block.level + 1, 6)}` as "h2";
    return <Heading className="block-text">{block.text}</Heading>;
  }
  return <div className="block-text">{block.text}</div>;
}

interface ChunksProps {
  chunks: Chunk[];
  title: string;
  chosen: Chunk | undefined;
  onChoose: (chunk: Chunk) => void;
}

function Chunks({ chunks, title, chosen, onChoose }: ChunksProps) {
  const t = useTexts().knowledge;
  const list = useRef<HTMLOListElement>(null);

  useEffect(() => {
    if (chosen === undefined) return;
    list.current?.querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest" });
  }, [chosen]);

  return (
    <ol className="chunks" ref={list} aria-label={t.chunks}>
      {chunks.map((chunk) => (
        <li key={chunk.id}>
          <button
            type="button"
            aria-current={chunk.id === chosen?.id}
            onClick={() => onChoose(chunk)}
          >
            <span className="chunk-head">
              <span>{t.chunkKinds[chunk.kind]}</span>
              <Place chunk={chunk} title={title} />
              <span>{t.tokens(chunk.tokens)}</span>
            </span>
            <span className="chunk-text">{chunk.text}</span>
            {chunk.topic !== "" && (
              <small>
                {t.topic}: {chunk.topic}
              </small>
            )}
          </button>
        </li>
      ))}
    </ol>
  );
}
