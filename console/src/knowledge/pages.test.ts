import { expect, test } from "vitest";

import { isCited, marksOf, pageOf } from "./pages";

const block = (number: number, page: number | null, box = [0.1, 0.2, 0.9, 0.25]) => ({
  number,
  page,
  box: box as [number, number, number, number],
});
const blocks = [block(1, 1), block(2, 1, [-0.01, 0.3, 1.02, 0.5]), block(3, 2), block(4, 2)];
const chunk = (first_block: number, last_block: number, page: number | null = null) => ({
  first_block,
  last_block,
  page,
});

test("a passage's blocks are cited, from the first to the last", () => {
  expect(blocks.map((each) => isCited(each, chunk(2, 3)))).toEqual([false, true, true, false]);
  expect(isCited(block(1, 1), undefined)).toBe(false);
});

test("a passage opens on the page where it begins", () => {
  expect(pageOf(blocks, chunk(2, 3))).toBe(1);
  expect(pageOf(blocks, chunk(4, 4))).toBe(2);
  expect(pageOf([block(1, null)], chunk(1, 1, 7))).toBe(7);
  expect(pageOf(blocks, undefined)).toBe(1);
});

test("only a page's own boxes stand on it, and never beyond its edges", () => {
  const marks = marksOf(blocks, chunk(2, 3), 1);
  expect(marks.map(({ number, cited }) => [number, cited])).toEqual([
    [1, false],
    [2, true],
  ]);
  expect(marks[0]?.style).toEqual({ left: "10%", top: "20%", width: "80%", height: "5%" });
  expect(marks[1]?.style).toEqual({ left: "0%", top: "30%", width: "100%", height: "20%" });
  expect(marksOf([{ number: 1, page: 1, box: null }], undefined, 1)).toEqual([]);
});
