"""One connection to a vendor, and the pool of them, against servers on real sockets."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from quarterdeck.domain.limits import UPSTREAM_BUFFER_BYTES_MAX, UPSTREAM_HEAD_BYTES_MAX
from quarterdeck.upstream.connection import Connection, Interrupted, Patience
from quarterdeck.upstream.models.client import Unanswered
from quarterdeck.upstream.pool import Origin, Pool, Unreachable
from tests.upstream.calls import HEADERS, Standing, cleared_call, client, vendor_of
from tests.vendors import ANSWER, Step, nobody, says, vendor
from tests.vendors import Connection as Caller

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
SOON = Patience(first_byte=5, between_bytes=5, total=10)
OK = b"HTTP/1.1 200 OK\r\n"


def raw(*pieces: bytes, ends: bool = False) -> Step:
    """Send exactly these bytes, each piece by itself."""

    async def step(connection: Caller) -> None:
        for piece in pieces:
            await connection.send(piece)
            await asyncio.sleep(0)
        if ends:
            connection.close()

    return step


def origin_of(url: str) -> Origin:
    """Where a vendor of the tests is."""
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    return Origin(host, int(port), is_secure=False)


@contextlib.asynccontextmanager
async def connected(*steps: Step) -> AsyncIterator[tuple[Pool, Connection, Origin]]:
    """A connection to a vendor that plays these steps."""
    async with vendor(*steps) as there, Pool() as pool:
        origin = origin_of(there.url)
        yield pool, await pool.connect(origin, 2), origin


async def asked(connection: Connection, patience: Patience = SOON) -> bytes:
    """The whole body of an answer."""
    await connection.ask(HEAD, b"{}", patience)
    read = b""
    while more := await connection.more():
        read += more
    return read


async def closed(connection: Connection) -> None:
    """Wait until it can no longer be used."""
    async with asyncio.timeout(5):
        while connection.is_usable:
            await asyncio.sleep(0)


WHOLE = OK + b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    OK + b"transfer-encoding: chunked\r\n\r\n"
    b"3;an=extension\r\nhel\r\n2 \r\nlo\r\n0\r\nx-late: 1\r\n\r\n"
)


@pytest.mark.parametrize("answer", [WHOLE, CHUNKED])
async def test_an_answer_is_the_same_wherever_it_is_cut(answer: bytes) -> None:
    pieces = [answer[n : n + 1] for n in range(len(answer))]
    async with connected(raw(answer), raw(*pieces)) as (pool, connection, origin):
        assert await asked(connection) == b"hello"
        headers = connection.headers
        pool.give_back(connection)
        assert pool.take(origin) is connection
        assert await asked(connection) == b"hello"
        assert (connection.status, connection.headers) == (200, headers)
        assert "x-late" not in dict(headers), "what comes after the body is not read"


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n"]
)
async def test_an_interim_answer_is_not_the_answer(interim: bytes) -> None:
    async with connected(raw(interim, interim, WHOLE)) as (_, connection, _):
        assert await asked(connection) == b"hello"
        assert connection.status == 200
        assert "link" not in dict(connection.headers)


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async with connected(raw(OK + b"\r\nhel", b"lo", ends=True)) as (pool, connection, origin):
        assert await asked(connection) == b"hello"
        pool.give_back(connection)
        assert pool.take(origin) is None


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 204 None\r\n\r\n", b"HTTP/1.1 304 Same\r\ncontent-length: 9\r\n\r\n"]
)
async def test_some_answers_have_no_body(head: bytes) -> None:
    async with connected(raw(head)) as (pool, connection, origin):
        assert await asked(connection) == b""
        pool.give_back(connection)
        assert pool.take(origin) is connection


async def test_an_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    async with connected(raw(OK + b"content-length: 5\r\n\r\n")) as (pool, connection, origin):
        await connection.ask(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n", b"", SOON)
        assert (connection.status, connection.header("content-length")) == (200, "5")
        assert await connection.more() == b""
        assert connection.is_whole
        pool.give_back(connection)
        assert pool.take(origin) is None, "its parser would wait for the body"


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"connection: close\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        WHOLE + b"HTTP/1.1 200 OK\r\n",
        WHOLE + b"and something else",
    ],
)
async def test_what_leaves_doubt_about_its_end_is_not_used_again(answer: bytes) -> None:
    """Goal: no answer is ever read as that of another call (response smuggling)."""
    async with connected(raw(answer)) as (pool, connection, origin):
        assert await asked(connection) == b"hello"
        pool.give_back(connection)
        assert pool.take(origin) is None


async def test_an_answer_that_was_not_read_to_its_end_is_not_used_again() -> None:
    async with connected(raw(OK + b"content-length: 9\r\n\r\nhello")) as (pool, connection, origin):
        await connection.ask(HEAD, b"{}", SOON)
        assert await connection.more() == b"hello"
        pool.give_back(connection)
        assert pool.take(origin) is None


@pytest.mark.parametrize(
    "answer",
    [
        b"220 smtp.example ready\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
        OK + b"content-length: -5\r\n\r\nhello",
        OK + b"transfer-encoding: chunked\r\n\r\nhello",
        OK + b"x: " + b"y" * 2 * UPSTREAM_HEAD_BYTES_MAX,
        b"HTTP/1.1 100 Continue\r\n\r\n" * (UPSTREAM_HEAD_BYTES_MAX // 10),
    ],
)
async def test_what_is_no_http_or_has_no_end_fails_at_once(answer: bytes) -> None:
    pieces = [answer[n : n + 1000] for n in range(0, len(answer), 1000)]
    async with connected(raw(*pieces)) as (_, connection, _):
        with pytest.raises(Interrupted) as error:
            await asked(connection)
        assert (error.value.said, error.value.dropped) == (True, False)
        await closed(connection)


@pytest.mark.parametrize("start", [b"", OK, OK + b"content-length: 9\r\n\r\nhello", CHUNKED[:-20]])
async def test_an_answer_that_breaks_off_is_interrupted_not_short(start: bytes) -> None:
    async with connected(raw(start, ends=True)) as (_, connection, _):
        with pytest.raises(Interrupted) as error:
            await asked(connection)
        assert (error.value.said, error.value.dropped) == (bool(start), True)


@pytest.mark.parametrize(
    ("start", "patience"),
    [
        (b"", Patience(first_byte=0.1, between_bytes=60, total=60)),
        (OK, Patience(first_byte=0.1, between_bytes=60, total=60)),
        (WHOLE[:-1], Patience(first_byte=60, between_bytes=0.1, total=60)),
        (WHOLE[:-1], Patience(first_byte=60, between_bytes=60, total=0.1)),
    ],
)
async def test_silence_has_an_end(start: bytes, patience: Patience) -> None:
    async def stays(connection: Caller) -> None:
        await connection.send(start)
        await connection.until_gone()

    async with connected(stays) as (_, connection, _):
        with pytest.raises(Interrupted) as error:
            await asked(connection, patience)
        assert not error.value.dropped


async def test_a_slow_reader_slows_the_vendor_and_is_not_its_silence() -> None:
    """Goal: memory is bounded. Method: 32 MB for a reader that comes late."""
    sent, size = 0, 32 * 1024 * 1024

    async def generous(connection: Caller) -> None:
        nonlocal sent
        await connection.send(OK + b"content-length: %d\r\n\r\n" % size)
        while sent < size:
            await connection.send(b"x" * 65536)
            sent += 65536

    patience = Patience(first_byte=5, between_bytes=0.2, total=30)
    async with connected(generous) as (pool, connection, origin):
        await connection.ask(HEAD, b"{}", patience)
        await asyncio.sleep(0.5)  # longer than any silence may be
        assert connection._held < UPSTREAM_BUFFER_BYTES_MAX + 512 * 1024
        assert sent < size, "the rest waits at the vendor"
        read = 0
        while more := await connection.more():
            read += len(more)
        assert read == size
        pool.give_back(connection)
        assert pool.take(origin) is connection


async def test_an_idle_connection_that_ends_or_speaks_is_not_used_again() -> None:
    parting = asyncio.Event()

    def then(last: Callable[[Caller], None]) -> Step:
        async def step(connection: Caller) -> None:
            await connection.send(WHOLE)
            await parting.wait()
            last(connection)

        return step

    def speaks(connection: Caller) -> None:
        connection.writer.write(b"HTTP/1.1 408 Late\r\n\r\n")

    async with connected(then(Caller.close), then(speaks)) as (pool, first, origin):
        second = await pool.connect(origin, 2)
        for connection in (first, second):
            assert await asked(connection) == b"hello"
            pool.give_back(connection)
        parting.set()
        async with asyncio.timeout(5):
            while pool._open:
                await asyncio.sleep(0)
        assert pool.take(origin) is None
        assert pool._idle == {}


async def test_what_waits_is_told_when_we_hang_up_ourselves() -> None:
    async with connected(raw(OK)) as (_, connection, _):
        asking = asyncio.create_task(asked(connection))
        await asyncio.sleep(0.01)
        connection.close()
        with pytest.raises(Interrupted):
            await asking


async def test_where_nobody_is_there_is_no_connection() -> None:
    async with Pool() as pool:
        for origin in (origin_of(nobody()), Origin("no-such-host.invalid", 80, is_secure=False)):
            for _ in range(2):
                with pytest.raises(Unreachable, match=r"."):
                    await pool.connect(origin, 5)


async def test_a_name_is_looked_up_once_by_all_who_ask_at_the_same_time() -> None:
    async with vendor(says()) as there, Pool() as pool:
        origin = origin_of(there.url)
        await asyncio.gather(*(pool.connect(origin, 2) for _ in range(20)))
        assert len(pool._names) == 1
        assert there.connections <= 20
        [(_, looked_up)] = pool._names.values()
        await pool.connect(origin, 2)
        [(_, still)] = pool._names.values()
        assert still is looked_up


@pytest.mark.parametrize("key", ["k\r\nx-other: 1", "k\n", "k\0", "schlüssel-\N{SNOWMAN}"])
async def test_a_key_that_would_break_out_of_its_header_is_never_sent(key: str) -> None:
    async with vendor() as there, client(Standing(secrets={"key": key})) as caller:
        entry = vendor_of(there.url, auth="x-api-key", secret="KEY", retries=0)
        with pytest.raises(Unanswered, match="holds what no header may") as error:
            await caller.open(cleared_call(entry), HEADERS).answered()
        assert error.value.receipt.status == "not_attempted"
        assert there.connections == 0


async def test_what_is_said_in_two_headers_is_sent_in_one() -> None:
    twice = (("anthropic-beta", "a"), ("content-type", "application/json"), ("anthropic-beta", "b"))
    async with vendor() as there, client() as caller:
        answer = await caller.open(cleared_call(vendor_of(there.url)), twice).answered()
        answer.close()
        assert there.requests[0].headers["anthropic-beta"] == "a, b"
        assert there.requests[0].headers["host"] == there.url.removeprefix("http://").split("/")[0]


# --- TLS ------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return public, private


@contextlib.asynccontextmanager
async def secure(folder: Path, name: str) -> AsyncIterator[Origin]:
    """A server that answers over TLS in this name."""
    public, private = certificate(folder, name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(public, private)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n{}")
                writer.write(WHOLE)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield Origin("localhost", server.sockets[0].getsockname()[1], is_secure=True)


async def test_a_vendor_over_tls_is_asked_again_over_the_same_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with secure(tmp_path, "localhost") as origin:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        async with Pool() as pool:
            connection = await pool.connect(origin, 5)
            for _ in range(2):
                assert await asked(connection) == b"hello"
                pool.give_back(connection)
                assert pool.take(origin) is connection


async def test_a_certificate_nobody_vouches_for_is_no_vendor(tmp_path: Path) -> None:
    async with secure(tmp_path, "localhost") as origin, Pool() as pool:
        with pytest.raises(Unreachable, match="certificate"):
            await pool.connect(origin, 5)


async def test_a_certificate_in_another_name_is_no_vendor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with secure(tmp_path, "vendor.example") as origin:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        async with Pool() as pool:
            with pytest.raises(Unreachable, match="certificate"):
                await pool.connect(origin, 5)


async def test_a_vendor_that_answers_is_told_nothing_of_us_but_the_request() -> None:
    async with vendor() as there, client() as caller:
        answer = await caller.open(cleared_call(vendor_of(there.url)), HEADERS).answered()
        assert b"".join([chunk async for chunk in answer.chunks()]) == ANSWER
        answer.release()
        assert set(there.requests[0].headers) == {
            *("host", "accept", "accept-encoding", "content-type", "user-agent", "content-length"),
        }


ON_UVLOOP: dict[str, Callable[[], Coroutine[None, None, None]]] = {
    "cut": lambda: test_an_answer_is_the_same_wherever_it_is_cut(CHUNKED),
    "no length": test_an_answer_without_a_length_ends_with_its_connection,
    "surplus": lambda: test_what_leaves_doubt_about_its_end_is_not_used_again(WHOLE + b"and more"),
    "no http": lambda: test_what_is_no_http_or_has_no_end_fails_at_once(b"220 smtp ready\r\n"),
    "breaks off": lambda: test_an_answer_that_breaks_off_is_interrupted_not_short(OK),
    "silence": lambda: test_silence_has_an_end(b"", Patience(0.1, 60, 60)),
    "slow reader": test_a_slow_reader_slows_the_vendor_and_is_not_its_silence,
    "idle": test_an_idle_connection_that_ends_or_speaks_is_not_used_again,
    "nobody": test_where_nobody_is_there_is_no_connection,
}


@pytest.mark.parametrize("test", ON_UVLOOP)
def test_the_same_holds_on_the_loop_that_a_server_runs_on(test: str) -> None:
    uvloop.run(ON_UVLOOP[test]())


def test_tls_holds_on_the_loop_that_a_server_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uvloop.run(test_a_certificate_nobody_vouches_for_is_no_vendor(tmp_path))
    uvloop.run(
        test_a_vendor_over_tls_is_asked_again_over_the_same_connection(tmp_path, monkeypatch)
    )
