"""Blast radius over HTTP: the most each agent could do in one hour, and what is missing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quarterdeck.fleet.load import load
from quarterdeck.store import fleets, standing
from quarterdeck.store.database import Transaction
from tests.api.calling import Calling, calling, error_of
from tests.fleets import files

OF_CLERK = "/v1/agents/clerk/blast-radius"


async def stored(api: Calling, folder: Mapping[str, bytes]) -> None:
    """A fleet that was applied before the rule was there."""
    fleet = load(folder)

    def write(tx: Transaction) -> None:
        fleets.put(tx, fleet, dict(folder), "local:earlier")
        standing.set_fleet(tx, fleet.version)

    await api.house.db.write(write)


def figures(shown: dict[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    return {f["quantity"]: (f["most"], f["declared"]) for f in shown["figures"]}


async def test_a_radius_is_shown_figure_by_figure_and_tool_by_tool(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        shown = (await api.owner.get(OF_CLERK)).json()
        assert shown["judgement"] == "within"
        assert figures(shown) == {
            "written": ("41666", "10000000"),
            "deleted": ("1000", "1000"),
            "messages": ("0", "0"),
        }
        tools = {line["tool"]: line for line in shown["tools"]}
        assert tools["wipe"] == {
            "tool": "wipe",
            "effect": "privileged",
            "calls": 1000,
            "limit": "its rate of 1000 calls per hour",
            "taken": True,
            "asks": True,
            "each": {"deleted": "1"},
            "data": [],
        }
        assert tools["pay"]["limit"] == (
            "the agent's budget of 50.00 USD per day, at 0.003 USD a call"
        )
        asked = {f["quantity"]: f["asked"] for f in shown["figures"]}
        assert asked == {"written": False, "deleted": True, "messages": False}


async def test_a_fleet_applied_before_the_rule_still_runs_and_says_what_is_missing(
    tmp_path: Path,
) -> None:
    folder = dict(files())
    folder["agents/clerk.yaml"] = folder["agents/clerk.yaml"].replace(
        b"radius: {written: 10000000, deleted: 1000}", b""
    )
    folder["tools/file_note.yaml"] = folder["tools/file_note.yaml"].replace(b'"0.002"', b'"0"')
    async with calling(tmp_path) as api:
        await stored(api, folder)
        run = await api.external_run()
        assert run.credential
        shown = (await api.owner.get(OF_CLERK)).json()
        assert shown["judgement"] == "undeclared"
        [written] = [f for f in shown["figures"] if f["quantity"] == "written"]
        assert written["most"] is None
        assert written["declared"] is None
        assert written["unbounded_by"] == ["file_note"]
        assert written["would_bound"] == "a rate on `file_note`, or a budget of the agent in calls"


async def test_what_apply_refuses_says_where_and_what_to_write(tmp_path: Path) -> None:
    import base64

    folder = dict(files())
    folder["agents/clerk.yaml"] = folder["agents/clerk.yaml"].replace(b"deleted: 1000", b"")
    body = {"files": {path: base64.b64encode(text).decode() for path, text in folder.items()}}
    async with calling(tmp_path) as api:
        before = (await api.owner.get("/v1/fleet")).json()["version"]
        answer = await api.owner.post("/v1/fleet", json=body, headers={"if-match": "*"})
        assert answer.status_code == 400, answer.text
        assert "agents/clerk.yaml:13: radius.deleted: it can reach 1000" in answer.text
        assert (await api.owner.get("/v1/fleet")).json()["version"] == before


async def test_all_agents_are_listed_and_an_unknown_one_is_not_found(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        page = (await api.owner.get("/v1/blast-radius")).json()
        assert [item["agent"] for item in page["items"]] == ["clerk"]
        assert page["next"] is None
        missing = await api.owner.get("/v1/agents/nobody/blast-radius")
        assert missing.status_code == 404
        assert "clerk" in error_of(missing)["hint"]
