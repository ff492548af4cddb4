"""Which blocks of the paged cache hold which tokens. Pure logic; the runner owns the memory.

A sequence's keys and values stand in blocks of `block_tokens` places each, listed in its table
(PagedAttention, Kwon et al. 2023, arXiv:2309.06180). A full block is published under a digest that
is chained over everything before it, so that a later sequence that begins alike takes the block
instead of computing it again. Blocks that nobody holds stay published until their room is needed;
the one that was used longest ago goes first.
"""

import os
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import blake2b

_DIGEST_BYTES = 16


class BlockPool:
    """Blocks, numbered from 0, each with the count of its holders and perhaps a digest.

    A block is held (by one sequence or more), or cached (published and held by nobody), or free.
    """

    def __init__(self, blocks: int) -> None:
        self._holders = [0] * blocks
        self._digests: list[bytes | None] = [None] * blocks
        self._published: dict[bytes, int] = {}
        self._free = list(range(blocks - 1, -1, -1))
        self._cached: OrderedDict[int, None] = OrderedDict()  # used longest ago first

    def __len__(self) -> int:
        """All blocks."""
        return len(self._holders)

    @property
    def available(self) -> int:
        """Blocks that can be allocated: the free and the cached ones."""
        return len(self._free) + len(self._cached)

    @property
    def cached(self) -> int:
        """Published blocks that nobody holds."""
        return len(self._cached)

    def holders(self, block: int) -> int:
        """Return how many hold a block."""
        return self._holders[block]

    def held(self, blocks: Iterable[int]) -> int:
        """Return how many of the blocks are held by somebody."""
        return sum(self._holders[block] > 0 for block in blocks)

    def find(self, digests: Iterable[bytes]) -> list[int]:
        """Return the published blocks of the digests, up to the first that has none."""
        blocks = []
        for digest in digests:
            block = self._published.get(digest)
            if block is None:
                break
            blocks.append(block)
        return blocks

    def hold(self, blocks: Iterable[int]) -> None:
        """Add a holder to blocks that are held or cached."""
        for block in blocks:
            if not self._holders[block]:
                del self._cached[block]
            self._holders[block] += 1

    def allocate(self) -> int:
        """Return a block with one holder and nothing in it that counts.

        Raises:
            IndexError: none is available.
        """
        if self._free:
            block = self._free.pop()
        elif self._cached:
            block, _ = self._cached.popitem(last=False)
            digest, self._digests[block] = self._digests[block], None
            if digest is not None:
                del self._published[digest]
        else:
            raise IndexError(f"all {len(self)} blocks of the cache are held")
        self._holders[block] = 1
        return block

    def release(self, blocks: Iterable[int]) -> None:
        """Take a holder from each block. Of those left without, the first will be reused first."""
        for block in blocks:
            self._holders[block] -= 1
            if self._holders[block]:
                continue
            if self._digests[block] is None:
                self._free.append(block)
            else:
                self._cached[block] = None

    def publish(self, block: int, digest: bytes) -> int:
        """Make a full block findable, and return the block that its holder holds from now on.

        That is another one where the same tokens were published before; the block itself then
        loses this holder, so that what two computed side by side is kept once.
        """
        known = self._published.setdefault(digest, block)
        if known == block:
            self._digests[block] = digest
        else:
            self.hold([known])
            self.release([block])
        return known


class CachedSequence:
    """What the cache knows of a sequence.

    Attributes:
        tokens: token ids, which only ever grow at the end.
        adapter: which adapter of the runner computes them; None for the base model.
        prefix: places of the cache that the adapter takes before the tokens.
        computed: how many of the tokens have their keys and values in the cache.
        blocks: the blocks that hold the sequence, in its order; empty while it is not in the cache.
        digests: the root's, and those of the leading full blocks as far as they were needed.
        published: how many of `blocks`, all of them full, were published or found.
    """

    def __init__(self, tokens: list[int], adapter: str | None = None, prefix: int = 0) -> None:
        self.tokens = tokens
        self.adapter = adapter
        self.prefix = prefix
        self.computed = 0
        self.blocks: list[int] = []
        self.digests: list[bytes] = []
        self.published = 0


