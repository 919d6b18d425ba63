"""Scripted mode plays what the file says, down to the byte, and counts how each request ended."""

import asyncio
import base64
import time
from typing import Any

import httpx2
import openai
import orjson
import pytest

from quarterdeck.domain.errors import Invalid
from quarterdeck_standin.script import load_script, script_of
from tests.standin.served import Play, Served

BODY = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
STREAMED = orjson.dumps(orjson.loads(BODY) | {"stream": True})
OPENAI = "/v1/chat/completions"


async def post(served: Served, body: bytes = BODY, path: str = OPENAI) -> httpx2.Response:
    """One request and its whole answer."""
    async with httpx2.AsyncClient(base_url=served.url) as http:
        return await http.post(path, content=body, headers={b"x-trace": "é".encode("latin-1")})


async def raw_exchange(served: Served, body: bytes = BODY) -> bytes:
    """Every byte the stand-in sends on a connection, until it closes it."""
    host, port = served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {OPENAI} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    async with asyncio.timeout(5):
        received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


async def test_the_first_rule_that_fits_answers(play: Play) -> None:
    rules = [
        {"model": "other", "answer": {"text": "for other"}},
        {"dialect": "anthropic", "answer": {"text": "for anthropic"}},
        {"answer": {"text": "for the rest"}},
    ]
    served = await play({"rules": rules})
    assert b"for the rest" in (await post(served)).content
    assert b"for other" in (await post(served, BODY.replace(b'"m"', b'"other"'))).content
    limited = orjson.dumps(orjson.loads(BODY) | {"max_tokens": 9})
    assert b"for anthropic" in (await post(served, limited, "/v1/messages")).content


async def test_nth_counts_the_requests_a_rule_covers(play: Play) -> None:
    rules = [
        {"nth": 2, "error": {"status": 429, "headers": {"retry-after": "7"}}},
        {"nth": [3, 4], "error": {"status": 503}},
        {"answer": {"text": "well"}},
    ]
    served = await play({"rules": rules})
    responses = [await post(served) for _ in range(5)]
    assert [response.status_code for response in responses] == [200, 429, 503, 503, 200]
    assert responses[1].headers["retry-after"] == "7"
    usage = await served.usage()
    assert (usage["requests"], usage["answered"], usage["broken"]) == (5, 2, 3)


async def test_a_reset_starts_every_count_again(play: Play) -> None:
    served = await play({"rules": [{"nth": 1, "answer": {"text": "first"}}]})
    assert (await post(served)).status_code == 200
    assert (await post(served)).status_code == 400
    async with httpx2.AsyncClient(base_url=served.url) as http:
        await http.post("/standin/reset")
    usage = await served.usage()
    assert (usage["requests"], usage["by_model"]) == (0, {})
    assert (await post(served)).status_code == 200


async def test_a_request_no_rule_fits_says_so(play: Play) -> None:
    served = await play({"rules": []})
    response = await post(served)
    assert response.status_code == 400
    assert "no rule of the script fits" in response.json()["error"]["message"]


async def test_raw_bytes_arrive_unchanged(play: Play) -> None:
    odd = bytes(range(256)) * 3
    encoded = base64.b64encode(odd).decode()
    raw = {
        "status": 207,
        "headers": {"content-type": "text/odd", "x-one": "1"},
        "chunks": ["data: {broken\n\n", {"base64": encoded}, {"text": "ü", "delay_seconds": 0.05}],
    }
    served = await play({"rules": [{"raw": raw}]})
    started = time.monotonic()
    response = await post(served)
    assert time.monotonic() - started >= 0.05
    assert (response.status_code, response.headers["content-type"]) == (207, "text/odd")
    assert response.content == b"data: {broken\n\n" + odd + "ü".encode()


async def test_a_raw_body_may_be_json(play: Play) -> None:
    served = await play({"rules": [{"raw": {"body": {"a": [1]}}}]})
    response = await post(served)
    assert response.content == b'{"a":[1]}'
    assert response.headers["content-length"] == "9"


