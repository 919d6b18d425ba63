"""Signing in and out over HTTP: once, from our own page, and not by a machine that looks ahead."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from quarterdeck.console.app import build
from quarterdeck.console.session import COOKIE, Sessions
from quarterdeck.domain.limits import SESSION_SECONDS, SIGN_IN_LINK_SECONDS
from quarterdeck.store import sessions as ended
from tests.console.stage import KEY, ORIGIN, OWNER, Stage, hidden, stage, text_of

SAME = {"sec-fetch-site": "same-origin"}
EVERY_PATH = (
    "/console/", "/console/runs", "/console/runs/run_1", "/console/runs/run_1/actions",
    "/console/actions?target=x", "/console/actions/act_1", "/console/actions/act_1/answer.json",
    "/console/agents/clerk", "/console/costs", "/console/health", "/console/search?q=x",
    "/console/live",
)  # fmt: skip


@pytest.fixture
async def on(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


async def test_without_a_session_every_page_says_how_to_sign_in(on: Stage) -> None:
    for path in EVERY_PATH:
        answer = await on.browser.get(path)
        assert answer.status_code == 401
        assert "quarterdeck console" in text_of(answer.text)
        assert "Sign out" not in answer.text


async def test_a_link_leads_through_a_button_to_the_runs(on: Stage) -> None:
    answer = await on.sign_in()
    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/"
    assert "local:ann" in await on.read("/console/")


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(on: Stage) -> None:
    cookie = (await on.sign_in()).headers["set-cookie"].lower()
    for attribute in ("httponly", "samesite=lax", "path=/console", f"max-age={SESSION_SECONDS}"):
        assert attribute in cookie
    assert "secure" not in cookie


async def test_over_https_the_cookie_stays_on_https(tmp_path: Path) -> None:
    async with stage(tmp_path, secure=True) as on:
        link = on.sessions.one_time_link(ORIGIN.replace("http:", "https:"), OWNER)
        answer = await on.post("/console/sign-in", token=link.partition("token=")[2])
        assert "secure" in answer.headers["set-cookie"].lower()


async def test_fetching_a_link_ahead_does_not_use_it_up(on: Stage) -> None:
    link = on.sessions.one_time_link(ORIGIN, OWNER)
    for _ in range(3):
        assert (await on.browser.head(link)).status_code == 200
        assert (await on.browser.get(link)).status_code == 200
    assert on.browser.cookies.get(COOKIE) is None
    page = (await on.browser.get(link)).text
    answer = await on.post("/console/sign-in", token=hidden(page, "token"))
    assert answer.status_code == 303


async def test_a_link_signs_in_once_only(on: Stage) -> None:
    token = on.sessions.one_time_link(ORIGIN, OWNER).partition("token=")[2]
    assert (await on.post("/console/sign-in", token=token)).status_code == 303
    on.browser.cookies.clear()
    again = await on.post("/console/sign-in", token=token)
    assert again.status_code == 401
    assert "set-cookie" not in again.headers
    assert "used before" in text_of(again.text)


@pytest.mark.parametrize("token", ["", "wrong", "x" * 5_000, "<script>alert(1)</script>"])
async def test_a_wrong_link_says_how_to_get_a_good_one(on: Stage, token: str) -> None:
    for answer in (
        await on.browser.get("/console/sign-in", params={"token": token}),
        await on.post("/console/sign-in", token=token),
    ):
        assert answer.status_code == 401
        assert "quarterdeck console" in text_of(answer.text)
        assert "<script>alert" not in answer.text


async def test_an_expired_link_says_how_to_get_a_new_one(on: Stage) -> None:
    link = on.sessions.one_time_link(ORIGIN, OWNER)
    on.clock.push(SIGN_IN_LINK_SECONDS + 1)
    answer = await on.browser.get(link)
    assert answer.status_code == 401
    assert "15 minutes" in text_of(answer.text)


async def test_after_twelve_hours_one_has_to_sign_in_again(on: Stage) -> None:
    await on.sign_in()
    on.clock.push(SESSION_SECONDS - 5)
    assert (await on.browser.get("/console/")).status_code == 200
    on.clock.push(10)
    assert (await on.browser.get("/console/")).status_code == 401


async def test_a_forged_cookie_is_no_session(on: Stage) -> None:
    forger = Sessions(key=b"f" * 32, clock=on.clock)
    link = forger.one_time_link(ORIGIN, OWNER)
    session = forger.redeem(link.partition("token=")[2])
    assert session is not None
    for cookie in (forger.cookie(session), "x", "a.b.c", ""):
        answer = await on.browser.get("/console/", headers={"cookie": f"{COOKIE}={cookie}"})
        assert answer.status_code == 401


async def test_signing_out_ends_the_session_and_not_only_the_cookie(on: Stage) -> None:
    await on.sign_in()
    cookie = on.browser.cookies[COOKIE]
    token = hidden(await on.read("/console/"), "form_token")
    answer = await on.post("/console/sign-out", form_token=token)
    assert answer.status_code == 303
    assert (await on.browser.get(answer.headers["location"])).status_code == 200
    assert on.browser.cookies.get(COOKIE) is None
    again = await on.browser.get("/console/", headers={"cookie": f"{COOKIE}={cookie}"})
    assert again.status_code == 401


async def test_signing_out_holds_in_every_process_and_after_a_restart(tmp_path: Path) -> None:
    async with stage(tmp_path) as first:
        await first.sign_in()
        cookie = first.browser.cookies[COOKIE]
        token = hidden(await first.read("/console/"), "form_token")
        # Another process of the same installation: its own memory, the same key and database.
        other = Sessions(key=KEY, clock=first.clock)
        app = Starlette(routes=[Mount("/console", build(first.house.services, other))])
        transport = httpx2.ASGITransport(app=app)
        headers = {"cookie": f"{COOKIE}={cookie}"}
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as elsewhere:
            assert (await elsewhere.get("/console/", headers=headers)).status_code == 200
            await first.post("/console/sign-out", form_token=token)
            assert (await elsewhere.get("/console/", headers=headers)).status_code == 401
    async with stage(tmp_path) as again:
        answer = await again.browser.get("/console/", headers={"cookie": f"{COOKIE}={cookie}"})
        assert answer.status_code == 401


async def test_what_is_kept_of_a_session_that_ended_is_no_cookie_and_not_for_ever(
    on: Stage,
) -> None:
    await on.sign_in()
    token = hidden(await on.read("/console/"), "form_token")
    await on.post("/console/sign-out", form_token=token)
    kept = await on.house.db.read(lambda tx: tx.rows("select * from ended_sessions"))
    assert len(kept) == 1
    assert bytes(kept[0]["hash"]) not in on.browser.cookies.get(COOKIE, "").encode()
    await on.house.db.write(lambda tx: ended.end(tx, b"later", tx.now + 10**12))
    await on.house.db.write(lambda tx: tx.execute("update ended_sessions set until = 1"))
    await on.house.db.write(lambda tx: ended.end(tx, b"last", tx.now + 10**12))
    left = await on.house.db.read(lambda tx: tx.rows("select hash from ended_sessions"))
    assert [bytes(row["hash"]) for row in left] == [b"last"]


async def test_signing_out_takes_the_token_of_this_session(on: Stage) -> None:
    await on.sign_in()
    for token in ("", "wrong"):
        answer = await on.post("/console/sign-out", form_token=token)
        assert answer.status_code == 403
    assert (await on.browser.get("/console/")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "origin": "null"},
        {"sec-fetch-site": "same-site", "origin": ORIGIN},
        {"sec-fetch-site": "none"},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:7701"},
    ],
)
async def test_a_form_of_another_site_is_refused(on: Stage, headers: dict[str, str]) -> None:
    await on.sign_in()
    token = hidden(await on.read("/console/"), "form_token")
    fields = {"form_token": token}
    answer = await on.browser.post("/console/sign-out", data=fields, headers=headers)
    assert answer.status_code == 403
    link = on.sessions.one_time_link(ORIGIN, OWNER).partition("token=")[2]
    answer = await on.browser.post("/console/sign-in", data={"token": link}, headers=headers)
    assert answer.status_code == 403
    assert on.sessions.find_link(link) == OWNER


@pytest.mark.parametrize("headers", [SAME, {"origin": ORIGIN}, {"origin": "null"}, {}])
async def test_a_form_of_our_own_is_taken(on: Stage, headers: dict[str, str]) -> None:
    token = on.sessions.one_time_link(ORIGIN, OWNER).partition("token=")[2]
    answer = await on.browser.post("/console/sign-in", data={"token": token}, headers=headers)
    assert answer.status_code == 303


async def test_a_body_that_is_no_form_or_too_large_is_refused(on: Stage) -> None:
    answer = await on.browser.post("/console/sign-in", json={"token": "x"}, headers=SAME)
    assert answer.status_code == 400
    answer = await on.browser.post("/console/sign-in", data={"a": "x" * 9_000}, headers=SAME)
    assert answer.status_code == 413
