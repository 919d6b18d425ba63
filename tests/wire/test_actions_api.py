"""The actions API: effects in the agent's own process, asked for and told about over HTTP."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.fleets import files
from tests.serving import Running, running


async def post(server: Running, path: str, body: Any, credential: str) -> httpx2.Response:
    """One POST with a run's credential."""
    async with httpx2.AsyncClient(base_url=server.url) as client:
        return await client.post(path, json=body, headers={"authorization": f"Bearer {credential}"})


async def test_an_effect_is_admitted_then_settled_and_marked_cooperative(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        asked = {"tool": "pay", "arguments": {"n": 1}}
        cleared = await post(server, "/v1/actions", asked, run.credential)
        assert cleared.status_code == 201
        assert cleared.json()["answer"] == "cleared"
        action = cleared.json()["action"]
        told = {"status": "done", "result": {"paid": 1}}
        path = f"/v1/actions/{action}/receipt"
        assert (await post(server, path, told, run.credential)).json()["answer"] == "done"
        again = await post(server, path, told, run.credential)
        assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
        [row] = await server.actions(run.id)
        assert (row["mark"], row["state"], row["cost_nanousd"]) == (
            "cooperative",
            "done",
            3_000_000,
        )


async def test_a_repeat_gets_the_first_result(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        asked = {"tool": "pay", "arguments": {"n": 1}, "idempotency_key": "k"}
        first = (await post(server, "/v1/actions", asked, run.credential)).json()
        doubt = await post(server, "/v1/actions", asked, run.credential)
        assert (doubt.status_code, doubt.json()["answer"]) == (409, "in_doubt")
        told = {"status": "done", "result": {"paid": 1}}
        await post(server, f"/v1/actions/{first['action']}/receipt", told, run.credential)
        repeat = (await post(server, "/v1/actions", asked, run.credential)).json()
        assert (repeat["answer"], repeat["result"]) == ("done", {"paid": 1})


@pytest.mark.parametrize(
    ("asked", "answer", "rule"),
    [
        ({"tool": "nope", "arguments": {}}, "refused", "default:tool"),
        ({"tool": "pay", "arguments": {"n": "x"}}, "refused", "contract:arguments"),
        ({"tool": "wipe", "arguments": {}}, "held", "effect:privileged"),
    ],
)
async def test_what_is_not_cleared_says_why(
    tmp_path: Path, asked: dict[str, Any], answer: str, rule: str
) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        said = await post(server, "/v1/actions", asked, run.credential)
        assert said.status_code == 403
        assert said.json()["answer"] == answer
        assert said.json()["reasons"][0]["rule"] == rule


@pytest.mark.parametrize(
    "body",
    [{}, {"tool": "pay"}, {"tool": "pay", "arguments": [], "x": 1}, {"tool": 7, "arguments": {}}],
)
async def test_a_body_that_does_not_fit_is_a_400_in_the_one_shape(
    tmp_path: Path, body: dict[str, Any]
) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        said = await post(server, "/v1/actions", body, run.credential)
        assert said.status_code == 400
        assert set(said.json()["error"]) == {"code", "message", "hint"}


async def test_another_run_cannot_settle_it(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        run, other = await server.start_run(), await server.start_run()
        asked = {"tool": "pay", "arguments": {"n": 1}}
        action = (await post(server, "/v1/actions", asked, run.credential)).json()["action"]
        told = {"status": "done"}
        said = await post(server, f"/v1/actions/{action}/receipt", told, other.credential)
        assert said.status_code == 404
        refused = await post(
            server, f"/v1/actions/{action}/receipt", {"status": "ok"}, run.credential
        )
        assert refused.status_code == 400


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (b"5332045248753753181388800", 200),
        (b'{"n": -18446744073709551616}', 200),
        (b"[" * 128 + b"]" * 128, 200),
        (b"[" * 300 + b"]" * 300, 400),
        (b"[" * 5000 + b"]" * 5000, 400),
        (b"1e400", 400),
    ],
    ids=["large", "small", "deep", "too-deep", "far-too-deep", "infinite"],
)
async def test_any_result_is_taken_that_can_be_read_again(
    tmp_path: Path, result: bytes, status: int
) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        asked = {"tool": "pay", "arguments": {"n": 1}, "idempotency_key": "k"}
        action = (await post(server, "/v1/actions", asked, run.credential)).json()["action"]
        headers = {"authorization": f"Bearer {run.credential}"}
        async with httpx2.AsyncClient(base_url=server.url, headers=headers) as client:
            body = b'{"status": "done", "result": %s}' % result
            taken = await client.post(f"/v1/actions/{action}/receipt", content=body)
        assert taken.status_code == status, taken.text
        if status == 200:
            again = await post(server, "/v1/actions", asked, run.credential)
            assert again.json()["answer"] == "done"
        else:
            assert taken.json()["error"]["code"] == "invalid"


async def test_deep_arguments_are_refused_in_words(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        headers = {"authorization": f"Bearer {run.credential}"}
        call = b'{"tool": "pay", "arguments": {"n": %s}}' % (b"[" * 900 + b"]" * 900)
        async with httpx2.AsyncClient(base_url=server.url, headers=headers) as client:
            refused = await client.post("/v1/actions", content=call)
            assert (refused.status_code, refused.json()["answer"]) == (403, "refused")
            judged = await client.post("/v1/plans", content=b'{"calls": [%s]}' % call)
            assert (judged.status_code, judged.json()["answer"]) == (201, "invalid")
        for reasons in (refused.json()["reasons"], judged.json()["calls"][0]["reasons"]):
            assert "nested deeper" in reasons[0]["because"]


async def test_a_failure_has_the_one_shape_whatever_else_it_says(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        for asked, code in (
            ({"tool": "nope", "arguments": {}}, "denied"),
            ({"tool": "wipe", "arguments": {}}, "approval_required"),
        ):
            said = await post(server, "/v1/actions", asked, run.credential)
            assert set(said.json()["error"]) == {"code", "message", "hint"}
            assert said.json()["error"]["code"] == code
        stranger = await post(server, "/v1/actions", {}, "qdr_nobody")
        assert (stranger.status_code, stranger.headers["www-authenticate"]) == (401, "Bearer")
