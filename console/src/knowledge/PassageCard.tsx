import { Tag } from "antd";

import { useTexts } from "../i18n";
import type { Passage } from "./api";
import { Place } from "./Place";
import { routeHash } from "./route";
import { VoteButtons } from "./VoteButtons";

interface Props {
  passage: Passage;
  /** By which the answer's sentences cite it. */
  number?: number;
  /** Its element's id, for citations to lead to. */
  id?: string;
  question: string;
  /** The answer it was found for; empty in a search. */
  answer: string;
  scores?: boolean;
  suspicious?: boolean;
}

const rounded = (score: number) => score.toFixed(3);

/** A passage as it stands in its document, with a way to that place. */
export function PassageCard({ passage, number, id, question, answer, scores, suspicious }: Props) {
  const t = useTexts().knowledge;
  const { base, document, chunk } = passage;
  const place = { place: "document" as const, base, document: document.id, chunk: chunk.id };
  return (
    <li className="passage" id={id} value={number}>
      <header>
        {number !== undefined && <span className="passage-number">{number}</span>}
        <a href={routeHash(place)} aria-label={t.openPassage(document.title)}>
          {document.title}
        </a>
        <Place chunk={chunk} title={document.title} />
        {suspicious && <Tag color="warning">{t.suspicious}</Tag>}
      </header>
      <blockquote>{chunk.text}</blockquote>
      <footer>
        {scores && (
          <span className="scores">
            <span>{t.score(rounded(passage.score))}</span>
            {passage.words !== null && <span>{t.scoreOfWords(rounded(passage.words))}</span>}
            {passage.vectors !== null && (
              <span>{t.scoreOfVectors(rounded(passage.vectors))}</span>
            )}
          </span>
        )}
        <VoteButtons
          about={{ bases: [base], answer, chunk: chunk.id, question, text: chunk.text }}
        />
      </footer>
    </li>
  );
}
