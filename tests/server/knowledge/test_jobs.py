"""Jobs over HTTP: progress, cancelling, and what a killed server leaves behind."""

import io
import time
import zipfile

from qingtan.knowledge.service import Knowledge
from server.knowledge.conftest import Client


def many(count: int) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        for number in range(count):
            packed.writestr(f"{number:04}.txt", f"第{number}号文件的内容。" * 20)
    return data.getvalue()


def test_a_job_is_cancelled_and_the_same_file_goes_on(client: Client) -> None:
    base, data = client.base("cancel"), many(300)
    response = client.http.put(f"{base}/documents/many.zip", content=data)
    job = response.json()
    assert (job["base"], job["total"]) == ("cancel", 300)
    while client.get(f"{base}/jobs/{job['id']}")["done"] == 0:
        time.sleep(0.01)
    cancelled = client.post(f"{base}/jobs/{job['id']}/cancel", {})
    assert cancelled["state"] == "cancelled"
    inside = len(client.get(f"{base}/documents")["data"])
    assert 0 < inside < 300
    assert client.uploads() == []
    job = client.put(base, "many.zip", data)
    assert job["state"] == "done"
    assert job["counts"]["unchanged"] >= inside
    assert len(client.get(f"{base}/documents")["data"]) == 300


def test_jobs_are_listed_the_latest_first(client: Client) -> None:
    base = client.base("listed")
    ids = [client.put(base, f"{name}.txt", b"text")["id"] for name in "ab"]
    listed = client.get(f"{base}/jobs")["data"]
    assert [job["id"] for job in listed] == ids[::-1]
    assert all(job["state"] == "done" for job in listed)


def test_a_job_is_its_bases_own(client: Client) -> None:
    base, other = client.base("own"), client.base("other")
    id = client.put(base, "a.txt", b"text")["id"]
    client.error("GET", f"{other}/jobs/{id}", 404)
    client.error("POST", f"{other}/jobs/{id}/cancel", 404)


def test_what_waits_is_read_by_a_later_server(client: Client) -> None:
    base = client.base("later")
    folder = client.knowledge.uploads.parent
    with Knowledge.open(folder) as other:
        job = other.submit("later", __file__)
    ended = client.ended(client.get(f"{base}/jobs/{job.id}"))
    assert [line["outcome"] for line in ended["report"]] in (["added"], ["failed"])
