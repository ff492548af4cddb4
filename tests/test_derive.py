"""What the built-in recipe makes of its training data."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard

from qingtan.errors import UserError

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "recipes" / "built-in" / "derive.py"
DATA = ROOT.parent / "shared" / "data"
OPEN_DOCQA = "请根据下列资料回答问题，并标注引用编号；资料中没有答案时请直接说明。"
OPEN_CARD = "请依据商户信息回答顾客的问题，信息里没有的请如实说明。"
FORM = "依据资料回答，格式为“答案[编号]”。"
QUOTING = "请根据下列资料回答问题，先给出答案，再给出原文依据和编号。"
REFUSALS = (
    "提供的资料中没有找到与该问题相关的信息，无法回答。",
    "抱歉，给出的资料没有提到这个问题的答案。",
    "资料中没有相关内容，暂时无法回答这个问题。",
)
NAMELESS = "抱歉，现有资料没有提供这项信息，建议您直接联系商家确认。"

Record = dict[str, Any]

# Of each made-up document the passages, and questions with their answer and where it stands.
DOCUMENTS: dict[str, tuple[list[str], list[tuple[str, str, int]]]] = {
    "drcd-1": (
        ["松鹤镇建于永宁三年。", "镇上最有名的糕点叫雪花酥。", "松鹤镇东边有碧螺江流过。"],
        [("松鹤镇建于哪一年？", "永宁三年", 1), ("松鹤镇东边流过的是什么江？", "碧螺江", 3)],
    ),
    "drcd-2": (
        [
            "赤羽鸟以浆果为食。",
            "它们在悬崖的石缝里筑巢。",
            "雏鸟四十天后离巢。",
            "赤羽鸟很少鸣叫。",
        ],
        [("赤羽鸟以什么为食？", "浆果", 1), ("赤羽鸟在哪里筑巢？", "悬崖的石缝里", 2)],
    ),
    "drcd-3": (
        ["《远山》是一部长篇小说。", "作者白露写了六年。", "书中的铁匠名叫石开。"],
        [("《远山》的作者是谁？", "白露", 2), ("《远山》中的铁匠叫什么名字？", "石开", 3)],
    ),
    "drcd-4": (
        ["晨星号飞船载有两名宇航员。", "它由金帆公司制造。", "晨星号绕月飞行了九圈。"],
        [("晨星号飞船由哪家公司制造？", "金帆公司", 2), ("晨星号绕月飞行了几圈？", "九圈", 3)],
    ),
    "drcd-5": (
        ["豆花棋用黑白两色豆子。", "先连成五子的一方获胜。", "豆花棋起源于南浦。"],
        [("豆花棋起源于什么地方？", "南浦", 3), ("豆花棋怎样获胜？", "先连成五子", 2)],
    ),
    # The answer also stands in another passage.
    "drcd-6": (
        ["梧桐站于秋天启用。", "梧桐站的钟楼也于秋天落成。", "站台共有三个。"],
        [("梧桐站什么时候启用？", "秋天", 1)],
    ),
    # Nothing but pronouns: another life answers as well as this one.
    "cmrc2018-A_1": (
        ["他是一九零二年出生的，家里很穷。", "他后来在船上做工。", "他的画都是黑色的。"],
        [("他是哪一年出生的？", "一九零二年", 1)],
    ),
    "cmrc2018-A_2": (
        ["他出生于北湾，是哪一年出生的没有人知道。", "他喜欢养马。", "后来当了邮差。"],
        [("养马的他后来当了什么？", "邮差", 3)],
    ),
}
# Two paragraphs of one document, whose licence no other document has.
PARAGRAPHS = {
    "drcd-7-1-1": (["银杏书院有四座院子。", "山门朝南。"], "银杏书院有几座院子？", "四座院子[1]"),
    "drcd-7-2-1": (["每年春天举办诗会。", "院长名叫林鹤。"], "院长叫什么名字？", "林鹤[2]"),
}
CARDS = {
    "青云楼": {"电话": "010-5550101", "地址": "柳巷三号", "人均消费": "40", "评分": "4.5"},
    "听雨轩": {"电话": "010-5550102,5550103", "地址": "桥头一号", "人均消费": "55"},
    "半山居": {"地址": "半山路九号", "价格": "388", "酒店设施": "无线上网\n  、停车场"},
    # The ticket and what one spends are the same number.
    "百花园": {"电话": "010-5550104", "门票": "30", "人均消费": "30", "评分": "4.8"},
}


def conversation(number: str, task: str, prompt: str, answer: str, source: str) -> Record:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    licence = "CC-BY-SA-4.0" if source == "cmrc2018" else "CC-BY-SA-3.0"
    return {
        "messages": messages,
        "task": task,
        "source": source,
        "licence": licence,
        "id": number,
        "attribution": "project",
    }


def numbered(passages: Iterable[str]) -> str:
    return "\n".join(f"[{i}] {passage}" for i, passage in enumerate(passages, start=1))


def docqa() -> list[Record]:
    records = []
    for document, (passages, questions) in DOCUMENTS.items():
        source = document.partition("-")[0]
        for i, (question, answer, number) in enumerate(questions):
            name = f"{document}-1-{i}" if source == "drcd" else f"{document}_QUERY_{i}"
            quoted = f"{answer}。\n依据：[{number}] {passages[number - 1]}"
            header, said = (QUOTING, quoted) if i else (FORM, f"{answer}[{number}]")
            prompt = f"{header}\n\n{numbered(passages)}\n\n问题：{question}"
            records.append(conversation(name, "docqa_cited", prompt, said, source))
    for name, (passages, question, said) in PARAGRAPHS.items():
        prompt = f"{FORM}\n\n{numbered(passages)}\n\n问题：{question}"
        record = conversation(name, "docqa_cited", prompt, said, "drcd")
        records.append(record | {"licence": "CC-BY-4.0"})
    prompt = f"{OPEN_DOCQA}\n\n[1] 天晴。\n\n问题：谁来了？"
    for i, refusal in enumerate(REFUSALS):
        records.append(conversation(f"drcd-9-1-{i}", "docqa_unanswerable", prompt, refusal, "drcd"))
    wrong = f"{FORM}\n\n[1] 天晴。\n[2] 下雨。\n\n问题：天气怎样？"
    records.append(conversation("drcd-8-1-1", "docqa_cited", wrong, "晴[2]", "drcd"))
    records.append(conversation("drcd-8-1-2", "docqa_cited", wrong, "下雨[3]", "drcd"))
    records.append(conversation("drcd-8-1-3", "docqa_cited", wrong, "下雨", "drcd"))
    return records


def customers() -> list[Record]:
    records = []
    for i, (name, entries) in enumerate(CARDS.items()):
        card = "\n".join(f"{key}：{value}" for key, value in {"名称": name, **entries}.items())
        for key, value in entries.items():
            prompt = f"你是客服，请根据资料回答。\n\n{card}\n\n问题：{name}的{key}是什么？"
            answer = f"{name}的{key}是{value}。"
            records.append(conversation(f"kb-{i}-{key}", "kb_faq", prompt, answer, "shops"))
        phone = entries.get("电话")
        prompt = f"{OPEN_CARD}\n\n{card}\n\n问题：{name}可以带狗吗？"
        answer = f"很抱歉，目前的资料里没有这项信息，建议您致电{phone}咨询。" if phone else NAMELESS
        records.append(conversation(f"kbmiss-{i}", "kb_unanswerable", prompt, answer, "shops"))
    return records


def classification() -> list[Record]:
    answers = ["冒犯", "不冒犯", "冒犯", "冒犯", "不冒犯", "不冒犯"]
    records = [
        conversation(f"cold-{i}", "offensive", f"内容审核：\n第{i}条", answer, "cold")
        for i, answer in enumerate(answers)
    ]
    return [*records, conversation("csl-1", "category", "哪个学科？", "工学", "csl")]


def write_data(folder: Path, order: Callable[[list[Record]], Sequence[Record]] = list) -> Path:
    """Write a small corpus in the forms of the large one."""
    made = {"docqa": docqa(), "customer_service": customers(), "classification": classification()}
    (folder / "sft").mkdir(parents=True)
    for name, records in made.items():
        lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in order(records))
        path = folder / "sft" / f"{name}.jsonl.zst"
        path.write_bytes(zstandard.compress(lines.encode()))
    return folder


def read(path: Path) -> list[Record]:
    with zstandard.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def parts_of(record: Record) -> tuple[str, str, str]:
    """Return a prompt's header, its body and its question."""
    header, body, question = record["messages"][0]["content"].split("\n\n")
    return header, body, question.removeprefix("问题：")


