"""A caller that goes away at any moment of an admission leaves no money held."""

import asyncio
from pathlib import Path

import orjson

from quarterdeck.domain.actions import Cleared, Content, Proposal, Receipt
from quarterdeck.loops.settle_unanswered import settle_unanswered
from quarterdeck.store import budgets
from tests.fleets import files
from tests.serving import running

STEPS = 60


async def test_an_admission_that_nobody_waits_for_is_settled_as_not_attempted(
    tmp_path: Path,
) -> None:
    """Goal: no begun action without somebody who ends it, while its process lives on.

    Method: admissions are cancelled after more and more steps of the event loop: before they are
    queued, while they are committed, and when they are answered.
    """
    async with running(tmp_path, files()) as server:
        checkpoint = server.house.checkpoint
        run = await server.start_run()
        for steps in range(STEPS):
            arguments = orjson.dumps({"n": steps})
            proposal = Proposal(
                credential=run.credential,
                kind="tool",
                target="pay",
                arguments=arguments,
                content=Content(rest=arguments),
            )
            task = asyncio.create_task(checkpoint.admit(proposal))
            for _ in range(steps):
                await asyncio.sleep(0 if steps < STEPS / 2 else 0.0001)
            task.cancel()
            (answer,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(answer, Cleared):
                await checkpoint.settle(answer, Receipt(status="done", result=b"", cost_nanousd=1))
        assert checkpoint.unanswered, "some of them were committed with nobody there"
        await server.house.db.write(lambda tx: tx.now)  # those before it have been committed
        await settle_unanswered(checkpoint)
        rows = await server.actions(run.id)
        states = {row["state"] for row in rows}
        (window, *_) = await server.house.db.read(lambda tx: budgets.list_open(tx, "agent:clerk"))
    assert "not_attempted" in states
    assert states <= {"done", "not_attempted"}
    assert window.held == 0
