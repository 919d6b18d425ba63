"""What waits for people, and plans, over HTTP with a run's credential."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from quarterdeck.services.runs import StartedRun
from tests.checkpoint.test_approvals import suggesting
from tests.fleets import files
from tests.serving import OWNER, Running, running

CALLS = [{"tool": "pay", "arguments": {"n": 1}}, {"tool": "wipe", "arguments": {"n": 2}}]


async def post(server: Running, run: StartedRun, path: str, body: Any) -> httpx2.Response:
    """One POST of a run."""
    async with httpx2.AsyncClient(base_url=server.url) as client:
        headers = {"authorization": f"Bearer {run.credential}"}
        return await client.post(path, json=body, headers=headers)


async def approve(server: Running, approval: str) -> None:
    """A person's yes, over HTTP with the local token."""
    headers = {"authorization": f"Bearer {server.house.local_token}"}
    async with httpx2.AsyncClient(base_url=server.url, headers=headers) as client:
        shown = await client.get(f"/v1/approvals/{approval}")
        answer = {"answer": "approve", "digest": shown.json()["digest"]}
        tag = shown.headers["etag"]
        stale = await client.post(
            f"/v1/approvals/{approval}", json=answer, headers={"if-match": '"other"'}
        )
        assert stale.status_code == 412
        answered = await client.post(
            f"/v1/approvals/{approval}", json=answer, headers={"if-match": tag}
        )
        assert (answered.status_code, answered.json()["state"]) == (200, "granted")
        assert answered.headers["etag"] != tag
        again = await client.post(f"/v1/approvals/{approval}", json=answer)
        assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")


async def test_a_held_action_names_its_approval_and_goes_through_once_allowed(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        asked = {"tool": "wipe", "arguments": {"n": 1}}
        held = await post(server, run, "/v1/actions", asked)
        assert (held.status_code, held.json()["answer"]) == (403, "held")
        approval = held.json()["approval"]
        assert "later" in held.json()["next"]
        await approve(server, approval)
        cleared = await post(server, run, "/v1/actions", {**asked, "approval": approval})
        assert (cleared.status_code, cleared.json()["answer"]) == (201, "cleared")
        spent = await post(
            server, run, "/v1/actions", {**asked, "approval": approval, "idempotency_key": "k"}
        )
        assert spent.json()["reasons"][0]["rule"] == "approval:spent"


async def test_a_run_cannot_answer_for_itself(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        held = await post(server, run, "/v1/actions", {"tool": "wipe", "arguments": {"n": 1}})
        path = f"/v1/approvals/{held.json()['approval']}"
        body = {"answer": "approve", "digest": "0" * 64}
        assert (await post(server, run, path, body)).status_code == 403
        key = await server.house.services.keys.issue(OWNER, "clerk")
        async with httpx2.AsyncClient(base_url=server.url) as client:
            headers = {"authorization": f"Bearer {key.secret}"}
            for one in (path, f"{path}/reveal"):
                answer = await client.post(one, json=body, headers=headers)
                assert answer.status_code == 403, one


async def test_a_suggested_action_is_an_answer_to_finish_on(tmp_path: Path) -> None:
    async with running(tmp_path, suggesting()) as server:
        run = await server.start_run()
        made = await post(server, run, "/v1/actions", {"tool": "pay", "arguments": {"n": 1}})
        assert (made.status_code, made.json()["answer"]) == (202, "suggested")
        assert "finish without it" in made.json()["next"]
        headers = {"authorization": f"Bearer {server.house.local_token}"}
        async with httpx2.AsyncClient(base_url=server.url, headers=headers) as client:
            [listed] = (await client.get("/v1/suggestions")).json()["items"]
            assert listed["id"] == made.json()["action"]
            path = f"/v1/suggestions/{listed['id']}"
            carried = await client.post(f"{path}/carry-out")
            assert carried.json()["state"] == "done", carried.text
            assert (await client.post(f"{path}/carry-out")).status_code == 409
            shown = (await client.get(path)).json()
            assert shown["carried_action"] == carried.json()["action"]
            action = (await client.get(f"/v1/actions/{shown['carried_action']}")).json()
            assert action["suggestion"] == listed["id"]


async def test_a_plan_is_judged_carried_out_and_read_over_http(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        judged = await post(server, run, "/v1/plans", {"calls": CALLS})
        assert (judged.status_code, judged.json()["answer"]) == (201, "valid")
        assert [call["answer"] for call in judged.json()["calls"]] == ["allow", "ask"]
        assert await server.actions(run.id) == []
        path = f"/v1/plans/{judged.json()['plan']}/carry-out"
        stopped = (await post(server, run, path, {})).json()
        assert stopped["state"] == "stopped"
        assert [call["state"] for call in stopped["calls"]] == ["done", "held"]
        assert stopped["calls"][0]["result"] == {"paid": 1}
        await approve(server, stopped["calls"][1]["approval"])
        done = (await post(server, run, path, {})).json()
        assert (done["state"], done["calls"][1]["result"]) == ("done", {"wiped": 2})
        assert done["calls"][0] == stopped["calls"][0], "what was done is answered as before"
        async with httpx2.AsyncClient(base_url=server.url) as client:
            headers = {"authorization": f"Bearer {run.credential}"}
            own = await client.get(f"/v1/plans/{done['plan']}", headers=headers)
            assert [step["state"] for step in own.json()["steps"]] == ["done", "done"]
            other = await server.start_run()
            headers = {"authorization": f"Bearer {other.credential}"}
            hidden = await client.get(f"/v1/plans/{done['plan']}", headers=headers)
            assert hidden.status_code == 404
        foreign = await post(server, other, path, {})
        assert foreign.status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"calls": []},
        {"calls": [{"tool": "pay"}]},
        {"calls": [{"tool": "pay", "arguments": {}, "x": 1}]},
        {"calls": [{"tool": "pay", "arguments": {"n": 2**60}}]},
        {"calls": [{"tool": "pay", "arguments": {}}] * 51},
        {"calls": [{"tool": "pay", "arguments": {}, "idempotency_key": ""}]},
        [1],
    ],
)
async def test_a_plan_that_does_not_fit_is_a_400_in_the_one_shape(
    tmp_path: Path, body: Any
) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        said = await post(server, run, "/v1/plans", body)
        assert said.status_code == 400, said.text
        assert set(said.json()["error"]) == {"code", "message", "hint"}


async def test_what_nobody_granted_reads_the_same_in_a_plan(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        for tool in ("nope", "a\0b", "x" * 5_000):
            body = {"calls": [{"tool": tool, "arguments": {}}]}
            judged = (await post(server, run, "/v1/plans", body)).json()
            assert judged["answer"] == "invalid"
            assert judged["calls"][0]["reasons"][0]["rule"] == "default:tool"
