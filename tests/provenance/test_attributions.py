"""Attributions that records carry: the file beside the record, and the text to ship."""

import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.provenance import (
    ATTRIBUTIONS_FILE,
    PROVENANCE_FILE,
    LicenceTable,
    ModelSource,
    Provenance,
    Source,
    Step,
    checkpoint_provenance,
    join_attributions,
    merge,
    render_sources,
)
from qingtan.provenance.credits import attribution_text, one_line

TATOEBA = Source(name="tatoeba", licence="CC-BY-2.0", attribution="tatoeba.org", documents=3)
STORIES = Source(name="stories", licence="CC-BY-4.0", bytes=9)
NAMES = {
    TATOEBA.key: frozenset({"#1 (CK) & #2 (云)", "#3 (CK)"}),
    STORIES.key: frozenset({"Nana / 王"}),
}
RECORD = Provenance(sources=(TATOEBA, STORIES)).with_attributions(NAMES)


def test_they_are_written_beside_the_record_and_read_again(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [ATTRIBUTIONS_FILE, PROVENANCE_FILE]
    assert Provenance.read(tmp_path) == RECORD
    text = (tmp_path / PROVENANCE_FILE).read_text(encoding="utf-8")
    assert "CK" not in text
    counts = [source["record_attributions"] for source in json.loads(text)["sources"]]
    assert counts == [2, 1]
    lines = zstandard.decompress((tmp_path / ATTRIBUTIONS_FILE).read_bytes()).decode().splitlines()
    assert json.loads(lines[0]) == {
        "source": "stories",
        "licence": "CC-BY-4.0",
        "attribution": "Nana / 王",
    }
    before = (tmp_path / ATTRIBUTIONS_FILE).read_bytes()
    RECORD.write(tmp_path)
    assert (tmp_path / ATTRIBUTIONS_FILE).read_bytes() == before
    Provenance(sources=(STORIES,)).write(tmp_path)  # another record takes its place
    assert [p.name for p in tmp_path.iterdir()] == [PROVENANCE_FILE]


def test_lost_and_damaged_attributions_are_named(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    path = tmp_path / ATTRIBUTIONS_FILE
    whole = path.read_bytes()
    lines = zstandard.decompress(whole).splitlines(keepends=True)
    shorter = zstandard.compress(b"".join(lines[:-1]))
    for data in (whole[: len(whole) // 2], b"no zstd", zstandard.compress(b"[]\n"), shorter):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"attributions\.jsonl\.zst"):
            Provenance.read(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=r"counts 2 attributions .* holds 0"):
        Provenance.read(tmp_path)


def test_merging_joins_them_without_counting_twice() -> None:
    more = {TATOEBA.key: frozenset({"#3 (CK)", "#4 (Li)"}), ("other", "MIT"): frozenset({"x"})}
    other = Provenance(sources=(TATOEBA,)).with_attributions(more)
    merged = merge([RECORD, other])
    assert merged.attributions[TATOEBA.key] == NAMES[TATOEBA.key] | {"#4 (Li)"}
    assert [s.record_attributions for s in merged.sources] == [3, 1]
    assert merged.sources[0].documents == 6
    assert ("other", "MIT") not in merged.attributions
    assert join_attributions([NAMES, more])["other", "MIT"] == {"x"}
    assert merged.with_step(Step.now("train")).attributions == merged.attributions
    assert f"tatoeba.org; 3 in {ATTRIBUTIONS_FILE}" in render_sources(merged)


def test_base_models_are_kept_and_named_once(tmp_path: Path) -> None:
    base = ModelSource(name="ChatGLM3-6B", licence="LicenseRef-ChatGLM3", attribution="Zhipu AI")
    merged = merge([Provenance(models=(base,)), RECORD, Provenance(models=(base,))])
    assert merged.models == (base,)
    merged.write(tmp_path)
    assert Provenance.read(tmp_path).models == (base,)
    assert checkpoint_provenance(tmp_path) == merged
    text = attribution_text(merged)
    assert "Zhipu AI" in text
    assert text.index("ChatGLM3-6B") < text.index("stories") < text.index("tatoeba")


def test_an_unknown_checkpoint_hands_down_an_unknown_licence(tmp_path: Path) -> None:
    folder = tmp_path / "found"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (model,) = checkpoint_provenance(folder).models
    assert (model.name, model.licence) == ("found", "LicenseRef-unknown")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["a", "诗"]), st.sampled_from(["MIT", "CC BY 4.0", "odd & own"])),
        st.tuples(TEXT, TEXT, st.frozensets(TEXT, max_size=4)),
        max_size=4,
    )
)
def test_every_attribution_is_in_the_text(entries) -> None:
    sources = [
        Source(name=name, licence=licence, attribution=own, origin=origin)
        for (name, licence), (own, origin, _) in entries.items()
    ]
    texts = {key: of_records for key, (_, _, of_records) in entries.items()}
    text = attribution_text(Provenance(sources=tuple(sources)).with_attributions(texts))
    lines = {line.strip() for line in text.splitlines()}
    for own, origin, of_records in entries.values():
        for words in (own, origin, *of_records):
            assert one_line(words) in lines | {""}


def test_the_text_groups_by_licence_with_counts() -> None:
    big = Source(name="big", licence="cc by-sa 4.0", documents=1200, bytes=3_000_000)
    text = attribution_text(Provenance(sources=(TATOEBA, big)))
    assert "== CC-BY-SA-4.0 — sources: 1, documents: 1,200, MB: 3.0 ==" in text
    assert "https://spdx.org/licenses/CC-BY-SA-4.0.html" in text
    assert text.index("big") < text.index("tatoeba")


def test_step_dates_follow_source_date_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert Step.now("corpus").date == "1970-01-02T00:00:00+00:00"
    for wrong in ("soon", "", "1" * 30):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        with pytest.raises(UserError, match="SOURCE_DATE_EPOCH"):
            Step.now("corpus")


def test_known_spellings_of_records_become_spdx() -> None:
    assert LicenceTable().describe("x", "cc by-sa 4.0").licence == "CC-BY-SA-4.0"
    assert LicenceTable().describe("x", "our own terms").licence == "our own terms"
