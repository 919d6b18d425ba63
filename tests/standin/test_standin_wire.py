"""The official SDKs read the stand-in as they read their vendors."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from pydantic import BaseModel

from quarterdeck_standin.tokens import text_tokens
from tests.standin.served import Play, Served

WORDS = "Two calls follow, naïve as they are 👋."
CALLS = [
    {"name": "look_up", "arguments": {"order": 1, "note": "größer"}},
    {"name": "route_ticket", "arguments": {"queue": "a"}},
]
PARALLEL = {"rules": [{"answer": {"text": WORDS, "tool_calls": CALLS}}]}
TEXT = {"rules": [{"answer": {"text": WORDS}}]}
ASKED: list[Any] = [{"role": "user", "content": "hello world"}]
USED = text_tokens("hello world") + 6


class City(BaseModel):
    """A structured answer."""

    name: str
    people: int


def openai_client(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=0)


def openai_async(served: Served) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=0)


def anthropic_client(served: Served) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=served.url, api_key="any", max_retries=0)


def anthropic_async(served: Served) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=served.url, api_key="any", max_retries=0)


async def in_thread(run: Callable[[], None]) -> None:
    """Run a blocking client beside the server."""
    await asyncio.to_thread(run)


async def test_openai_sync_reads_an_answer(play: Play) -> None:
    served = await play(PARALLEL)

    def run() -> None:
        with openai_client(served) as client:
            answer = client.chat.completions.create(model="m", messages=ASKED)
        message = answer.choices[0].message
        assert message.content == WORDS
        check_openai_calls(message.tool_calls)
        assert answer.choices[0].finish_reason == "tool_calls"
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == USED
        assert answer.usage.total_tokens == USED + answer.usage.completion_tokens
        assert answer._request_id

    await in_thread(run)


async def test_openai_sync_reads_a_stream(play: Play) -> None:
    served = await play(TEXT)

    def run() -> None:
        with openai_client(served) as client:
            chunks = list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == WORDS
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert all(chunk.usage is None for chunk in chunks)

    await in_thread(run)


async def test_openai_async_reads_an_answer(play: Play) -> None:
    served = await play(TEXT)
    async with openai_async(served) as client:
        answer = await client.chat.completions.create(model="m", messages=ASKED)
    assert answer.choices[0].message.content == WORDS
    assert answer.model == "m"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == text_tokens(WORDS)


async def test_openai_async_assembles_parallel_calls_from_a_stream(play: Play) -> None:
    served = await play(PARALLEL)
    async with (
        openai_async(served) as client,
        client.chat.completions.stream(
            model="m", messages=ASKED, stream_options={"include_usage": True}
        ) as stream,
    ):
        answer = await stream.get_final_completion()
    check_openai_calls(answer.choices[0].message.tool_calls)
    assert answer.choices[0].message.content == WORDS
    assert answer.usage is not None
    usage = await served.usage()
    assert usage["input_tokens"] == answer.usage.prompt_tokens == USED
    assert usage["output_tokens"] == answer.usage.completion_tokens


async def test_openai_usage_comes_last_and_alone_when_asked_for(play: Play) -> None:
    served = await play(TEXT)
    async with openai_async(served) as client:
        stream = await client.chat.completions.create(
            model="m", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert [chunk.usage is None for chunk in chunks[:-1]] == [True] * (len(chunks) - 1)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None


async def test_openai_parses_a_structured_answer(play: Play) -> None:
    served = await play({"rules": [{"answer": {"json": {"name": "Ghent", "people": 265}}}]})
    async with openai_async(served) as client:
        answer = await client.chat.completions.parse(
            model="m", messages=ASKED, response_format=City
        )
    assert answer.choices[0].message.parsed == City(name="Ghent", people=265)


async def test_openai_images_are_accepted_and_counted(play: Play) -> None:
    served = await play(TEXT)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    content: list[Any] = [{"type": "text", "text": "hello world"}, image]
    async with openai_async(served) as client:
        answer = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": content}]
        )
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == USED + 85


async def test_openai_caps_are_kept(play: Play) -> None:
    served = await play(TEXT)
    async with openai_async(served) as client:
        answer = await client.chat.completions.create(
            model="m", messages=ASKED, max_completion_tokens=2
        )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


async def test_anthropic_sync_reads_an_answer(play: Play) -> None:
    served = await play(PARALLEL)

    def run() -> None:
        with anthropic_client(served) as client:
            answer = client.messages.create(model="m", max_tokens=99, messages=ASKED)
        check_anthropic_blocks(answer.content)
        assert answer.stop_reason == "tool_use"
        assert answer.usage.input_tokens == USED
        assert answer._request_id

    await in_thread(run)


async def test_anthropic_sync_assembles_a_stream(play: Play) -> None:
    served = await play(PARALLEL)

    def run() -> None:
        with (
            anthropic_client(served) as client,
            client.messages.stream(model="m", max_tokens=99, messages=ASKED) as stream,
        ):
            answer = stream.get_final_message()
        check_anthropic_blocks(answer.content)
        assert answer.stop_reason == "tool_use"

    await in_thread(run)


async def test_anthropic_async_reads_an_answer(play: Play) -> None:
    served = await play(TEXT)
    async with anthropic_async(served) as client:
        answer = await client.messages.create(model="m", max_tokens=99, messages=ASKED)
    assert answer.content[0].type == "text"
    assert answer.content[0].text == WORDS
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens == text_tokens(WORDS)


async def test_anthropic_async_assembles_parallel_calls_from_a_stream(play: Play) -> None:
    served = await play(PARALLEL)
    async with (
        anthropic_async(served) as client,
        client.messages.stream(model="m", max_tokens=99, messages=ASKED) as stream,
    ):
        answer = await stream.get_final_message()
    check_anthropic_blocks(answer.content)
    usage = await served.usage()
    assert usage["input_tokens"] == answer.usage.input_tokens == USED
    assert usage["output_tokens"] == answer.usage.output_tokens


async def test_anthropic_reads_conversations_with_tools_and_images(play: Play) -> None:
    """Both dialects count the same conversation alike, tool definitions apart."""
    served = await play(TEXT)
    image = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    result = [{"type": "text", "text": "done"}]
    messages: list[Any] = [
        {"role": "user", "content": [{"type": "image", "source": image}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t1", "content": result}],
        },
    ]
    async with anthropic_async(served) as client:
        answer = await client.messages.create(
            model="m", max_tokens=99, system="be brief", messages=messages
        )
    words = sum(text_tokens(text) for text in ("be brief", "f", '{"a":1}', "done"))
    assert answer.usage.input_tokens == words + 85 + 5 * 3


async def test_models_are_listed_in_either_dialect(play: Play) -> None:
    served = await play({"models": ["alpha", "beta"], "rules": []})
    async with openai_async(served) as client:
        assert [model.id async for model in client.models.list()] == ["alpha", "beta"]
    async with anthropic_async(served) as other:
        assert [model.id async for model in other.models.list()] == ["alpha", "beta"]


@pytest.mark.parametrize(
    ("status", "kind", "of_openai", "of_anthropic"),
    [
        (401, "authentication_error", openai.AuthenticationError, anthropic.AuthenticationError),
        (404, "not_found_error", openai.NotFoundError, anthropic.NotFoundError),
        (429, "rate_limit_error", openai.RateLimitError, anthropic.RateLimitError),
        (500, "api_error", openai.InternalServerError, anthropic.InternalServerError),
        (529, "overloaded_error", openai.InternalServerError, anthropic.InternalServerError),
    ],
)
async def test_errors_come_in_each_vendors_envelope(
    play: Play, status: int, kind: str, of_openai: type[Exception], of_anthropic: type[Exception]
) -> None:
    error = {"status": status, "kind": kind, "message": "so it is", "headers": {"retry-after": "3"}}
    served = await play({"rules": [{"error": error}]})
    async with openai_async(served) as client:
        with pytest.raises(of_openai) as caught:
            await client.chat.completions.create(model="m", messages=ASKED)
    assert isinstance(caught.value, openai.APIStatusError)
    assert caught.value.body == {"message": "so it is", "type": kind, "param": None, "code": None}
    assert caught.value.response.headers["retry-after"] == "3"
    async with anthropic_async(served) as other:
        with pytest.raises(of_anthropic) as raised:
            await other.messages.create(model="m", max_tokens=9, messages=ASKED)
    assert isinstance(raised.value, anthropic.APIStatusError)
    assert raised.value.body == {"type": "error", "error": {"type": kind, "message": "so it is"}}
    usage = await served.usage()
    assert (usage["requests"], usage["broken"], usage["input_tokens"]) == (2, 2, 0)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"model": "m"}',
        b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 3}',
        b'{"model": "m", "max_tokens": 3, "messages": []}',
        b'{"model": "m", "max_tokens": 3, "messages": [7]}',
        b'{"model": "m", "max_tokens": 3, "messages": [{"role": "wizard", "content": "x"}]}',
        b'{"model": "m", "max_tokens": 3, "messages": [{"role": "user", "content": [7]}]}',
        b'{"model": "m", "max_tokens": 3, "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "m", "max_tokens": 3, "tools": [{}], "messages": [{"role": "user"}]}',
    ],
)
async def test_a_body_that_cannot_be_read_is_the_callers_mistake(
    play: Play, path: str, body: bytes
) -> None:
    served = await play(TEXT)
    async with httpx2.AsyncClient(base_url=served.url) as http:
        response = await http.post(path, content=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert (await served.usage())["broken"] == 1


async def test_an_unknown_route_is_not_found(play: Play) -> None:
    served = await play(TEXT)
    async with httpx2.AsyncClient(base_url=served.url) as http:
        response = await http.get("/v1/chat/completions")
    assert response.status_code == 404
    assert (await served.usage())["requests"] == 0


def check_openai_calls(calls: Any) -> None:
    """The scripted calls, whole and in order, under ids of their own."""
    assert [call.function.name for call in calls] == [call["name"] for call in CALLS]
    said = [json.loads(call.function.arguments) for call in calls]
    assert said == [call["arguments"] for call in CALLS]
    assert len({call.id for call in calls}) == len(CALLS)


def check_anthropic_blocks(blocks: Any) -> None:
    """The scripted words and calls, whole and in order."""
    text, *calls = blocks
    assert text.text == WORDS
    assert [(call.name, call.input) for call in calls] == [
        (call["name"], call["arguments"]) for call in CALLS
    ]