def passages_of(record: Record) -> list[str]:
    body = parts_of(record)[1]
    found = re.findall(r"^\[(\d+)\] (.+)$", body, re.MULTILINE)
    assert [int(number) for number, _ in found] == list(range(1, len(found) + 1))
    assert numbered(text for _, text in found) == body
    return [text for _, text in found]


def original(record: Record, records: dict[str, Record]) -> Record:
    return records[record["id"].rpartition("-")[0]]


def cited_in(record: Record) -> tuple[str, int]:
    """Return a training record's answer and the number of its passage."""
    said = record["messages"][1]["content"]
    found = re.match(r"(.+)。\n依据：\[(\d+)\]", said, re.DOTALL) or re.fullmatch(
        r"(.+)\[(\d+)\]", said, re.DOTALL
    )
    assert found, said
    return found[1], int(found[2])


def check_docqa(folder: Path, records: dict[str, Record]) -> None:
    """Hold what was made of docqa against the records that it was made of."""
    for record in read(folder / "cited.jsonl.zst"):
        source = original(record, records)
        answer, number = cited_in(source)
        assert record["messages"][1]["content"] == f"{answer}[{number}]"
        assert answer in passages_of(record)[number - 1]
        assert parts_of(record) == (OPEN_DOCQA, *parts_of(source)[1:])
    for record in read(folder / "unanswerable.jsonl.zst"):
        source = original(record, records)
        answer, number = cited_in(source)
        passages, before = passages_of(record), passages_of(source)
        assert not any(answer in passage for passage in passages)
        assert parts_of(record)[2] == parts_of(source)[2]
        assert parts_of(record)[0] in (OPEN_DOCQA, parts_of(source)[0])
        if record["id"].endswith("-removed"):
            assert passages == before[: number - 1] + before[number:]
        else:
            assert set(passages).isdisjoint(before)


