"""Both dialects against recorded exchanges with real vendors.

The recordings lie beside the repository; each holds the bytes of a request and of its answer. The
oracle is slow and obvious: the standard library's JSON over the whole body, line by line.
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from quarterdeck.domain.dialects import SPOKEN
from quarterdeck.domain.dialects.sse import Splitter
from quarterdeck.domain.limits import OUTPUT_TOKENS_DEFAULT
from quarterdeck.domain.money import Usage

RECORDINGS = Path(__file__).parents[2].parent / "shared" / "data" / "wire"
ENDS = {"openai": "/chat/completions", "anthropic": "/messages"}
COUNTS = {
    "openai": Counter(whole=215, streamed=52, failed=3),
    "anthropic": Counter(whole=44, streamed=37),
}
pytestmark = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason=f"no recorded exchanges: {RECORDINGS} does not exist"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One recorded request and its answer."""

    file: str
    request: bytes
    status: int
    answer: bytes
    streamed: bool

    @property
    def kind(self) -> str:
        return "failed" if self.status >= 400 else "streamed" if self.streamed else "whole"


def body_of(recorded: Any) -> bytes:
    written = recorded.get("string") if isinstance(recorded, dict) else recorded
    body = written.encode() if isinstance(written, str) else bytes(written or b"")
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


def read(dialect: str) -> Iterator[Exchange]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for file in sorted((RECORDINGS / dialect).glob("*.yaml")):
        for seen in yaml.load(file.read_bytes(), loader)["interactions"]:
            path = seen["request"]["uri"].partition("?")[0]
            # `/threads/…/messages` is another interface of the same vendor.
            if not path.endswith(ENDS[dialect]) or "/threads/" in path:
                continue
            request = body_of(seen["request"]["body"])
            answer = body_of(seen["response"]["body"])
            yield Exchange(
                file=file.name,
                request=request,
                status=seen["response"]["status"]["code"],
                answer=answer,
                streamed=bool(json.loads(request).get("stream")),
            )


@lru_cache
def exchanges(dialect: str) -> tuple[Exchange, ...]:
    return tuple(read(dialect))


def events_of(answer: bytes) -> list[Any]:
    lines = answer.decode().splitlines()
    data = [line[5:].strip() for line in lines if line.startswith("data:")]
    return [json.loads(d) for d in data if d != "[DONE]"]


def reported(dialect: str, exchange: Exchange) -> dict[str, Any] | None:
    """The usage object of an answer, with a stream's pieces laid over one another."""
    if not exchange.streamed:
        found: dict[str, Any] | None = json.loads(exchange.answer).get("usage")
        return found
    together: dict[str, Any] = {}
    for event in events_of(exchange.answer):
        together |= event.get("usage") or (event.get("message") or {}).get("usage") or {}
    return together or None


def buckets(dialect: str, usage: dict[str, Any] | None) -> Usage | None:
    if usage is None:
        return None
    if dialect == "anthropic":
        return Usage(
            input=usage["input_tokens"],
            cache_read=usage.get("cache_read_input_tokens") or 0,
            cache_write=usage.get("cache_creation_input_tokens") or 0,
            output=usage["output_tokens"],
        )
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return Usage(
        input=usage["prompt_tokens"] - cached,
        cache_read=cached,
        output=usage["completion_tokens"] - reasoning,
        reasoning=reasoning,
    )


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_the_recordings_are_all_here(dialect: str) -> None:
    assert Counter(e.kind for e in exchanges(dialect)) == COUNTS[dialect]


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_every_recorded_request_is_read_as_it_was_meant(dialect: str) -> None:
    for exchange in exchanges(dialect):
        plain = json.loads(exchange.request)
        request = SPOKEN[dialect].peek(exchange.request, frozenset())
        deployment = plain.get("model")
        assert (request.model, request.stream) == (deployment, exchange.streamed), exchange.file
        messages = list(plain["messages"])
        if "system" in plain:
            messages.insert(0, plain["system"])
        assert [json.loads(p) for p in request.content.parts] == messages
        kept = {k: v for k, v in plain.items() if k not in ("messages", "system")}
        if dialect == "openai":
            kept |= {"system": plain["system"]} if "system" in plain else {}
        assert json.loads(request.content.rest) == kept
        assert request.unknown == ()

        sent = json.loads(request.forward)
        expected = dict(plain)
        if dialect == "openai":
            if exchange.streamed:
                expected["stream_options"] = {"include_usage": True}
            if "max_tokens" not in plain:
                expected["max_completion_tokens"] = OUTPUT_TOKENS_DEFAULT
        assert sent == expected
        assert request.forward.endswith(exchange.request[1:])