class KVCache:
    """Gives blocks to sequences, shares those with the same beginning, and takes them back.

    Args:
        blocks: how many there are; never more are given out.
        block_tokens: how many places (tokens) a block has.
    """

    def __init__(self, blocks: int, block_tokens: int) -> None:
        if blocks < 1 or block_tokens < 1:
            raise ValueError(f"blocks {blocks}, block_tokens {block_tokens}: both must be positive")
        self.pool = BlockPool(blocks)
        self.block_tokens = block_tokens
        # Without it nobody outside can compute a digest, let alone look for two that are the same.
        self._secret = os.urandom(_DIGEST_BYTES)

    @property
    def places(self) -> int:
        """Places of all blocks: the most that a sequence and its prefix may take."""
        return len(self.pool) * self.block_tokens

    def begin(self, sequence: CachedSequence, reusable: int, headroom: int) -> bool:
        """Give a sequence blocks for all its tokens; `computed` says how many it found there.

        Args:
            sequence: holds no blocks yet.
            reusable: the most leading tokens that may be found and not computed; only whole
                blocks are.
            headroom: blocks that must be left for others.

        Returns:
            False, with nothing changed, when there are not enough blocks.
        """
        found = self._find(sequence, reusable)
        fresh = self._blocks_for(sequence, len(sequence.tokens)) - len(found)
        taken = fresh + len(found) - self.pool.held(found)
        if taken + headroom > self.pool.available:
            return False
        self.pool.hold(found)  # before anything is allocated, which could take them away
        sequence.blocks = found + [self.pool.allocate() for _ in range(fresh)]
        sequence.published = len(found)
        sequence.computed = max(0, len(found) * self.block_tokens - sequence.prefix)
        return True

    def catch_up(self, sequence: CachedSequence, reusable: int) -> int:
        """Let a sequence go on behind blocks that others have computed since it got its own.

        Returns:
            How many of its tokens need not be computed any more.
        """
        found = self._find(sequence, reusable)
        first, before = sequence.published, sequence.computed
        if len(found) <= first:
            return 0
        self.pool.hold(found[first:])
        self.pool.release(sequence.blocks[first : len(found)])
        sequence.blocks[first : len(found)] = found[first:]
        sequence.published = len(found)
        sequence.computed = len(found) * self.block_tokens - sequence.prefix
        return sequence.computed - before

    def can_extend(self, sequence: CachedSequence, tokens: int) -> bool:
        """Return whether `extend` finds blocks enough."""
        fresh = max(0, self._blocks_for(sequence, tokens) - len(sequence.blocks))
        copy = self._shared_block(sequence) is not None
        return fresh + copy <= self.pool.available

    def extend(self, sequence: CachedSequence, tokens: int, copies: list[tuple[int, int]]) -> None:
        """Give it blocks for more tokens, none of them shared from the first new token on.

        Args:
            tokens: up to how many of its tokens will be computed.
            copies: gets the block (from, to) that must be copied before anything is written.
        """
        shared = self._shared_block(sequence)
        if shared is not None:
            block, own = sequence.blocks[shared], self.pool.allocate()
            copies.append((block, own))
            self.pool.release([block])
            sequence.blocks[shared] = own
        while len(sequence.blocks) < self._blocks_for(sequence, tokens):
            sequence.blocks.append(self.pool.allocate())

    def commit(self, sequence: CachedSequence, computed: int) -> None:
        """Note that so many of its tokens have been computed, and publish the blocks now full."""
        sequence.computed = computed
        full = (sequence.prefix + computed) // self.block_tokens
        if full > sequence.published:
            self._hash(sequence, full)
            for index in range(sequence.published, full):
                digest = sequence.digests[index + 1]
                sequence.blocks[index] = self.pool.publish(sequence.blocks[index], digest)
            sequence.published = full

    def fork(self, sequence: CachedSequence, child: CachedSequence) -> None:
        """Let a child, which begins with the same computed tokens, hold the same blocks."""
        # What stands behind, for tokens to come, stays the first one's alone.
        child.blocks = sequence.blocks[: self._blocks_for(sequence, sequence.computed)]
        self.pool.hold(child.blocks)
        child.computed = sequence.computed
        child.published = sequence.published
        child.digests = sequence.digests[: sequence.published + 1]

    def release(self, sequence: CachedSequence) -> None:
        """Take its blocks back; those published can be found until their room is needed."""
        # The beginning is what others share most, and useless are later blocks without it.
        self.pool.release(reversed(sequence.blocks))
        sequence.blocks = []
        sequence.published = sequence.computed = 0

    def _blocks_for(self, sequence: CachedSequence, tokens: int) -> int:
        return -(-(sequence.prefix + tokens) // self.block_tokens)

    def _shared_block(self, sequence: CachedSequence) -> int | None:
        """Return the place in its table of the block that it shares and writes into next."""
        index = (sequence.prefix + sequence.computed) // self.block_tokens
        if index < len(sequence.blocks) and self.pool.holders(sequence.blocks[index]) > 1:
            return index
        return None

    def _find(self, sequence: CachedSequence, reusable: int) -> list[int]:
        count = (sequence.prefix + reusable) // self.block_tokens
        if count * self.block_tokens <= sequence.prefix:
            return []
        self._hash(sequence, count)
        found = self.pool.find(sequence.digests[1 : count + 1])
        # With no token computed the runner writes the prefix, so these must not be others' blocks.
        return found if len(found) * self.block_tokens > sequence.prefix else []

    def _hash(self, sequence: CachedSequence, count: int) -> None:
        """Make sure that the digests of the first `count` blocks are known."""
        digests = sequence.digests
        if not digests:
            digests.append(self._root(sequence))
        for index in range(len(digests) - 1, count):
            first = index * self.block_tokens - sequence.prefix
            end = max(0, first + self.block_tokens)
            digests.append(_chain(digests[-1], sequence.tokens[max(0, first) : end]))

    def _root(self, sequence: CachedSequence) -> bytes:
        """Keys and values depend on the adapter, and a block's tokens on the prefix's length."""
        name = repr((sequence.adapter, sequence.prefix)).encode()
        return blake2b(name, digest_size=_DIGEST_BYTES, key=self._secret).digest()


def _chain(previous: bytes, tokens: Sequence[int]) -> bytes:
    data = previous + array("i", tokens).tobytes()
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
