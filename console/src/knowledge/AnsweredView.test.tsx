import { expect, test } from "vitest";

import { cited } from "./AnsweredView";

const sentence = (citation: number | null) => ({ text: "", citation });

test("citations of an answer's sentences become numbers", () => {
  const text = "保修期为两年。[1]人为损坏除外。[2]";
  expect(cited({ text, sentences: [sentence(1), sentence(2)] })).toEqual([
    "保修期为两年。",
    1,
    "人为损坏除外。",
    2,
    "",
  ]);
});

test("brackets of the document itself stay text", () => {
  expect(cited({ text: "见文献[7]。[1]", sentences: [sentence(1)] })).toEqual([
    "见文献",
    "[7]",
    "。",
    1,
    "",
  ]);
  expect(cited({ text: "见[1]", sentences: [sentence(null)] })).toEqual(["见", "[1]", ""]);
});
