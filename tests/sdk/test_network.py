"""What the SDK does when the server is away, slow, or its answers are lost on the way."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import httpx2
import pytest

import quarterdeck_sdk as quarterdeck
from quarterdeck_sdk import drivers
from quarterdeck_sdk.scope import URL
from tests.sdk.conftest import Inside
from tests.sdk.network import Network, network

done: list[int] = []


@quarterdeck.tool
async def pay(n: int) -> int:
    done.append(n)
    return n


@quarterdeck.tool("pay", key=lambda n: f"pay-{n}")
async def pay_once(n: int) -> int:
    done.append(n)
    return n


@pytest.fixture
async def relay(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Network]:
    """A network between this process and the server it is inside of."""
    done.clear()
    async with network(inside.server.url) as found:
        monkeypatch.setenv(URL, found.url)
        yield found


async def test_a_server_that_is_away_is_asked_again_and_found_when_it_is_back(
    inside: Inside, relay: Network
) -> None:
    await relay.go_away()
    call = asyncio.create_task(pay(1))
    await asyncio.sleep(0.2)  # at least one question finds nobody
    await relay.come_back()
    assert await call == 1
    assert len(await inside.server.actions(inside.run.id)) == 1


async def test_a_server_that_stays_away_is_an_error_and_nothing_is_done(relay: Network) -> None:
    await relay.go_away()
    with pytest.raises(quarterdeck.Unavailable, match="cannot reach the server at http"):
        await pay(1)
    assert done == []


def test_the_same_when_blocking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTERDECK_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("QUARTERDECK_RUN", "run_x")
    monkeypatch.setenv("QUARTERDECK_CREDENTIAL", "x")

    @quarterdeck.tool("pay")
    def paying(n: int) -> None:
        done.append(n)

    before = list(done)
    with pytest.raises(quarterdeck.Unavailable, match="cannot reach"):
        paying(1)
    assert done == before


async def test_a_receipt_is_told_when_the_server_is_back(inside: Inside, relay: Network) -> None:
    gone = asyncio.Event()

    @quarterdeck.tool("pay")
    async def slow(n: int) -> int:
        await relay.go_away()
        gone.set()
        return n

    call = asyncio.create_task(slow(1))
    await gone.wait()
    await asyncio.sleep(0.2)  # at least one receipt finds nobody
    await relay.come_back()
    assert await call == 1
    [action] = await inside.server.actions(inside.run.id)
    assert action["state"] == "done"


async def test_a_receipt_whose_answer_was_lost_is_told_again_and_counts_once(
    inside: Inside, relay: Network
) -> None:
    @quarterdeck.tool("pay")
    async def loses(n: int) -> int:
        relay.lose = 1
        return n

    assert await loses(1) == 1
    [action] = await inside.server.actions(inside.run.id)
    assert (action["state"], action["cost_nanousd"]) == ("done", 3_000_000)


async def test_a_lost_clearance_without_a_key_is_not_asked_for_again(
    inside: Inside, relay: Network
) -> None:
    relay.lose = 1
    with pytest.raises(quarterdeck.Unavailable):
        await pay(1)
    assert done == [], "it may have been cleared, but nobody heard it"
    assert len(await inside.server.actions(inside.run.id)) == 1, "asked once"


async def test_a_lost_clearance_with_a_key_is_in_doubt_and_not_done(
    inside: Inside, relay: Network
) -> None:
    relay.lose = 1
    with pytest.raises(quarterdeck.InDoubt):
        await pay_once(1)
    assert done == []
    assert len(await inside.server.actions(inside.run.id)) == 1


async def test_a_server_that_says_nothing_is_given_up_on(
    relay: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "_TIMEOUT", httpx2.Timeout(0.3, connect=5))
    relay.silent = True
    began = time.monotonic()
    with pytest.raises(quarterdeck.Unavailable, match="ReadTimeout"):
        await pay(1)
    assert time.monotonic() - began < 5
    assert done == []


async def test_a_result_that_cannot_be_told_is_not_lost(
    inside: Inside, relay: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarterdeck_sdk.protocol.TELLING", (0.01,))

    @quarterdeck.tool("pay")
    async def slow(n: int) -> int:
        await relay.go_away()
        return n

    with pytest.raises(quarterdeck.Unsettled, match="could not be told") as caught:
        await slow(5)
    assert caught.value.result == 5
    [action] = await inside.server.actions(inside.run.id)
    assert caught.value.action == action["id"]
    assert action["state"] not in ("done", "failed")


async def test_a_clearance_that_took_too_long_is_not_used(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    done.clear()
    monkeypatch.setattr("quarterdeck_sdk.tools.CLEARANCE_SECONDS", -1.0)
    with pytest.raises(quarterdeck.Lapsed):
        await pay(1)
    assert done == []
    [action] = await inside.server.actions(inside.run.id)
    assert (action["state"], action["detail"]["error"][:13]) == ("failed", "not attempted")


def test_a_clearance_is_good_for_as_long_as_the_server_means_it() -> None:
    from quarterdeck.domain.limits import CLEARANCE_SECONDS_MAX
    from quarterdeck_sdk.tools import CLEARANCE_SECONDS

    assert CLEARANCE_SECONDS == CLEARANCE_SECONDS_MAX


async def test_what_answers_and_is_not_quarterdeck_is_said_to_be_that(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, f"{inside.server.url}/console")
    with pytest.raises(quarterdeck.Unavailable, match="not Quarterdeck"):
        await pay(1)


async def test_a_process_that_dies_in_a_tool_leaves_its_action_open(inside: Inside) -> None:
    program = (
        "import os, quarterdeck_sdk as quarterdeck\n"
        "@quarterdeck.tool\n"
        "def pay(n): os._exit(9)\n"
        "pay(1)\n"
    )
    status = await asyncio.to_thread(
        lambda: subprocess.run([sys.executable, "-c", program], check=False).returncode
    )
    assert status == 9
    [action] = await inside.server.actions(inside.run.id)
    assert action["state"] not in ("done", "failed", "refused")


async def test_a_child_process_after_a_fork_has_connections_of_its_own(inside: Inside) -> None:
    program = (
        "import os, quarterdeck_sdk as quarterdeck\n"
        "@quarterdeck.tool\n"
        "def pay(n): return n\n"
        "pay(1)\n"
        "child = os.fork()\n"
        "pay(2 if child else 3)\n"
        "if child: assert os.waitpid(child, 0)[1] == 0\n"
    )
    status = await asyncio.to_thread(
        lambda: (
            subprocess.run(
                [sys.executable, "-c", program], check=False, env=dict(os.environ)
            ).returncode
        )
    )
    assert status == 0
    rows = await inside.server.actions(inside.run.id)
    assert [row["state"] for row in rows] == ["done"] * 3
