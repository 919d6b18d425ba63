"""Idempotency keys: a request that is repeated happens once, and is answered as the first time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from quarterdeck.domain.limits import REPLY_SECONDS
from quarterdeck.settings import Settings
from quarterdeck.store import replies
from tests.api.calling import Calling, calling, error_of
from tests.fleets import files
from tests.postgresql import server
from tests.serving import upstream

SLOW = {"rules": [{"model": "small-1", "answer": {"text": "ok"}, "wait_seconds": 0.5}]}
EXTERNAL = {"agent": "clerk", "kind": "external"}


@pytest.fixture(params=["sqlite", "postgresql"])
async def api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Calling]:
    """The API on either database."""
    if request.param == "sqlite":
        async with calling(tmp_path) as found:
            yield found
        return
    key = tmp_path / "master.key"
    key.write_text("ab" * 32 + "\n")
    key.chmod(0o600)
    with server().fresh_database() as url:
        settings = Settings(folder=tmp_path, database_url=url, key_file=key)
        async with calling(tmp_path, settings=settings) as found:
            yield found


def same(first: httpx2.Response, again: httpx2.Response) -> bool:
    """Whether the second answer is the first one again, and says so."""
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    return (first.status_code, first.content) == (again.status_code, again.content)


async def post(
    client: httpx2.AsyncClient, path: str, key: str, body: dict[str, Any] | None = None
) -> httpx2.Response:
    """A POST under an idempotency key."""
    return await client.post(path, json=body, headers={"idempotency-key": key})


async def count(api: Calling, table: str) -> int:
    """How many rows a table has."""
    row = await api.house.db.read(lambda tx: tx.row(f"select count(*) as n from {table}"))
    assert row is not None
    return int(row["n"])


async def test_every_change_that_is_repeated_happens_once(api: Calling) -> None:
    run = await api.external_run()
    key = (await api.owner.post("/v1/keys", json={"agent": "clerk"})).json()["id"]
    for path, body, table in (
        ("/v1/keys", {"agent": "clerk"}, "agent_keys"),
        ("/v1/runs", EXTERNAL, "runs"),
        (f"/v1/keys/{key}/rotate", {"overlap_seconds": 60}, "agent_keys"),
        (f"/v1/keys/{key}/revoke", None, "leaves"),
        (f"/v1/runs/{run.id}/end", {"state": "succeeded"}, "leaves"),
    ):
        first = await post(api.owner, path, f"key of {path}".replace(" ", "-"), body)
        assert first.status_code in (201, 204), first.text
        rows = await count(api, table)
        again = await post(api.owner, path, f"key of {path}".replace(" ", "-"), body)
        assert same(first, again), path
        assert await count(api, table) == rows, path


async def test_a_secret_that_is_shown_once_is_shown_again_to_its_first_caller_only(
    api: Calling,
) -> None:
    first = await post(api.owner, "/v1/keys", "k1", {"agent": "clerk"})
    secret = first.json()["secret"]
    row = await api.house.db.read(lambda tx: tx.row("select * from replies"))
    assert row is not None
    stored = b"".join(bytes(row[name]) for name in ("key", "digest", "sealed"))
    assert secret.encode() not in stored
    assert b"k1" not in bytes(row["key"])
    async with api.as_holder_of(secret) as agent:
        other = await post(agent, "/v1/runs", "k1", EXTERNAL)
    assert other.status_code == 201, "the key of another caller is another key"


async def test_a_key_that_was_used_for_another_request_is_a_conflict(api: Calling) -> None:
    assert (await post(api.owner, "/v1/keys", "k1", {"agent": "clerk"})).status_code == 201
    for path, body in (
        ("/v1/keys", {"agent": "clerk", "days": 3}),
        ("/v1/runs", EXTERNAL),
    ):
        answer = await post(api.owner, path, "k1", body)
        assert answer.status_code == 409
        assert "another request" in error_of(answer)["message"]
    # The same request, written otherwise.
    answer = await api.owner.post(
        "/v1/keys",
        content=b'{ "agent" : "clerk" }',
        headers={"idempotency-key": "k1", "content-type": "application/json"},
    )
    assert answer.headers["idempotency-replayed"] == "true"


async def test_a_request_that_failed_is_tried_again(api: Calling) -> None:
    assert (await post(api.owner, "/v1/keys", "k1", {"agent": "nobody"})).status_code == 404
    assert (await post(api.owner, "/v1/keys", "k1", {"agent": "clerk"})).status_code == 201


async def test_the_same_request_at_once_is_answered_once_and_refused_meanwhile(
    api: Calling,
) -> None:
    answers = await asyncio.gather(*(post(api.owner, "/v1/runs", "k1", EXTERNAL) for _ in range(8)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses.count(201) >= 1
    assert set(statuses) <= {201, 409}, statuses
    assert len({a.content for a in answers if a.status_code == 201}) == 1
    assert await count(api, "runs") == 1


async def test_a_repeat_while_a_run_is_waited_for_is_refused_and_later_gets_its_outcome(
    tmp_path: Path,
) -> None:
    body = {"agent": "clerk", "wait": True}
    async with upstream(SLOW) as (url, _), calling(tmp_path, files(base_url=url)) as api:
        first = asyncio.create_task(post(api.owner, "/v1/runs", "k1", body))
        async with asyncio.timeout(5):
            while not (await api.owner.get("/v1/runs")).json()["items"]:
                await asyncio.sleep(0.01)
        meanwhile = await post(api.owner, "/v1/runs", "k1", body)
        assert meanwhile.status_code == 409
        assert "still under way" in error_of(meanwhile)["message"]
        again = await post(api.owner, "/v1/runs", "k1", body)
        while again.status_code == 409:
            await asyncio.wait([first], timeout=5)
            again = await post(api.owner, "/v1/runs", "k1", body)
        assert same(await first, again)
        assert again.json()["state"] == "succeeded"
        assert await count(api, "runs") == 1


async def test_an_answer_is_forgotten_after_a_day(api: Calling) -> None:
    """Goal: keys expire. Method: the row is made a day older."""
    first = await post(api.owner, "/v1/keys", "k1", {"agent": "clerk"})
    older = REPLY_SECONDS * 1_000_000 + 1
    await api.house.db.write(
        lambda tx: tx.execute("update replies set at = at - :older", {"older": older})
    )
    again = await post(api.owner, "/v1/keys", "k1", {"agent": "clerk"})
    assert again.status_code == 201
    assert again.json()["id"] != first.json()["id"]
    assert (
        await api.house.db.read(lambda tx: replies.count(tx, f"local:{api.house.local_user}")) == 1
    )


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256])
async def test_a_key_that_is_none_is_refused(tmp_path: Path, key: str) -> None:
    async with calling(tmp_path) as api:
        answer = await api.owner.post(
            "/v1/runs", json=EXTERNAL, headers={b"idempotency-key": key.encode("latin-1")}
        )
        assert answer.status_code == 400
        assert "Idempotency-Key" in error_of(answer)["message"]
