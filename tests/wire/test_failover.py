"""Attempts through the whole gateway: one action, every attempt on record, each charged as it was.

The vendors are on real sockets and misbehave; the caller is any HTTP client.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import openai
import orjson
import pytest

from quarterdeck.domain.limits import CIRCUIT_CALLS_MIN
from quarterdeck.store import budgets, tallies
from tests.cli.commands import command
from tests.fleets import AGENT, files
from tests.serving import OWNER, Running, running
from tests.vendors import (
    ANSWER,
    EVENTS,
    Step,
    Vendor,
    breaks_in_the_middle,
    hangs,
    hangs_in_the_middle,
    nobody,
    resets,
    says,
    streams,
    vendor,
)

ASKED = {"model": "small-1", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
#: What the vendor reports, at the prices of the first entry and of the second.
FIRST_COST, SECOND_COST = 7 * 150 + 5 * 600, 7 * 300 + 5 * 1200


def fleet(
    first: str, second: str = "", *, more: str = "", agent_cap: str = "50"
) -> Mapping[str, bytes]:
    """The small fleet with a first entry that is given up soon, and a second one that is dearer."""
    found = dict(files(base_url=first, agent_cap=agent_cap))
    text = found["fleet.yaml"].decode()
    quick = "timeouts: {connect: 2, first_byte: 1, between_bytes: 1, total: 5}"
    other = "timeouts: {connect: 2, first_byte: 2, between_bytes: 1, total: 5}"
    text = text.replace("    dialect: openai\n", f"    dialect: openai\n    {quick}\n{more}", 1)
    if second:
        text += (
            f"  second:\n    dialect: openai\n    base_url: {second}/v1\n    {other}\n"
            '    prices: {small-2: {input: "0.3", output: "1.2"}}\n'
        )
        bound = "{vendor: local, model: small-1, fallback: {vendor: second, model: small-2}}"
        agent = AGENT.replace("{vendor: local, model: small-1}", bound)
        found["agents/clerk.yaml"] = agent.replace("AGENT_CAP", agent_cap).encode()
    found["fleet.yaml"] = text.encode()
    return found


@contextlib.asynccontextmanager
async def two(
    folder: Path, first: tuple[Step, ...], second: tuple[Step, ...]
) -> AsyncIterator[tuple[Vendor, Vendor, Running]]:
    """A vendor, its fallback, and the gateway before both."""
    async with (
        vendor(*first) as sick,
        vendor(*second) as well,
        running(folder, fleet(sick.url, well.url)) as server,
    ):
        yield sick, well, server


async def ask(server: Running, credential: str, **fields: Any) -> httpx2.Response:
    """One call."""
    async with httpx2.AsyncClient(base_url=server.url, timeout=20) as client:
        return await client.post(
            "/openai/v1/chat/completions",
            content=orjson.dumps(ASKED | fields),
            headers={"authorization": f"Bearer {credential}", "content-type": "application/json"},
        )


async def books(server: Running) -> tuple[int, int]:
    """What the agent's budget holds and was charged."""
    await server.house.settling.drain()
    [found] = [
        b
        for b in await server.house.db.read(lambda tx: budgets.list_open(tx, scope="agent:clerk"))
        if "/nanousd/" in b.id
    ]
    return found.held, found.charged


async def test_a_call_that_is_repeated_is_one_action_charged_once(tmp_path: Path) -> None:
    first = vendor(says(503, b'{"error":{"message":"busy"}}', retry_after="0"), says())
    async with first as sick, running(tmp_path, fleet(sick.url)) as server:
        run = await server.start_run()
        answer = await ask(server, run.credential)
        assert (answer.status_code, answer.content) == (200, ANSWER)
        [action] = await server.actions(run.id)
        assert (action["state"], action["usage_source"]) == ("done", "reported")
        assert action["cost_nanousd"] == FIRST_COST
        refused, answered = action["detail"]["attempts"]
        assert (refused["end"], refused["status"], "usage" in refused) == ("error", 503, False)
        assert "busy" in refused["error"]
        assert (answered["end"], answered["status"]) == ("answered", 200)
        assert answered["usage"] == {"input": 7, "output": 5}
        assert answered["cost_nanousd"] == FIRST_COST
        assert await books(server) == (0, FIRST_COST)
        assert len(sick.requests) == 2


