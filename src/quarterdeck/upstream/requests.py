"""An HTTP/1.1 request as it is written: its head, and where it goes (RFC 9112 section 3)."""

from collections.abc import Mapping
from functools import lru_cache

from yarl import URL

from quarterdeck.domain.limits import UPSTREAM_ADDRESSES_MAX
from quarterdeck.upstream.pool import Origin, Unreachable

#: What has a body, and so says how long it is even where there is none (RFC 9110 section 8.6).
_WITH_BODY = ("POST", "PUT", "PATCH")


class Unwritable(Unreachable):
    """The request holds what no request may, so nothing was sent."""


@lru_cache(maxsize=UPSTREAM_ADDRESSES_MAX)
def origin_of(url: URL) -> Origin:
    """Where a request connects to."""
    assert url.host is not None, "fleet files name no address without a host"
    assert url.port is not None
    return Origin(url.host, url.port, url.scheme == "https")


def host_of(url: URL) -> str:
    """The host as it is sent: without a port that goes without saying."""
    host = url.raw_host or ""
    host = f"[{host}]" if ":" in host else host
    return host if url.is_default_port() or url.port is None else f"{host}:{url.port}"


def head_of(method: str, url: URL, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """What goes before a body. Unwritable if it holds what would end a header before its time."""
    said = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    lines = len(headers) + 3
    if body is not None or method in _WITH_BODY:
        said = f"{said}content-length: {len(body or b'')}\r\n"
        lines += 1
    head = f"{_opening(method, url)}{said}\r\n"
    breaks = head.count("\n"), head.count("\r"), head.count("\0")
    if breaks != (lines, lines, 0) or not _is_latin(head):
        raise Unwritable("a header that would be sent holds what no header may")
    return head.encode("latin-1")


@lru_cache(maxsize=UPSTREAM_ADDRESSES_MAX)
def _opening(method: str, url: URL) -> str:
    """The lines that every request to this address begins with."""
    return f"{method} {url.raw_path_qs} HTTP/1.1\r\nhost: {host_of(url)}\r\n"


def _is_latin(text: str) -> bool:
    return text.isascii() or max(text) <= "\xff"
