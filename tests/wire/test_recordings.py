"""Every recorded exchange with a real vendor, played through the real gateway over real sockets.

Bytes come out as the vendor sent them, compressed or not, however they are cut; usage is what the
vendor reported, estimated and marked where it reported none; other routes are a 404 of the vendor.
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from quarterdeck.domain.actions import Address
from quarterdeck.domain.conversations import message_of, messages_of_answer
from quarterdeck.domain.dialects import WIRES
from quarterdeck.gateways.llm.routes import IN_BODY, IN_URL
from tests.serving import Running, running
from tests.wire.fleets import fleet_of
from tests.wire.recordings import (
    FOLDER,
    NUMBER,
    WHY_ABSENT,
    Exchange,
    Playback,
    exchanges,
    route_of,
    serving,
)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=WHY_ABSENT)

#: How many recordings there are of each route that is served, and what their answers report.
SERVED = {
    "/openai/v1/chat/completions": Counter(reported=193, estimated=53),
    "/openai/v1/responses": Counter(reported=32),
    "/openai/v1/embeddings": Counter(reported=30),
    "/openai/v1/completions": Counter(reported=42, estimated=18),
    "/azure/openai/deployments/{deployment}/chat/completions": Counter(reported=21, estimated=3),
    "/azure/openai/deployments/{deployment}/embeddings": Counter(reported=6, estimated=6),
    "/anthropic/v1/messages": Counter(reported=81),
    "/bedrock/model/{id}/invoke": Counter(reported=3),
}
#: And of those that are not: they exist nowhere here.
ELSEWHERE = Counter(
    {
        "anthropic": 3,  # /v1/complete
        "openai": 166,  # assistants, threads and their runs, pictures
    }
)


ENDPOINTS = {**IN_BODY, **{path: wire for path, (wire, _) in IN_URL.items()}}


def pattern_of(path: str) -> str:
    """A route as the table has it."""
    parts = path.split("?")[0].split("/")
    if parts[1] == "azure":
        parts[4] = "{deployment}"
    if parts[1] == "bedrock":
        parts[3] = "{id}"
    return "/".join(parts)


def models_of(dialect: str, found: list[Exchange]) -> set[str]:
    if dialect in ("azure", "bedrock"):
        return {route_of(e).split("/")[4 if dialect == "azure" else 3] for e in found}
    return {e.asked["model"] for e in found}


def by_dialect(found: list[Exchange]) -> dict[str, list[Exchange]]:
    sorted_: dict[str, list[Exchange]] = {}
    for exchange in found:
        sorted_.setdefault(route_of(exchange).split("/")[1], []).append(exchange)
    return sorted_


def served() -> list[Exchange]:
    return [e for e in exchanges() if pattern_of(route_of(e)) in SERVED]


def plain(exchange: Exchange) -> bytes:
    coded = dict(exchange.headers).get("content-encoding") == "gzip"
    return gzip.decompress(exchange.answer) if coded else exchange.answer


def events_of(answer: bytes) -> Iterator[Any]:
    for line in answer.decode().splitlines():
        if line.startswith("data:") and line[5:].strip() != "[DONE]":
            yield json.loads(line[5:])


def reported(exchange: Exchange) -> dict[str, int] | None:
    """The usage an answer reports, in our buckets: by the standard library, the slow way."""
    usage: dict[str, Any] = {}
    if exchange.asked.get("stream"):
        for event in events_of(plain(exchange)):
            for holder in (event, event.get("message"), event.get("response")):
                usage |= (holder or {}).get("usage") or {}
    elif exchange.status < 400:
        usage = json.loads(plain(exchange)).get("usage") or {}
    if not usage:
        return None
    given = usage.get("prompt_tokens", usage.get("input_tokens", 0))
    made = usage.get("completion_tokens", usage.get("output_tokens", 0))
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    inside = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    cached, thought = details.get("cached_tokens") or 0, inside.get("reasoning_tokens") or 0
    buckets = {
        "input": given - cached,
        "cache_read": cached + (usage.get("cache_read_input_tokens") or 0),
        "cache_write": usage.get("cache_creation_input_tokens") or 0,
        "output": made - thought,
        "reasoning": thought,
    }
    return {name: tokens for name, tokens in buckets.items() if tokens}


async def ask(
    client: httpx2.AsyncClient, exchange: Exchange, number: int, credential: str
) -> tuple[httpx2.Response, bytes]:
    """The recorded request, and the answer's bytes as they came, not decompressed."""
    headers = {
        "authorization": f"Bearer {credential}",
        "content-type": "application/json",
        "accept-encoding": "gzip, deflate, br, zstd",
        NUMBER: str(number),
    }
    async with client.stream(
        exchange.method, route_of(exchange), content=exchange.request, headers=headers
    ) as answer:
        return answer, b"".join([part async for part in answer.aiter_raw()])


