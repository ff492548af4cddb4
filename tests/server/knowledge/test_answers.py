"""Search, answers and feedback over HTTP, with the built-in model."""

from typing import Any

import pytest

from server.knowledge.conftest import Client, Json
from server.knowledge.test_documents import LAW, faq_sheet

MANUAL = """# 清谈一号台灯使用手册

## 保修

清谈一号的保修期为两年，自购买之日起计算。人为损坏不在保修范围内。

## 清洁

用干布擦拭灯罩，不要用水冲洗。
"""


@pytest.fixture(scope="module")
def base(client: Client) -> str:
    made = client.base("答问", words=["清谈一号"])
    client.put(made, "手册.md", MANUAL.encode(), topic="产品")
    client.put(made, "办法.md", LAW.encode(), topic="制度")
    client.put(made, "问答.xlsx", faq_sheet(), topic="客服")
    return "答问"


def search(client: Client, base: str, query: str, **options: object) -> list[Json]:
    found: list[Json] = client.post("search", {"bases": [base], "query": query, **options})["data"]
    return found


def ask(client: Client, base: str, question: str, **options: object) -> Any:
    return client.post("ask", {"bases": [base], "question": question, **options})


def test_hits_have_their_place_and_their_scores(client: Client, base: str) -> None:
    hits = search(client, base, "保修期")
    first = hits[0]
    assert first["base"] == base
    assert first["document"]["name"] == "手册.md"
    assert first["chunk"]["headings"][0] == "清谈一号台灯使用手册"
    assert first["score"] > 0
    assert first["words"] > 0
    assert first["vectors"] is None
    assert [hit["score"] for hit in hits] == sorted((h["score"] for h in hits), reverse=True)
    blocks = client.get(f"bases/{base}/documents/{first['document']['id']}/blocks")["data"]
    place = slice(first["chunk"]["first_block"] - 1, first["chunk"]["last_block"])
    assert any("两年" in block["text"] for block in blocks[place])


def test_two_characters_are_found_and_hits_are_filtered(client: Client, base: str) -> None:
    assert search(client, base, "保修")[0]["document"]["name"] == "手册.md"
    assert search(client, base, "借阅", topics=["产品"]) == []
    assert search(client, base, "借阅", topics=["制度"]) != []
    id = search(client, base, "保修")[0]["document"]["id"]
    assert {h["document"]["id"] for h in search(client, base, "的", documents=[id])} <= {id}
    assert len(search(client, base, "借阅 保修 退货", limit=1)) == 1


def test_an_answer_cites_the_passage_that_says_so(client: Client, base: str) -> None:
    answered = ask(client, base, "清谈一号的保修期是多久？")
    assert not answered["refused"]
    assert "两年" in answered["text"]
    sentence = answered["sentences"][0]
    passage = answered["passages"][sentence["citation"] - 1]
    assert f"[{sentence['citation']}]" in answered["text"]
    assert passage["document"]["name"] == "手册.md"
    assert "两年" in passage["chunk"]["text"]


def test_what_the_documents_do_not_say_is_not_answered(client: Client, base: str) -> None:
    answered = ask(client, base, "珠穆朗玛峰有多高？")
    assert answered["refused"]
    assert answered["passages"] == []
    assert answered["sentences"] == []


def test_a_follow_up_is_understood_from_the_conversation(client: Client, base: str) -> None:
    history = [
        {"role": "user", "content": "台灯怎么清洁？"},
        {"role": "assistant", "content": "用干布擦拭灯罩。"},
    ]
    answered = ask(client, base, "它的保修期多久？", history=history)
    assert "台灯" in answered["question"]
    assert "两年" in answered["text"]


def test_passages_alone(client: Client, base: str) -> None:
    answered = ask(client, base, "保修期", retrieval_only=True)
    assert answered["text"] == ""
    assert answered["passages"][0]["document"]["name"] == "手册.md"


def test_the_model_writes_and_nothing_unsupported_is_left(client: Client, base: str) -> None:
    answered = ask(client, base, "清谈一号的保修期是多久？", written=True)
    assert not answered["refused"]
    for sentence in answered["sentences"]:
        assert 1 <= sentence["citation"] <= len(answered["passages"])


@pytest.mark.parametrize(("mode", "words"), [("law", "依据"), ("medicine", "医生")])
def test_modes_frame_their_answers(client: Client, base: str, mode: str, words: str) -> None:
    answered = ask(client, base, "第三条规定借阅期限是多少天？", mode=mode)
    assert "三十天" in answered["text"]
    assert words in answered["text"]


def test_a_learner_is_led_to_the_answer(client: Client, base: str) -> None:
    def teach(said: str, state: Json) -> Json:
        lesson: Json = client.post("teach", {"bases": [base], "said": said, "state": state})
        return lesson

    opened = teach("台灯的保修期是多久？", {})
    assert not opened["done"]
    assert "两年" not in opened["text"]
    wrong = teach("五年", opened["state"])
    assert (wrong["right"], wrong["done"]) == (False, False)
    right = teach("两年", wrong["state"])
    assert (right["right"], right["done"]) == (True, True)
    assert "两年" in right["text"]
    body = {"bases": [base], "said": "x", "state": {"question": 5}}
    assert "state" in client.error("POST", "teach", 400, json=body)["message"]


def test_another_model_is_not_there(client: Client, base: str) -> None:
    body = {"bases": [base], "question": "x", "model": "gpt-4o"}
    assert client.error("POST", "ask", 404, json=body)["code"] == "model_not_found"


def test_thumbs_are_kept_for_a_person_to_review(client: Client, base: str) -> None:
    answered = ask(client, base, "清谈一号的保修期是多久？")
    chunk = answered["passages"][0]["chunk"]
    about = {"bases": [base], "answer": answered["id"], "question": "保修期？"}
    client.post("feedback", {**about, "vote": "down", "text": answered["text"]})
    client.post("feedback", {**about, "vote": "up", "text": answered["text"], "comment": "对"})
    client.post("feedback", {**about, "vote": "up", "chunk": chunk["id"], "text": chunk["text"]})
    of_passage, of_answer = client.get(f"feedback?base={base}")["data"]
    assert (of_answer["vote"], of_answer["comment"], of_answer["chunk"]) == ("up", "对", "")
    assert (of_passage["vote"], of_passage["chunk"]) == ("up", chunk["id"])
    assert of_answer["text"] == answered["text"]
    assert client.get("feedback?limit=1")["data"] == [of_passage]
