"""Classify mode, asked as an agent asks it: by the official SDK, over HTTP."""

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from quarterdeck.domain.errors import Invalid
from quarterdeck_standin.app import StandIn
from quarterdeck_standin.classifier import Guess
from quarterdeck_standin.conversation import Turn
from quarterdeck_standin.triage import MODEL, Ticket, Triage, brief_of, decision, ticket_of
from tests.standin.served import Serve, Served

TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("route_ticket", "escalate")
]
CLEAR = "The teapot arrived in pieces."
UNCLEAR = "hm"


def ticket(text: str) -> str:
    """A user message as the support desk sends it."""
    return json.dumps({"ticket": "T-000123", "text": text})


async def ask(served: Served, prompt: str, user: str, **more: Any) -> Any:
    """One question to the model, with both tools offered."""
    messages: list[Any] = [
        {"role": "system", "content": prompt},
        {"role": "user", "content": user},
        *more.pop("then", []),
    ]
    more = {"tools": TOOLS} | more
    async with openai.AsyncOpenAI(
        base_url=f"{served.url}/v1", api_key="any", max_retries=0
    ) as client:
        return await client.chat.completions.create(model=MODEL, messages=messages, **more)


async def called(served: Served, prompt: str, user: str) -> tuple[str, dict[str, Any]]:
    """The one tool call that answers a question."""
    answer = await ask(served, prompt, user)
    assert answer.choices[0].finish_reason == "tool_calls"
    [call] = answer.choices[0].message.tool_calls
    return call.function.name, json.loads(call.function.arguments)


@pytest.fixture
async def desk(serve: Serve, sample: Path) -> Served:
    """A served triage model over the sample."""
    return await serve(StandIn(Triage(sample)))


async def test_a_clear_question_is_routed(desk: Served, prompt: str) -> None:
    name, arguments = await called(desk, prompt, ticket(CLEAR))
    assert name == "route_ticket"
    assert arguments["ticket"] == "T-000123"
    assert arguments["queue"] == "damaged_item"
    assert 0.8 < arguments["confidence"] <= 1
    assert round(arguments["confidence"], 4) == arguments["confidence"]
    assert set(arguments) == {"ticket", "queue", "confidence"}


async def test_an_unclear_question_is_escalated_with_candidates(desk: Served, prompt: str) -> None:
    name, arguments = await called(desk, prompt, ticket(UNCLEAR))
    assert name == "escalate"
    assert arguments["ticket"] == "T-000123"
    assert "routing needs" in arguments["reason"]
    confidences = [candidate["confidence"] for candidate in arguments["candidates"]]
    assert len(confidences) == 3
    assert confidences == sorted(confidences, reverse=True)


async def test_plain_text_is_a_ticket_without_an_id(desk: Served, prompt: str) -> None:
    name, arguments = await called(desk, prompt, CLEAR)
    assert (name, arguments["ticket"]) == ("route_ticket", "")


async def test_without_tools_the_decision_comes_as_json_text(desk: Served, prompt: str) -> None:
    answer = await ask(desk, prompt, ticket(CLEAR), tools=openai.omit)
    assert json.loads(answer.choices[0].message.content)["queue"] == "damaged_item"
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("name", "result", "words"),
    [
        ("route_ticket", '{"routed": true}', "Routed T-000123 to card_arrival."),
        ("route_ticket", "denied by budget", "Could not route T-000123 to card_arrival: denied by"),
        ("route_ticket", '{"routed": false}', "Could not route T-000123 to card_arrival"),
        ("escalate", "{}", "Escalated T-000123 to a person."),
    ],
)
async def test_after_a_result_the_model_says_what_became_of_the_ticket(
    desk: Served, prompt: str, name: str, result: str, words: str
) -> None:
    arguments = json.dumps({"ticket": "T-000123", "queue": "card_arrival"})
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    then = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": result},
    ]
    answer = await ask(desk, prompt, ticket(CLEAR), then=then)
    assert answer.choices[0].message.content.startswith(words)
    assert answer.choices[0].finish_reason == "stop"


async def test_a_prompt_that_names_a_file_outside_is_refused(desk: Served, prompt: str) -> None:
    for name in ("../prompts/triage.md", "/etc/passwd", "test.csv", "absent.csv"):
        with pytest.raises(openai.BadRequestError):
            await ask(desk, prompt.replace("train.csv", name), ticket(CLEAR))
    usage = await desk.usage()
    assert (usage["answered"], usage["broken"]) == (0, 4)


async def test_a_higher_target_in_the_prompt_escalates_more(desk: Served, prompt: str) -> None:
    question = ticket("Can you please check on the blanket I bought?")
    eager = prompt.replace("97.5", "50")
    strict = prompt.replace("97.5", "100")
    assert (await called(desk, eager, question))[0] == "route_ticket"
    assert (await called(desk, strict, question))[0] == "escalate"


async def test_many_first_requests_train_once(sample: Path) -> None:
    triage = Triage(sample)
    classifiers = await asyncio.gather(*(triage.classifier("train.csv") for _ in range(4)))
    assert len({id(classifier) for classifier in classifiers}) == 1


async def test_changed_examples_are_learnt_anew(serve: Serve, tmp_path: Path, prompt: str) -> None:
    file = tmp_path / "train.csv"
    rows = [f"apple pie {n},fruit\nold car {n},cars" for n in range(10)]
    file.write_text("text,category\n" + "\n".join(rows) + "\n")
    desk = await serve(StandIn(Triage(tmp_path)))
    assert (await called(desk, prompt, "apple pie"))[1]["queue"] == "fruit"
    file.write_text(file.read_text().replace("fruit", "dessert"))
    assert (await called(desk, prompt, "apple pie"))[1]["queue"] == "dessert"


def test_a_prompt_without_its_two_lines_is_refused() -> None:
    examples = "Labelled examples: train.csv"
    with pytest.raises(Invalid, match="names no labelled examples"):
        brief_of("Be good.")
    with pytest.raises(Invalid, match="does not say when to route"):
        brief_of(examples)
    for rate in ("0", "101"):
        with pytest.raises(Invalid):
            brief_of(f"{examples}\nRoute when at least {rate} in 100 such answers are right.")


def test_the_packaged_prompt_has_its_two_lines(prompt: str) -> None:
    brief = brief_of(prompt)
    assert (brief.examples, brief.target) == ("train.csv", 0.975)
    lines = prompt.splitlines()
    assert "Labelled examples: train.csv" in lines
    routing = "Route when at least 97.5 in 100 such answers are right; otherwise escalate."
    assert routing in lines


def test_a_ticket_is_read_from_json_and_nothing_else() -> None:
    assert ticket_of(Turn(role="user", text='{"ticket": 7, "text": "x"}')) == Ticket(
        id="7", text="x"
    )
    for text in ("", "[1]", '{"ticket": "T"}', '{"text": 3}', "{broken"):
        assert ticket_of(Turn(role="user", text=text)) == Ticket(id="", text=text)


def test_a_guess_exactly_at_the_cut_is_routed() -> None:
    guesses = (Guess(queue="a", confidence=0.8), Guess(queue="b", confidence=0.2))
    asked = Ticket(id="T", text="")
    assert decision(asked, guesses, 0.8).name == "route_ticket"
    assert decision(asked, guesses, 0.8000001).name == "escalate"
