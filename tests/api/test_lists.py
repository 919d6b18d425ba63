"""Lists: pages that stay right while the list grows, filters, and search."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from quarterdeck.domain.runs import RunOutcome
from tests.api.acting import act
from tests.api.calling import Calling, calling
from tests.serving import OWNER

EXTERNAL = {"agent": "clerk", "kind": "external"}


async def ids(client: httpx2.AsyncClient, path: str, **params: Any) -> list[str]:
    """The ids on one page."""
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def started(api: Calling, **given: Any) -> str:
    """A run that was given this."""
    return (await api.external_run(given)).id


async def test_a_page_stays_right_while_runs_are_added(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        made = [await started(api) for _ in range(5)]
        first = (await api.owner.get("/v1/runs", params={"limit": 2})).json()
        made += [await started(api) for _ in range(3)]
        rest = (await api.owner.get("/v1/runs", params={"cursor": first["next"]})).json()
        seen = [run["id"] for run in first["items"] + rest["items"]]
        assert seen == sorted(made[:5], reverse=True), "nothing twice, nothing left out"
        assert rest["next"] is None


async def test_a_page_that_is_just_full_is_the_last_one(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        for _ in range(2):
            await started(api)
        page = await api.owner.get("/v1/runs", params={"limit": 2})
        assert page.json()["next"] is None
        assert "link" not in page.headers


async def test_the_link_to_the_next_page_keeps_the_filters(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        made = [await started(api) for _ in range(3)]
        page = await api.owner.get("/v1/runs", params={"limit": 2, "agent": "clerk"})
        url, _, rel = page.headers["link"].partition("; ")
        assert rel == 'rel="next"'
        following = await api.owner.get(url.strip("<>"))
        assert [run["id"] for run in following.json()["items"]] == made[:1]
        assert "agent=clerk" in url


async def test_runs_are_filtered_by_what_they_are(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        one, two = await started(api, correlation="ticket-7"), await started(api)
        await api.house.services.runs.end(OWNER, one, RunOutcome(state="failed", because="late"))  # type: ignore[arg-type]  # an id is a string
        at = (await api.owner.get(f"/v1/runs/{two}")).json()["started_at"]
        for filters, expected in (
            ({"agent": "clerk"}, [two, one]),
            ({"agent": "nobody"}, []),
            ({"team": "desk"}, [two, one]),
            ({"team": "other"}, []),
            ({"state": "failed"}, [one]),
            ({"state": "running", "agent": "clerk"}, [two]),
            ({"kind": "external"}, [two, one]),
            ({"kind": "runner"}, []),
            ({"correlation": "ticket-7"}, [one]),
            ({"since": at}, [two]),
            ({"until": at}, [one]),
            ({"until": "2020-01-01T00:00:00Z"}, []),
            ({"since": "1960-01-01T00:00:00Z"}, [two, one]),
        ):
            assert await ids(api.owner, "/v1/runs", **filters) == expected, filters


async def test_runs_are_found_by_ids_references_and_words(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        given = {"text": "My parcel, no. 4711, is DAMAGED", "mail": "ann@example.com"}
        one = await started(api, correlation="https://git.example/pull/12", **given)
        two = await started(api, text="a parcel is late")
        await api.house.services.runs.end(OWNER, two, RunOutcome(state="failed", because="gave up"))  # type: ignore[arg-type]  # an id is a string
        action = (await act(api.house, (await api.external_run()).credential, "look_up"))["action"]
        owner = (await api.owner.get(f"/v1/actions/{action}")).json()["run"]
        for text, expected in (
            (one, [one]),
            (one[:-3], [one]),
            (action, [owner]),
            ("act_nothing", []),
            ("run_zz", []),
            ("parcel", [two, one]),
            ("damaged PARCEL", [one]),
            ("4711", [one]),
            ("git.example/pull/12", [one]),
            ("gave up", [two]),
            ("parce", []),
            ("ann example", []),
            ("!?", []),
        ):
            assert await ids(api.owner, "/v1/runs", q=text) == expected, text
        page = (await api.owner.get("/v1/runs", params={"q": "parcel", "limit": 1})).json()
        rest = await ids(api.owner, "/v1/runs", q="parcel", limit=1, cursor=page["next"])
        assert rest == [one]


async def test_actions_are_filtered_and_paged_newest_run_first(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        runs = [await api.external_run() for _ in range(2)]
        made = [
            (await act(api.house, runs[number % 2].credential, tool))["action"]
            for number, tool in enumerate(("look_up", "wipe", "look_up", "file_note"))
        ]
        newest_first = [made[3], made[1], made[2], made[0]]
        assert await ids(api.owner, "/v1/actions") == newest_first
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (
                await api.owner.get("/v1/actions", params={"limit": 1, "cursor": cursor})
            ).json()
            seen += [action["id"] for action in page["items"]]
            cursor = page["next"]
        assert seen == newest_first
        at = (await api.owner.get(f"/v1/actions/{made[2]}")).json()["proposed_at"]
        for filters, expected in (
            ({"run": runs[0].id}, [made[2], made[0]]),
            ({"agent": "clerk", "kind": "tool"}, newest_first),
            ({"team": "other"}, []),
            ({"kind": "model"}, []),
            ({"state": "held"}, [made[1]]),
            ({"state": "held", "team": "desk"}, [made[1]]),
            ({"state": "begun"}, [made[3], made[2], made[0]]),
            ({"since": at}, [made[3], made[2]]),
            ({"until": at, "agent": "clerk"}, [made[1], made[0]]),
        ):
            assert await ids(api.owner, "/v1/actions", **filters) == expected, filters
        assert await ids(api.owner, "/v1/runs", having="held") == [runs[1].id]
        assert await ids(api.owner, "/v1/runs", having="refused") == []


@pytest.mark.parametrize("path", ["/v1/agents", "/v1/secrets", "/v1/keys"])
async def test_short_lists_have_pages_too(tmp_path: Path, path: str) -> None:
    async with calling(tmp_path) as api:
        for name in ("A", "B", "C"):
            await api.owner.put(f"/v1/secrets/{name}", json={"value": "x"})
            await api.owner.post("/v1/keys", json={"agent": "clerk"})
        whole = (await api.owner.get(path)).json()["items"]
        seen, cursor = [], ""
        while cursor is not None:
            page = (await api.owner.get(path, params={"limit": 1, "cursor": cursor})).json()
            assert len(page["items"]) == 1
            seen += page["items"]
            cursor = page["next"]
        assert seen == whole


async def test_head_is_get_without_its_body_and_options_says_what_there_is(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        await started(api)
        for path in ("/v1/runs", "/v1/ledger/export", "/v1/fleet"):
            head, got = await api.owner.head(path), await api.owner.get(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"] == got.headers["content-type"]
            assert head.headers.get("etag") == got.headers.get("etag")
        options = await api.owner.options("/v1/runs")
        assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
        assert (await api.owner.options("/v1/nothing")).status_code == 404
