"""Receipts that could not be committed wait on disk, and are committed once."""

import pytest

from quarterdeck.domain.actions import Cleared, Receipt
from quarterdeck.loops.settle_spooled import settle_spooled
from tests.checkpoint.conftest import OWNER, Bench
from tests.doubles import AwayDatabase


async def _cleared(bench: Bench, n: int) -> Cleared:
    admission = await bench.house.checkpoint.admit(bench.tool("pay", n=n))
    assert isinstance(admission, Cleared)
    return admission


async def _settled_while_away(bench: Bench, cleared: Cleared, receipt: Receipt) -> None:
    checkpoint, real = bench.house.checkpoint, bench.house.db
    checkpoint.db = AwayDatabase(real)
    await checkpoint.settle(cleared, receipt)
    checkpoint.db = real


async def test_a_receipt_that_cannot_commit_is_kept_and_committed_once(bench: Bench) -> None:
    cleared = await _cleared(bench, 1)

    receipt = Receipt(status="done", result=b'{"paid":1}', cost_nanousd=3_000_000)
    await _settled_while_away(bench, cleared, receipt)
    assert bench.house.checkpoint.spool.list_names() == [cleared.action.id]
    assert (await bench.row(cleared.action.id))["state"] == "begun"
    assert await settle_spooled(bench.house.checkpoint) == 1
    assert await settle_spooled(bench.house.checkpoint) == 0
    assert (await bench.row(cleared.action.id))["state"] == "done"
    assert (await bench.budgets())["charged"] == 3_000_000
    again = await bench.done(bench.tool("pay", n=1))
    assert again.receipt.result == b'{"paid":1}', "the sealed answer came through the spool too"


async def test_an_unreadable_file_holds_up_none_behind_it(bench: Bench) -> None:
    cleared = await _cleared(bench, 2)

    await _settled_while_away(bench, cleared, Receipt(status="done", result=b"{}"))
    spool = bench.house.checkpoint.spool
    (spool.folder / "act_00000000000000000000000000").write_bytes(b"not sealed by us" * 4)
    assert await settle_spooled(bench.house.checkpoint) == 1
    assert spool.list_names() == ["act_00000000000000000000000000"], "it stays, for a person"


async def test_a_settlement_that_breaks_leaves_its_action_in_doubt_and_not_held_for_ever(
    bench: Bench,
) -> None:
    cleared = await _cleared(bench, 3)
    unwritable = Receipt(status="done", result=b"{}", detail={"what": object()})
    await bench.house.settling.start(cleared, unwritable)
    assert (await bench.row(cleared.action.id))["state"] == "in_doubt"


async def test_so_does_one_that_somebody_waits_for(bench: Bench) -> None:
    async def unwritable(cleared: Cleared) -> Receipt:
        return Receipt(status="done", result=b"{}", detail={"what": object()})

    with pytest.raises(TypeError):
        await bench.house.checkpoint.carry_out(bench.tool("pay", n=4), unwritable)
    [action] = await bench.house.services.actions.list_of_run(OWNER, bench.run.id, after="", rows=9)
    assert action["state"] == "in_doubt"
