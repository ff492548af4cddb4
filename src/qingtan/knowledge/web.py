"""Floor 3: pages and files from the web, behind one guard.

A service that fetches what its users name can be made to reach what only it may reach (server-side
request forgery). So a name is resolved once, every address that it has must be one of the public
Internet, and the connection goes to the very address that was looked at; each redirect is
looked at again.
"""

import ipaddress
import re
import socket
import ssl
import time
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import httpcore

from qingtan.i18n import tr
from qingtan.knowledge.reading.limits import MIB, Unreadable
from qingtan.knowledge.reading.text import clean

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS = {"http": 80, "https": 443}
_MOST_REDIRECTS = 5
_LONGEST_ADDRESS = 2000
_REDIRECTS = (301, 302, 303, 307, 308)
_SAFE = "/?:@!$&'()*+,;=-._~%[]"  # in a path and a query; the rest is encoded
_FAILURES = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ConnectionNotAvailable)
_AGENT = "qingtan"
# IPv6 addresses that carry one of IPv4: mapped, compatible, NAT64 (RFC 6052, RFC 8215), 6to4, and
# Teredo. Only what is global on both sides would be let through, and these lead into networks.
_CARRIERS = tuple(
    ipaddress.IPv6Network(each)
    for each in (
        "::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32",
        "::ffff:0:0:0/96", "fec0::/10",
    )
)  # fmt: skip
_SHARED = ipaddress.IPv4Network("100.64.0.0/10")
# A host of digits alone, or of hexadecimal parts, is an address to some programs (2130706433,
# 0x7f.1, 0177.0.0.1), and a name of the Internet never ends so.
_NUMERIC_HOST = re.compile(r"(?:.*\.)?(?:0[xX][0-9a-fA-F]*|\d+)\.?")


@dataclass(frozen=True, slots=True)
class WebLimits:
    """What fetching may cost, and what may be reached.

    Attributes:
        bytes: of an answer, unpacked.
        seconds: for everything, redirects too.
        ports: that may be reached; those of `allow` are not bound to them.
    """

    bytes: int = 32 * MIB
    seconds: float = 30.0
    ports: frozenset[int] = frozenset({80, 443, 8080, 8443})


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an address gave.

    Attributes:
        name: of the document: the address that answered, without its fragment.
        media_type: as the server says, without parameters; may be empty.
    """

    name: str
    media_type: str
    data: bytes


def fetch(url: str, limits: WebLimits | None = None, *, allow: Iterable[str] = ()) -> Fetched:
    """Return what stands at an address of http or https.

    The environment's proxies are not used, and nothing is sent that tells who asks.

    Args:
        allow: hosts by name ("intranet.example") and networks ("10.1.0.0/16", "127.0.0.1") that an
            operator trusts, though they are not public; on any port.

    Raises:
        Unreadable: the address is not allowed or gives nothing that can be taken.
    """
    limits = limits or WebLimits()
    guard = Guard(limits.ports, allow)
    deadline = time.monotonic() + limits.seconds
    address = url
    try:
        for _ in range(_MOST_REDIRECTS + 1):
            with _answer(guard, address, deadline) as response:
                target = _header(response, "location")
                if response.status not in _REDIRECTS or not target:
                    return _take(response, address, limits)
                address = urljoin(address, target)
        raise Unreadable(tr("redirects more than 5 times", "重定向超过5次"))
    except Unreadable as error:
        raise Unreadable(error.reason, shown(url)) from None
    except httpcore.TimeoutException:
        raise Unreadable(_too_slow(limits), shown(url)) from None
    except (*_FAILURES, ssl.SSLError, OSError, ValueError) as error:
        reason = str(error)[:200] or type(error).__name__
        message = tr(f"cannot be fetched: {reason}", f"无法获取：{reason}")
        raise Unreadable(message, shown(url)) from None


def name_of(url: str) -> str:
    """Return the name of the document at an address: without a fragment, the host in lower case.

    Raises:
        Unreadable: it is no address of http or https, or holds a password.
    """
    scheme, host, port, rest = _parts(url)
    host = f"[{host}]" if ":" in host else host
    shown_port = "" if port == _PORTS[scheme] else f":{port}"
    return f"{scheme}://{host}{shown_port}{rest}"


def shown(url: str) -> str:
    """Return an address for messages: no password, nothing unseen, not too long."""
    text = re.sub(r"(?<=//)[^/?#]*@", "", clean(url).replace("\n", " "))
    return text if len(text) <= 200 else text[:199] + "…"


def _parts(url: str) -> tuple[str, str, int, str]:
    """Return scheme, host, port, and path with query."""
    if len(url) > _LONGEST_ADDRESS or re.search(r"[\x00-\x20\x7f\\]", url.strip()):
        raise Unreadable(tr("is no address", "不是有效的网址"))
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        host = _host(parts.hostname or "")
    except ValueError:
        raise Unreadable(tr("is no address", "不是有效的网址")) from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise Unreadable(
            tr("only http:// and https:// can be fetched", "只能获取http://和https://网址")
        )
    if parts.username is not None or parts.password is not None:
        raise Unreadable(tr("holds a user name or a password", "网址中含有用户名或密码"))
    if not host:
        raise Unreadable(tr("names no host", "网址中没有主机名"))
    query = f"?{parts.query}" if parts.query else ""
    return scheme, host, _PORTS[scheme] if port is None else port, (parts.path or "/") + query


def _host(host: str) -> str:
    """Return a host in lower case and ASCII, as it is looked up; wide dots and digits are plain."""
    host = unquote(host).partition("%")[0]
    if ":" in host or host.isascii():
        return host.lower().rstrip(".")
    plain = unicodedata.normalize("NFKC", host).replace("。", ".")
    return plain.encode("idna").decode("ascii").lower().rstrip(".")


class Guard:
    """Says which addresses may be reached."""

    def __init__(self, ports: Iterable[int], allow: Iterable[str] = ()) -> None:
        self._ports = frozenset(ports)
        self._names: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for each in allow:
            try:
                self._networks.append(ipaddress.ip_network(each.strip("[]"), strict=False))
            except ValueError:
                self._names.add(each.lower().rstrip("."))

    def resolve(self, host: str, port: int) -> list[Address]:
        """Return the addresses of a host, each of which may be reached.

        Raises:
            Unreadable: one of them may not, or there are none.
        """
        addresses = _look_up(host)
        named = host in self._names
        for address in addresses:
            if not named and not self._is_trusted(address):
                if not is_public(address):
                    raise _forbidden(host)
                if port not in self._ports:
                    raise Unreadable(tr(f"port {port} may not be reached", f"不允许访问端口{port}"))
        return addresses

    def _is_trusted(self, address: Address) -> bool:
        return any(
            address in network for network in self._networks if network.version == address.version
        )


def is_public(address: Address) -> bool:
    """Return whether an address is one of the public Internet, and carries no other in it."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address.scope_id is not None or any(address in network for network in _CARRIERS)
    ):
        return False
    if isinstance(address, ipaddress.IPv4Address) and address in _SHARED:
        return False
    return address.is_global and not (
        address.is_multicast
        or address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_reserved
        or address.is_unspecified
    )


