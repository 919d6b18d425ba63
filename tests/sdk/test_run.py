"""Runs of the SDK: started with an agent key, ended with their block, and known inside of it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest

import quarterdeck_sdk as quarterdeck
from quarterdeck_sdk.scope import AGENT_KEY, GATEWAY_URL, Current
from tests.fleets import files
from tests.sdk.conftest import listed
from tests.serving import OWNER, Running, running, upstream

pytestmark = pytest.mark.usefixtures("key")


@quarterdeck.tool
def pay(n: int) -> str:
    return quarterdeck.current().run


@quarterdeck.tool("pay")
async def pay_awaited(n: int) -> str:
    return quarterdeck.current().run


async def test_a_run_is_started_by_its_agent_and_succeeds_with_its_block(server: Running) -> None:
    def work() -> str:
        with quarterdeck.run("clerk", {"ticket": 7}) as run:
            assert pay(1) == run.id
            run.end("succeeded", "paid", {"paid": 1})
            return run.id

    run = await asyncio.to_thread(work)
    shown = await server.house.services.runs.show(OWNER, run)
    assert (shown["state"], shown["because"], shown["result"]) == (
        "succeeded",
        "paid",
        {"paid": 1},
    )
    assert (shown["input"], shown["started_by"]) == ({"ticket": 7}, "agent:clerk")
    assert len(await server.actions(run)) == 1


async def test_the_awaited_twin_does_the_same(server: Running) -> None:
    async with quarterdeck.run("clerk") as run:
        assert await pay_awaited(1) == run.id
        assert await asyncio.to_thread(pay, 2) == run.id, "a thread asyncio starts is in the run"
    [shown] = await listed(server)
    assert (shown["id"], shown["state"], shown["actions"]) == (run.id, "succeeded", 2)


async def test_a_block_that_raises_has_failed_and_says_why(server: Running) -> None:
    async def work() -> None:
        async with quarterdeck.run("clerk") as run:
            run.end("succeeded")
            raise LookupError("no such ticket")

    with pytest.raises(LookupError):
        await work()
    [shown] = await listed(server)
    assert (shown["state"], shown["because"]) == ("failed", "LookupError: no such ticket")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (KeyboardInterrupt(), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
        (SystemExit(1), "failed"),
        (SystemExit(0), "succeeded"),
    ],
)
async def test_a_block_that_is_cut_short_is_cancelled(
    server: Running, error: BaseException, state: str
) -> None:
    run = quarterdeck.run("clerk")
    await run.__aenter__()
    await run.__aexit__(type(error), error, None)
    [shown] = await listed(server)
    assert shown["state"] == state


async def test_an_escalated_run_says_so(server: Running) -> None:
    async with quarterdeck.run("clerk") as run:
        run.end("escalated", "a person should look", {"ticket": 7})
    [shown] = await listed(server)
    assert (shown["state"], shown["because"]) == ("escalated", "a person should look")


async def test_a_run_that_a_person_ended_stays_as_they_ended_it(server: Running) -> None:
    from quarterdeck.domain.runs import RunOutcome

    async with quarterdeck.run("clerk") as run:
        outcome = RunOutcome(state="cancelled", because="stop it")
        await server.house.services.runs.end(OWNER, run.id, outcome)  # type: ignore[arg-type]
        with pytest.raises(quarterdeck.Rejected, match="unidentified"):
            await pay_awaited(1)
    [shown] = await listed(server)
    assert shown["state"] == "cancelled"


async def test_runs_at_the_same_time_do_not_mix(server: Running) -> None:
    async def work(n: int) -> tuple[str, set[str]]:
        async with quarterdeck.run("clerk", {"n": n}) as run:
            return run.id, set(await asyncio.gather(*(pay_awaited(k) for k in range(5))))

    for run, seen in await asyncio.gather(*(work(n) for n in range(8))):
        assert seen == {run}
    assert {row["actions"] for row in await listed(server)} == {5}


async def test_runs_nest_and_the_outer_one_comes_back(server: Running) -> None:
    async with quarterdeck.run("clerk") as outer:
        async with quarterdeck.run("clerk") as inner:
            assert await pay_awaited(1) == inner.id
        assert await pay_awaited(1) == outer.id
    with pytest.raises(quarterdeck.Misconfigured, match="belongs to no run"):
        quarterdeck.current()


async def test_a_pools_threads_are_in_a_run_they_are_bound_to(server: Running) -> None:
    def work() -> tuple[str, set[str]]:
        with quarterdeck.run("clerk") as run, ThreadPoolExecutor(16) as pool:
            with pytest.raises(quarterdeck.Misconfigured, match=r"run\.bind"):
                pool.submit(pay, 1).result()
            return run.id, set(pool.map(run.bind(pay), range(64)))

    run, seen = await asyncio.to_thread(work)
    assert seen == {run}
    assert len(await server.actions(run)) == 64


async def test_an_async_function_can_be_bound_too(server: Running) -> None:
    async with quarterdeck.run("clerk") as run:
        bound = run.bind(pay_awaited)
        elsewhere = asyncio.to_thread(lambda: asyncio.run(bound(1)))
        assert await elsewhere == run.id, "another loop does not borrow this loop's connections"


async def test_the_vendors_clients_take_a_runs_arguments_as_they_are(tmp_path: Any) -> None:
    script = {"models": ["small-1", "other-1"], "rules": [{"answer": {"text": "yes"}}]}
    folder = tmp_path / "house"
    folder.mkdir()
    async with upstream(script) as (url, _), running(folder, files(base_url=url)) as server:
        key = (await server.house.services.keys.issue(OWNER, "clerk")).secret
        async with quarterdeck.run("clerk", url=server.url, key=key) as run:
            async with openai.AsyncOpenAI(**run.openai()) as client:
                await client.chat.completions.create(
                    model="small-1", messages=[{"role": "user", "content": "?"}]
                )
            async with anthropic.AsyncAnthropic(**run.anthropic()) as other:
                await other.messages.create(
                    model="other-1", max_tokens=9, messages=[{"role": "user", "content": "?"}]
                )
        assert [row["state"] for row in await server.actions(run.id)] == ["done", "done"]


async def test_a_runs_environment_is_the_command_lines(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quarterdeck.cli.runs import environment

    monkeypatch.setenv(GATEWAY_URL, "http://gateway:7701/")
    async with quarterdeck.run("clerk") as run:
        where = run.current
        expected = environment(server.url, "http://gateway:7701", run.id, where.credential)
        assert run.environment() == expected


def test_the_trace_is_the_runs_id_and_the_span_the_actions() -> None:
    from quarterdeck.sources import TimeSortedIds

    ids = TimeSortedIds()
    where = Current(
        run=ids.new("run"), action=ids.new("act"), url="", gateway_url="", credential="secret"
    )
    version, trace, span, flags = where.traceparent.split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    letters = "0123456789abcdefghjkmnpqrstvwxyz"
    number, read = int(trace, 16), ""
    for _ in range(26):
        read, number = letters[number & 31] + read, number >> 5
    assert f"run_{read}" == where.run
    assert "secret" not in str(where.headers()) + repr(where)
    assert where.headers()["x-quarterdeck-action-id"] == where.action


async def test_what_a_run_needs_and_lacks_is_named(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = quarterdeck.run("clerk")
    with pytest.raises(quarterdeck.Misconfigured, match="has not started"):
        _ = run.id
    async with run:
        pass
    with pytest.raises(quarterdeck.Misconfigured, match="has been used"):
        async with run:
            pass
    with pytest.raises(quarterdeck.Rejected, match="that agent only"):
        async with quarterdeck.run("another"):
            pass
    with pytest.raises(quarterdeck.Unencodable, match="run of `clerk`"):
        quarterdeck.run("clerk", {"x": object()})
    monkeypatch.delenv(AGENT_KEY)
    with pytest.raises(quarterdeck.Misconfigured, match="quarterdeck keys issue clerk"):
        quarterdeck.run("clerk")


def test_exec_does_not_pass_an_agents_key_on_to_its_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from quarterdeck.settings import for_program

    monkeypatch.setenv(AGENT_KEY, "qdk_secret")
    assert "qdk_secret" not in for_program({}).values()
