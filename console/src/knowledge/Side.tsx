import { BookOutlined, MessageOutlined } from "@ant-design/icons";
import { useEffect, useSyncExternalStore } from "react";

import { useTexts } from "../i18n";
import { bases } from "./bases";
import { type Route, routeHash } from "./route";

/** Leads to the places of the console. */
export function Places({ route, onGo }: { route: Route; onGo: () => void }) {
  const t = useTexts().knowledge;
  const places = [
    { hash: routeHash({ place: "chat" }), icon: <MessageOutlined />, label: t.chats, chat: true },
    { hash: routeHash({ place: "bases" }), icon: <BookOutlined />, label: t.place, chat: false },
  ];
  return (
    <nav className="places" aria-label="清谈 Qingtan">
      {places.map(({ hash, icon, label, chat }) => (
        <a
          key={hash}
          href={hash}
          aria-current={(route.place === "chat") === chat ? "page" : undefined}
          onClick={onGo}
        >
          {icon}
          {label}
        </a>
      ))}
    </nav>
  );
}

/** The bases by name, beside the page. */
export function BaseNav({ route, onGo }: { route: Route; onGo: () => void }) {
  const t = useTexts().knowledge;
  const { bases: known } = useSyncExternalStore(bases.subscribe, bases.snapshot);
  useEffect(() => bases.reload(), []);
  const current = route.place === "base" || route.place === "document" ? route.base : null;
  return (
    <nav className="base-nav" aria-label={t.bases}>
      {known?.map(({ name }) => (
        <a
          key={name}
          href={routeHash({ place: "base", base: name, tab: "documents" })}
          aria-current={name === current ? "page" : undefined}
          onClick={onGo}
        >
          {name}
        </a>
      ))}
    </nav>
  );
}
