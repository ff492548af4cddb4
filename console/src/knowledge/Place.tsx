import { useTexts } from "../i18n";
import type { Chunk } from "./api";

/** Where a passage stands: its headings and name, its page and paragraphs. */
export function Place({ chunk, title }: { chunk: Chunk; title: string }) {
  const t = useTexts().knowledge;
  // "二" says nothing that "二、使用" has not said.
  const said = chunk.headings.at(-1)?.startsWith(chunk.label);
  // The document's title stands above this already.
  const headings = chunk.headings.slice(chunk.headings[0] === title ? 1 : 0);
  const names = [...headings, said ? "" : chunk.label].filter((name) => name !== "");
  const places = [
    chunk.page === null ? "" : t.page(chunk.page),
    t.paragraphs(chunk.first_block, chunk.last_block),
  ].filter((place) => place !== "");
  return (
    <span className="place">
      {names.length > 0 && <span>{names.join(" › ")}</span>}
      <span>{places.join(" · ")}</span>
    </span>
  );
}