async def test_without_trouble_no_attempts_are_recorded(tmp_path: Path) -> None:
    async with vendor() as well, running(tmp_path, fleet(well.url, nobody())) as server:
        run = await server.start_run()
        await ask(server, run.credential)
        [action] = await server.actions(run.id)
        assert "attempts" not in action["detail"]
        assert await books(server) == (0, FIRST_COST)


async def test_a_fallback_is_recorded_and_each_attempt_charged_at_its_own_price(
    tmp_path: Path,
) -> None:
    """The first was sent and never answered: charged as an estimate, and the whole says so."""
    async with two(tmp_path, (hangs,), (says(),)) as (_, well, server):
        run = await server.start_run()
        answer = await ask(server, run.credential)
        assert (answer.status_code, answer.content) == (200, ANSWER)
        [action] = await server.actions(run.id)
        doubtful, answered = action["detail"]["attempts"]
        assert (doubtful["vendor"], doubtful["end"]) == ("local", "unanswered")
        assert (doubtful["usage_source"], answered["usage_source"]) == ("estimated", "reported")
        assert doubtful["usage"]["output"] == 50, "a second is enough for all it may say"
        assert (answered["vendor"], answered["model"]) == ("second", "small-2")
        assert answered["cost_nanousd"] == SECOND_COST
        assert doubtful["price_version"] != answered["price_version"]
        assert action["usage_source"] == "estimated"
        total = doubtful["cost_nanousd"] + SECOND_COST
        assert doubtful["cost_nanousd"] > 50 * 600
        assert action["cost_nanousd"] == total
        assert await books(server) == (0, total)
        assert orjson.loads(well.requests[0].body)["model"] == "small-2"
        by_target = {
            row["target"]: (row["actions"], row["cost_nanousd"], row["output"])
            for row in await server.house.db.read(
                lambda tx: tallies.summed(tx, ("target",), "2000-01-01", "2999-01-01")
            )
        }
        assert by_target == {
            "local/small-1": (1, doubtful["cost_nanousd"], 50),
            "second/small-2": (0, SECOND_COST, 5),
        }, "asked for here, charged there"


async def test_the_command_line_shows_each_attempt(tmp_path: Path) -> None:
    data = tmp_path / ".quarterdeck"
    async with two(data, (says(500, b'{"error":"down"}'),), (says(),)) as (_, _, server):
        run = await server.start_run()
        await ask(server, run.credential)
        [action] = await server.actions(run.id)
    said = await asyncio.to_thread(command, "actions", "show", action["id"], folder=tmp_path)
    lines = " ".join(said.out.split())
    assert "1. local small-1, error 500, after" in lines
    assert "3. second small-2, answered 200, after" in lines
    assert "0.0000081 USD" in lines, said
    assert '{"error":"down"}' in lines
    agent = await asyncio.to_thread(command, "agents", "show", "clerk", folder=tmp_path)
    assert "small-1 at local, else small-2 at second" in " ".join(agent.out.split())


async def test_a_stream_fails_over_before_its_first_byte_and_never_after(tmp_path: Path) -> None:
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    async with two(tmp_path, (resets, hangs_in_the_middle), (streams(),)) as (_, well, server):
        run = await server.start_run()
        answer = await ask(server, run.credential, **asked)
        assert answer.content == b"".join(EVENTS)
        with pytest.raises(httpx2.RemoteProtocolError):
            await ask(server, run.credential, **asked)
        assert len(well.requests) == 1
        first, second = await server.actions(run.id)
        assert [a["end"] for a in first["detail"]["attempts"]] == ["unanswered", "answered"]
        assert (first["state"], second["state"]) == ("done", "failed")
        assert second["usage_source"] == "estimated"


async def test_the_dearest_entry_is_held_once_for_each_attempt_that_may_cost(
    tmp_path: Path,
) -> None:
    async with two(tmp_path, (hangs,), (hangs,)) as (sick, _, server):
        run = await server.start_run()
        task = asyncio.create_task(ask(server, run.credential))
        await sick.asked.wait()
        held, charged = await books(server)
        assert charged == 0
        assert held % 2 == 0
        assert held // 2 >= 50 * 1200 + 300, "output at the second entry's price, and some input"
        assert (await task).status_code == 502
        assert (await books(server))[0] == 0


