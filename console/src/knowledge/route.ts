/** Which place of the console is shown, kept in the address so that Back and bookmarks work. */
import { useSyncExternalStore } from "react";

export type Tab = "documents" | "ask" | "search" | "feedback";

/**
 * - `#/knowledge` is the list of bases
 * - `#/knowledge/BASE/TAB` one base
 * - `#/knowledge/BASE/document/ID` a document, with `/CHUNK` open at that passage
 */
export type Route =
  | { place: "chat" }
  | { place: "bases" }
  | { place: "base"; base: string; tab: Tab }
  | { place: "document"; base: string; document: string; chunk?: string };

const TABS: readonly string[] = ["documents", "ask", "search", "feedback"];

export function parseRoute(hash: string): Route {
  const [place, base, what, id, chunk] = hash.replace(/^#\/?/, "").split("/").map(decode);
  if (place !== "knowledge") return { place: "chat" };
  if (!base) return { place: "bases" };
  if (what === "document" && id) {
    return { place: "document", base, document: id, ...(chunk ? { chunk } : {}) };
  }
  return { place: "base", base, tab: TABS.includes(what ?? "") ? (what as Tab) : "documents" };
}

export function routeHash(route: Route): string {
  switch (route.place) {
    case "chat":
      return "#/";
    case "bases":
      return "#/knowledge";
    case "base":
      return join(route.base, route.tab);
    case "document":
      return join(route.base, "document", route.document, ...(route.chunk ? [route.chunk] : []));
  }
}

export function go(route: Route): void {
  window.location.hash = routeHash(route);
}

export function useRoute(): Route {
  return parseRoute(useSyncExternalStore(subscribe, () => window.location.hash));
}

function join(...parts: string[]): string {
  return ["#/knowledge", ...parts.map(encodeURIComponent)].join("/");
}

/** What a person has typed into the address may be no encoding. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function subscribe(listener: () => void): () => void {
  window.addEventListener("hashchange", listener);
  return () => window.removeEventListener("hashchange", listener);
}
