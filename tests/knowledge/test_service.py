"""The Python face of the knowledge room."""

import os
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from qingtan import Knowledge
from qingtan.errors import NotFound, UserError
from qingtan.knowledge.ingestion import Job
from qingtan.knowledge.places import default_folder
from qingtan.knowledge.store.feedback import Opinion
from qingtan.knowledge.store.interface import Filter

TEXT = "清谈一号的保修期为两年，自购买之日起计算。"


@pytest.fixture(params=["sqlite", "postgres"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str | Path:
    """Where the bases lie: a folder, or a real PostgreSQL's address."""
    monkeypatch.setenv("QINGTAN_HOME", str(tmp_path / "home"))
    if request.param == "sqlite":
        return tmp_path / "knowledge"
    address: str = request.getfixturevalue("database")
    return address


@pytest.fixture
def knowledge(place: str | Path) -> Iterator[Knowledge]:
    with Knowledge.open(place) as opened:
        yield opened


def write(folder: Path, **files: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def outcomes(job: Job) -> dict[str, str]:
    return {line.name: line.outcome for line in job.report}


def test_files_folders_and_archives_go_in(knowledge: Knowledge, tmp_path: Path) -> None:
    folder = write(tmp_path / "files", **{"甲.txt": TEXT, "乙.md": "# 乙\n\n内容。"})
    with ZipFile(tmp_path / "包.zip", "w") as packed:
        packed.writestr("里/丙.txt", "丙的内容。")
    alone = write(tmp_path / "alone", **{"丁.csv": "问题,答案\n怎么退货？,七天内可退。\n"})
    seen: list[int] = []
    knowledge.create("手册", about="产品", words=["清谈一号"])
    job = knowledge.add(
        "手册",
        folder,
        str(tmp_path / "包.zip"),
        alone / "丁.csv",
        topic="产品",
        progress=lambda job: seen.append(job.done),
    )
    assert set(outcomes(job)) == {"甲.txt", "乙.md", "里/丙.txt", "丁.csv"}
    assert set(outcomes(job).values()) == {"added"}
    assert seen == sorted(seen)
    assert seen[-1] == 4
    assert [document.name for document in knowledge.documents("手册")] == sorted(outcomes(job))
    hit = knowledge.search("手册", "保修期多久？")[0]
    assert hit.chunk.chunk.text == TEXT
    assert hit.chunk.chunk.tokens > 0
    assert knowledge.search("手册", "保修期", where=Filter(topics=("别的",))) == []
    assert knowledge.original("手册", hit.chunk.document.id) == TEXT.encode()
    assert knowledge.blocks("手册", hit.chunk.document.id)[0].text == TEXT


def test_the_same_again_changes_nothing(knowledge: Knowledge, tmp_path: Path) -> None:
    folder = write(tmp_path / "files", **{"甲.txt": TEXT, "乙.txt": "内容。"})
    knowledge.create("手册")
    knowledge.add("手册", folder)
    before = knowledge.documents("手册")
    assert set(outcomes(knowledge.add("手册", folder)).values()) == {"unchanged"}
    assert knowledge.documents("手册") == before
    write(folder, **{"甲.txt": "新的内容。"})
    assert outcomes(knowledge.add("手册", folder)) == {"甲.txt": "replaced", "乙.txt": "unchanged"}


@pytest.mark.security
def test_what_cannot_be_read_does_not_stop_the_others(knowledge: Knowledge, tmp_path: Path) -> None:
    broken = {"坏.pdf": b"%PDF-1.7 x", "坏.docx": b"PK\3\4x", "坏.zip": b"PK\3\4x", "空.txt": b""}
    folder = write(tmp_path / "files", **broken, **{"好.txt": TEXT})
    knowledge.create("手册")
    job = knowledge.add("手册", folder)
    assert job.state == "done"
    assert outcomes(job)["好.txt"] == "added"
    assert {name for name, outcome in outcomes(job).items() if outcome == "failed"} >= {
        "坏.pdf",
        "坏.docx",
        "坏.zip",
    }
    for line in job.report:
        assert str(tmp_path) not in line.reason
    alone = knowledge.add("手册", folder / "坏.zip")
    assert (alone.state, outcomes(alone)) == ("failed", {"坏.zip": "failed"})


def test_what_is_not_there_is_said_before_anything_is_read(
    knowledge: Knowledge, tmp_path: Path
) -> None:
    knowledge.create("手册")
    with pytest.raises(UserError, match=r"missing\.txt"):
        knowledge.add("手册", tmp_path / "missing.txt")
    with pytest.raises(UserError, match="empty"):
        knowledge.add("手册", write(tmp_path / "empty"))
    with pytest.raises(NotFound):
        knowledge.add("别的", __file__)
    assert knowledge.jobs("手册") == []


def test_an_interruption_leaves_no_job_behind(knowledge: Knowledge, tmp_path: Path) -> None:
    folder = write(tmp_path / "files", **{f"{i}.txt": f"第{i}个。" for i in range(20)})
    knowledge.create("手册")

    def interrupt(job: Job) -> None:
        if job.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        knowledge.add("手册", folder, progress=interrupt)
    assert knowledge.jobs("手册")[0].state == "cancelled"
    before = len(knowledge.documents("手册"))
    assert 0 < before < 20
    assert not knowledge.work()
    job = knowledge.add("手册", folder)
    assert job.counts == {"unchanged": before, "added": 20 - before}


def test_a_file_that_goes_away_is_set_aside(knowledge: Knowledge, tmp_path: Path) -> None:
    folder = write(tmp_path / "files", **{"甲.txt": TEXT, "乙.txt": "内容。"})
    knowledge.create("手册")
    job = knowledge.submit("手册", folder)
    (folder / "乙.txt").unlink()
    while knowledge.work():
        pass
    assert outcomes(knowledge.job("手册", job.id)) == {"甲.txt": "added", "乙.txt": "failed"}


@pytest.mark.security
def test_an_address_is_never_a_path(knowledge: Knowledge, tmp_path: Path) -> None:
    secret = write(tmp_path / "files", **{"secret.txt": "独角兽"}) / "secret.txt"
    knowledge.create("手册")
    urls = [str(secret), secret.as_uri(), "http://127.0.0.1:1/", "nonsense"]
    job = knowledge.submit_addresses("手册", urls)
    while knowledge.work():
        pass
    assert set(outcomes(knowledge.job("手册", job.id)).values()) == {"failed"}
    assert knowledge.documents("手册") == []


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\\b", ".", "..", "a\0b", "x" * 65, "a\u202eb"])
@pytest.mark.security
def test_names_that_cannot_stand_in_an_address(knowledge: Knowledge, name: str) -> None:
    with pytest.raises(UserError, match="name"):
        knowledge.create(name)


@pytest.mark.security
def test_tenants_are_apart(knowledge: Knowledge, tmp_path: Path) -> None:
    alice, bob = knowledge.of("alice"), knowledge.of("bob")
    alice.create("kb")
    job = alice.add("kb", write(tmp_path / "files", **{"甲.txt": TEXT}))
    document = alice.documents("kb")[0].id
    alice.give_feedback("kb", Opinion("up", question="保修？"))
    assert bob.bases() == []
    assert bob.feedback() == []
    for call in (
        lambda: bob.base("kb"),
        lambda: bob.search("kb", "保修"),
        lambda: bob.remove("kb"),
        lambda: bob.feedback("kb"),
    ):
        with pytest.raises(NotFound):
            call()
    bob.create("kb")
    for call in (
        lambda: bob.document("kb", document),
        lambda: bob.remove("kb", document),
        lambda: bob.original("kb", document),
        lambda: bob.job("kb", job.id),
        lambda: bob.cancel("kb", job.id),
    ):
        with pytest.raises(NotFound):
            call()
    assert bob.search("kb", "保修") == []
    assert len(alice.search("kb", "保修")) == 1


def test_feedback_goes_with_its_base(knowledge: Knowledge) -> None:
    knowledge.create("甲")
    knowledge.create("乙")
    knowledge.give_feedback("甲", Opinion("up", answer="a1", text="好"))
    later = knowledge.give_feedback("甲", Opinion("down", answer="a1", text="不好"))
    other = knowledge.give_feedback("乙", Opinion("up", chunk="c1"))
    again = knowledge.give_feedback("乙", Opinion("down", chunk="c1"))
    assert knowledge.feedback("甲") == [later]
    assert knowledge.feedback() == [again, other, later]
    assert knowledge.feedback(limit=1) == [again]
    knowledge.remove("乙")
    assert knowledge.feedback() == [later]


@pytest.mark.security
def test_backup_and_restore(knowledge: Knowledge, place: str | Path, tmp_path: Path) -> None:
    knowledge.create("手册")
    knowledge.add("手册", write(tmp_path / "files", **{"甲.txt": TEXT}))
    knowledge.give_feedback("手册", Opinion("up", question="保修？"))
    knowledge.backup(tmp_path / "backup")
    knowledge.remove("手册")
    Knowledge.restore(tmp_path / "backup", place)
    with Knowledge.open(place) as other:
        assert other.search("手册", "保修")[0].chunk.chunk.text == TEXT
        assert len(other.feedback("手册")) == 1


def test_uploads_that_nobody_needs_are_removed(knowledge: Knowledge, tmp_path: Path) -> None:
    knowledge.create("手册")
    for name in (".coming", ".old", "orphan"):
        write(knowledge.uploads / name, **{"甲.txt": TEXT})
    os.utime(knowledge.uploads / ".old", (0, 0))
    (waits,) = {write(knowledge.uploads / ".waits", **{"乙.txt": TEXT})}
    knowledge.submit_upload("手册", waits, "乙.txt")
    knowledge.tidy()
    assert sorted(path.name for path in knowledge.uploads.iterdir()) == [".coming", "waits"]
    while knowledge.work():
        pass
    assert [document.name for document in knowledge.documents("手册")] == ["乙.txt"]
    assert [path.name for path in knowledge.uploads.iterdir()] == [".coming"]


def test_where_knowledge_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QINGTAN_HOME", str(tmp_path / "home"))
    assert default_folder() == tmp_path / "home" / "knowledge"
    monkeypatch.delenv("QINGTAN_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_folder() == tmp_path / "data" / "qingtan" / "knowledge"
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(UserError, match="is a file"):
        Knowledge.open(file)
