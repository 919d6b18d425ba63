"""The same agent on each face of the vendors' SDKs: blocking and awaited, whole and streamed."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anthropic
import openai

Ask = Callable[[list[Any]], Awaitable[Any]]
QUESTION: Final = "Order 7 has not come. Is it late? If so, file a note."
_ORDER: Final = {"order": {"type": "integer"}}
SCHEMAS: Final[dict[str, Any]] = {
    "look_up_order": {"type": "object", "properties": _ORDER},
    "file_note": {"type": "object", "properties": _ORDER | {"text": {"type": "string"}}},
}
OPENAI_TOOLS: Final[Any] = [
    {"type": "function", "function": {"name": name, "parameters": schema}}
    for name, schema in SCHEMAS.items()
]
ANTHROPIC_TOOLS: Final[Any] = [
    {"name": name, "input_schema": schema} for name, schema in SCHEMAS.items()
]


async def on_openai(url: str, key: str, *, awaited: bool, streamed: bool) -> tuple[str, list[str]]:
    """The agent on OpenAI's SDK: its answer, and the tools it called."""
    given = {"model": "standin-1", "tools": OPENAI_TOOLS}
    arguments = {"base_url": f"{url}/openai/v1", "api_key": key}

    async def awaiting(messages: list[Any]) -> Any:
        async with openai.AsyncOpenAI(**arguments) as client:
            if not streamed:
                answer = await client.chat.completions.create(messages=messages, **given)
                return answer.choices[0].message
            async with client.chat.completions.stream(messages=messages, **given) as stream:
                _ = [event async for event in stream]
                return (await stream.get_final_completion()).choices[0].message

    def blocking(messages: list[Any]) -> Any:
        with openai.OpenAI(**arguments) as client:
            if not streamed:
                answer = client.chat.completions.create(messages=messages, **given)
                return answer.choices[0].message
            with client.chat.completions.stream(messages=messages, **given) as stream:
                _ = list(stream)
                return stream.get_final_completion().choices[0].message

    ask: Ask = awaiting if awaited else lambda said: asyncio.to_thread(blocking, said)
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    called: list[str] = []
    while (said := await ask(messages)).tool_calls:
        messages.append(said.model_dump(exclude_none=True, exclude={"parsed"}))
        for call in said.tool_calls:
            assert json.loads(call.function.arguments)["order"] == 7
            called.append(call.function.name)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "late"})
    return said.content, called


async def on_anthropic(
    url: str, key: str, *, awaited: bool, streamed: bool
) -> tuple[str, list[str]]:
    """The agent on Anthropic's SDK."""
    given: Any = {"model": "standin-2", "max_tokens": 500, "tools": ANTHROPIC_TOOLS}
    arguments = {"base_url": f"{url}/anthropic", "api_key": key}

    async def awaiting(messages: list[Any]) -> Any:
        async with anthropic.AsyncAnthropic(**arguments) as client:
            if not streamed:
                return await client.messages.create(messages=messages, **given)
            async with client.messages.stream(messages=messages, **given) as stream:
                return await stream.get_final_message()

    def blocking(messages: list[Any]) -> Any:
        with anthropic.Anthropic(**arguments) as client:
            if not streamed:
                return client.messages.create(messages=messages, **given)
            with client.messages.stream(messages=messages, **given) as stream:
                return stream.get_final_message()

    ask: Ask = awaiting if awaited else lambda said: asyncio.to_thread(blocking, said)
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    called: list[str] = []
    while (said := await ask(messages)).stop_reason == "tool_use":
        calls = [block for block in said.content if block.type == "tool_use"]
        assert all(call.input["order"] == 7 for call in calls)
        called += [call.name for call in calls]
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": "late"} for call in calls
        ]
        messages += [
            {"role": "assistant", "content": said.content},
            {"role": "user", "content": results},
        ]
    return said.content[0].text, called
