"""OpenAI's SDK reads the stand-in's responses and embeddings, Anthropic's its token counts."""

from typing import Any

import anthropic
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
TOOLS: list[Any] = [
    {"type": "function", "name": "look_up", "parameters": {"type": "object"}, "strict": False}
]


class City(BaseModel):
    """A structured answer."""

    name: str
    people: int


def client_of(served: Served) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=0)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_response_with_text_and_calls_is_read(play: Play, streamed: bool) -> None:
    served = await play({"rules": [{"answer": {"text": WORDS, "tool_calls": CALLS}}]})
    async with client_of(served) as client:
        if streamed:
            async with client.responses.stream(model="m", input="hello", tools=TOOLS) as stream:
                pieces = [
                    event.delta
                    async for event in stream
                    if event.type == "response.output_text.delta"
                ]
                answer: Any = await stream.get_final_response()
            assert "".join(pieces) == WORDS
            assert len(pieces) > 3
        else:
            answer = await client.responses.create(model="m", input="hello", tools=TOOLS)
    assert answer.output_text == WORDS
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["look_up", "route_ticket"]
    assert '"größer"' in calls[0].arguments
    counted = await served.usage()
    assert answer.usage.input_tokens == counted["input_tokens"] > text_tokens("hello")
    assert answer.usage.output_tokens == counted["output_tokens"]
    assert answer.status == "completed"


async def test_a_whole_conversation_of_items_is_read(play: Play) -> None:
    served = await play(
        {
            "rules": [
                {"results": 0, "answer": {"tool_calls": CALLS}},
                {"results": 2, "answer": {"text": "Done."}},
            ]
        }
    )
    items: Any = [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}]
    async with client_of(served) as client:
        first = await client.responses.create(
            model="m", input=items, instructions="Be brief.", tools=TOOLS
        )
        items += [item.model_dump() for item in first.output]
        for item in first.output:
            assert item.type == "function_call"
            items.append(
                {"type": "function_call_output", "call_id": item.call_id, "output": "found"}
            )
        second = await client.responses.create(model="m", input=items, instructions="Be brief.")
    assert second.output_text == "Done."


async def test_structured_answers_and_caps_are_read(play: Play) -> None:
    served = await play(
        {
            "rules": [
                {"nth": 1, "answer": {"json": {"name": "Bern", "people": 1}}},
                {"answer": {"text": "one two three four five"}},
            ]
        }
    )
    async with client_of(served) as client:
        parsed = await client.responses.parse(model="m", input="?", text_format=City)
        assert parsed.output_parsed == City(name="Bern", people=1)
        cut = await client.responses.create(model="m", input="?", max_output_tokens=2)
    assert cut.status == "incomplete"
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"
    assert cut.output_text == "one two"


async def test_what_cannot_be_read_is_told_in_the_envelope(play: Play) -> None:
    served = await play({"rules": [{"answer": {"text": "no"}}]})
    async with client_of(served) as client:
        with pytest.raises(openai.BadRequestError, match="web_search"):
            await client.responses.create(model="m", input="?", tools=[{"type": "web_search"}])
        with pytest.raises(openai.BadRequestError, match="at least one"):
            await client.embeddings.create(model="m", input=[])


@pytest.mark.parametrize("size", [None, 64])
async def test_texts_that_share_words_lie_close_together(play: Play, size: int | None) -> None:
    served = await play({})
    texts = ["my card has not arrived", "when will my card arrive", "exchange rate of the euro"]
    async with client_of(served) as client:
        more: Any = {} if size is None else {"dimensions": size}
        answer = await client.embeddings.create(model="m", input=texts, **more)
        listed = await client.embeddings.create(
            model="m", input=texts, encoding_format="float", **more
        )
    one, two, three = (item.embedding for item in answer.data)
    assert len(one) == (size or 256)
    assert one == pytest.approx(listed.data[0].embedding, abs=1e-6)

    def near(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert near(one, one) == pytest.approx(1, abs=1e-5)
    assert near(one, two) > near(one, three) + 0.2
    counted = await served.usage()
    assert answer.usage.prompt_tokens == sum(text_tokens(text) for text in texts)
    assert counted["input_tokens"] == 2 * answer.usage.prompt_tokens


async def test_tokens_are_counted_as_they_would_be_billed_and_are_not_billed(play: Play) -> None:
    served = await play({"rules": [{"answer": {"text": "yes"}}]})
    asked: Any = [{"role": "user", "content": "hello world"}]
    async with anthropic.AsyncAnthropic(base_url=served.url, api_key="any") as client:
        counted = await client.messages.count_tokens(model="m", messages=asked, system="Be brief.")
        assert (await served.usage())["input_tokens"] == 0
        answer = await client.messages.create(
            model="m", messages=asked, system="Be brief.", max_tokens=9
        )
    assert counted.input_tokens == answer.usage.input_tokens


async def test_a_rule_can_ask_what_is_offered_and_calls_it_by_the_offered_name(play: Play) -> None:
    served = await play(
        {
            "rules": [
                {"offers": "look_up", "answer": {"tool_calls": CALLS[:1]}},
                {"answer": {"text": "nothing offered"}},
            ]
        }
    )
    async with client_of(served) as client:
        bare = await client.responses.create(model="m", input="?")
        offered: Any = [TOOLS[0] | {"name": "mcp__desk__look_up"}]
        calling = await client.responses.create(model="m", input="?", tools=offered)
    assert bare.output_text == "nothing offered"
    assert calling.output[0].name == "mcp__desk__look_up"  # type: ignore[union-attr]
