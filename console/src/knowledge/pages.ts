/** Which blocks a passage is made of, and where they stand on a page. */
import type { Block, Chunk } from "./api";

type Cited = Pick<Chunk, "first_block" | "last_block" | "page">;
type Placed = Pick<Block, "number" | "page" | "box">;

export function isCited(block: Pick<Block, "number">, chunk: Cited | undefined): boolean {
  return (
    chunk !== undefined && chunk.first_block <= block.number && block.number <= chunk.last_block
  );
}

/** The page on which a passage begins; the first one for none. */
export function pageOf(blocks: readonly Placed[], chunk: Cited | undefined): number {
  const first = blocks.find((block) => isCited(block, chunk) && block.page !== null);
  return first?.page ?? chunk?.page ?? 1;
}

export interface Mark {
  number: number;
  cited: boolean;
  /** In percent of the page. */
  style: { left: string; top: string; width: string; height: string };
}

/** The boxes of a page's blocks, in reading order. */
export function marksOf(
  blocks: readonly Placed[],
  chunk: Cited | undefined,
  page: number,
): Mark[] {
  return blocks.flatMap((block) => {
    if (block.page !== page || block.box === null) return [];
    const [left, top, right, bottom] = block.box.map((share) => Math.min(Math.max(share, 0), 1));
    const style = {
      left: percent(left),
      top: percent(top),
      width: percent(right! - left!),
      height: percent(bottom! - top!),
    };
    return [{ number: block.number, cited: isCited(block, chunk), style }];
  });
}

function percent(share = 0): string {
  return `${Number((100 * share).toFixed(3))}%`;
}
