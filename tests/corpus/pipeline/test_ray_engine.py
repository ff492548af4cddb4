"""The same corpus from a real Ray cluster of two nodes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qingtan.corpus import build_corpus
from qingtan.errors import UserError

from ..samples import SENTENCES, contents_of, conversation

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    ray.init(address=nodes.address, log_to_driver=False)
    yield
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(autouse=True)
def _small_pieces_of_one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr("qingtan.corpus.build.PIECE_BYTES", 8000)


@pytest.mark.usefixtures("cluster")
def test_a_cluster_of_two_nodes_makes_the_same_corpus(
    write_records, make_recipe, tmp_path: Path
) -> None:
    assert sum(node["Alive"] for node in ray.nodes()) == 2
    texts = [f"{i}。{SENTENCES[i % 8]}{SENTENCES[i * 5 % 8]}" for i in range(300)]
    write_records("notes.jsonl.zst", [*({"text": t} for t in texts), "{", {"text": texts[5]}])
    write_records("talk.jsonl", [conversation(f"问{i}", SENTENCES[i % 8]) for i in range(60)])
    recipe = make_recipe(
        {"name": "notes", "path": "notes.jsonl.zst"},
        {"name": "talk", "kind": "conversations", "path": "talk.jsonl"},
        near_duplicates={"min_grams": 10},
    )
    one = build_corpus(recipe, engine="ray")
    two = build_corpus(recipe.model_copy(update={"output": tmp_path / "two" / "corpus"}), workers=1)
    assert contents_of(one) == contents_of(two)


@pytest.mark.usefixtures("cluster")
def test_an_error_comes_back_as_it_is(write_records, make_recipe, tmp_path: Path) -> None:
    write_records("notes.jsonl", ["{"] * 20)
    recipe = make_recipe({"name": "notes", "path": "notes.jsonl"})
    with pytest.raises(UserError, match=r"20 of 20 records cannot be used.*line 1: not JSON"):
        build_corpus(recipe, engine="ray")
    (tmp_path / "cut.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    recipe = make_recipe({"name": "cut", "path": "cut.jsonl.zst"})
    with pytest.raises(UserError, match=r"cut\.jsonl\.zst"):
        build_corpus(recipe, engine="ray")
