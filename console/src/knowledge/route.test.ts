import { expect, test } from "vitest";

import { parseRoute, type Route, routeHash } from "./route";

test.each<Route>([
  { place: "chat" },
  { place: "bases" },
  { place: "base", base: "手册 2/3%", tab: "search" },
  { place: "document", base: "kb", document: "a-b_c" },
  { place: "document", base: "#?&", document: "x", chunk: "../y" },
])("an address leads back to its place: %j", (route) => {
  expect(parseRoute(routeHash(route))).toEqual(route);
});

test.each([
  ["", { place: "chat" }],
  ["#/nowhere", { place: "chat" }],
  ["#/knowledge/", { place: "bases" }],
  ["#/knowledge/kb", { place: "base", base: "kb", tab: "documents" }],
  ["#/knowledge/kb/nonsense", { place: "base", base: "kb", tab: "documents" }],
  ["#/knowledge/%E0%A4%A", { place: "base", base: "%E0%A4%A", tab: "documents" }],
])("what was typed into the address leads somewhere: %s", (hash, route) => {
  expect(parseRoute(hash)).toEqual(route);
});
