"""Files go in over HTTP, and are looked at."""

import hashlib
import io
import zipfile
from urllib.parse import quote

import docx
import openpyxl
import pytest

from server.knowledge.conftest import Client, Json

LAW = """# 图书馆管理办法

## 第一章 总则

第一条 为了规范图书馆的管理，制定本办法。

第二条 读者可以凭借书证借阅图书，每次最多借阅十册。

## 第二章 借阅

第三条 借阅期限为三十天，逾期每天收取一角滞纳金。
"""


def word_file() -> bytes:
    document = docx.Document()
    document.add_heading("清谈一号说明书", 1)
    document.add_paragraph("清谈一号的保修期为两年，自购买之日起计算。")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ("型号", "价格", "清谈一号", "三百元"), strict=True):
        cell.text = text
    data = io.BytesIO()
    document.save(data)
    return data.getvalue()


def faq_sheet() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["问题", "相似问题", "答案", "主题"])
    sheet.append(["怎么退货？", "如何退货；我要退货", "七天内可在订单页申请退货。", "售后"])
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def archive(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return data.getvalue()


def only_document(client: Client, base: str) -> Json:
    (document,) = client.get(f"{base}/documents")["data"]
    return document


def test_a_file_becomes_blocks_and_chunks(client: Client) -> None:
    base = client.base("办法")
    job = client.put(base, "制度/办法.md", LAW.encode(), topic="制度")
    assert (job["state"], job["done"], job["total"]) == ("done", 1, 1)
    assert [(line["name"], line["outcome"]) for line in job["report"]] == [
        ("制度/办法.md", "added")
    ]
    document = only_document(client, base)
    assert document["name"] == "制度/办法.md"
    assert document["title"] == "图书馆管理办法"
    assert document["topic"] == "制度"
    assert document["digest"] == hashlib.sha256(LAW.encode()).hexdigest()
    path = f"{base}/documents/{document['id']}"
    assert client.get(path) == document
    blocks = client.get(f"{path}/blocks")["data"]
    assert [block["number"] for block in blocks] == list(range(1, len(blocks) + 1))
    assert blocks[0]["kind"] == "heading"
    chunks = client.get(f"{path}/chunks")["data"]
    assert len(chunks) == document["chunks"]
    third = next(chunk for chunk in chunks if chunk["label"] == "第三条")
    assert "三十天" in third["text"]
    assert third["tokens"] > 0
    cited = blocks[third["first_block"] - 1 : third["last_block"]]
    assert any("三十天" in block["text"] for block in cited)


def test_word_sheets_and_archives(client: Client) -> None:
    base = client.base("各种")
    client.put(base, "说明书.docx", word_file())
    client.put(base, "问答.xlsx", faq_sheet())
    job = client.put(base, "资料.zip", archive(**{"内/甲.txt": "甲".encode(), "乙.md": b"# B"}))
    assert len(job["report"]) == 2
    names = [document["name"] for document in client.get(f"{base}/documents")["data"]]
    assert sorted(names) == sorted(["说明书.docx", "问答.xlsx", "内/甲.txt", "乙.md"])
    hits = client.post("search", {"bases": ["各种"], "query": "如何退货"})["data"]
    assert hits[0]["chunk"]["kind"] == "faq"
    assert hits[0]["chunk"]["answer"] == "七天内可在订单页申请退货。"
    assert hits[0]["chunk"]["topic"] == "售后"


def test_the_same_file_changes_nothing_and_a_new_one_replaces_it(client: Client) -> None:
    base = client.base("版本")
    client.put(base, "价格.txt", "清谈一号的价格是三百元。".encode())
    before = only_document(client, base)
    again = client.put(base, "价格.txt", "清谈一号的价格是三百元。".encode())
    assert [line["outcome"] for line in again["report"]] == ["unchanged"]
    assert only_document(client, base) == before
    changed = client.put(base, "价格.txt", "清谈一号的价格是四百元。".encode())
    assert [line["outcome"] for line in changed["report"]] == ["replaced"]
    hits = client.post("search", {"bases": ["版本"], "query": "价格"})["data"]
    assert ["四百元" in hit["chunk"]["text"] for hit in hits] == [True]


def test_what_cannot_be_read_is_one_line_of_the_report(client: Client) -> None:
    base = client.base("坏的")
    good = "好的内容。".encode()
    packed = archive(**{"好.txt": good, "坏.pdf": b"%PDF-1.7 broken", "坏.docx": b"PK\3\4 broken"})
    job = client.put(base, "包.zip", packed)
    assert job["state"] == "done"
    outcomes = {line["name"]: line for line in job["report"]}
    assert outcomes["好.txt"]["outcome"] == "added"
    for name in ("坏.pdf", "坏.docx"):
        assert outcomes[name]["outcome"] == "failed"
        assert outcomes[name]["reason"]
    assert [document["name"] for document in client.get(f"{base}/documents")["data"]] == ["好.txt"]


def test_a_document_is_removed_with_its_chunks(client: Client) -> None:
    base = client.base("删除")
    client.put(base, "甲.txt", "麒麟芯片的说明。".encode())
    document = only_document(client, base)
    path = f"{base}/documents/{document['id']}"
    assert client.http.delete(path).status_code == 204
    assert client.get(f"{base}/documents")["data"] == []
    assert client.post("search", {"bases": ["删除"], "query": "麒麟芯片"})["data"] == []
    client.error("GET", path, 404)
    client.error("DELETE", path, 404)


def test_nothing_of_an_upload_is_left_beside_the_store(client: Client) -> None:
    base = client.base("干净")
    client.put(base, "甲.txt", "内容。".encode())
    client.put(base, "坏.pdf", b"%PDF-1.7 broken")
    client.error("PUT", f"{base}/documents/{quote('../x', safe='')}", 400, content=b"x")
    assert client.uploads() == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("页.html", b"<script>document.title='owned'</script><p>text</p>"),
        ("图.svg.txt", b"<svg onload=alert(1)>"),
        ('引"号;=é.txt', "内容".encode()),
    ],
)
def test_an_original_is_saved_and_never_shown(client: Client, name: str, content: bytes) -> None:
    base = client.base(f"原件{len(name)}")
    client.put(base, name, content)
    document = only_document(client, base)
    response = client.http.get(f"{base}/documents/{document['id']}/original")
    assert response.content == content
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["x-content-type-options"] == "nosniff"
    disposition = response.headers["content-disposition"]
    file = quote(document["name"].rpartition("/")[2], safe="")
    assert disposition == f"attachment; filename*=UTF-8''{file}"
