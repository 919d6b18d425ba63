"""What must be true of every framework alike: the job is done, all is on record, no is heard."""

from pathlib import Path
from typing import Any

from tests.frameworks.changes import governed
from tests.frameworks.stage import ANSWER, EXAMPLES, Ended, staged

Rows = list[dict[str, Any]]


async def job_is_done(folder: Path, framework: str, python: Path, *args: str) -> Rows:
    """The example, unmodified, calls two tools and answers; every model call is on record."""
    async with staged(folder) as stage:
        ended = await stage.play(python, str(EXAMPLES / framework / "agent.py"), *args)
        assert (ended.status, ended.out.strip()) == (0, ANSWER), ended.err[-4000:]
        rows = await stage.check_accounts()
        assert [(row["kind"], row["state"], row["mark"]) for row in rows] == [
            ("model", "done", "enforced")
        ] * 3
        return rows


async def model_is_refused(folder: Path, framework: str, python: Path, model: str) -> Ended:
    """A model nobody granted: nothing leaves, and the framework's error ends the program."""
    async with staged(folder) as stage:
        ended = await stage.play(python, str(EXAMPLES / framework / "agent.py"), model)
        assert ended.status != 0
        assert "default:model: the agent `assistant` may not use the model `nope`" in ended.err
        rows = await stage.actions()
        assert {row["state"] for row in rows} == {"refused"}
        assert stage.vendor.tally.totals()["requests"] == 0
        return ended


async def tool_asks_first(folder: Path, framework: str, python: Path) -> None:
    """With the change the how-to page shows, filing the note is an action of the run, too."""
    program = governed(f"{framework}/agent.py", folder)
    async with staged(folder) as stage:
        ended = await stage.play(python, str(program))
        assert (ended.status, ended.out.strip()) == (0, ANSWER), ended.err[-4000:]
        rows = await stage.check_accounts()
        assert [(row["kind"], row["mark"], row["state"]) for row in rows] == [
            ("model", "enforced", "done"),
            ("model", "enforced", "done"),
            ("tool", "cooperative", "done"),
            ("model", "enforced", "done"),
        ]
        assert await stage.shown(rows[2]) == (
            {"order": 7, "text": "late since Monday"},
            "filed: order 7: late since Monday",
        )


async def tool_is_refused(
    folder: Path, framework: str, python: Path, *, stops: bool, says: str
) -> None:
    """The same program without the grant: the program stops, or the model is told and goes on."""
    program = governed(f"{framework}/agent.py", folder)
    async with staged(folder, grants="") as stage:
        ended = await stage.play(python, str(program))
        assert (ended.status != 0) == stops, ended.err[-4000:]
        rows = await stage.actions()
        [tool] = [row for row in rows if row["kind"] == "tool"]
        assert (tool["target"], tool["state"]) == ("file_note", "refused")
        told = ended.err if stops else stage.last_request()
        assert says in told, told[-4000:]
