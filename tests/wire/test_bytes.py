"""I-11: bytes the gateway need not change, it does not change, in either direction."""

import base64
import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brotli
import httpx2
import orjson
import pytest
import zstandard

from tests.fleets import files
from tests.serving import Running, running, upstream

ODD = (
    b'{ "model" : "small-1",\t"max_tokens":20, "messages":[{"role":"user",'
    b'"content":"caf\xc3\xa9 \\u00e9 \\/ 1e2"}],\n "seed":12345678901234567890,'
    b' "x_unknown":{"a":[1.0]} }'
)
STREAM = (
    b'{"model":"small-1","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]}'
)
PLAIN = b'{"model":"small-1","max_tokens":9,"messages":[{"role":"user","content":"x"}]}'
EVERY_ENCODING = {"accept-encoding": "gzip, deflate, br, zstd"}
EVENTS = [
    b'data: {"id":"1","model":"small-1","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n',
    b": a comment\r\n\r\n",
    b'data: {"id":"1","model":"small-1","choices":[{"index":0,"delta":{"content":"\\u00e9"}}]}\n\n',
    b'data: {"id":"1","model":"small-1","choices":[],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n',
    b"data: [DONE]\n\n",
]
ANSWER = orjson.dumps(
    {
        "model": "small-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5},
    }
)


def raw(body: bytes | list[bytes], **headers: str) -> dict[str, Any]:
    """A script that answers exactly these bytes."""
    chunks = [body] if isinstance(body, bytes) else body
    said = [{"base64": base64.b64encode(chunk).decode()} for chunk in chunks]
    return {
        "models": ["small-1"],
        "rules": [{"raw": {"status": 200, "headers": headers, "chunks": said}}],
    }


async def ask(server: Running, credential: str, body: bytes, **headers: str) -> httpx2.Response:
    """One raw request; the body of the answer as it came, not decompressed."""
    async with httpx2.AsyncClient(base_url=server.url) as client:
        sent = {
            "authorization": f"Bearer {credential}",
            "content-type": "application/json",
            "accept-encoding": "identity",
            "cookie": "secret=1",
            "x-internal": "1",
        } | headers
        async with client.stream(
            "POST", "/openai/v1/chat/completions", content=body, headers=sent
        ) as answer:
            answer._content = b"".join([part async for part in answer.aiter_raw()])
            return answer


async def test_a_request_reaches_the_vendor_byte_for_byte(tmp_path: Path) -> None:
    script = raw(ANSWER, **{"content-type": "application/json"})
    async with upstream(script) as (url, vendor), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        answer = await ask(server, run.credential, ODD)
        assert answer.content == ANSWER
        async with httpx2.AsyncClient() as client:
            seen = (await client.get(f"{url}/standin/requests")).json()
        [request] = seen["requests"] if isinstance(seen, dict) else seen
        assert base64.b64decode(request["body_base64"]) == ODD
        names = {name.lower() for name in dict(request["headers"])}
        assert not names & {"cookie", "x-internal", "authorization"}, "and nothing else does"
        del vendor


async def test_a_stream_reaches_the_client_byte_for_byte(tmp_path: Path) -> None:
    script = raw(EVENTS, **{"content-type": "text/event-stream"})
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        asked = b'"stream":true,"stream_options":{"include_usage":true}'
        body = STREAM.replace(b'"stream":true', asked)
        answer = await ask(server, run.credential, body)
        assert answer.content == b"".join(EVENTS)
        [action] = await server.actions(run.id)
        assert action["usage"] == {"input": 3, "output": 2}


async def test_only_the_usage_event_we_asked_for_is_withheld(tmp_path: Path) -> None:
    script = raw(EVENTS, **{"content-type": "text/event-stream"})
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        body = STREAM
        answer = await ask(server, run.credential, body)
        assert answer.content == b"".join(e for e in EVENTS if b'"usage"' not in e)
        [action] = await server.actions(run.id)
        assert action["usage"] == {"input": 3, "output": 2}


def raw_deflate(body: bytes) -> bytes:
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(body) + made.flush()


def two_members(body: bytes) -> bytes:
    return gzip.compress(body[:40]) + gzip.compress(body[40:])


ENCODED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "none": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "gzip of two members": ("gzip", two_members),
    "deflate": ("deflate", zlib.compress),
    "deflate without its header": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.compress),
    "in capitals": ("GZIP", gzip.compress),
}


@pytest.mark.parametrize("piece", [1, 7, 100_000])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("encoding", ENCODED)
async def test_a_compressed_answer_passes_as_it_is_and_its_usage_is_read(
    tmp_path: Path, encoding: str, streamed: bool, piece: int
) -> None:
    name, encode = ENCODED[encoding]
    body = encode(b"".join(EVENTS) if streamed else ANSWER)
    kind = "text/event-stream" if streamed else "application/json"
    pieces = [body[i : i + piece] for i in range(0, len(body), piece)]
    script = raw(pieces, **{"content-type": kind, "content-encoding": name})
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        answer = await ask(server, run.credential, STREAM if streamed else PLAIN, **EVERY_ENCODING)
        if encoding == "none" and streamed:
            body = b"".join(e for e in EVENTS if b'"usage"' not in e)
        assert answer.content == body
        assert answer.headers["content-encoding"] == name
        [action] = await server.actions(run.id)
        expected = {"input": 3, "output": 2} if streamed else {"input": 7, "output": 5}
        assert (action["usage_source"], action["usage"]) == ("reported", expected)


@pytest.mark.parametrize("encoding", ["br", "gzip", "zstd", "deflate", "sdch", "gzip, br"])
async def test_an_answer_that_is_not_what_its_encoding_says_is_an_estimate(
    tmp_path: Path, encoding: str
) -> None:
    script = raw(ANSWER, **{"content-type": "application/json", "content-encoding": encoding})
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        answer = await ask(server, run.credential, PLAIN, **EVERY_ENCODING)
        assert answer.content == ANSWER
        [action] = await server.actions(run.id)
        assert action["usage_source"] == "estimated"


@pytest.mark.parametrize("kind", ["text/plain", "", "TEXT/EVENT-STREAM;charset=UTF-8", "x"])
async def test_a_stream_is_read_whatever_its_type_is_called(tmp_path: Path, kind: str) -> None:
    script = raw(EVENTS, **({"content-type": kind} if kind else {}))
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        await ask(server, run.credential, STREAM)
        [action] = await server.actions(run.id)
        assert (action["usage_source"], action["usage"]) == ("reported", {"input": 3, "output": 2})


async def test_a_whole_answer_to_a_request_for_a_stream_is_read_as_what_it_is(
    tmp_path: Path,
) -> None:
    script = raw(b"  \n" + ANSWER, **{"content-type": "text/event-stream"})
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        answer = await ask(server, run.credential, STREAM)
        assert answer.content == b"  \n" + ANSWER
        [action] = await server.actions(run.id)
        assert action["usage"] == {"input": 7, "output": 5}


async def test_an_output_cap_is_the_only_thing_added_to_a_request_without_one(
    tmp_path: Path,
) -> None:
    script = raw(ANSWER, **{"content-type": "application/json"})
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        body = b'{"model":"small-1","messages":[{"role":"user","content":"x"}]}'
        await ask(server, run.credential, body)
        async with httpx2.AsyncClient() as client:
            seen = (await client.get(f"{url}/standin/requests")).json()
        [request] = seen["requests"] if isinstance(seen, dict) else seen
        assert (
            base64.b64decode(request["body_base64"]) == b'{"max_completion_tokens":4096,' + body[1:]
        )