async def test_stated_usage_is_told_and_counted(play: Play) -> None:
    rules = [
        {"nth": 1, "answer": {"text": "x"}, "usage": {"input_tokens": 11, "output_tokens": 7}},
        {"raw": {"body": "{}"}, "usage": {"input_tokens": 100, "output_tokens": 1}},
    ]
    served = await play({"rules": rules})
    assert (await post(served)).json()["usage"]["total_tokens"] == 18
    await post(served)
    usage = await served.usage()
    assert (usage["input_tokens"], usage["output_tokens"]) == (111, 8)
    counted = {"requests": 2, "answered": 2, "cancelled": 0, "broken": 0}
    assert usage["by_model"] == {"m": counted | {"input_tokens": 111, "output_tokens": 8}}


async def test_a_generated_stream_has_its_thousand_chunks(play: Play) -> None:
    served = await play({"rules": [{"generate": {"chunks": 1000, "text": "ab "}}]})
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="k") as client:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "go"}], stream=True
        )
        said = [
            chunk.choices[0].delta.content
            async for chunk in stream
            if chunk.choices[0].delta.content
        ]
    assert said == ["ab "] * 1000
    assert (await served.usage())["output_tokens"] > 1000


async def test_a_generated_stream_keeps_its_delays(play: Play) -> None:
    served = await play({"rules": [{"generate": {"chunks": 5, "delay_seconds": 0.03}}]})
    started = time.monotonic()
    await post(served, STREAMED)
    assert time.monotonic() - started >= 5 * 0.03


async def test_a_stream_is_cut_inside_an_event(play: Play) -> None:
    rules = [{"answer": {"text": "one two three four"}, "cut_after_bytes": 400}]
    served = await play({"rules": rules})
    async with httpx2.AsyncClient(base_url=served.url) as http:
        with pytest.raises(httpx2.RemoteProtocolError):
            await http.post(OPENAI, content=STREAMED)
    body = b"".join(
        (await raw_exchange(served, STREAMED)).partition(b"\r\n\r\n")[2].split(b"\r\n")[1::2]
    )
    assert len(body) == 400
    assert body.startswith(b"data: ")
    assert not body.endswith(b"\n\n")
    usage = await served.usage()
    assert (usage["broken"], usage["answered"], usage["output_tokens"]) == (2, 0, 0)


async def test_an_answer_that_is_not_streamed_can_be_cut_too(play: Play) -> None:
    served = await play({"rules": [{"answer": {"text": "x"}, "cut_after_bytes": 40}]})
    with pytest.raises(httpx2.RemoteProtocolError):
        await post(served)
    assert (await served.usage())["broken"] == 1


async def test_a_whole_reply_can_end_without_its_end(play: Play) -> None:
    served = await play({"rules": [{"raw": {"chunks": ["data: 1\n\n"]}, "cut": True}]})
    received = await raw_exchange(served)
    assert received.endswith(b"9\r\ndata: 1\n\n\r\n")


async def test_bare_bytes_need_not_be_http(play: Play) -> None:
    served = await play({"rules": [{"raw": {"bare": True, "chunks": ["not ", "http\x00"]}}]})
    assert await raw_exchange(served) == b"not http\x00"
    with pytest.raises(httpx2.RemoteProtocolError):
        await post(served)
    assert (await served.usage())["broken"] == 2


async def test_a_connection_can_be_closed_without_a_word(play: Play) -> None:
    served = await play({"rules": [{"raw": {"bare": True}}]})
    assert await raw_exchange(served) == b""


