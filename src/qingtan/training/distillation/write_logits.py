"""Running a teacher over a corpus once, and keeping samples of what it says.

<output>.partial beside the output    what a stopped run goes on from
    parts/settings.json               what it was started with
    parts/<shard>-00000.npz           the draws of a part of a shard
    parts/<shard>.json                the shard's arrays are complete
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from qingtan.corpus.shards import INDEX_FILE as CORPUS_INDEX
from qingtan.corpus.shards import Corpus, Shard
from qingtan.errors import UserError
from qingtan.files import put_in_place, read_json, write_json
from qingtan.glm.checkpoint import working_dtype
from qingtan.glm.digests import digest_checkpoint
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.i18n import tr
from qingtan.provenance import Step, checkpoint_provenance
from qingtan.training.batches import Excerpt, cut
from qingtan.training.distillation.sampled_logits import (
    INDEX_FILE,
    LogitsIndex,
    LogitsSettings,
    ShardSamples,
    read_index,
)
from qingtan.training.distillation.sampled_shard import Sampler, join_parts, write_part
from qingtan.training.distillation.teacher import open_teacher

PARTS_FOLDER = "parts"
SETTINGS_FILE = "settings.json"
# Draws of a part: some 10 MB on disk, and what a stopped run loses at most.
PART_DRAWS = 1 << 22
# What `uint16` counts hold.
MAX_DRAWS = 65_535


def write_logits(
    teacher: Path,
    corpus: Path,
    output: Path,
    *,
    sources: Mapping[str, float] | None = None,
    sequence_length: int,
    draws: int = 50,
    proposal_temperature: float = 1.0,
    seed: int = 0,
    device: str = "cpu",
    batch_tokens: int = 8192,
) -> Path:
    """Draw tokens from a teacher's distributions over the training documents of a corpus.

    Every piece that training would cut of a document is read in a row of its own; in the place of
    each token that is to be predicted tokens are drawn (`drawing.draw`). The folder is described
    in `sampled_logits`. A stopped call goes on when it is made again.

    Args:
        teacher: a checkpoint's folder.
        sources: as in the training recipe's `data.sources`; those of weight 0 are left out.
        sequence_length: of the training recipe.
        draws: in each place; at 50 the paper's students learn as from the whole distribution.
        proposal_temperature: the draws are from p^(1/temperature), and weighted back.
        batch_tokens: in a forward pass, padding included.

    Returns:
        The output's folder.

    Raises:
        UserError: the teacher does not fit the corpus, the output was made with other settings,
            or an argument is out of range.
    """
    _check(draws, proposal_temperature, sequence_length, batch_tokens, seed)
    opened = Corpus.open(corpus)
    weights = opened.epochs if sources is None else sources
    settings = LogitsSettings(
        teacher=teacher.resolve().name,
        teacher_sha256=digest_checkpoint(teacher),
        corpus_sha256=hashlib.sha256((corpus / CORPUS_INDEX).read_bytes()).hexdigest(),
        tokenizer_sha256=opened.index.tokenizer_sha256,
        sources=tuple(sorted(name for name, weight in weights.items() if weight > 0)),
        sequence_length=sequence_length,
        draws=draws,
        proposal_temperature=proposal_temperature,
        seed=seed,
    )
    if not output.exists():
        folder = output.with_name(f".{output.name}.partial")
        if not (folder / INDEX_FILE).exists():
            shards = _training_shards(opened, settings)
            tokenizer = GLMTokenizer.from_file(opened.tokenizer_path)
            dtype = working_dtype(teacher)
            model = open_teacher(teacher, tokenizer, dtype, device, sequence_length, "teacher")
            _begin_or_go_on(folder, settings)
            sampler = Sampler(model, opened.vocab_size, draws, proposal_temperature, batch_tokens)
            _write_index(folder, teacher, settings, _Run(folder, sampler, settings).write(shards))
        _check_same(folder, read_index(folder).settings, settings)
        shutil.rmtree(folder / PARTS_FOLDER, ignore_errors=True)
        put_in_place(folder, output)
    _check_same(output, read_index(output).settings, settings)
    _print_summary(output)
    return output


class _Run:
    """The work on all shards, part by part; parts that are there already are passed over."""

    def __init__(self, folder: Path, sampler: Sampler, settings: LogitsSettings) -> None:
        self._folder, self._parts = folder, folder / PARTS_FOLDER
        self._sampler, self._settings = sampler, settings

    def write(self, shards: Mapping[int, Shard]) -> list[ShardSamples]:
        """Write the arrays of shards, given by their number in the corpus."""
        total = sum(len(shard.tokens) for shard in shards.values())
        with tqdm(total=total, unit="token", unit_scale=True, smoothing=0, disable=None) as bar:
            return [self._write_shard(number, shard, bar) for number, shard in shards.items()]

    def _write_shard(self, number: int, shard: Shard, bar: "tqdm[None]") -> ShardSamples:
        done = self._parts / f"{shard.name}.json"
        if done.exists():
            _pass_over(bar, len(shard.tokens))
            return ShardSamples.model_validate(read_json(done))
        files, reached = [], 0
        for i, pieces in enumerate(self._cut(shard)):
            file = self._parts / f"{shard.name}-{i:05d}.npz"
            end = pieces[-1].start + pieces[-1].length
            if file.exists():
                _pass_over(bar, end - reached)
            else:
                write_part(file, self._sampler.draw(pieces, (self._settings.seed, number, i)))
                bar.update(end - reached)
            files.append(file)
            reached = end
        _pass_over(bar, len(shard.tokens) - reached)
        entry = join_parts(files, self._folder, shard, self._settings.draws)
        write_json(done, entry.model_dump())
        for file in files:
            file.unlink()
        return entry

    def _cut(self, shard: Shard) -> Iterator[list[Excerpt]]:
        """Yield the pieces of the parts of a shard."""
        part: list[Excerpt] = []
        tokens = 0
        for document in range(len(shard)):
            for piece in cut(shard, document, self._settings.sequence_length):
                part.append(piece)
                tokens += piece.length
                if tokens * self._settings.draws >= PART_DRAWS:
                    yield part
                    part, tokens = [], 0
        if part:
            yield part


def _pass_over(bar: "tqdm[None]", tokens: int) -> None:
    """Count tokens that took no time, so that the time left is reckoned without them."""
    if not bar.disable:
        bar.initial += tokens
    bar.update(tokens)


def _check(draws: int, temperature: float, length: int, batch_tokens: int, seed: int) -> None:
    if not 1 <= draws <= MAX_DRAWS:
        raise UserError(f"draws: {draws} is not between 1 and {MAX_DRAWS}")
    if temperature <= 0:
        raise UserError(f"proposal_temperature: {temperature} is not above 0")
    for name, value, least in (
        ("sequence_length", length, 8),
        ("batch_tokens", batch_tokens, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            raise UserError(f"{name}: {value} is less than {least}")


def _training_shards(corpus: Corpus, settings: LogitsSettings) -> dict[int, Shard]:
    chosen = {shard.name for shard in corpus.select("train", settings.sources)}
    shards = {i: shard for i, shard in enumerate(corpus.shards) if shard.name in chosen}
    if not shards:
        raise UserError(
            f"{corpus.path}: has no training documents of the sources "
            f"{', '.join(settings.sources) or '(none)'}"
        )
    return shards


def _begin_or_go_on(folder: Path, settings: LogitsSettings) -> None:
    known = folder / PARTS_FOLDER / SETTINGS_FILE
    if known.exists():
        _check_same(folder, LogitsSettings.model_validate(read_json(known)), settings)
        return
    shutil.rmtree(folder, ignore_errors=True)  # stopped before it had begun
    known.parent.mkdir(parents=True)
    write_json(known, settings.model_dump(mode="json"))


def _check_same(folder: Path, found: LogitsSettings, wanted: LogitsSettings) -> None:
    before, now = found.model_dump(), wanted.model_dump()
    changed = [
        f"{name} {before[name]}, not {now[name]}" for name in now if before[name] != now[name]
    ]
    if changed:
        raise UserError(
            f"{folder}: was made with other settings ({'; '.join(changed)}); remove it, or name "
            "another output"
        )


def _write_index(
    folder: Path, teacher: Path, settings: LogitsSettings, shards: Sequence[ShardSamples]
) -> None:
    """Write the provenance and, last, the index, which says that the folder is complete."""
    step = Step.now("sample logits", draws=settings.draws, seed=settings.seed)
    checkpoint_provenance(teacher).with_step(step).write(folder)
    index = LogitsIndex(
        settings=settings,
        shards=tuple(shards),
        bytes_per_token=sum(s.bytes for s in shards) / sum(s.tokens for s in shards),
        distinct_per_token=sum(s.samples for s in shards) / max(1, sum(s.labelled for s in shards)),
    )
    write_json(folder / INDEX_FILE, index.model_dump(mode="json"))


def _print_summary(output: Path) -> None:
    index = read_index(output)
    tokens = sum(shard.tokens for shard in index.shards)
    print(
        tr(
            f"{output}: {tokens:,} tokens, {index.bytes_per_token:.1f} bytes a token; "
            f"{index.distinct_per_token:.1f} distinct tokens of {index.settings.draws} draws",
            f"{output}：{tokens:,} 个词元，每词元 {index.bytes_per_token:.1f} 字节；"
            f"{index.settings.draws} 次抽样平均得 {index.distinct_per_token:.1f} 个不同词元",
        )
    )
