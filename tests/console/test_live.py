"""Live pages: told once of what changed, by one look at the database for all of them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.domain.limits import LIVE_POLL_SECONDS, LIVE_STREAMS_MAX
from tests.console.stage import Stage, ask, ordinary, said, stage


@pytest.fixture
async def on(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        await made.sign_in()
        yield made


async def looked(on: Stage, times: int) -> None:
    """Wait until the poller has looked so often from now on."""
    live = on.house.live
    until = live.polls + times
    async with asyncio.timeout(10):
        while live.polls < until:
            await asyncio.sleep(0.02)


async def test_whoever_listens_to_a_run_is_told_of_it_and_of_no_other(on: Stage) -> None:
    live = on.house.live
    mine, other = await on.start({}), await on.start({})
    with live.watching(mine.id) as watch, live.watching(other.id) as elsewhere:
        await looked(on, 1)
        assert not watch.changed.is_set()
        await on.act(ask(mine, [{"role": "user", "content": "hi"}]), said({}))
        async with asyncio.timeout(10):
            await watch.changed.wait()
        await looked(on, 1)
        assert not elsewhere.changed.is_set()
        watch.changed.clear()
        await on.end(mine, "succeeded", "done")
        async with asyncio.timeout(10):
            await watch.changed.wait()


async def test_whoever_listens_to_the_fleet_is_told_of_everything(on: Stage) -> None:
    with on.house.live.watching("") as watch:
        await looked(on, 1)
        await ordinary(on)
        async with asyncio.timeout(10):
            await watch.changed.wait()


async def test_many_pages_cost_one_look_a_second_and_none_cost_nothing(on: Stage) -> None:
    live = on.house.live
    watches = [live.watching("") for _ in range(50)]
    for watch in watches:
        watch.__enter__()
    clock = asyncio.get_running_loop().time
    await looked(on, 1)
    began = clock()
    await looked(on, 2)
    assert clock() - began >= 1.5 * LIVE_POLL_SECONDS
    for watch in watches:
        watch.__exit__(None, None, None)
    async with asyncio.timeout(10):
        while live._poller is not None and not live._poller.done():
            await asyncio.sleep(0.02)
    seen = live.polls
    with live.watching(""):
        await looked(on, 1)
    assert live.polls == seen + 1, "it looks again as soon as somebody listens again"


async def test_a_stream_too_many_is_refused_and_says_what_the_page_does(on: Stage) -> None:
    watches = [on.live.watching("") for _ in range(LIVE_STREAMS_MAX)]
    for watch in watches:
        watch.__enter__()
    answer = await on.browser.get("/console/live")
    assert answer.status_code == 413
    for watch in watches:
        watch.__exit__(None, None, None)


async def test_streams_end_when_the_process_stops(on: Stage) -> None:
    async def read() -> str:
        return (await on.browser.get("/console/live")).text

    task = asyncio.create_task(read())
    async with asyncio.timeout(10):
        while not on.live._watches:
            await asyncio.sleep(0.02)
        on.live.close()
        assert "event: open" in await task
