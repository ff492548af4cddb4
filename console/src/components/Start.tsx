import { Welcome } from "@ant-design/x";
import { Button } from "antd";

import { useTexts } from "../i18n";
import { Logo } from "./Logo";

interface Props {
  model: string | null;
  onAsk: (question: string) => void;
}

/** What an empty conversation shows: who is here, and what one could ask. */
export function Start({ model, onAsk }: Props) {
  const t = useTexts();
  return (
    <section className="start">
      <Welcome
        variant="borderless"
        icon={<Logo size={56} />}
        title={t.welcome}
        description={t.welcomeText(model)}
      />
      <ul className="starters">
        {t.starters.map((question) => (
          <li key={question}>
            <Button block onClick={() => onAsk(question)}>
              {question}
            </Button>
          </li>
        ))}
      </ul>
    </section>
  );
}
