"""Runs over HTTP: external ones with a credential, driven ones to their end, whatever happens."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.calling import Calling, calling, error_of
from tests.fleets import files
from tests.serving import upstream

ANSWER = {"rules": [{"model": "small-1", "answer": {"text": "all done"}}]}
SLOW = {"rules": [{"model": "small-1", "answer": {"text": "late"}, "wait_seconds": 30}]}


async def started(client: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    """A run started with this body."""
    answer = await client.post("/v1/runs", json={"agent": "clerk", **body})
    assert answer.status_code in (200, 201, 202), answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def shown(api: Calling, run: str) -> dict[str, Any]:
    """A run as the API shows it."""
    found: dict[str, Any] = (await api.owner.get(f"/v1/runs/{run}")).json()
    return found


async def ended(api: Calling, run: str) -> dict[str, Any]:
    """A run as soon as it has ended."""
    async with asyncio.timeout(10):
        while (found := await shown(api, run))["state"] == "running":
            await asyncio.sleep(0.02)
    return found


async def test_an_external_run_goes_from_its_credential_to_its_end(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        answer = await api.owner.post(
            "/v1/runs", json={"agent": "clerk", "kind": "external", "input": {"order": 7}}
        )
        assert answer.status_code == 201
        run = answer.json()
        assert run["credential"].startswith("qdr_")
        async with api.as_holder_of(run["credential"]) as program:
            body = {"state": "succeeded", "because": "filed", "result": {"note": 1}}
            assert (await program.post(f"/v1/runs/{run['id']}/end", json=body)).status_code == 204
        found = await shown(api, run["id"])
        assert (found["state"], found["because"], found["result"]) == (
            "succeeded",
            "filed",
            {"note": 1},
        )
        assert found["input"] == {"order": 7}
        assert found["started_at"].endswith("Z")
        assert found["ended_at"] >= found["started_at"]
        again = await api.owner.post(f"/v1/runs/{run['id']}/end", json={"state": "failed"})
        assert again.status_code == 409
        assert error_of(again)["code"] == "conflict"


async def test_a_driven_run_that_is_waited_for_answers_its_outcome(tmp_path: Path) -> None:
    async with upstream(ANSWER) as (url, _), calling(tmp_path, files(base_url=url)) as api:
        answer = await api.owner.post("/v1/runs", json={"agent": "clerk", "wait": True})
        assert answer.status_code == 200
        run = answer.json()
        assert (run["state"], run["result"]["text"]) == ("succeeded", "all done")
        assert run["credential"] is None, "nobody outside needs the credential of a driven run"
        found = await shown(api, run["id"])
        assert found["state"] == "succeeded"
        assert found["actions"] == 1
        assert found["cost_nanousd"] > 0
        assert found["cost_usd"].startswith("0.00")


async def test_a_driven_run_goes_on_after_202_and_ends(tmp_path: Path) -> None:
    async with upstream(ANSWER) as (url, _), calling(tmp_path, files(base_url=url)) as api:
        answer = await api.owner.post("/v1/runs", json={"agent": "clerk"})
        assert answer.status_code == 202
        assert answer.json()["state"] == "running"
        assert (await ended(api, answer.json()["id"]))["state"] == "succeeded"


async def test_a_run_whose_vendor_fails_has_failed_and_says_why(tmp_path: Path) -> None:
    script = {"rules": [{"model": "small-1", "error": {"status": 500}}]}
    async with upstream(script) as (url, _), calling(tmp_path, files(base_url=url)) as api:
        run = await started(api.owner, wait=True)
        assert run["state"] == "failed"
        assert "the model call" in run["because"]


async def test_a_run_that_breaks_the_runner_still_ends(tmp_path: Path) -> None:
    """Goal: an unexpected error ends the run. Method: a vendor whose answer no wire can read."""
    raw = {"status": 200, "headers": {"content-type": "application/json"}, "body": "[1, 2]"}
    script = {"rules": [{"model": "small-1", "raw": raw}]}
    async with upstream(script) as (url, _), calling(tmp_path, files(base_url=url)) as api:
        run = await started(api.owner, wait=True)
        assert run["state"] == "failed"
        assert (await shown(api, run["id"]))["state"] == "failed"


async def test_stopping_the_server_ends_the_runs_it_drives(tmp_path: Path) -> None:
    async with upstream(SLOW) as (url, _):
        async with calling(tmp_path, files(base_url=url)) as api:
            run = await started(api.owner)
            async with asyncio.timeout(5):
                while (await shown(api, run["id"]))["open"] != 1:
                    await asyncio.sleep(0.01)
        async with calling(tmp_path, files(base_url=url)) as api:
            found = await shown(api, run["id"])
            assert found["state"] == "failed"
            assert "the server stopped" in found["because"]


async def test_a_caller_that_gives_up_waiting_does_not_end_the_run(tmp_path: Path) -> None:
    script = {"rules": [{"model": "small-1", "answer": {"text": "ok"}, "wait_seconds": 0.5}]}
    async with upstream(script) as (url, _), calling(tmp_path, files(base_url=url)) as api:
        waiting = asyncio.create_task(started(api.owner, wait=True))
        async with asyncio.timeout(5):
            while not (items := (await api.owner.get("/v1/runs")).json()["items"]):
                await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await ended(api, items[0]["id"]))["state"] == "succeeded"


async def test_runs_are_listed_newest_first_page_by_page(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        made = [(await started(api.owner, kind="external"))["id"] for _ in range(5)]
        await api.owner.post(f"/v1/runs/{made[0]}/end", json={"state": "cancelled"})
        seen: list[str] = []
        cursor = ""
        for _ in range(3):
            query: dict[str, str | int] = {"limit": 2, "cursor": cursor}
            page = (await api.owner.get("/v1/runs", params=query)).json()
            seen += [run["id"] for run in page["items"]]
            cursor = page["next"]
        assert seen == sorted(made, reverse=True)
        assert cursor is None
        filtered = await api.owner.get("/v1/runs", params={"state": "cancelled"})
        assert [run["id"] for run in filtered.json()["items"]] == [made[0]]
        none = await api.owner.get("/v1/runs", params={"agent": "nobody"})
        assert none.json() == {"items": [], "next": None}


async def test_actions_of_a_run_say_which_rules_decided_them(tmp_path: Path) -> None:
    call = {"tool_calls": [{"name": "wipe", "arguments": {"n": 1}, "id": "c1"}]}
    rules = [
        {"model": "small-1", "nth": 1, "answer": call},
        {"model": "small-1", "answer": {"text": "stopped there"}},
    ]
    async with (
        upstream({"rules": rules}) as (url, _),
        calling(tmp_path, files(base_url=url)) as api,
    ):
        run = await started(api.owner, wait=True, input={"text": "wipe it"})
        page = (await api.owner.get(f"/v1/runs/{run['id']}/actions", params={"limit": 2})).json()
        assert [(a["kind"], a["target"], a["answer"]) for a in page["items"]] == [
            ("model", "local/small-1", "allow"),
            ("tool", "wipe", "ask"),
        ]
        rest = {"limit": 2, "cursor": page["next"]}
        last = (await api.owner.get(f"/v1/runs/{run['id']}/actions", params=rest)).json()
        assert [a["kind"] for a in last["items"]] == ["model"]
        assert last["next"] is None
        held = page["items"][1]
        assert held["state"] == "held"
        assert "effect:privileged" in [reason["rule"] for reason in held["reasons"]]
        detail = (await api.owner.get(f"/v1/actions/{held['id']}")).json()
        assert detail["request"]["rest"] == {"n": 1}
        assert detail["response"] is None
        doubtful = await api.owner.get("/v1/actions", params={"state": "in_doubt"})
        assert doubtful.json() == {"items": [], "next": None}
