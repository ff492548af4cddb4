"""What native/module/ binds. Sizes as in native/kernels.h."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Bytes = NDArray[np.int8]
Words = NDArray[np.int32]

class Pool:
    """Threads, of which the caller of `run` is one.

    Args:
        threads: at least 1.
        spin_microseconds: how long an idle thread watches for work at least before it sleeps; where
            work has lately come soon after, it watches longer.
        pin: tie each worker to a processor of its own (Linux only).

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, threads: int, spin_microseconds: int = 30, pin: bool = False) -> None: ...
    @property
    def threads(self) -> int: ...
    def run(self, parts: int, function: Callable[[int, int], object]) -> None:
        """Call function(part, thread) once for each part, on any thread and in any order.

        Raises:
            ValueError: parts is negative.
            RuntimeError: called from within a part.
            Exception: the first that a part raised; no more parts were begun after it.
        """

class Matrix:
    """A packed matrix.

    Args:
        rows: (n, k), float32 or float16, or bf16 as uint16, in C order.
        format: f32, bf16 (k even), q8 or q4 (k a multiple of 32).

    Raises:
        ValueError: rows do not fit the format, or are not finite.
    """

    def __init__(
        self, rows: Floats | Halves | NDArray[np.uint16], format: str, pool: Pool
    ) -> None: ...
    @staticmethod
    def from_levels(levels: Bytes, scales: Halves, format: str, pool: Pool) -> Matrix:
        """Pack what was rounded elsewhere: a weight is its level times its group's scale.

        Args:
            levels: (n, k), from -127 to 127 for q8, from -8 to 7 for q4; k a multiple of 32.
            scales: (n, k / 32), finite.
            format: q8 or q4.

        Raises:
            ValueError: an argument does not fit, or a level or scale is out of range.
        """

    @staticmethod
    def from_packed(data: NDArray[np.uint8], format: str, n: int, k: int) -> Matrix:
        """A matrix (n, k) whose packed bytes lie in an array, which it keeps: nothing is copied.

        Args:
            data: packed_bytes(format, n, k) bytes from a multiple of 64 on, perhaps read-only or
                mapped from a file. What they mean is not checked.

        Raises:
            ValueError: the array has another size or begins elsewhere.
        """

    @staticmethod
    def packed_bytes(format: str, n: int, k: int) -> int:
        """Bytes of a packed matrix (n, k).

        Raises:
            ValueError: n or k do not fit the format.
        """
    @property
    def format(self) -> str: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def data(self) -> NDArray[np.uint8]:
        """The packed bytes, not to be written; they live as long as the matrix does."""

    def unpack(self, out: Floats, pool: Pool) -> None:
        """Write the weights as they are after rounding into out (n, k)."""

class Kernels:
    """The kernels of one instruction set. Each works on a part of the output, [begin, end)."""

    @property
    def name(self) -> str: ...
    def quantize(
        self, x: Floats, q: Bytes, scales: Floats, sums: Words, begin: int, end: int
    ) -> None:
        """Rows of x (rows, k) into q (rows, k), scales and sums (rows, k / 32)."""

    def matmul(
        self,
        matrix: Matrix,
        x: Floats,
        out: Floats,
        begin: int,
        end: int,
        bias: Floats | None = None,
        q: Bytes | None = None,
        scales: Floats | None = None,
        sums: Words | None = None,
    ) -> None:
        """Blocks of 16 columns of out (rows, n or more): x (rows, k) times the matrix (n, k).

        q8 and q4 compute with q, scales and sums, as `quantize` makes them, in place of x.
        """

    def embed(self, matrix: Matrix, row: int, out: Floats) -> None:
        """One row of the matrix into out (k)."""

    def rms_norm(
        self, x: Floats, weight: Floats, epsilon: float, out: Floats, begin: int, end: int
    ) -> None:
        """Rows of x (rows, width) by their root mean square and weight (width)."""

    def add(self, x: Floats, y: Floats) -> None:
        """Add y to x, both (count)."""

    def silu_mul(self, gate_up: Floats, out: Floats, begin: int, end: int) -> None:
        """Rows of gate_up (rows, 2 width), gates first, into out (rows, width)."""

    def rotate(self, x: Floats, cosines: Floats, sines: Floats) -> None:
        """Turn the first pairs of x (heads, head_dim) by cosines and sines (pairs)."""

    def store(
        self,
        keys: Floats,
        values: Floats,
        cache_keys: Halves | Bytes,
        cache_values: Halves | Bytes,
        table: Words,
        position: int,
        cache_key_scales: Floats | None = None,
        cache_value_scales: Floats | None = None,
    ) -> None:
        """Put a token's keys and values (groups, head_dim) into the cache.

        The cache's arrays are (blocks, groups, tokens of a block, head_dim), float16, or int8 with
        scales (blocks, groups, tokens of a block) that are max|x| / 127.
        """

    def attention(
        self,
        queries: Floats,
        q_offset: int,
        heads_per_group: int,
        cache_keys: Halves | Bytes,
        cache_values: Halves | Bytes,
        group: int,
        first: int,
        rows: int,
        start: int,
        table: Words,
        scale: float,
        out: Floats,
        begin: int,
        end: int,
        cache_key_scales: Floats | None = None,
        cache_value_scales: Floats | None = None,
    ) -> None:
        """Causal attention of one sequence's rows for one group of keys and values.

        queries and out are (rows of the step, columns); the sequence's rows begin at row `first`,
        the group's heads at column `q_offset`, its positions at `start`.
        """