async def actions_of(server: Running, runs: list[str]) -> dict[str, dict[str, Any]]:
    return {a["id"]: a for run in runs for a in await server.actions(run)}


async def test_every_recording_of_a_served_route_passes_byte_for_byte(tmp_path: Path) -> None:
    played = served()
    vendor, counted = Playback(played), dict[str, Counter[str]]()
    compressed = 0
    async with serving(vendor) as url:
        sorted_ = by_dialect(played)
        files, agents = fleet_of(url, {d: models_of(d, found) for d, found in sorted_.items()})
        async with running(tmp_path, files) as server:
            runs = {agent: await server.start_run(agent) for agent in set(agents.values())}
            asked: list[tuple[Exchange, str]] = []
            async with httpx2.AsyncClient(base_url=server.url, timeout=30) as client:
                for number, exchange in enumerate(played):
                    dialect = route_of(exchange).split("/")[1]
                    [model] = models_of(dialect, [exchange])
                    run = runs[agents[(dialect, model)]]
                    answer, body = await ask(client, exchange, number, run.credential)
                    assert answer.status_code == exchange.status, (exchange.file, body)
                    assert body == exchange.answer, exchange.file
                    for name, value in exchange.headers:
                        assert answer.headers[name] == value
                    compressed += "content-encoding" in dict(exchange.headers)
                    asked.append((exchange, answer.headers["x-quarterdeck-action-id"]))
                    check_sent(exchange, *vendor.seen[number])
            known = await actions_of(server, [run.id for run in runs.values()])
    for exchange, action in asked:
        row, expected = known[action], reported(exchange)
        source = "estimated" if expected is None else "reported"
        assert row["usage_source"] == source, exchange.file
        if expected is not None:
            assert row["usage"] == expected, exchange.file
        counted.setdefault(pattern_of(route_of(exchange)), Counter())[source] += 1
    assert counted == SERVED
    assert (len(asked), compressed) == (488, 309)


def check_sent(exchange: Exchange, path: str, body: bytes) -> None:
    """The vendor got the path its own SDK would have asked, and the request but for our edits."""
    sent, asked = json.loads(body), exchange.asked
    added = sent.keys() - asked.keys()
    assert added <= {"stream_options", "max_completion_tokens", "max_output_tokens"}
    assert {name: sent[name] for name in asked} == asked
    assert body.endswith(exchange.request[1:]), "in their own bytes"
    where, _, query = path.partition("?")
    assert where.endswith(exchange.path.removeprefix("/v1").removeprefix("/beta"))
    assert query == exchange.query


async def test_recordings_of_other_routes_are_a_404_in_their_vendors_words(
    tmp_path: Path,
) -> None:
    others = [e for e in exchanges() if pattern_of(route_of(e)) not in SERVED]
    found: Counter[str] = Counter()
    vendor = Playback(others)
    async with serving(vendor) as url:
        files, _ = fleet_of(url, {"openai": {"m-1"}})
        async with running(tmp_path, files) as server:
            run = await server.start_run("agent-0")
            async with httpx2.AsyncClient(base_url=server.url, timeout=30) as client:
                for number, exchange in enumerate(others):
                    answer, body = await ask(client, exchange, number, run.credential)
                    assert answer.status_code == 404, exchange.file
                    error = json.loads(body)["error"]
                    dialect = route_of(exchange).split("/")[1]
                    name = "type" if dialect == "anthropic" else "code"
                    assert error[name].startswith("not_found")
                    found[dialect] += 1
            assert await server.actions(run.id) == []
    assert vendor.seen == {}
    assert found == ELSEWHERE
    assert found.total() + len(served()) == 657


def test_every_recorded_conversation_is_read_for_people() -> None:
    read, filtered = Counter[str](), 0
    for exchange in served():
        route = pattern_of(route_of(exchange))
        if route.endswith("/embeddings"):
            continue
        wire = WIRES[ENDPOINTS[route]]
        at = Address(wire=wire.name, model="m" if "{" in route else "")
        parts = wire.peek(exchange.request, frozenset(), at).content.parts
        asked = [message_of(orjson.loads(part)) for part in parts]
        answer = plain(exchange)
        if exchange.asked.get("stream"):
            reader = wire.reader_of(answer, "text/event-stream", streamed=True)
            assert reader is not None
            reader.feed(answer)
            answer = reader.answer()
        said = messages_of_answer(orjson.loads(answer)) if exchange.status < 400 else ()
        kinds = [block.kind for message in (*asked, *said) for block in message.blocks]
        assert "other" not in kinds, exchange.file
        filtered += exchange.status < 400 and not said  # Azure's content filter leaves no message
        read.update(kinds)
    assert filtered == 6
    assert read == Counter(text=893, call=106, thinking=18, media=16, result=21)
