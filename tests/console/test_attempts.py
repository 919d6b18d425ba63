"""The attempts of a model call, on its page."""

from pathlib import Path
from typing import get_args

from msgspec.structs import replace

from quarterdeck.console.attempts import ENDS
from quarterdeck.domain.actions import Cleared, Receipt
from quarterdeck.domain.attempts import Attempt, AttemptEnd
from quarterdeck.domain.money import Usage
from tests.console.stage import ask, said, stage, text_of


def test_every_way_an_attempt_can_end_has_words() -> None:
    assert set(ENDS) == set(get_args(AttemptEnd))


async def test_each_attempt_is_a_row_with_how_it_ended_and_what_it_cost(tmp_path: Path) -> None:
    usage = Usage(input=1_204, output=88)
    answered = said({"text": "Let me look."}, usage)
    hostile = "<script>alert(1)</script>\x1b[31m no room"
    tried = (
        Attempt(
            vendor="local", model="small-1", end="error", status=529, took_ms=40, error=hostile
        ),
        Attempt(
            vendor="local",
            model="small-1",
            end="answered",
            status=200,
            began_ms=290,
            took_ms=900,
            usage=usage,
        ),
    )

    async def twice(cleared: Cleared) -> Receipt:
        return replace(await answered(cleared), attempts=tried)

    async with stage(tmp_path) as on:
        await on.sign_in()
        run = await on.start({"text": "Where is my parcel?"})
        outcome = await on.act(ask(run, [{"role": "user", "content": "Where?"}]), twice)
        page = await on.read(f"/console/actions/{outcome.action.id}")
        shown = text_of(page)
        assert "local/small-1 answered an error (529)" in shown
        assert "answered (200)" in shown
        assert "+290 ms 900 ms" in shown
        assert "1,204 input · 88 output" in shown
        assert "<script>alert(1)" not in page
        assert "\x1b" not in page
