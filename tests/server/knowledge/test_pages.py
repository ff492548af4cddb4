"""Pages of PDF files are shown as pictures."""

import io

import numpy as np
import pytest
from PIL import Image

from knowledge.reading.pdf_writer import Pdf
from server.knowledge.conftest import Client


@pytest.fixture(scope="module")
def pages(client: Client) -> str:
    """The address of a document's pages, of which there are two."""
    pdf = Pdf()
    for number in (1, 2):
        page = pdf.page()
        page.text(90, 90, f"清谈一号的保修期为{number}年。")
        page.bar(90, 100 * number, 300, 100 * number + 50)
    base = client.base("页面")
    job = client.put(base, "说明/清谈一号.pdf", pdf.data())
    assert job["report"][0]["outcome"] == "added", job
    (document,) = client.get(f"{base}/documents")["data"]
    assert document["pages"] == 2
    return f"{base}/documents/{document['id']}/pages"


def test_a_page_is_a_picture(client: Client, pages: str) -> None:
    for number in (1, 2):
        response = client.http.get(f"{pages}/{number}")
        assert response.status_code == 200
        assert response.headers["content-type"] == "image/webp"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"].startswith("private, max-age=")
        dots = np.asarray(Image.open(io.BytesIO(response.content)).convert("L"))
        height, width = dots.shape
        assert width == pytest.approx(1000, abs=2)
        middle = round(height * (100 * number + 25) / 842)
        assert dots[middle, width // 3] < 50
        assert dots[height - 20, width // 3] > 200


def test_its_width_is_chosen_within_bounds(client: Client, pages: str) -> None:
    response = client.http.get(f"{pages}/1", params={"width": 400})
    assert Image.open(io.BytesIO(response.content)).width == pytest.approx(400, abs=2)
    for width in ("99", "2001", "1000000000", "x"):
        client.error("GET", f"{pages}/1", 400, params={"width": width})


def test_what_is_no_page_is_not_found(client: Client, pages: str) -> None:
    for number in ("0", "3", "-1", "99999999999999999999"):
        assert "page" in client.error("GET", f"{pages}/{number}", 404)["message"]
    client.error("GET", f"{pages}/x", 400)
    base = client.base("没有页面")
    client.put(base, "甲.txt", "内容。".encode())
    (document,) = client.get(f"{base}/documents")["data"]
    error = client.error("GET", f"{base}/documents/{document['id']}/pages/1", 404)
    assert "PDF" in error["message"]
