"""ChatGLM3's tokenizer: SentencePiece BPE with byte fallback, and special tokens after its pieces.

The special tokens are no pieces, so no text can encode to one: a message that contains
"<|system|>" stays text.
"""

import codecs
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import cast

import sentencepiece

from qingtan.errors import UserError

# In the order of their ids, the first directly after the last piece (ChatGLM3's tokenizer:
# 64789 to 64797 after 64789 pieces).
SPECIAL_TOKENS = (
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "sop",
    "eop",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
)
TOKENIZER_FILE = "tokenizer.model"


class GLMTokenizer:
    """Text to token ids and back.

    Attributes:
        vocab_size: pieces and special tokens together.
        pad_id, bos_id, eos_id: 0 (unk doubles as padding), 1 and 2 in ChatGLM3's file.
        gmask_id, sop_id: the two tokens that every sequence starts with.
    """

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._special_ids = {
            token: self._pieces.vocab_size() + i for i, token in enumerate(SPECIAL_TOKENS)
        }
        self._special_names = {i: token for token, i in self._special_ids.items()}
        self.vocab_size = self._pieces.vocab_size() + len(SPECIAL_TOKENS)
        self.pad_id = self._pieces.unk_id()
        self.bos_id = self._pieces.bos_id()
        self.eos_id = self._pieces.eos_id()
        self.gmask_id = self._special_ids["[gMASK]"]
        self.sop_id = self._special_ids["sop"]
        self._bytes_of_piece = [self._piece_bytes(i) for i in range(self._pieces.vocab_size())]

    @classmethod
    def from_file(cls, path: str | Path) -> "GLMTokenizer":
        """Load a SentencePiece file, ChatGLM3's own or one that `train_tokenizer` wrote.

        Raises:
            UserError: the file is missing or is no SentencePiece model.
        """
        try:
            model = Path(path).read_bytes()
            # SentencePiece takes an empty file for a model of no pieces.
            return cls(model or b"-")
        except FileNotFoundError:
            raise UserError(f"{path}: no such tokenizer file") from None
        except (RuntimeError, OSError):
            raise UserError(f"{path}: not a SentencePiece model") from None

    def special_id(self, token: str) -> int:
        """Return the id of one of SPECIAL_TOKENS; KeyError for anything else."""
        return self._special_ids[token]

    @property
    def prefix(self) -> list[int]:
        """The two tokens that start every sequence, `[gMASK] sop`."""
        return [self.gmask_id, self.sop_id]

    @cached_property
    def newline(self) -> list[int]:
        """The line break that most messages have in the place of metadata, encoded."""
        return self.encode("\n")

    def encode(self, text: str) -> list[int]:
        """Encode text; nothing in it becomes a special token, and half a surrogate pair is "?"."""
        return cast(list[int], self._pieces.encode(text.encode("utf-8", "replace")))

    def encode_batch(
        self, texts: Sequence[str | bytes], threads: int | None = None
    ) -> list[list[int]]:
        """Encode many texts, or their UTF-8 bytes, at once, on all cores by default."""
        data = [t if isinstance(t, bytes) else t.encode("utf-8", "replace") for t in texts]
        threads = threads or os.cpu_count() or 1
        return cast(list[list[int]], self._pieces.encode(data, num_threads=threads))

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to text; special tokens and padding beyond the vocabulary are left out.

        Bytes that are no UTF-8 become U+FFFD. The space that the encoder puts before the text is
        taken away.
        """
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace").removeprefix(" ")

    def token_bytes(self, token: int) -> bytes:
        """Return the UTF-8 bytes that a token stands for, perhaps a part of a character."""
        return self._bytes_of_piece[token] if 0 <= token < len(self._bytes_of_piece) else b""

    def token_name(self, token: int) -> str:
        """Return how a token is written, for people: the piece, or the special token."""
        if token in self._special_names:
            return self._special_names[token]
        known = 0 <= token < self._pieces.vocab_size()
        return self._pieces.id_to_piece(token) if known else f"<padding {token}>"

    def save(self, folder: str | Path) -> None:
        """Write the SentencePiece file into a checkpoint's folder."""
        (Path(folder) / TOKENIZER_FILE).write_bytes(self.model)

    def _piece_bytes(self, token: int) -> bytes:
        if self._pieces.is_control(token) or self._pieces.is_unknown(token):
            return b""
        piece = self._pieces.id_to_piece(token)
        if self._pieces.is_byte(token):
            return bytes([int(piece[3:5], 16)])  # "<0x0A>"
        return piece.replace("▁", " ").encode()


class StreamDecoder:
    """Decodes tokens one at a time; a character cut across tokens waits until it is whole."""

    def __init__(self, tokenizer: GLMTokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True

    def feed(self, token: int) -> str:
        """Return the text that this token completes, perhaps none."""
        return self._strip_first_space(self._utf8.decode(self._tokenizer.token_bytes(token)))

    def finish(self) -> str:
        """Return what is left; the rest of a broken character is U+FFFD."""
        return self._strip_first_space(self._utf8.decode(b"", final=True))

    def _strip_first_space(self, text: str) -> str:
        if self._at_start and text:
            self._at_start = False
            return text.removeprefix(" ")
        return text


def load_tokenizer(folder: str | Path) -> GLMTokenizer:
    """Read a checkpoint's `tokenizer.model`."""
    return GLMTokenizer.from_file(Path(folder) / TOKENIZER_FILE)


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, path: str | Path, threads: int | None = None
) -> None:
    """Train a BPE of ChatGLM3's kind and write its SentencePiece file.

    Byte fallback, single digits, no normalisation, a dummy prefix, pieces of at most 16
    characters: the settings stored in ChatGLM3's own file. Lines longer than 4,192 bytes are
    passed over by SentencePiece, so the caller cuts long documents.

    Args:
        vocab_size: the number of pieces, the 256 bytes and three controls included, the special
            tokens not.

    Raises:
        UserError: the texts hold too few different characters for that many pieces.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=file,
                model_type="bpe",
                vocab_size=vocab_size,
                byte_fallback=True,
                split_digits=True,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                allow_whitespace_only_pieces=True,
                character_coverage=0.9995,
                max_sentencepiece_length=16,
                pad_id=-1,
                num_threads=threads or os.cpu_count() or 1,
                minloglevel=1,
            )
    except RuntimeError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{path}: the tokenizer could not be trained: {error}") from None
    partial.replace(path)
