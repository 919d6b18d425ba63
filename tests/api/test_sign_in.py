"""A person who is identified gets a link into the console; an agent does not."""

from pathlib import Path

import httpx2

from quarterdeck.api.app import build
from quarterdeck.api.callers import Identification
from tests.api.calling import Calling, calling, error_of


def with_links(api: Calling) -> Calling:
    """The same house, with the route for links."""
    built = api.house
    identify = Identification(
        keys=built.services.keys,
        checkpoint=built.checkpoint,
        local_token=built.local_token,
        local_user=built.local_user,
    )
    make_link = built.sessions.one_time_link
    app = build(built.services, built.driving, identify, make_link=make_link)
    return Calling(house=built, app=app, owner=api.owner)


async def link_for(api: Calling, token: str) -> httpx2.Response:
    """What asking for a link with this token gives."""
    async with with_links(api).as_holder_of(token) as client:
        return await client.post("/v1/sign-in-links")


async def test_the_owner_gets_a_link_that_signs_in_the_owner(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        answer = await link_for(api, api.house.local_token)
        assert answer.status_code == 201
        url = httpx2.URL(answer.json()["url"])
        assert url.path == "/console/sign-in"
        caller = api.house.sessions.find_link(url.params["token"])
        assert caller is not None
        assert caller.id == f"local:{api.house.local_user}"


async def test_an_agent_gets_none(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        key = (await api.owner.post("/v1/keys", json={"agent": "clerk"})).json()["secret"]
        refused = await link_for(api, key)
        assert refused.status_code == 403
        assert error_of(refused)["code"] == "forbidden"
        run = await api.external_run()
        assert (await link_for(api, run.credential)).status_code == 403