def test_only_requests_whose_images_the_vendor_would_fetch_are_refused() -> None:
    refused: Counter[str] = Counter()
    for dialect in COUNTS:
        for exchange in exchanges(dialect):
            findings = SPOKEN[dialect].peek(exchange.request, frozenset()).findings
            fetched = b'"url":"http' in exchange.request.replace(b": ", b":")
            assert bool(findings) == fetched, exchange.file
            refused.update(r.rule for v in findings for r in v.reasons)
    assert refused == {"wire:fetched-content": 9}


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_the_bound_of_every_recorded_request_holds_for_what_it_used(dialect: str) -> None:
    held = 0
    for exchange in exchanges(dialect):
        used = buckets(dialect, reported(dialect, exchange)) if exchange.status < 400 else None
        if used is not None:
            tokens = SPOKEN[dialect].peek(exchange.request, frozenset()).tokens
            assert used.input + used.cache_read + used.cache_write <= tokens.input_max
            assert used.output + used.reasoning <= tokens.output_max, exchange.file
            held += 1
    assert held == {"openai": 214, "anthropic": 81}[dialect]


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_whole_answers_report_the_usage_and_the_model_their_bodies_say(dialect: str) -> None:
    found: Counter[str] = Counter()
    for exchange in exchanges(dialect):
        if exchange.kind == "streamed":
            continue
        plain = json.loads(exchange.answer)
        read = SPOKEN[dialect].usage_of_answer(exchange.answer)
        expected = buckets(dialect, plain.get("usage"))
        assert read == (None if expected is None else (expected, plain["model"])), exchange.file
        found["none" if expected is None else "reported"] += 1
        # Three answers hold an error although their status is 200: Azure's filter of prompts.
        if "error" not in plain:
            assert SPOKEN[dialect].text_of(exchange.answer) == text(dialect, plain)
            assert [c.name for c in SPOKEN[dialect].tool_calls(exchange.answer)] == calls(
                dialect, plain
            )
    assert (
        found
        == {
            "openai": {"reported": 212, "none": 6},
            "anthropic": {"reported": 44},
        }[dialect]
    )


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_streamed_answers_report_what_their_events_say_however_they_are_cut(dialect: str) -> None:
    found: Counter[str] = Counter()
    for exchange in exchanges(dialect):
        if exchange.kind != "streamed":
            continue
        expected = buckets(dialect, reported(dialect, exchange))
        events = events_of(exchange.answer)
        for size in (1, 7, 1000, len(exchange.answer)):
            reader = SPOKEN[dialect].open_stream_reader()
            for at in range(0, len(exchange.answer), size):
                reader.feed(exchange.answer[at : at + size])
            assert reader.usage == expected, exchange.file
            assert reader.finished
            assert reader.error is None
            assert reader.model == (events[0].get("message") or events[0])["model"]
            said = said_in(dialect, events)
            answer = reader.answer()
            assert SPOKEN[dialect].text_of(answer) == said["text"]
            assert [c.arguments.decode() for c in SPOKEN[dialect].tool_calls(answer)] == [
                said["arguments"][i] for i in sorted(said["arguments"])
            ]
            assert reader.output_bytes >= len(said["text"].encode())
        found["none" if expected is None else "reported"] += 1
    assert found == {"openai": {"none": 50, "reported": 2}, "anthropic": {"reported": 37}}[dialect]


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_recorded_streams_split_into_their_own_bytes(dialect: str) -> None:
    events = 0
    for exchange in exchanges(dialect):
        if exchange.kind == "streamed":
            splitter = Splitter()
            found = splitter.feed(exchange.answer)
            assert b"".join(found) + splitter.rest == exchange.answer
            assert splitter.rest == b""
            assert dialect != "openai" or not any(map(SPOKEN[dialect].is_usage_only, found))
            events += len(found)
    assert events == {"openai": 1244, "anthropic": 1538}[dialect]


def text(dialect: str, plain: Any) -> str:
    if dialect == "anthropic":
        return "".join(b["text"] for b in plain["content"] if b["type"] == "text")
    message = plain["choices"][0].get("message") or {}  # Azure filters leave none
    return message.get("content") or message.get("refusal") or ""


def calls(dialect: str, plain: Any) -> list[str]:
    if dialect == "anthropic":
        return [b["name"] for b in plain["content"] if b["type"] == "tool_use"]
    message = plain["choices"][0].get("message") or {}  # Azure filters leave none
    called = [c["function"] for c in message.get("tool_calls") or ()]
    called += [message["function_call"]] if message.get("function_call") else []
    return [c["name"] for c in called]


def said_in(dialect: str, events: list[Any]) -> dict[str, Any]:
    """The text and the tool calls' arguments of a stream, by plain addition."""
    written, arguments = "", dict[int, str]()
    for event in events:
        if dialect == "anthropic":
            delta = event.get("delta") or {}
            written += delta.get("text") or ""
            if "partial_json" in delta:
                at = event["index"]
                arguments[at] = arguments.get(at, "") + delta["partial_json"]
            continue
        for choice in event["choices"]:
            written += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls") or ():
                at = call["index"]
                arguments[at] = arguments.get(at, "") + call["function"].get("arguments", "")
    return {"text": written, "arguments": arguments}
