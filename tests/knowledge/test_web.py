"""The guard in front of the web, against real servers on this machine and every spelling of it."""

import gzip
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.knowledge.reading import Unreadable
from qingtan.knowledge.web import Fetched, WebLimits, fetch, is_public, name_of

pytestmark = pytest.mark.usefixtures("english")

HERE = "127.0.0.1"
Answers = dict[str, Callable[[BaseHTTPRequestHandler], None]]


def answer(
    data: bytes, status: int = 200, **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return give


def moved(target: str, status: int = 302) -> Callable[[BaseHTTPRequestHandler], None]:
    return answer(b"", status, Location=target)


@contextmanager
def serving(
    answers: Answers, context: ssl.SSLContext | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Serve on a free port; yield it and the list of what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.headers['Host']}{self.path}")
            answers.get(self.path, answer(b"", 404))(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((HERE, 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def names(monkeypatch: pytest.MonkeyPatch, table: dict[str, list[str]]) -> list[str]:
    """Let names stand for addresses, each time for the next ones; return what was looked up."""
    real = socket.getaddrinfo
    looked_up: list[str] = []

    def look_up(host: str, port: object, *args: object, **kwargs: object) -> object:
        if host not in table:
            return real(host, port, *args, **kwargs)  # type: ignore[arg-type]
        looked_up.append(host)
        addresses = table[host]
        address = addresses.pop(0) if len(addresses) > 1 else addresses[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in address.split()]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return looked_up


def test_a_page_is_fetched_with_its_name_and_type() -> None:
    page = answer("<p>字</p>".encode(), Content_Type="text/HTML; charset=utf-8")
    with serving({"/%E9%A1%B5?q=1": page}) as (port, _):
        found = fetch(f"http://{HERE}:{port}/页?q=1#part", allow=[HERE])
    assert found == Fetched(f"http://{HERE}:{port}/页?q=1", "text/html", "<p>字</p>".encode())


def test_nothing_here_is_reached_unless_it_is_allowed() -> None:
    with serving({"/": answer(b"secret")}) as (port, asked):
        for host in (HERE, "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "127.1", "2130706433"):
            with pytest.raises(Unreadable, match="not on the public Internet"):
                fetch(f"http://{host}:{port}/")
        assert asked == []
        for allow in ("127.0.0.0/8", HERE):
            assert fetch(f"http://{HERE}:{port}/", allow=[allow]).data == b"secret"
        with pytest.raises(Unreadable):
            fetch(f"http://{HERE}:{port}/", allow=["10.0.0.0/8", "localhost.example"])


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving({"/": answer(b"direct")}) as (port, _):
        assert fetch(f"http://{HERE}:{port}/", allow=[HERE]).data == b"direct"


@pytest.mark.security
def test_redirects_are_followed_and_each_is_looked_at_again() -> None:
    answers: Answers = {
        "/good": answer(b"there"),
        "/a": moved("/good", 301),
        "/loop": moved("/loop"),
    }
    with serving(answers) as (port, asked):
        found = fetch(f"http://{HERE}:{port}/a", allow=[HERE])
        assert (found.data, found.name) == (b"there", f"http://{HERE}:{port}/good")
        asked.clear()
        with pytest.raises(Unreadable, match="more than 5"):
            fetch(f"http://{HERE}:{port}/loop", allow=[HERE])
        assert len(asked) == 6
        for target in (
            f"http://127.0.0.2:{port}/good",
            "http://169.254.169.254/latest/meta-data/",
            f"http://[::1]:{port}/good",
            f"//0x7f000002:{port}/good",
            "file:///etc/passwd",
            "gopher://127.0.0.1/",
            f"http://user:pass@{HERE}:{port}/good",
        ):
            answers["/out"] = moved(target)
            asked.clear()
            with pytest.raises(Unreadable):
                fetch(f"http://{HERE}:{port}/out", allow=[HERE])
            assert len(asked) == 1


@pytest.mark.security
def test_a_name_is_looked_up_once_and_the_checked_address_is_the_one_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving({"/": answer(b"checked")}) as (port, asked):
        looked_up = names(monkeypatch, {"rebind.test": [HERE, "127.0.0.2"]})
        found = fetch(f"http://rebind.test:{port}/", allow=[HERE])
        assert found.data == b"checked"
        assert looked_up == ["rebind.test"]
        assert asked == [f"rebind.test:{port}/"]
        with pytest.raises(Unreadable, match="not on the public Internet"):
            fetch(f"http://rebind.test:{port}/", allow=[HERE])


@pytest.mark.security
def test_a_name_with_one_address_inside_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, {"mixed.test": ["93.184.216.34 127.0.0.1"]})
    with pytest.raises(Unreadable, match=r"mixed\.test is not on the public"):
        fetch("http://mixed.test/")


def test_a_host_that_is_allowed_by_name_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({"/": answer(b"inside")}) as (port, _):
        names(monkeypatch, {"wiki.corp": [HERE]})
        assert fetch(f"http://WIKI.corp:{port}/", allow=["wiki.corp"]).data == b"inside"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl")
@pytest.mark.security
def test_certificates_are_checked_for_the_name_and_not_for_the_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    command += f" -subj /CN=site.test -addext subjectAltName=DNS:site.test -keyout {key}"
    command += f" -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    names(monkeypatch, {"site.test": [HERE], "other.test": [HERE]})
    with serving({"/": answer(b"safe")}, context) as (port, _):
        with pytest.raises(Unreadable, match=r"(?i)certificate"):
            fetch(f"https://site.test:{port}/", allow=[HERE])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch(f"https://site.test:{port}/", allow=[HERE]).data == b"safe"
        with pytest.raises(Unreadable, match=r"(?i)certificate"):
            fetch(f"https://other.test:{port}/", allow=[HERE])


def test_answers_that_are_too_long_are_cut_off() -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(10_000):
                handler.wfile.write(b"x" * 10_000)
        except OSError:
            pass

    bomb = gzip.compress(bytes(20_000_000))
    answers: Answers = {
        "/endless": endless,
        "/declared": answer(b"x" * 3_000_000),
        "/bomb": answer(bomb, Content_Encoding="gzip"),
        "/fits": answer(gzip.compress(b"y" * 1000), Content_Encoding="gzip"),
        "/odd": answer(b"x", Content_Encoding="zstd"),
    }
    limits = WebLimits(bytes=2_000_000)
    with serving(answers) as (port, _):
        for path in ("endless", "declared", "bomb"):
            with pytest.raises(Unreadable, match="larger than"):
                fetch(f"http://{HERE}:{port}/{path}", limits, allow=[HERE])
        assert fetch(f"http://{HERE}:{port}/fits", limits, allow=[HERE]).data == b"y" * 1000
        with pytest.raises(Unreadable, match="zstd"):
            fetch(f"http://{HERE}:{port}/odd", limits, allow=[HERE])


def test_answers_that_drip_end_at_the_deadline() -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for number in range(100):
                handler.wfile.write(b"X-%d: 1\r\n" % number)
                time.sleep(0.05)
        except OSError:
            pass

    with serving({"/": drip}) as (port, _):
        start = time.monotonic()
        with pytest.raises(Unreadable, match=r"longer than 0.5 seconds"):
            fetch(f"http://{HERE}:{port}/", WebLimits(seconds=0.5), allow=[HERE])
        assert time.monotonic() - start < 2


@pytest.mark.security
def test_errors_of_servers_name_the_address_without_its_password() -> None:
    with (
        serving({}) as (port, _),
        pytest.raises(Unreadable, match=f"^http://{HERE}:{port}/none: the server answers 404"),
    ):
        fetch(f"http://{HERE}:{port}/none", allow=[HERE])
    with pytest.raises(Unreadable) as caught:
        fetch("http://me:secret@example.com/")
    assert "secret" not in str(caught.value)
    with pytest.raises(Unreadable, match="cannot be fetched"):
        fetch(f"http://{HERE}:9/", allow=[HERE])


@pytest.mark.security
def test_ports_of_other_services_are_not_reached() -> None:
    for port in (22, 25, 6379, 0):
        with pytest.raises(Unreadable, match="port"):
            fetch(f"http://93.184.216.34:{port}/")


@pytest.mark.parametrize(
    "url",
    ["", "x", "ftp://a.example/", "file:///etc/passwd", "http://", "http:///x", "http://[::1",
     "http://a b/", "http://a.example\\@b.example/", "javascript:alert(1)", "http://a.example:99999/",
     "http://a.example/\r\nHost: b", "//a.example/", "http://" + "a" * 3000],
)  # fmt: skip
def test_what_is_no_address_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(Unreadable):
        fetch(url)


def test_one_page_has_one_name() -> None:
    assert name_of("HTTP://Example.COM:80/a?b=1#c") == "http://example.com/a?b=1"
    assert name_of("https://example.com") == "https://example.com/"
    assert name_of("https://例子.测试/页") == "https://xn--fsqu00a.xn--0zwm56d/页"


# Blocks that are not of the public Internet, as IANA's registries of special addresses list them.
INSIDE_4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/29", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
]  # fmt: skip
INSIDE_6 = [
    "::/128", "::1/128", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "2001:db8::/32",
    "100::/64", "2001::/32", "2002::/16", "64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0/96",
    "::/96",
]  # fmt: skip


def addresses(blocks: list[str]) -> st.SearchStrategy[str]:
    networks = [ipaddress.ip_network(each) for each in blocks]
    return st.sampled_from(networks).flatmap(
        lambda network: st.integers(
            int(network.network_address), int(network.broadcast_address)
        ).map(lambda number: str(type(network.network_address)(number)))
    )


def wide(text: str) -> str:
    return "".join(chr(ord(each) + 0xFEE0) if each.isdigit() else each for each in text)


def short(text: str) -> str:
    a, b, c, d = map(int, text.split("."))
    return f"{a}.{(b << 16) + (c << 8) + d}"


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "final dot": lambda text: f"{text}.",
    "decimal": lambda text: str(int(ipaddress.IPv4Address(text))),
    "hexadecimal": lambda text: hex(int(ipaddress.IPv4Address(text))),
    "octal": lambda text: ".".join(f"0{int(part):o}" for part in text.split(".")),
    "hex parts": lambda text: ".".join(hex(int(part)) for part in text.split(".")),
    "short": short,
    "padded": lambda text: ".".join(f"{int(part):04}" for part in text.split(".")),
    "wide": wide,
    "wide dots": lambda text: text.replace(".", "。"),
    "encoded": lambda text: "".join(f"%{ord(each):02x}" for each in text),
    "mapped": lambda text: f"[::ffff:{text}]",
    "nat64": lambda text: f"[64:ff9b::{text}]",
    "compatible": lambda text: f"[::{text}]",
    "6to4": lambda text: f"[2002:{int(ipaddress.IPv4Address(text)) >> 16:x}:1::]",
}  # fmt: skip


@given(addresses(INSIDE_4), st.sampled_from(sorted(SPELLINGS)))
@pytest.mark.security
def test_no_spelling_of_an_address_inside_is_reached(address: str, spelling: str) -> None:
    with pytest.raises(Unreadable, match=r"public Internet|no address|no host"):
        fetch(f"http://{SPELLINGS[spelling](address)}/")


@given(addresses(INSIDE_6))
@pytest.mark.security
def test_no_address_of_version_6_inside_is_reached(address: str) -> None:
    whole = ipaddress.IPv6Address(address)
    for each in (address, address.upper(), whole.exploded, f"{address}%25lo"):
        with pytest.raises(Unreadable, match=r"public Internet|no address"):
            fetch(f"http://[{each}]/")


def test_addresses_of_the_public_internet_are_told_as_such() -> None:
    for each in ("8.8.8.8", "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "1.1.1.1"):
        assert is_public(ipaddress.ip_address(each))
