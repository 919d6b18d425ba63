"""Agents, keys, costs, budgets, the fleet, secrets, the ledger, health and backups over HTTP."""

import base64
from pathlib import Path

import pytest

from quarterdeck.settings import Settings
from quarterdeck.verifier import verify
from tests.api.calling import Calling, calling, error_of
from tests.fleets import files
from tests.postgresql import server
from tests.serving import upstream

ANSWER = {"rules": [{"model": "small-1", "answer": {"text": "done"}}]}


async def test_agents_are_listed_and_shown_with_their_card(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        page = (await api.owner.get("/v1/agents")).json()
        assert [agent["name"] for agent in page["items"]] == ["clerk"]
        agent = (await api.owner.get("/v1/agents/clerk")).json()
        assert "It can do nothing else" in agent["card"]
        assert {tool["name"]: tool["effect"] for tool in agent["tools"]}["wipe"] == "privileged"
        cap = {"unit": "nanousd", "per": "day", "amount": 50 * 10**9, "usd": "50.00"}
        assert agent["caps"] == [cap]


async def test_keys_are_issued_listed_without_secrets_rotated_and_revoked(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        issued = (await api.owner.post("/v1/keys", json={"agent": "clerk", "days": 7})).json()
        assert issued["secret"].startswith("qdk_")
        rotated = await api.owner.post(
            f"/v1/keys/{issued['id']}/rotate", json={"overlap_seconds": 60}
        )
        assert rotated.status_code == 201
        listed = await api.owner.get("/v1/keys", params={"agent": "clerk"})
        keys = {key["id"]: key for key in listed.json()["items"]}
        assert keys[issued["id"]]["rotated_to"] == rotated.json()["id"]
        assert keys[issued["id"]]["expires_at"].endswith("Z")
        assert issued["secret"] not in listed.text
        assert keys[issued["id"]]["hint"] == issued["secret"][-4:]
        again = await api.owner.post(f"/v1/keys/{issued['id']}/rotate")
        assert again.status_code == 409
        for _ in range(2):  # the second time changes nothing
            assert (await api.owner.post(f"/v1/keys/{issued['id']}/revoke")).status_code == 204
        first = (await api.owner.get("/v1/keys", params={"limit": 1})).json()
        rest = (await api.owner.get("/v1/keys", params={"cursor": first["next"]})).json()
        assert [key["id"] for key in first["items"] + rest["items"]] == sorted(keys, reverse=True)
        assert rest["next"] is None


async def test_a_key_for_no_agent_is_not_found(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        answer = await api.owner.post("/v1/keys", json={"agent": "nobody"})
        assert answer.status_code == 404
        assert "`clerk`" in error_of(answer)["hint"]


async def spent(api: Calling) -> int:
    """Nano-USD charged by one driven run."""
    run = (await api.owner.post("/v1/runs", json={"agent": "clerk", "wait": True})).json()
    shown = (await api.owner.get(f"/v1/runs/{run['id']}")).json()
    cost: int = shown["cost_nanousd"]
    assert cost > 0
    return cost


async def test_costs_and_budgets_add_up_to_what_runs_were_charged(tmp_path: Path) -> None:
    async with upstream(ANSWER) as (url, _), calling(tmp_path, files(base_url=url)) as api:
        total = await spent(api) + await spent(api)
        for by in ("agent", "day,kind", "", "agent,agent"):
            shown = (await api.owner.get("/v1/costs", params={"by": by, "days": 2})).json()
            assert sum(item["cost_nanousd"] for item in shown["items"]) == total
            assert shown["items"][0]["actions"] == 2
            assert float(shown["items"][0]["cost_usd"]) == pytest.approx(total / 1e9)
        page = (await api.owner.get("/v1/budgets", params={"scope": "agent:clerk"})).json()
        [window] = page["items"]
        assert (window["scope"], window["unit"], window["per"]) == ("agent:clerk", "nanousd", "day")
        assert (window["cap"], window["charged"], window["held"]) == (50 * 10**9, total, 0)
        assert window["usd"]["cap"] == "50.00"
        team = (await api.owner.get("/v1/budgets", params={"scope": "team:desk"})).json()
        assert team["items"][0]["charged"] == total
        assert (await api.owner.get("/v1/budgets?scope=agent:nobody")).json()["items"] == []


def folder(**changes: str) -> dict[str, dict[str, str]]:
    """The body that applies the fleet of the tests, with other caps."""
    return {"files": {p: base64.b64encode(f).decode() for p, f in files(**changes).items()}}


async def test_applying_a_fleet_says_what_changes_and_then_nothing(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        body = folder(agent_cap="40")
        tried = (await api.owner.post("/v1/fleet?dry_run=true", json=body)).json()
        assert tried["dry_run"] is True
        [change] = tried["changes"]
        assert (change["noun"], change["name"], change["kind"]) == ("agent", "clerk", "changed")
        assert "lowered to 40.00 USD" in change["details"][0]
        assert (await api.owner.get("/v1/fleet")).json()["version"] != tried["version"]
        whatever = {"if-match": "*"}
        applied = (await api.owner.post("/v1/fleet", json=body, headers=whatever)).json()
        assert applied["changes"] == tried["changes"]
        again = await api.owner.post("/v1/fleet", json=body, headers=whatever)
        assert again.json()["changes"] == []
        shown = (await api.owner.get("/v1/fleet")).json()
        assert shown["version"] == tried["version"]
        assert shown["agents"] == ["clerk"]
        assert shown["people"] == [{"id": "ann", "name": "Ann", "role": "owner"}]


async def test_a_secret_goes_in_and_never_comes_out(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        value = "sk-0123456789abcdef"
        for _ in range(2):
            put = await api.owner.put("/v1/secrets/OPENAI_KEY", json={"value": value})
            assert put.status_code == 204
        listed = await api.owner.get("/v1/secrets")
        assert [secret["name"] for secret in listed.json()["items"]] == ["OPENAI_KEY"]
        assert value not in listed.text
        assert (await api.owner.delete("/v1/secrets/OPENAI_KEY")).status_code == 204
        assert (await api.owner.delete("/v1/secrets/OPENAI_KEY")).status_code == 404
        assert (await api.owner.put("/v1/secrets/a b", json={"value": "x"})).status_code == 400
        assert (await api.owner.put("/v1/secrets/K", json={"value": " "})).status_code == 400


async def test_a_secret_is_rotated_once_for_its_key_and_only_if_it_is_there(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        url = "/v1/secrets/KEY/rotate"
        assert (await api.owner.post(url, json={"value": "new"})).status_code == 404
        await api.owner.put("/v1/secrets/KEY", json={"value": "old"})
        for _ in range(2):
            again = {"idempotency-key": "r-1"}
            rotated = await api.owner.post(url, json={"value": "new"}, headers=again)
            assert rotated.status_code == 204
        assert (await api.owner.post(url, json={"value": "new"})).status_code == 409
        for body in (
            {"value": " "},
            {"value": "x", "overlap_seconds": -1},
            {},
            {"value": "x", "y": 1},
        ):
            assert (await api.owner.post(url, json=body)).status_code == 400
        [shown] = (await api.owner.get("/v1/secrets")).json()["items"]
        assert shown["before_until"] is not None
        assert shown["age_days"] == 0
        told = {"value": "newer", "overlap_seconds": 0}
        assert (await api.owner.post(url, json=told)).status_code == 204
        [shown] = (await api.owner.get("/v1/secrets")).json()["items"]
        assert shown["before_until"] is None
        entries = await api.owner.get("/v1/ledger/proof", params={"subject": "KEY"})
        assert "secret_rotated" in entries.text
        assert "newer" not in entries.text


async def test_an_export_of_the_ledger_satisfies_the_offline_verifier(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        run = await api.external_run()
        head = (await api.owner.get("/v1/ledger/head")).json()
        assert head["unsealed"] == 0
        await api.owner.post(f"/v1/runs/{run.id}/end", json={"state": "succeeded"})
        checked = (await api.owner.post("/v1/ledger/verify")).json()
        assert checked["ok"] is True
        assert checked["problems"] == []
        exported = await api.owner.get("/v1/ledger/export")
        assert exported.headers["content-type"] == "application/jsonl"
        lines = exported.content.splitlines(keepends=True)
        report = verify(lines, public_key=head["public_key"], since=[head["note"]])
        assert report.verified, report.text()
        assert report.leaves > head["size"]
        proof = (await api.owner.get("/v1/ledger/proof", params={"subject": run.id})).json()
        assert proof["public_key"] == head["public_key"]
        assert [leaf["index"] for leaf in proof["leaves"]] == sorted(
            leaf["index"] for leaf in proof["leaves"]
        )
        assert len(proof["leaves"]) == 2, "its start and its end"


async def test_health_says_the_worst_and_what_to_do(tmp_path: Path) -> None:
    async with calling(tmp_path) as api, api.as_holder_of(None) as nobody:
        shown = (await api.owner.get("/v1/health")).json()
        states = {check["name"]: check["state"] for check in shown["checks"]}
        assert states["database"] == "ok"
        assert shown["state"] == "warn", "nothing witnesses the ledger"
        assert all(c["do"] for c in shown["checks"] if c["state"] in ("warn", "fail"))
        assert (await nobody.get("/v1/healthz")).json() == {"status": "ok", "circuits": {}}


async def test_a_backup_is_a_new_file_with_a_manifest(tmp_path: Path) -> None:
    async with calling(tmp_path / "data") as api:
        file = tmp_path / "copy.db"
        made = await api.owner.post("/v1/backups", json={"file": str(file)})
        assert made.status_code == 201
        assert file.stat().st_size == made.json()["bytes"]
        assert (tmp_path / "copy.db.json").exists()
        again = await api.owner.post("/v1/backups", json={"file": str(file)})
        assert again.status_code == 409
        relative = await api.owner.post("/v1/backups", json={"file": "copy.db"})
        assert "absolute" in error_of(relative)["message"]
        nowhere = await api.owner.post("/v1/backups", json={"file": f"{tmp_path}/no/copy.db"})
        assert nowhere.status_code == 400, "the server is well: its caller named no folder"
        assert "no folder" in error_of(nowhere)["message"]


@pytest.mark.parametrize(("days", "status"), [(1, 201), (1.0, 201), (True, 400), ("1", 400)])
async def test_a_number_is_a_number(tmp_path: Path, days: object, status: int) -> None:
    async with calling(tmp_path) as api:
        asked = await api.owner.post("/v1/keys", json={"agent": "clerk", "days": days})
        assert asked.status_code == status, asked.text


async def test_the_same_answers_come_from_postgresql(tmp_path: Path) -> None:
    with server().fresh_database() as url:
        key = tmp_path / "master.key"
        key.write_text("ab" * 32 + "\n")
        key.chmod(0o600)
        settings = Settings(folder=tmp_path, database_url=url, key_file=key)
        async with (
            upstream(ANSWER) as (model, _),
            calling(tmp_path, files(base_url=model), settings=settings) as api,
        ):
            total = await spent(api)
            costs = (await api.owner.get("/v1/costs", params={"by": "agent,kind"})).json()
            assert [item["cost_nanousd"] for item in costs["items"]] == [total]
            listed = (await api.owner.get("/v1/runs", params={"agent": "clerk"})).json()
            assert listed["items"][0]["cost_nanousd"] == total
            assert (await api.owner.get("/v1/runs/%00")).status_code == 400
            run = await api.external_run()
            body = {"state": "succeeded", "because": "a\0b"}
            ended = await api.owner.post(f"/v1/runs/{run.id}/end", json=body)
            assert ended.status_code == 400
            assert (await api.owner.post("/v1/ledger/verify")).json()["ok"] is True
            assert (await api.owner.get("/v1/health")).status_code == 200
            assert (await api.owner.get("/v1/healthz")).status_code == 200
