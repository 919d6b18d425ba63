"""What nobody named is connected to only where its address is public, however it is written."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.addresses import is_public
from quarterdeck.domain.errors import Invalid, Unavailable
from quarterdeck.domain.limits import DOCUMENT_BYTES_MAX
from quarterdeck.upstream.destinations import fetch_document, open_public_session

V4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address)
PRIVATE_4 = st.sampled_from(
    [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/4",
        "240.0.0.0/4",
    ]
).flatmap(
    lambda network: st.integers(0, ipaddress.IPv4Network(network).num_addresses - 1).map(
        lambda n: ipaddress.IPv4Network(network)[n]
    )
)


@given(V4 | V6)
def test_nothing_is_public_that_the_standard_library_calls_special(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(str(address)):
        special = address.is_private or address.is_loopback or address.is_link_local
        assert not special
        assert not address.is_multicast
        assert not address.is_unspecified


@given(PRIVATE_4)
def test_a_private_address_is_private_in_every_ipv6_coat(private: ipaddress.IPv4Address) -> None:
    number = int(private)
    coats = (
        ipaddress.IPv6Address(number),  # ::a.b.c.d
        ipaddress.IPv6Address(0xFFFF << 32 | number),  # ::ffff:a.b.c.d
        ipaddress.IPv6Address(0x64FF9B << 96 | number),  # NAT64
        ipaddress.IPv6Address(0x64FF9B0001 << 80 | number),  # NAT64 of one's own
        ipaddress.IPv6Address(0x2002 << 112 | number << 80),  # 6to4
        ipaddress.IPv6Address(0x20010000 << 96 | (number ^ 0xFFFFFFFF)),  # Teredo
    )
    assert not is_public(str(private))
    assert [str(coat) for coat in coats if is_public(str(coat))] == []


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        "127.1",
        "0x7f000001",
        "2130706433",
        "::",
        "::1",
        "0.0.0.0",
        "255.255.255.255",
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1%eth0",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
    ],
)
def test_what_is_special_or_no_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server on every loopback address, and what got to it."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        writer.close()

    servers = [await asyncio.start_server(serve, "127.0.0.1", 0)]
    port = servers[0].sockets[0].getsockname()[1]
    with contextlib.suppress(OSError):  # where there is no IPv6 there is nothing to reach by it
        servers.append(await asyncio.start_server(serve, "::1", port))
    try:
        yield port, got
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()


WAYS = (
    "127.0.0.1",
    "localhost",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "LOCALHOST.",
)


@pytest.mark.parametrize("host", WAYS)
async def test_no_way_of_writing_it_reaches_loopback(host: str) -> None:
    async with listening() as (port, got), open_public_session() as session:
        with pytest.raises(Unavailable) as refused:
            await fetch_document(session, f"http://{host}:{port}/keys")
        assert got == []
        assert "127.0.0.1:" not in refused.value.message


class _Rebinding(AbstractResolver):
    """A name that was public when somebody looked, and is not any more."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[Any]:
        self.asked += 1
        address = {"hostname": host, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
        return [address | {"host": "127.0.0.1"}]

    async def close(self) -> None:
        """There is nothing to close."""


async def test_the_address_connected_to_counts_and_not_what_a_name_said_before() -> None:
    async with listening() as (port, got):
        resolver = _Rebinding(port)
        async with open_public_session(resolver) as session:
            for _ in range(2):
                with pytest.raises(Unavailable, match="not an address of the public internet"):
                    await fetch_document(session, f"http://rebind.example.com:{port}/")
        assert resolver.asked >= 1
        assert got == []


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as (port, got):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        async with open_public_session() as session:
            with pytest.raises(Unavailable):
                await fetch_document(session, "http://nowhere.invalid/keys")
        assert got == []


@pytest.mark.parametrize(
    "url",
    ["", "file:///etc/passwd", "ftp://example.com/", "http://", "//x", "http://a:b@example.com/"],
)
async def test_what_is_no_url_of_http_is_not_fetched(url: str) -> None:
    async with open_public_session() as session:
        with pytest.raises(Invalid):
            await fetch_document(session, url)


async def _answering(answer: bytes, path: str = "/") -> bytes:
    """Fetch a document from a server that says this; over a session that may."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            return await fetch_document(session, f"http://127.0.0.1:{port}{path}")
    finally:
        server.close()


async def test_redirects_are_not_followed() -> None:
    with pytest.raises(Unavailable, match="answered 302"):
        await _answering(b"HTTP/1.1 302 Found\r\nlocation: http://x/\r\ncontent-length: 0\r\n\r\n")


async def test_a_document_without_end_is_given_up() -> None:
    size = DOCUMENT_BYTES_MAX + 1
    with pytest.raises(Unavailable, match="more than"):
        await _answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size)


async def test_a_document_is_fetched_as_it_is() -> None:
    assert await _answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") == b"{}"