@pytest.fixture(scope="module")
def derive() -> Callable[..., dict[str, dict[str, int]]]:
    spec = importlib.util.spec_from_file_location("derive", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[..., dict[str, dict[str, int]]] = module.derive
    return function


@pytest.fixture(scope="module")
def made(derive: Callable[..., object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("derived")
    derive(write_data(folder / "data"), folder / "out")
    return folder / "out"


def test_citations_and_refusals_are_true(made: Path) -> None:
    check_docqa(made, {record["id"]: record for record in docqa()})


def test_every_answer_that_surely_stands_in_its_passage_is_cited(made: Path) -> None:
    fit = {r["id"] for r in docqa() if r["task"] == "docqa_cited" and "drcd-8" not in r["id"]}
    assert {r["id"] for r in read(made / "cited.jsonl.zst")} == {f"{name}-open" for name in fit}


def test_the_full_stop_of_a_quoting_answer_is_left_behind(made: Path) -> None:
    answers = {r["id"]: r["messages"][1]["content"] for r in read(made / "cited.jsonl.zst")}
    assert answers["drcd-1-1-0-open"] == "永宁三年[1]"
    assert answers["drcd-1-1-1-open"] == "碧螺江[3]"


def test_no_passage_is_removed_while_another_holds_the_answer(made: Path) -> None:
    ids = {record["id"] for record in read(made / "unanswerable.jsonl.zst")}
    assert "drcd-6-1-0-removed" not in ids
    assert "drcd-1-1-0-removed" in ids


def test_what_another_document_may_answer_is_not_asked_of_it(made: Path) -> None:
    ids = {record["id"] for record in read(made / "unanswerable.jsonl.zst")}
    # Both are about somebody's birth, and no other document has their licence.
    assert "cmrc2018-A_1_QUERY_0-elsewhere" not in ids
    assert not ids & {f"{name}-elsewhere" for name in PARAGRAPHS}
    assert sum(name.endswith("-elsewhere") for name in ids) == round(15 * 2 / 3)


def test_conversations_keep_to_one_source_and_licence(made: Path) -> None:
    records = {record["id"]: record for record in docqa()}
    home = {
        passage: document.partition("-")[0]
        for document, (passages, _) in DOCUMENTS.items()
        for passage in passages
    }
    home |= {passage: "drcd" for passages, _, _ in PARAGRAPHS.values() for passage in passages}
    for name in ("cited", "unanswerable"):
        for record in read(made / f"{name}.jsonl.zst"):
            source = original(record, records)
            for field in ("source", "licence", "attribution"):
                assert record[field] == source[field]
            assert {home[passage] for passage in passages_of(record)} == {record["source"]}


def test_refusals_are_those_of_the_data(made: Path) -> None:
    records = read(made / "unanswerable.jsonl.zst")
    assert {record["messages"][1]["content"] for record in records} == set(REFUSALS)
    assert {record["task"] for record in records} == {"docqa_unanswerable"}


def test_no_instruction_tells_whether_there_is_an_answer(made: Path) -> None:
    refused = read(made / "unanswerable.jsonl.zst")
    for kind in ("elsewhere", "removed"):
        headers = {parts_of(record)[0] for record in refused if record["id"].endswith(kind)}
        assert headers == {OPEN_DOCQA, FORM, QUOTING}
    assert {parts_of(record)[0] for record in read(made / "cited.jsonl.zst")} == {OPEN_DOCQA}
    customer = read(made / "customer.jsonl.zst")
    removed = {parts_of(r)[0] for r in customer if r["task"] == "kb_unanswerable"}
    assert removed == {OPEN_CARD, "你是客服，请根据资料回答。"}
    assert {parts_of(r)[0] for r in customer if r["task"] == "kb_faq"} == {OPEN_CARD}


def test_an_answered_customer_hears_the_same_as_before(made: Path) -> None:
    records = {record["id"]: record for record in customers()}
    answered = [r for r in read(made / "customer.jsonl.zst") if r["task"] == "kb_faq"]
    for record in answered:
        source = original(record, records)
        assert parts_of(record)[1:] == parts_of(source)[1:]
        assert record["messages"][1] == source["messages"][1]
    # An entry of several lines is one entry, and its card is used.
    assert "kb-2-酒店设施-open" in {record["id"] for record in answered}


def test_what_a_customer_asks_for_is_off_the_card(made: Path) -> None:
    records = {record["id"]: record for record in customers()}
    refused = [r for r in read(made / "customer.jsonl.zst") if r["task"] == "kb_unanswerable"]
    assert refused
    for record in refused:
        asked = record["id"].split("-")[2]
        before = parts_of(original(record, records))[1]
        value = CARDS[before.split("\n")[0].removeprefix("名称：")][asked]
        assert parts_of(record)[1] == before.replace(f"\n{asked}：{value}", "")
        # 55 is a part of a telephone number here, which tells nothing.
        alone = rf"(?<!\d){re.escape(value)}(?!\d)"
        assert not re.search(alone, record["messages"][0]["content"])
    ids = {record["id"] for record in refused}
    assert "kb-1-人均消费-removed" in ids
    assert not ids & {"kb-3-门票-removed", "kb-3-人均消费-removed"}


def test_a_refusal_names_no_number_that_the_card_lacks(made: Path) -> None:
    refused = [r for r in read(made / "customer.jsonl.zst") if r["task"] == "kb_unanswerable"]
    named: Counter[tuple[bool, bool]] = Counter()
    for record in refused:
        phone = re.search("^电话：(.+)$", parts_of(record)[1], re.MULTILINE)
        answer = record["messages"][1]["content"]
        with_number = phone and f"很抱歉，目前的资料里没有这项信息，建议您致电{phone[1]}咨询。"
        assert answer in (NAMELESS, with_number)
        named[bool(phone), answer == NAMELESS] += 1
    assert set(named) == {(True, True), (True, False), (False, True)}


def test_moderation_is_as_it_was_but_for_its_source_and_alternates(made: Path) -> None:
    records = read(made / "moderation.jsonl.zst")
    answers = [record["messages"][1]["content"] for record in records]
    assert answers == ["不冒犯", "冒犯"] * 3
    expected = [
        {**record, "source": "cold-moderation"}
        for record in classification()
        if record["source"] == "cold"
    ]
    assert sorted(records, key=lambda record: str(record["id"])) == expected


def test_kinds_are_spread_evenly(made: Path) -> None:
    for name, kinds in json.loads((made / "derived.json").read_bytes()).items():
        records = read(made / f"{name}.jsonl.zst")
        assert len(records) == sum(kinds.values())
    records = read(made / "unanswerable.jsonl.zst")
    share = sum(record["id"].endswith("removed") for record in records) / len(records)
    for end in range(1, len(records)):
        removed = sum(record["id"].endswith("removed") for record in records[:end])
        assert abs(removed - share * end) <= 1


def test_nothing_but_the_records_decides(
    derive: Callable[..., object], made: Path, tmp_path: Path
) -> None:
    data = write_data(tmp_path / "data", lambda records: records[::-1])
    derive(data, tmp_path / "out")
    for path in made.iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_result_is_replaced_only_by_force(derive: Callable[..., object], tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    derive(data, tmp_path / "out")
    with pytest.raises(UserError, match="--force"):
        derive(data, tmp_path / "out")
    derive(data, tmp_path / "out", force=True)


@pytest.mark.parametrize("name", ["docqa", "customer_service", "classification"])
def test_a_missing_input_is_named_and_nothing_is_left(
    derive: Callable[..., object], tmp_path: Path, name: str
) -> None:
    data = write_data(tmp_path / "data")
    (data / "sft" / f"{name}.jsonl.zst").unlink()
    with pytest.raises(UserError, match=rf"{name}\.jsonl\.zst: no such file"):
        derive(data, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ('{"id": "a", "task": "t", "source": "s"}', "licence is missing"),
        ('{"id": "a", "task": "t", "source": "s", "licence": "l"}', "messages"),
    ],
)
def test_a_broken_record_is_named(
    derive: Callable[..., object], tmp_path: Path, line: str, reason: str
) -> None:
    data = write_data(tmp_path / "data")
    path = data / "sft" / "docqa.jsonl.zst"
    good = json.dumps(docqa()[0], ensure_ascii=False)
    path.write_bytes(zstandard.compress(f"{good}\n{line}\n".encode()))
    with pytest.raises(UserError, match=rf"docqa\.jsonl\.zst: line 2: .*{reason}"):
        derive(data, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("docqa", "docqa_cited"),
        ("customer_service", "kb_faq"),
        ("classification", "offensive"),
    ],
)
def test_data_without_a_task_are_refused(
    derive: Callable[..., object], tmp_path: Path, name: str, task: str
) -> None:
    data = write_data(tmp_path / "data")
    path = data / "sft" / f"{name}.jsonl.zst"
    rest = [json.dumps(record) + "\n" for record in read(path) if record["task"] != task]
    path.write_bytes(zstandard.compress("".join(rest).encode()))
    with pytest.raises(UserError, match="cold" if task == "offensive" else task):
        derive(data, tmp_path / "out")


def run(language: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"QINGTAN_LANG": language, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")


def test_the_command_prints_a_table(tmp_path: Path) -> None:
    done = run("en", write_data(tmp_path / "data"), tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^cited +15  cited$", done.stdout, re.MULTILINE)
    assert re.search(r"^moderation +3  冒犯$", done.stdout, re.MULTILINE)


def test_the_command_speaks_both_languages(tmp_path: Path) -> None:
    assert "replace what an earlier run has made" in run("en", "--help").stdout
    assert "替换以前的结果" in run("zh", "--help").stdout
    for language, word in (("en", "Error: "), ("zh", "错误：")):
        done = run(language, tmp_path / "nowhere", tmp_path / "out")
        assert done.returncode == 2
        assert done.stderr.startswith(word)
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(not DATA.is_dir(), reason="the corpus is not here")
def test_the_real_data_give_what_is_missing(
    derive: Callable[..., dict[str, dict[str, int]]], tmp_path: Path
) -> None:
    counts = derive(DATA, tmp_path / "out")
    assert counts["cited"] == {"cited": 2500}
    assert counts["unanswerable"] == {"elsewhere": 1667, "removed": 2500}
    assert counts["customer"] == {"answered": 1500, "removed": 1000}
    assert all(value > 1900 for value in counts["moderation"].values())
    records = {record["id"]: record for record in read(DATA / "sft" / "docqa.jsonl.zst")}
    check_docqa(tmp_path / "out", records)
    derived = [
        record
        for name in ("cited", "unanswerable")
        for record in read(tmp_path / "out" / f"{name}.jsonl.zst")
    ]
    assert len({record["id"] for record in derived}) == len(derived)
    refused = [record for record in derived if record["task"] == "docqa_unanswerable"]
    said = [r["messages"][1] for r in records.values() if r["task"] == "docqa_unanswerable"]
    assert {r["messages"][1]["content"] for r in refused} == {m["content"] for m in said}
    opened = sum(parts_of(record)[0] == OPEN_DOCQA for record in refused) / len(refused)
    assert 0.45 < opened < 0.55
    asked = {parts_of(record)[2]: record for record in derived}
    for item in read(DATA / "eval" / "docqa.jsonl.zst"):
        known = asked.get(item["question"])
        assert not known or not set(item.get("segments", ())) & set(passages_of(known))