async def test_a_caller_who_hangs_up_in_a_stall_is_counted_as_cancelled(play: Play) -> None:
    served = await play({"rules": [{"answer": {"text": "x y z"}, "stall_after_bytes": 100}]})
    async with (
        httpx2.AsyncClient(base_url=served.url) as http,
        http.stream("POST", OPENAI, content=STREAMED) as response,
    ):
        part = await anext(response.aiter_raw())
        assert 0 < len(part) <= 100
    usage = await served.counted("cancelled", 1)
    assert (usage["requests"], usage["answered"], usage["output_tokens"]) == (1, 0, 0)
    assert usage["by_model"]["m"]["cancelled"] == 1


async def test_a_caller_who_hangs_up_before_the_first_byte_is_counted(play: Play) -> None:
    served = await play({"rules": [{"answer": {"text": "x"}, "wait_seconds": 30}]})
    async with httpx2.AsyncClient(base_url=served.url, timeout=0.1) as http:
        with pytest.raises(httpx2.ReadTimeout):
            await http.post(OPENAI, content=BODY)
    await served.counted("cancelled", 1)


async def test_a_caller_who_hangs_up_between_chunks_is_counted(play: Play) -> None:
    served = await play({"rules": [{"generate": {"chunks": 1000, "delay_seconds": 0.02}}]})
    async with (
        httpx2.AsyncClient(base_url=served.url) as http,
        http.stream("POST", OPENAI, content=STREAMED) as response,
    ):
        await anext(response.aiter_raw())
    await served.counted("cancelled", 1)


async def test_a_stall_with_a_length_ends_and_the_answer_goes_on(play: Play) -> None:
    rules = [{"answer": {"text": "x"}, "stall_after_bytes": 10, "stall_seconds": 0.1}]
    served = await play({"rules": rules})
    started = time.monotonic()
    response = await post(served)
    assert time.monotonic() - started >= 0.1
    assert response.json()["choices"][0]["message"]["content"] == "x"


async def test_requests_are_kept_as_they_came(play: Play) -> None:
    served = await play({"rules": [{"answer": {"text": "x"}}]})
    spaced = BODY.replace(b":", b" :  ")
    await post(served, spaced, f"{OPENAI}?a=b")
    async with httpx2.AsyncClient(base_url=served.url) as http:
        [kept] = (await http.get("/standin/requests")).json()["requests"]
    assert base64.b64decode(kept["body_base64"]) == spaced
    assert (kept["path"], kept["query"]) == (OPENAI, "a=b")
    assert ["x-trace", "é"] in kept["headers"]


async def test_totals_hold_under_many_requests_at_once(play: Play) -> None:
    served = await play({"rules": [{"answer": {"text": "hello world"}}]})
    async with httpx2.AsyncClient(base_url=served.url) as http:
        responses = await asyncio.gather(*(http.post(OPENAI, content=BODY) for _ in range(60)))
    told = [response.json()["usage"] for response in responses]
    usage = await served.usage()
    assert usage["answered"] == 60
    assert usage["input_tokens"] == sum(one["prompt_tokens"] for one in told)
    assert usage["output_tokens"] == sum(one["completion_tokens"] for one in told)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("rules: [", "cannot be read"),
        ("rules: [{answer: {text: x}, error: {status: 500}}]", "exactly one of"),
        ("rules: [{}]", "exactly one of"),
        ("rules: [{answer: {txt: x}}]", "unknown field `txt`"),
        ("rule: []", "unknown field `rule`"),
        ("rules: [{raw: {chunks: [{base64: '!'}]}}]", "cannot be read"),
        ("rules: [{generate: {}}]", "missing required field `chunks`"),
        ("- 1", "Expected `object`"),
    ],
)
def test_a_script_that_cannot_be_read_says_why(source: str, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        script_of(source)
    assert says in caught.value.message


def test_an_absent_script_says_so(tmp_path: Any) -> None:
    with pytest.raises(Invalid, match="no script can be read"):
        load_script(tmp_path / "absent.yaml")


def test_json_is_a_script_too() -> None:
    assert script_of('{"models": ["m"], "rules": [{"answer": {"text": "x"}}]}').models == ("m",)
