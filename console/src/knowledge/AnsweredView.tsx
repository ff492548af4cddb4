import { useTexts } from "../i18n";
import type { Answered, Passage } from "./api";
import { PassageCard } from "./PassageCard";
import { routeHash } from "./route";
import { VoteButtons } from "./VoteButtons";

interface Props {
  base: string;
  question: string;
  answered: Answered;
}

/** An answer, its citations beside the sentences, and the passages that they lead to. */
export function AnsweredView({ base, question, answered }: Props) {
  const t = useTexts().knowledge;
  const { refused, passages, nearest, text } = answered;
  const written = !refused && text !== "";
  const numbers = (refused ? nearest : passages).map((_, index) => index + 1);
  const said = new Set(answered.sentences.map(({ citation }) => citation));
  const first = written ? numbers.filter((number) => said.has(number)) : numbers;
  const others = numbers.filter((number) => !first.includes(number));

  const cards = (shown: number[]) => (
    <ol className="passages">
      {shown.map((number) => {
        const passage = (refused ? nearest : passages)[number - 1];
        return (
          passage && (
            <PassageCard
              key={passage.chunk.id}
              passage={passage}
              number={refused ? undefined : number}
              question={question}
              answer={answered.id}
              suspicious={answered.suspicious.includes(number)}
            />
          )
        );
      })}
    </ol>
  );

  return (
    <>
      {refused && <p className="refused">{text || t.refused}</p>}
      {written && (
        <p className="answered">
          {cited(answered).map((part, index) =>
            typeof part === "string" ? (
              part
            ) : (
              <Citation key={index} number={part} passage={passages[part - 1]} />
            ),
          )}
        </p>
      )}
      {(written || refused) && (
        <VoteButtons about={{ bases: [base], answer: answered.id, question, text }} />
      )}
      {first.length > 0 && <h3>{refused ? t.nearest : written ? t.sources : t.retrieved}</h3>}
      {cards(first)}
      {others.length > 0 && (
        <details className="others">
          <summary>{t.others(others.length)}</summary>
          {cards(others)}
        </details>
      )}
    </>
  );
}

/** The text in parts, with the numbers of passages where it cites them. */
export function cited({ text, sentences }: Pick<Answered, "text" | "sentences">) {
  const known = new Set(sentences.map(({ citation }) => citation));
  return text.split(/(\[\d+\])/).map((part) => {
    const number = Number(/^\[(\d+)\]$/.exec(part)?.[1] ?? NaN);
    // What a document itself has in brackets stays as it is.
    return known.has(number) ? number : part;
  });
}

/** Leads to the passage in its document. */
function Citation({ number, passage }: { number: number; passage: Passage | undefined }) {
  const t = useTexts().knowledge;
  if (passage === undefined) return null;
  const { base, document, chunk } = passage;
  return (
    <a
      className="citation"
      href={routeHash({ place: "document", base, document: document.id, chunk: chunk.id })}
      aria-label={t.citation(number, document.title)}
      title={chunk.text}
    >
      {number}
    </a>
  );
}
