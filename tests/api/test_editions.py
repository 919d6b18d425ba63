"""Two people at once: an edit says what it is about, and the second is told what the first did."""

import asyncio
import base64
from pathlib import Path

import httpx2

from tests.api.calling import calling, error_of
from tests.fleets import files


def folder(**changes: str) -> dict[str, dict[str, str]]:
    """The body that applies the fleet of the tests, with other caps."""
    return {"files": {p: base64.b64encode(f).decode() for p, f in files(**changes).items()}}


async def apply(client: httpx2.AsyncClient, body: object, **headers: str) -> httpx2.Response:
    """Put a folder in force under these conditions."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/v1/fleet", json=body, headers=named)


async def test_the_second_of_two_people_is_told_what_the_first_changed(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        seen = (await api.owner.get("/v1/fleet")).headers["etag"]
        first = await apply(api.owner, folder(agent_cap="40"), if_match=seen)
        assert first.status_code == 200
        second = await apply(api.owner, folder(team_cap="9"), if_match=seen)
        assert second.status_code == 412
        error = error_of(second)
        assert error["code"] == "precondition_failed"
        assert f"`local:{api.house.local_user}`" in error["message"], "who"
        assert "agent `clerk` changed" in error["message"], "what"
        assert "lowered to 40.00 USD" in error["message"], "what exactly"
        shown = await api.owner.get("/v1/fleet")
        assert shown.headers["etag"] == first.headers["etag"], "nothing was overwritten"
        again = await apply(api.owner, folder(team_cap="9"), if_match=shown.headers["etag"])
        assert again.status_code == 200


async def test_of_two_people_at_the_same_moment_one_wins(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        seen = (await api.owner.get("/v1/fleet")).headers["etag"]
        bodies = [folder(agent_cap=str(cap)) for cap in (31, 32, 33, 34)]
        answers = await asyncio.gather(*(apply(api.owner, b, if_match=seen) for b in bodies))
        assert sorted(a.status_code for a in answers) == [200, 412, 412, 412]
        [won] = [a for a in answers if a.status_code == 200]
        assert (await api.owner.get("/v1/fleet")).headers["etag"] == won.headers["etag"]


async def test_an_edit_that_does_not_say_what_it_is_about_is_refused(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        answer = await apply(api.owner, folder(agent_cap="40"))
        assert answer.status_code == 428
        assert "If-Match" in error_of(answer)["hint"]
        for tag in ('"other"', 'W/"x"', "nonsense"):
            assert (await apply(api.owner, folder(), if_match=tag)).status_code == 412
        assert (await apply(api.owner, folder(), if_none_match="*")).status_code == 412
        assert (await apply(api.owner, folder(agent_cap="40"), if_match="*")).status_code == 200


async def test_a_secret_is_not_overwritten_unseen(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        path = "/v1/secrets/KEY"

        async def put(**headers: str) -> httpx2.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await api.owner.put(path, json={"value": "sk-1"}, headers=named)

        first = await put(if_none_match="*")
        assert first.status_code == 204
        assert (await put(if_none_match="*")).status_code == 412
        [listed] = (await api.owner.get("/v1/secrets")).json()["items"]
        assert listed["etag"] == first.headers["etag"]
        assert listed["set_by"] == f"local:{api.house.local_user}"
        second = await put(if_match=first.headers["etag"])
        assert second.status_code == 204
        stale = await put(if_match=first.headers["etag"])
        assert stale.status_code == 412
        assert f"`local:{api.house.local_user}` has set `KEY`" in error_of(stale)["message"]
        old = {"if-match": first.headers["etag"]}
        assert (await api.owner.delete(path, headers=old)).status_code == 412
        new = {"if-match": second.headers["etag"]}
        assert (await api.owner.delete(path, headers=new)).status_code == 204
        assert (await put(if_match=second.headers["etag"])).status_code == 412, "it is gone"
        assert (await put()).status_code == 204
