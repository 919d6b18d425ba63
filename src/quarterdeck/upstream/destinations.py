"""Destinations that nobody named: URLs out of documents and arguments may reach public hosts only.

What the fleet folder names may be private, and is reached over the process's own session. Every
other URL goes over this one. The address is looked at in the moment of connecting, as the one
that is connected to: it makes no difference how a host was written, what a name resolved to a
moment ago, or what it will resolve to next. No redirects, no proxies, no cookies.
"""

import socket
from typing import Any, Final

import aiohttp
from yarl import URL

from quarterdeck.domain.addresses import is_public
from quarterdeck.domain.errors import Invalid, Unavailable
from quarterdeck.domain.limits import (
    DOCUMENT_BYTES_MAX,
    DOCUMENT_SECONDS_MAX,
    VENDOR_CONNECT_SECONDS_DEFAULT,
)

_CONNECTIONS_MAX: Final = 32
AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]


class NotPublic(OSError):
    """The address of a destination is not one of the public internet."""


def open_public_session(
    resolver: aiohttp.abc.AbstractResolver | None = None,
) -> aiohttp.ClientSession:
    """A session that connects to public addresses and to no others."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=_CONNECTIONS_MAX, socket_factory=_public_socket, resolver=resolver
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(
            total=DOCUMENT_SECONDS_MAX, sock_connect=VENDOR_CONNECT_SECONDS_DEFAULT
        ),
    )


def _public_socket(info: AddressInfo) -> socket.socket:
    """A socket for an address that is about to be connected to; raises NotPublic."""
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise NotPublic("it is not an address of the public internet")
    return socket.socket(family, kind, protocol)


async def fetch_document(session: aiohttp.ClientSession, url: str) -> bytes:
    """A small document, as it is; anything but a whole answer with status 200 is Unavailable."""
    try:
        parsed = URL(url)
    except (ValueError, TypeError) as error:
        raise Invalid("that is no URL", hint="write one with https://") from error
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.user:
        raise Invalid("that is no URL to fetch from", hint="write one with https://")
    where = f"`{parsed.host}`"
    try:
        async with session.get(
            parsed,
            allow_redirects=False,
            headers={"accept": "application/json", "accept-encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=DOCUMENT_SECONDS_MAX),
        ) as response:
            body = await _bounded(response.content)
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unavailable(f"{where} cannot be reached: {_words(error)}") from error
    if status != 200:
        raise Unavailable(f"{where} answered {status}")
    if body is None:
        raise Unavailable(f"{where} answered more than {DOCUMENT_BYTES_MAX} bytes")
    return body


async def _bounded(stream: aiohttp.StreamReader) -> bytes | None:
    """All of a body, or nothing if it is too long."""
    body = bytearray()
    async for chunk in stream.iter_any():
        body += chunk
        if len(body) > DOCUMENT_BYTES_MAX:
            return None
    return bytes(body)


def _words(error: BaseException) -> str:
    """Why, without where: addresses behind a name are nobody's business."""
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        return str(cause) if isinstance(cause, NotPublic) else type(cause).__name__
    return type(error).__name__
