import { LeftOutlined, RightOutlined } from "@ant-design/icons";
import { Alert, Button, InputNumber } from "antd";
import { useEffect, useRef, useState } from "react";

import { useTexts } from "../i18n";
import { type Block, type Chunk, pagePath } from "./api";
import { marksOf } from "./pages";

interface Props {
  base: string;
  id: string;
  blocks: Block[];
  chosen: Chunk | undefined;
  page: number;
  /** Of pages. */
  count: number;
  onTurn: (page: number) => void;
}

/** A page as it looks, with boxes around its blocks; those of the chosen passage stand out. */
export function PageView({ base, id, blocks, chosen, page, count, onTurn }: Props) {
  const t = useTexts().knowledge;
  const path = pagePath(base, id, page);
  const [loaded, setLoaded] = useState("");
  const [failed, setFailed] = useState("");
  const box = useRef<HTMLElement>(null);

  useEffect(() => {
    // The page's height is known when its picture is there.
    if (loaded !== path) return;
    const cited = box.current?.querySelector(".mark.chosen");
    if (cited) cited.scrollIntoView({ block: "center" });
    else box.current?.scrollTo({ top: 0 });
    // oxlint-disable-next-line react/exhaustive-effect-dependencies -- `chosen` moves the mark
  }, [chosen, loaded, path]);

  return (
    <div className="page-view">
      <nav className="page-turner" aria-label={t.pageNumber}>
        <Button
          type="text"
          icon={<LeftOutlined />}
          disabled={page <= 1}
          onClick={() => onTurn(page - 1)}
          aria-label={t.previousPage}
          title={t.previousPage}
        />
        <InputNumber
          size="small"
          min={1}
          max={count}
          precision={0}
          controls={false}
          value={page}
          changeOnWheel={false}
          aria-label={t.pageNumber}
          onChange={(to) => to !== null && onTurn(to)}
        />
        <span>{t.ofPages(count)}</span>
        <Button
          type="text"
          icon={<RightOutlined />}
          disabled={page >= count}
          onClick={() => onTurn(page + 1)}
          aria-label={t.nextPage}
          title={t.nextPage}
        />
      </nav>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- the keyboard scrolls it */}
      <section className="page-scroll" ref={box} aria-label={t.pageView} tabIndex={0}>
        {failed === path && <Alert type="warning" showIcon title={t.pageFailed} />}
        {failed !== path && (
          <div className="page-sheet" aria-busy={loaded !== path}>
            <img
              key={path}
              src={path}
              alt={t.pagePicture(page, count)}
              onLoad={() => setLoaded(path)}
              onError={() => setFailed(path)}
            />
            {loaded === path &&
              marksOf(blocks, chosen, page).map(({ number, cited, style }) => (
                <span
                  key={number}
                  className={`mark${cited ? " chosen" : ""}`}
                  style={style}
                  aria-hidden="true"
                />
              ))}
          </div>
        )}
      </section>
    </div>
  );
}