async def test_the_books_hold_when_both_are_doubtful(tmp_path: Path) -> None:
    async with two(tmp_path, (resets,), (breaks_in_the_middle,)) as (_, _, server):
        run = await server.start_run()
        with pytest.raises(httpx2.RemoteProtocolError):
            await ask(server, run.credential)
        [action] = await server.actions(run.id)
        ends = [(a["end"], a["usage_source"]) for a in action["detail"]["attempts"]]
        assert ends == [("unanswered", "estimated"), ("broken", "estimated")]
        costs = sum(a["cost_nanousd"] for a in action["detail"]["attempts"])
        assert action["cost_nanousd"] == costs
        assert await books(server) == (0, costs)


async def test_an_open_circuit_answers_at_once_in_the_vendors_words_and_costs_nothing(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, fleet(nobody(), more="    retries: 0\n")) as server:
        run = await server.start_run()
        for _ in range(CIRCUIT_CALLS_MIN):
            assert (await ask(server, run.credential)).status_code == 502
        answer = await ask(server, run.credential)
        assert answer.status_code == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 15
        assert answer.json()["error"]["code"] == "upstream_unavailable"
        last = (await server.actions(run.id))[-1]
        assert (last["state"], last["cost_nanousd"]) == ("not_attempted", 0)
        assert last["detail"]["attempts"][0]["end"] == "not_tried"
        assert await books(server) == (0, 0)
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/openai/v1", api_key=run.credential, max_retries=0
        ) as client:
            with pytest.raises(openai.InternalServerError, match="not called for now"):
                await client.chat.completions.create(**ASKED)  # type: ignore[call-overload]  # a dict
        checks = {c.name: c for c in await server.house.services.health.check(OWNER)}
        assert checks["vendors"].state == "warn"
        assert "`local` is open" in checks["vendors"].sentence
        async with httpx2.AsyncClient(base_url=server.url) as client:
            alive = (await client.get("/v1/healthz")).json()
        assert alive == {"status": "ok", "circuits": {"open": 1}}


async def test_who_hangs_up_while_it_is_repeated_is_charged_for_nothing_that_cost_nothing(
    tmp_path: Path,
) -> None:
    asked_again = asyncio.Event()

    async def busy(connection: Any) -> None:
        asked_again.set()
        await says(429, b"{}", retry_after="7")(connection)

    async with vendor(busy) as sick, running(tmp_path, fleet(sick.url)) as server:
        run = await server.start_run()
        task = asyncio.create_task(ask(server, run.credential))
        await asked_again.wait()
        while not (await books(server))[0]:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        while (await server.actions(run.id))[0]["state"] == "begun":
            await asyncio.sleep(0.01)
        [action] = await server.actions(run.id)
        assert (action["state"], action["cost_nanousd"]) == ("failed", 0)
        assert await books(server) == (0, 0)


@pytest.mark.parametrize("slow", [hangs])
async def test_one_slow_vendor_does_not_delay_another_agent(tmp_path: Path, slow: Step) -> None:
    """Goal: while calls to one entry hang, those to another pass. Method: order, not time.

    Forty calls hang before the first of the others is made, and still hang when the last is
    answered.
    """
    async with vendor(slow) as sick, vendor() as well:
        found = dict(fleet(sick.url, more="    calls_max: 64\n"))
        text = found["fleet.yaml"].decode().replace("first_byte: 1", "first_byte: 60", 1)
        text = text.replace("total: 5", "total: 60", 1)
        text += (
            f"  well:\n    dialect: openai\n    base_url: {well.url}/v1\n"
            '    prices: {small-1: {input: "0.15", output: "0.60"}}\n'
        )
        found["fleet.yaml"] = text.encode()
        other = AGENT.replace("AGENT_CAP", "50").replace("name: clerk", "name: other")
        found["agents/other.yaml"] = other.replace("vendor: local", "vendor: well").encode()
        async with running(tmp_path, found) as server:
            clerk, quick = await server.start_run(), await server.start_run("other")
            hanging = [asyncio.create_task(ask(server, clerk.credential)) for _ in range(40)]
            while len(sick.requests) < 40:
                await asyncio.sleep(0.01)
            answers = await asyncio.gather(*(ask(server, quick.credential) for _ in range(40)))
            assert [a.status_code for a in answers] == [200] * 40
            assert not any(task.done() for task in hanging)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
