import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.engine.kv_cache import BlockPool, CachedSequence, KVCache


def put(cache: KVCache, tokens: list[int], adapter: str | None = None, prefix: int = 0, **options):
    """Let a sequence begin, find what it may, and compute the rest."""
    sequence = CachedSequence(tokens, adapter, prefix)
    assert cache.begin(sequence, options.get("reusable", len(tokens) - 1), headroom=0)
    sequence.found = sequence.computed
    cache.commit(sequence, len(tokens))
    return sequence


def found(cache: KVCache, tokens: list[int], adapter: str | None = None, prefix: int = 0) -> int:
    """Return how many leading tokens the cache holds, and leave it as it was."""
    sequence = CachedSequence(tokens, adapter, prefix)
    assert cache.begin(sequence, len(tokens) - 1, headroom=0)
    computed = sequence.computed
    cache.release(sequence)
    return computed


def test_a_beginning_is_found_while_it_is_held_and_afterwards() -> None:
    cache = KVCache(10, 4)
    first = put(cache, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    second = put(cache, [1, 2, 3, 4, 5, 6, 7, 0, 9])
    assert second.found == 4
    assert second.blocks[0] == first.blocks[0]
    assert second.blocks[1] != first.blocks[1]
    assert cache.pool.holders(first.blocks[0]) == 2
    blocks = list(first.blocks)
    cache.release(first)
    cache.release(second)
    assert cache.pool.available == 10
    assert cache.pool.cached == 3  # the blocks that were not full hold nothing to be found
    assert put(cache, [1, 2, 3, 4, 5, 6, 7, 8, 9]).blocks[:2] == blocks[:2]


def test_the_last_token_is_always_computed() -> None:
    cache = KVCache(10, 4)
    put(cache, [1, 2, 3, 4, 5, 6, 7, 8])
    assert put(cache, [1, 2, 3, 4, 5, 6, 7, 8]).found == 4
    assert put(cache, [1, 2, 3, 4, 5, 6, 7, 8, 9]).found == 8
    assert put(cache, [1, 2, 3, 4, 5, 6, 7, 8, 9], reusable=7).found == 4
    assert put(cache, [1, 2, 3, 4, 5, 6, 7, 8, 9], reusable=0).found == 0


def test_what_stands_before_a_block_is_part_of_its_name() -> None:
    cache = KVCache(20, 2)
    put(cache, [1, 2, 3, 4, 5])
    assert found(cache, [7, 7, 3, 4, 5]) == 0
    assert found(cache, [3, 4, 5]) == 0
    assert found(cache, [1, 2, 3, 4, 5], adapter="poems") == 0
    assert found(cache, [1, 2, 3, 4, 5], prefix=2) == 0
    assert found(cache, [1, 2, 3, 4, 5]) == 4


def test_an_adapters_prefix_takes_places_before_the_tokens() -> None:
    cache = KVCache(20, 4)
    first = put(cache, [1, 2, 3, 4, 5, 6, 7], "poems", prefix=6)
    assert len(first.blocks) == 4  # 6 + 7 places
    assert found(cache, [1, 2, 3, 4, 5, 6, 7], "poems", 6) == 6
    assert found(cache, [1, 2, 3, 9, 9, 9, 9], "poems", 6) == 2
    # Blocks with nothing but the prefix are not shared: the runner writes it with the first token.
    aligned = put(cache, [1, 2, 3, 4, 5], "rhymes", prefix=8)
    other = CachedSequence([9, 9, 9, 9, 9], "rhymes", 8)
    assert cache.begin(other, 4, headroom=0)
    assert other.computed == 0
    assert not set(aligned.blocks) & set(other.blocks)


def test_what_two_computed_side_by_side_is_kept_once() -> None:
    cache = KVCache(10, 2)
    one, two = CachedSequence([1, 2, 3, 4, 5]), CachedSequence([1, 2, 3, 4, 6])
    assert cache.begin(one, 4, headroom=0)
    assert cache.begin(two, 4, headroom=0)
    assert not set(one.blocks) & set(two.blocks)
    cache.commit(one, 5)
    cache.commit(two, 5)
    assert one.blocks[:2] == two.blocks[:2]
    assert one.blocks[2] != two.blocks[2]
    assert cache.pool.available == 10 - 4


@pytest.mark.parametrize(
    ("needed", "old_left", "new_left"), [(2, 6, 4), (3, 4, 4), (4, 2, 4), (5, 0, 4), (6, 0, 2)]
)
def test_the_oldest_goes_first_and_of_one_sequence_its_end(
    needed: int, old_left: int, new_left: int
) -> None:
    """Seven blocks: three cached of the old one, two of the new one, and two free ones."""
    old, new = [1, 1, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2]
    for tokens, left in ((old, old_left), (new, new_left)):
        cache = KVCache(7, 2)
        cache.release(put(cache, old))
        cache.release(put(cache, new))
        assert (cache.pool.cached, cache.pool.available) == (5, 7)
        cache.release(put(cache, [3] * (2 * needed - 1)))
        assert found(cache, tokens) == left


def test_what_is_used_again_stays() -> None:
    cache = KVCache(4, 2)
    old, new = [1, 1, 1], [2, 2, 2]
    cache.release(put(cache, old))
    cache.release(put(cache, new))
    assert found(cache, old) == 2
    cache.release(put(cache, [3, 3, 3, 3, 3]))  # two free blocks, and the one of the new
    assert found(cache, old) == 2


def test_what_is_found_is_not_given_away_in_the_same_breath() -> None:
    cache = KVCache(4, 2)
    cache.release(put(cache, [1, 1, 2, 2, 3, 3, 4, 4]))
    assert cache.pool.cached == 4
    sequence = put(cache, [1, 1, 2, 2, 5, 5, 6, 6])
    assert sequence.found == 4
    assert len(set(sequence.blocks)) == 4


def test_nothing_begins_without_room_for_all_its_tokens_and_for_others() -> None:
    cache = KVCache(4, 2)
    held = put(cache, [1, 1, 2])
    sequence = CachedSequence([1, 1, 2, 2, 3])
    assert not cache.begin(sequence, 4, headroom=1)
    assert (sequence.blocks, sequence.computed, cache.pool.available) == ([], 0, 2)
    assert cache.begin(sequence, 4, headroom=0)
    assert cache.pool.available == 0
    cache.release(held)
    assert cache.pool.available == 1
    cache.pool.allocate()
    with pytest.raises(IndexError, match="all 4 blocks"):
        cache.pool.allocate()


def test_a_fork_copies_the_block_in_which_it_parts() -> None:
    cache = KVCache(8, 4)
    parent = put(cache, [1, 2, 3, 4, 5])
    parent.tokens.extend([6, 7, 8, 9])
    copies: list[tuple[int, int]] = []
    cache.extend(parent, 9, copies)  # a block for tokens to come, which is not the child's
    child = CachedSequence([1, 2, 3, 4, 5, 0])
    cache.fork(parent, child)
    assert (child.computed, child.blocks, copies) == (5, parent.blocks[:2], [])
    shared = child.blocks[1]
    cache.extend(child, 6, copies)
    assert copies == [(shared, child.blocks[1])]
    assert (child.blocks[0], parent.blocks[1]) == (parent.blocks[0], shared)
    cache.extend(parent, 6, copies)  # nobody else's any more
    assert len(copies) == 1
    cache.commit(child, 6)
    cache.release(parent)
    cache.release(child)
    assert cache.pool.available == 8
    assert found(cache, [1, 2, 3, 4, 5]) == 4


@pytest.mark.parametrize("wrong", [(0, 16), (8, 0)])
def test_an_empty_cache_is_refused(wrong: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        KVCache(*wrong)


TOKENS = st.lists(st.integers(0, 1), min_size=1, max_size=12)


@given(
    st.lists(
        st.tuples(TOKENS, st.sampled_from([(None, 0), ("a", 3), ("b", 4)]), st.integers(0, 12)),
        max_size=12,
    ),
    st.integers(1, 5),
)
def test_the_longest_beginning_of_whole_blocks_is_found(cases: list, block_tokens: int) -> None:
    """Compared with every sequence that was there, one token at a time; nothing is evicted."""
    cache = KVCache(1000, block_tokens)
    seen: list[tuple[tuple[str | None, int], list[int]]] = []
    for tokens, root, reusable in cases:
        reusable = min(reusable, len(tokens) - 1)
        prefix = root[1]
        expected = 0
        for other_root, other in seen:
            common = 0
            while common < min(len(tokens), len(other)) and tokens[common] == other[common]:
                common += 1
            if other_root == root:
                places = (prefix + min(common, reusable)) // block_tokens * block_tokens
                expected = max(expected, places - prefix)
        sequence = put(cache, tokens, *root, reusable=reusable)
        assert sequence.found == expected
        seen.append((root, tokens))
        if len(tokens) % 2:
            cache.release(sequence)


@given(st.lists(st.tuples(st.sampled_from("ahrp"), st.integers(0, 9)), max_size=60))
def test_the_pool_keeps_count(operations: list[tuple[str, int]]) -> None:
    """Against a list of holdings: allocate, hold once more, release, publish."""
    pool, holdings = BlockPool(4), []
    published: dict[bytes, int] = {}
    for operation, number in operations:
        if operation == "a" and pool.available:
            block = pool.allocate()
            assert block not in holdings
            published = {digest: b for digest, b in published.items() if b != block}
            holdings.append(block)
        elif not holdings or operation == "a":
            continue
        elif operation == "h":
            holdings.append(holdings[number % len(holdings)])
            pool.hold(holdings[-1:])
        elif operation == "r":
            pool.release([holdings.pop(number % len(holdings))])
        elif holdings[0] not in published.values():
            digest = bytes([number])
            expected = published.setdefault(digest, holdings[0])
            holdings[0] = pool.publish(holdings[0], digest)
            assert holdings[0] == expected
        assert [pool.holders(block) for block in range(4)] == [*map(holdings.count, range(4))]
        assert pool.available == 4 - len(set(holdings))
        assert pool.cached == len(set(published.values()) - set(holdings))
        for digest, block in published.items():
            assert pool.find([digest]) == [block]