def tables() -> list[Kernels]:
    """The tables that this processor can run, the best first, the portable one last."""

def best() -> Kernels:
    """The best table, or the one that the environment's QINGTAN_ISA names.

    Raises:
        ValueError: there is none of that name.
    """

def usable_processors() -> int:
    """Processors that this process may use."""

class Cache:
    """Keys and values of all layers in blocks of tokens.

    Memory that was never written to takes none. Calls that write must not run beside others on the
    same blocks.

    Args:
        layers: of the model.
        groups: heads of keys and values.
        head_dim: width of a head, a multiple of 4.
        blocks: how many there are, numbered from 0.
        block_tokens: tokens of a block, a power of two.
        number: "f16", or "q8": int8 with a scale for each token and group.

    Raises:
        ValueError: an argument is out of range.
        MemoryError: there is no room.
    """

    def __init__(
        self,
        layers: int,
        groups: int,
        head_dim: int,
        blocks: int,
        block_tokens: int = 16,
        number: str = "f16",
    ) -> None: ...
    @property
    def bytes(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    @property
    def block_tokens(self) -> int: ...
    @staticmethod
    def block_bytes(
        layers: int, groups: int, head_dim: int, block_tokens: int = 16, number: str = "f16"
    ) -> int:
        """Bytes of one block in all layers."""

    def copy(self, source: int, target: int) -> None:
        """Copy one block in all layers."""

    def write(self, layer: int, keys: Floats, values: Floats, table: Words) -> None:
        """Put keys and values (groups, tokens, head_dim) at positions 0, 1, … of a table's blocks.

        Keys are taken as they are, without a rotary position: they are a prefix's.
        """

    def read(self, layer: int, tokens: int, table: Words) -> tuple[Floats, Floats]:
        """Return keys and values (groups, tokens, head_dim) of positions 0, 1, …, as rounded."""

class Layer:
    """The weights of one layer, D wide, with F numbers between its gates and `down`.

    Matrices may be of different formats; they are kept, not copied.

    Args:
        attention_norm: (D).
        qkv: (columns, D): all heads of queries, then the groups' keys, then their values.
        out: (D, heads · head_dim).
        mlp_norm: (D).
        gate_up: (2 F, D), gates first.
        down: (D, F).
        qkv_bias: (columns).

    Raises:
        ValueError: names the argument whose type or shape does not fit the others.
    """

    def __init__(
        self,
        *,
        attention_norm: Floats,
        qkv: Matrix,
        out: Matrix,
        mlp_norm: Floats,
        gate_up: Matrix,
        down: Matrix,
        qkv_bias: Floats | None = None,
    ) -> None: ...

class Model:
    """The whole model, as glm/model.py computes it.

    Args:
        heads: of queries, a multiple of groups.
        groups: heads of keys and values.
        head_dim: width of a head, a multiple of 4; rotary positions turn its first half.
        context: positions that a sequence may have, a prefix not counted.
        epsilon: of RMSNorm.
        theta: base of the rotary frequencies.
        embedding: (V, D).
        layers: at least one.
        final_norm: (D).
        head: (V, D); None where it is the embedding.
        pool: computes; it is kept, as the matrices are.
        kernels: one of `tables()`; `best()` by default.

    Raises:
        ValueError: names the argument whose type, range or shape does not fit the others.
    """

    def __init__(
        self,
        *,
        heads: int,
        groups: int,
        head_dim: int,
        context: int,
        epsilon: float,
        theta: float,
        embedding: Matrix,
        layers: Sequence[Layer],
        final_norm: Floats,
        head: Matrix | None,
        pool: Pool,
        kernels: Kernels | None = None,
    ) -> None: ...
    @property
    def bytes(self) -> int:
        """Bytes of the packed matrices, adapters' too, each matrix counted once."""

    def add_adapter(self, layers: Sequence[dict[str, tuple[Matrix, Matrix] | None]]) -> int:
        """Add a LoRA adapter (arXiv:2106.09685) and return its number; they count from 0.

        Args:
            layers: for each layer, for any of "qkv", "out", "gate_up" and "down", the matrices
                down (r, inputs) and up (outputs, r), packed as f32; the scale is in `up`. What is
                None or not there is left as it is.

        Raises:
            ValueError: names the layer and the matrix that does not fit the model's.
        """

    def forward(
        self,
        tokens: Words,
        sequences: Words,
        tables: Words,
        rows: Words,
        cache: Cache,
        logits: Floats,
        pooled: Words,
        hidden: Floats,
    ) -> None:
        """Compute a step; its keys and values go into the cache.

        A row's numbers are the same bits whatever else is in the step, in whatever chunks its
        sequence was read, and for any number of threads. Calls on the same model take turns.

        Args:
            tokens: (T) of all sequences, one sequence's after another's.
            sequences: (S, 4): its rows in `tokens`; how many of its tokens the cache holds
                already; how many positions a prefix takes before them; its adapter, −1 for none.
            tables: (S, any): blocks of the cache for positions 0, 1, … of prefix, earlier tokens
                and these. No two sequences of a step write into the same block; entries beyond
                what is needed are ignored.
            rows: (L): rows of `tokens` whose logits are wanted.
            cache: of the model's layers, groups and head_dim.
            logits: (L, V), written.
            pooled: (M), ascending: sequences whose hidden states are to be added up.
            hidden: (M, D), written: the sums over their rows in this step, after the final norm.

        Raises:
            ValueError: names the argument that is wrong; then nothing has been computed.
        """

class Sampler:
    """Draws the tokens of one request: Gumbel-max over the tokens that the filters leave.

    A token's random number depends on the seed, on how many tokens were drawn before, and on its
    id alone. To be used by one thread at a time.

    Args:
        vocab: bounds what is drawn: the logits' columns beyond it are padding.
        temperature: divides the logits; 0 takes the likeliest token, of equals the first.
        top_p, top_k, min_p: the filters, which apply in the order top_k, top_p, min_p; 1, 0 and 0
            keep all tokens.
        repetition_penalty, presence_penalty, frequency_penalty: 1, 0 and 0 change nothing.
        no_repeat_ngram_size: takes 10,000 off the score of a token that would end so many drawn
            tokens in a row as they were drawn before; 0 changes nothing.
        seed: any 64 bits.
        bias_ids, bias: (biases,), what is added to the logits of which tokens.
        prompt: (any,), the tokens of the prompt; those outside the vocabulary are left out.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        vocab: int,
        *,
        temperature: float,
        top_p: float,
        top_k: int,
        min_p: float,
        repetition_penalty: float,
        presence_penalty: float,
        frequency_penalty: float,
        no_repeat_ngram_size: int,
        seed: int,
        bias_ids: Words,
        bias: Floats,
        prompt: Words,
    ) -> None: ...
    @property
    def drawn(self) -> int:
        """How many tokens were drawn."""

    def draw(self, logits: Floats, drafts: Words, masks: Words | None = None) -> list[int]:
        """Draw a token, and more as long as the tokens drawn are the drafted ones.

        Args:
            logits: (rows, vocab or more). Row i + 1 is right where drafts[i] is drawn from row i.
            drafts: (rows − 1,).
            masks: (rows, ⌈vocab / 32⌉ or more). Bit i (from the lowest) of word w says whether
                token 32 w + i is allowed.

        Returns:
            1 to `rows` tokens, the same as they would be without drafts.

        Raises:
            FloatingPointError: a logit is NaN or +∞, or no allowed one is finite. As with all
                errors, nothing was drawn.
            ValueError: an array does not fit, or a mask allows no token.
        """

    def fork(self, seed: int) -> Sampler:
        """Return a sampler in the same state that draws with other random numbers."""

def draw_all(
    samplers: list[Sampler],
    logits: Floats,
    rows: Words,
    drafts: Words,
    masks: Words | None,
    pool: Pool,
) -> list[list[int]]:
    """Let many samplers draw, at the same time.

    Args:
        samplers: none of them twice.
        logits: (rows of all, vocab or more).
        rows: (samplers,), how many rows belong to each.
        drafts: (rows of all − samplers,), those of each sampler after one another.
        masks: (rows of all, ⌈vocab / 32⌉ or more).

    Returns:
        What `Sampler.draw` returns, for each sampler.

    Raises:
        FloatingPointError, ValueError: see `Sampler.draw`; then none has drawn anything.
    """

def logprobs(
    logits: Floats, vocab: int, token: int, top: int
) -> tuple[float, list[int], list[float]]:
    """Look up logarithms of probabilities: of the softmax of logits (vocab or more,) as they are.

    Returns:
        That of the token; the `top` likeliest tokens, the likeliest first, of equals the first;
        and theirs.

    Raises:
        FloatingPointError: see `Sampler.draw`.
        ValueError: vocab, token or top is out of range.
    """

def best_by_bm25(
    places: Words,
    codes: NDArray[np.unsignedinteger],
    weights: NDArray[np.float64],
    lists: list[tuple[int, int, float]],
    limit: int,
) -> list[tuple[int, float]]:
    """Find the passages with the highest scores by bm25, see native/search/bm25.h.

    Args:
        places: (entries,) of passages that hold a term, ascending in each list.
        codes: (entries,) uint8, uint16 or uint32, which of the weights the term has there.
        weights: (weights,) above zero: times · (k1 + 1) / (times + k1 · (1 − b + b · length / mean
            length)).
        lists: for each term where in `places` its list begins and ends, and its idf.
        limit: at least 1.

    Returns:
        Places and scores, the highest first, of equal ones the first place.

    Raises:
        ValueError: an argument is out of range, or a place is.
    """