def _forbidden(host: str) -> Unreadable:
    return Unreadable(
        tr(
            f"{host} is not on the public Internet, and may not be reached from here",
            f"{host}不是公网地址，不允许访问",
        )
    )


def _look_up(host: str) -> list[Address]:
    """Return what a host stands for; a number in another form than a.b.c.d is refused."""
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass
    if ":" in host or _NUMERIC_HOST.fullmatch(host):
        raise _forbidden(host)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unreadable(tr(f"{host} is not known", f"找不到主机{host}")) from None
    return [ipaddress.ip_address(each) for each in dict.fromkeys(str(a[4][0]) for a in found)]


class _Timed(httpcore.NetworkStream):
    """A connection that ends at the deadline, however slowly the other side drips."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what comes next."""
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes."""
        self._stream.write(buffer, _left(self._deadline))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Encrypt, and check that the certificate is the name's."""
        left = _left(self._deadline)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def close(self) -> None:
        """End the connection."""
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection."""
        return self._stream.get_extra_info(info)


class _Checked(httpcore.NetworkBackend):
    """Connects to addresses that were looked at, whatever their name stands for by now."""

    def __init__(self, addresses: list[Address], deadline: float) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers."""
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            left = _left(self._deadline)
            try:
                stream = self._inner.connect_tcp(str(address), port, left, None, socket_options)
                return _Timed(stream, self._deadline)
            except httpcore.ConnectError as error:
                failure = error
        raise failure


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left


@contextmanager
def _answer(guard: Guard, address: str, deadline: float) -> Iterator[httpcore.Response]:
    """Ask one address; redirects are not followed."""
    scheme, host, port, rest = _parts(address)
    backend = _Checked(guard.resolve(host, port), deadline)
    url = httpcore.URL(
        scheme=scheme.encode(),
        host=(f"[{host}]" if ":" in host else host).encode("ascii"),
        port=port,
        target=quote(rest, safe=_SAFE).encode("ascii"),
    )
    headers = {"User-Agent": _AGENT, "Accept": "*/*", "Accept-Encoding": "gzip"}
    with (
        httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=backend
        ) as pool,
        pool.stream("GET", url, headers=list(headers.items())) as response,
    ):
        yield response


def _header(response: httpcore.Response, name: str) -> str:
    values = (value for key, value in response.headers if key.lower() == name.encode())
    return next(values, b"").decode("latin-1").strip()


def _take(response: httpcore.Response, address: str, limits: WebLimits) -> Fetched:
    """Read an answer, and stop where it is too long."""
    if response.status != 200:
        status = response.status
        raise Unreadable(tr(f"the server answers {status}", f"服务器返回{status}"))
    declared = _header(response, "content-length")
    if declared.isdigit() and int(declared) > limits.bytes:
        raise _too_large(limits)
    parts: list[bytes] = []
    size = 0
    for chunk in _unpacked(response, limits.bytes + 1):
        size += len(chunk)
        if size > limits.bytes:
            raise _too_large(limits)
        parts.append(chunk)
    media_type = _header(response, "content-type").partition(";")[0].strip().lower()
    return Fetched(name_of(address), media_type, b"".join(parts))


def _unpacked(response: httpcore.Response, most: int) -> Iterator[bytes]:
    """Yield the body; of a packed one no more at a time than so many bytes."""
    packing = _header(response, "content-encoding").lower()
    if packing not in ("", "identity", "gzip", "x-gzip"):
        raise Unreadable(
            tr(f"the answer is packed as {packing[:40]}", f"不支持的内容编码{packing[:40]}")
        )
    if packing in ("", "identity"):
        yield from response.iter_stream()
        return
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for chunk in response.iter_stream():
        try:
            yield unpacker.decompress(chunk, most)
        except zlib.error:
            raise Unreadable(tr("the answer is damaged", "服务器返回的数据已损坏")) from None


def _too_slow(limits: WebLimits) -> str:
    return tr(f"took longer than {limits.seconds:g} seconds", f"超过{limits.seconds:g}秒")


def _too_large(limits: WebLimits) -> Unreadable:
    most = limits.bytes / MIB
    return Unreadable(tr(f"is larger than {most:g} MiB", f"超过{most:g} MiB"))
