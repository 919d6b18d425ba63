"""Secrets are shown to servers, and to nobody else: whose, how, and where they never appear."""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from quarterdeck.domain.errors import Conflict, Invalid, NotFound, Unavailable
from quarterdeck.domain.ids import ServerName, ToolName
from quarterdeck.domain.limits import (
    SECRET_AGE_DAYS_MAX,
    SECRET_OVERLAP_SECONDS_MAX,
    TOKEN_ANSWER_BYTES_MAX,
)
from quarterdeck.domain.servers import OAuthClient, Server
from quarterdeck.domain.tools import HttpBackend
from quarterdeck.keys import SealingKey
from quarterdeck.loops.forget_secrets import forget_secrets
from quarterdeck.services.runs import StartedRun
from quarterdeck.store.database import Database
from quarterdeck.store.keys import rewrap
from quarterdeck.store.secrets import find_kept
from quarterdeck.upstream.credentials import Credentials
from quarterdeck.upstream.sessions import open_session
from quarterdeck.upstream.tokens import AccessTokens, SecretRefused
from tests.doubles import SteppingClock
from tests.serving import OWNER
from tests.upstream.acting import Acting, acting
from tests.upstream.http_api import Api, Asked, answer, api, fleet_of, operation, text_argument

GET = operation("get_order", "GET", "/orders/{order}", arguments=text_argument("order"))
VALUE = "v4lue-of-the-secret/with+odd=characters"
OTHER = "an0ther-value-of-the-same-secret"


async def put(act: Acting, **secrets: str) -> None:
    """Set secrets."""
    for name, value in secrets.items():
        await act.house.services.secrets.put(OWNER, name, value)


def takes(*values: str, header: str = "authorization", before: str = "Bearer ") -> Any:
    """A server that takes these values and refuses any other."""

    def say(asked: Asked) -> bytes:
        is_known = asked.headers.get(header, "") in [before + value for value in values]
        return answer(200, {"ok": True}) if is_known else answer(401, {"no": asked.headers[header]})

    return say


@pytest.mark.parametrize(
    ("own", "of_tool", "wanted"),
    [("OWN", "TOOL", "own"), (None, "TOOL", "tool"), (None, None, "server"), ("OWN", None, "own")],
)
async def test_the_closest_secret_is_shown(
    tmp_path: Path, own: str | None, of_tool: str | None, wanted: str
) -> None:
    tool = GET | ({"secret": of_tool} if of_tool else {})
    async with api() as shop:
        files = fleet_of(shop.url, tool, server={"secret": "SERVER"}, own_secret=own)
        async with acting(tmp_path, files) as act:
            await put(act, OWN="own", TOOL="tool", SERVER="server")
            await act.result("get_order", order="1")
            assert shop.asked[0].headers["authorization"] == f"Bearer {wanted}"


async def test_nothing_falls_back_to_a_wider_account(tmp_path: Path) -> None:
    async with api() as shop:
        files = fleet_of(shop.url, GET, server={"secret": "SERVER"}, own_secret="OWN")
        async with acting(tmp_path, files) as act:
            await put(act, SERVER="server")
            receipt = await act.receipt("get_order", order="1")
            assert receipt.status == "not_attempted"
            assert "`OWN`" in receipt.detail["error"]
            assert receipt.detail["hint"] == "run: quarterdeck secrets set OWN"
            assert shop.asked == []


async def test_a_secret_is_shown_in_the_header_its_server_names(tmp_path: Path) -> None:
    async with api() as shop:
        files = fleet_of(shop.url, GET, server={"secret": "KEY", "auth": "X-Api-Key"})
        async with acting(tmp_path, files) as act:
            await put(act, KEY=VALUE)
            await act.result("get_order", order="1")
            assert shop.asked[0].headers["x-api-key"] == VALUE
            assert "authorization" not in shop.asked[0].headers


async def test_no_argument_is_shown_in_the_place_of_a_secret(tmp_path: Path) -> None:
    """A folder in which an argument could be is refused; this tool has been changed since."""
    async with (
        api() as shop,
        acting(
            tmp_path, fleet_of(shop.url, GET, server={"secret": "KEY", "auth": "X-Api-Key"})
        ) as act,
    ):
        await put(act, KEY=VALUE)
        fleet = await act.house.bindings.in_force()
        assert fleet is not None
        tool = fleet.tools[ToolName("get_order")]
        assert isinstance(tool.backend, HttpBackend)
        object.__setattr__(tool.backend, "headers", {"x-api-key": "order"})
        await act.result("get_order", order="1")
        assert shop.asked[0].headers["x-api-key"] == VALUE


async def test_a_value_that_is_no_line_is_not_sent(tmp_path: Path) -> None:
    async with (
        api() as shop,
        acting(tmp_path, fleet_of(shop.url, GET, server={"secret": "KEY"})) as act,
    ):
        await put(act, KEY="two\r\nx-admin: lines")
        receipt = await act.receipt("get_order", order="1")
        assert receipt.status == "not_attempted"
        assert "x-admin" not in str(receipt)
        assert shop.asked == []


# Rotation.


async def test_a_rotated_secret_is_shown_and_the_old_one_where_it_is_refused(
    tmp_path: Path,
) -> None:
    async with (
        api(takes(VALUE)) as shop,
        acting(tmp_path, fleet_of(shop.url, GET, server={"secret": "KEY"})) as act,
    ):
        await put(act, KEY=VALUE)
        await act.result("get_order", order="1")
        await act.house.services.secrets.rotate(OWNER, "KEY", OTHER)
        forget(act)
        await act.result("get_order", order="2")
        shown = [asked.headers["authorization"] for asked in shop.asked[1:]]
        assert shown == [f"Bearer {OTHER}", f"Bearer {VALUE}"]
        await act.result("get_order", order="3")  # what works is shown first for a while
        assert shop.asked[-1].headers["authorization"] == f"Bearer {VALUE}"
        shop.answers = takes(OTHER)  # the server has learnt the new one, and lost the old
        await act.result("get_order", order="4")
        assert shop.asked[-1].headers["authorization"] == f"Bearer {OTHER}"


async def test_a_value_replaced_elsewhere_is_found_when_the_one_known_is_refused(
    tmp_path: Path,
) -> None:
    async with (
        api(takes(VALUE)) as shop,
        acting(tmp_path, fleet_of(shop.url, GET, server={"secret": "KEY"})) as act,
    ):
        await put(act, KEY=VALUE)
        await act.result("get_order", order="1")
        await put(act, KEY=OTHER)
        shop.answers = takes(OTHER)
        await act.result("get_order", order="2")
        assert len(shop.asked) == 3


async def test_an_old_value_is_not_shown_after_its_overlap(tmp_path: Path) -> None:
    async with (
        api(takes(VALUE)) as shop,
        acting(tmp_path, fleet_of(shop.url, GET, server={"secret": "KEY"})) as act,
    ):
        await put(act, KEY=VALUE)
        await act.house.services.secrets.rotate(OWNER, "KEY", OTHER, overlap_seconds=0)
        receipt = await act.receipt("get_order", order="1")
        assert receipt.status == "failed"
        assert [a.headers["authorization"] for a in shop.asked] == [f"Bearer {OTHER}"]


async def test_two_values_that_are_both_refused_are_each_shown_once(tmp_path: Path) -> None:
    async with (
        api(takes()) as shop,
        acting(tmp_path, fleet_of(shop.url, GET, server={"secret": "KEY"})) as act,
    ):
        await put(act, KEY=VALUE)
        await act.house.services.secrets.rotate(OWNER, "KEY", OTHER)
        receipt = await act.receipt("get_order", order="1")
        assert receipt.status == "failed"
        assert len(shop.asked) == 2


async def test_what_is_rotated_is_there_is_new_and_has_an_overlap(tmp_path: Path) -> None:
    async with acting(tmp_path, fleet_of("http://127.0.0.1:9", GET)) as act:
        secrets = act.house.services.secrets
        with pytest.raises(NotFound):
            await secrets.rotate(OWNER, "KEY", OTHER)
        await put(act, KEY=VALUE)
        with pytest.raises(Conflict):
            await secrets.rotate(OWNER, "KEY", f"{VALUE}\n")
        for overlap in (-1, SECRET_OVERLAP_SECONDS_MAX + 1):
            with pytest.raises(Invalid):
                await secrets.rotate(OWNER, "KEY", OTHER, overlap_seconds=overlap)
        await secrets.rotate(OWNER, "KEY", OTHER)
        [listed] = await secrets.list_names(OWNER)
        assert listed["before_until"] > listed["set_at"]
        assert listed["age_days"] == 0
        await put(act, KEY=VALUE)  # set: at once, and the one before it is forgotten
        [listed] = await secrets.list_names(OWNER)
        assert listed["before_until"] is None


def forget(act: Acting) -> None:
    """As after 30 seconds: values are read from the database again."""
    credentials: Credentials = act.house.tools.http.credentials
    credentials._kept.clear()


# Tokens.


def issuer(seconds: object = 3600) -> Callable[[Asked], bytes]:
    """An issuer that numbers its tokens."""
    count = 0

    def say(_: Asked) -> bytes:
        nonlocal count
        count += 1
        return answer(
            200, {"access_token": f"tok-{count}", "token_type": "Bearer", "expires_in": seconds}
        )

    return say


def server_at(login: str, **fields: Any) -> Server:
    """A server whose secret is a client's."""
    oauth = OAuthClient(token_url=f"{login}/token", client_id="a client", scope="orders pay")
    usual: dict[str, Any] = {"protocol": "http", "url": "https://shop.example.com", "oauth": oauth}
    return Server(name=ServerName("shop"), command=(), **(usual | fields))


async def test_a_client_is_exchanged_for_a_token_that_is_kept(tmp_path: Path) -> None:
    async with api() as shop, api(issuer()) as login:
        entry = {"secret": "KEY", "oauth": {"token_url": f"{login.url}/t", "client_id": "me"}}
        async with acting(tmp_path, fleet_of(shop.url, GET, server=entry)) as act:
            await put(act, KEY=VALUE)
            for order in "123":
                await act.result("get_order", order=order)
            assert {asked.headers["authorization"] for asked in shop.asked} == {"Bearer tok-1"}
            [asked] = login.asked
            assert asked.form() == {"grant_type": "client_credentials"}


async def test_a_token_is_asked_for_as_the_standard_says() -> None:
    async with api(issuer()) as login, open_session() as session:
        tokens = AccessTokens(session=session, clock=SteppingClock())
        assert await tokens.of(server_at(login.url), VALUE) == "tok-1"
        [asked] = login.asked
        pair = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode()
        assert pair == "a+client:v4lue-of-the-secret%2Fwith%2Bodd%3Dcharacters"
        assert asked.form() == {"grant_type": "client_credentials", "scope": "orders pay"}
        mcp = server_at(login.url, protocol="mcp", url="https://shop.example.com/mcp")
        await tokens.of(mcp, VALUE)
        assert login.asked[-1].form()["resource"] == "https://shop.example.com/mcp"


async def test_a_token_is_fetched_once_however_many_wait_and_whoever_leaves() -> None:
    held = asyncio.Event()
    async with api(issuer()) as login, open_session() as session:
        tokens = AccessTokens(session=session, clock=SteppingClock())
        server = server_at(login.url)
        waiting = [asyncio.create_task(tokens.of(server, VALUE)) for _ in range(20)]
        held.set()
        await asyncio.sleep(0)
        waiting[0].cancel()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert set(found[1:]) == {"tok-1"}
        assert len(login.asked) == 1


@pytest.mark.parametrize(
    ("said", "good", "over"),
    [(3600, 3500, 3571), ("3600", 3500, 3571), (None, 25, 31), (20, 8, 11), ("soon", 25, 31)],
)
async def test_a_token_is_replaced_shortly_before_its_end(
    said: object, good: float, over: float
) -> None:
    clock = SteppingClock()
    async with api(issuer(said)) as login, open_session() as session:
        tokens, server = AccessTokens(session=session, clock=clock), server_at(login.url)
        assert await tokens.of(server, VALUE) == "tok-1"
        clock.push(good)
        assert await tokens.of(server, VALUE) == "tok-1"
        clock.push(over - good)
        assert await tokens.of(server, VALUE) == "tok-2"


async def test_tokens_of_different_clients_are_kept_apart() -> None:
    async with api(issuer()) as login, open_session() as session:
        tokens, server = AccessTokens(session=session, clock=SteppingClock()), server_at(login.url)
        found = [
            await tokens.of(server, VALUE),
            await tokens.of(server, OTHER),
            await tokens.of(server_at(login.url, protocol="mcp"), VALUE),
            await tokens.of(server_at(f"{login.url}/other"), VALUE),
        ]
        assert len(set(found)) == 4


async def test_a_token_that_was_withdrawn_is_fetched_again(tmp_path: Path) -> None:
    async with api(takes("tok-2")) as shop, api(issuer()) as login:
        entry = {"secret": "KEY", "oauth": {"token_url": f"{login.url}/t", "client_id": "me"}}
        async with acting(tmp_path, fleet_of(shop.url, GET, server=entry)) as act:
            await put(act, KEY=VALUE)
            await act.result("get_order", order="1")
            assert len(login.asked) == 2


async def test_a_rotated_client_is_known_by_its_old_secret_for_the_overlap(tmp_path: Path) -> None:
    def knows_old(asked: Asked) -> bytes:
        pair = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode()
        if pair.endswith(":old"):
            return answer(200, {"access_token": "tok", "token_type": "bearer"})
        return answer(401, {"error": "invalid_client"})

    async with api() as shop, api(knows_old) as login:
        entry = {"secret": "KEY", "oauth": {"token_url": f"{login.url}/t", "client_id": "me"}}
        async with acting(tmp_path, fleet_of(shop.url, GET, server=entry)) as act:
            await put(act, KEY="old")
            await act.house.services.secrets.rotate(OWNER, "KEY", "new")
            await act.result("get_order", order="1")


@pytest.mark.parametrize(
    ("said", "because", "kind"),
    [
        (answer(401, {"error": "invalid_client"}), "`invalid_client`", SecretRefused),
        (answer(400, {"error": "invalid_scope"}), "`invalid_scope`", Unavailable),
        (answer(400, {"error": f"you sent {VALUE}"}), "answered 400", Unavailable),
        (answer(500, {"error": ["x"]}), "answered 500", Unavailable),
        (answer(302, b"", location="http://127.0.0.1:1/"), "answered 302", Unavailable),
        (answer(200, b"no json"), "is no token", Unavailable),
        (answer(200, b"[" * 50_000), "is no token", Unavailable),
        (answer(200, {"access_token": 1}), "is no token", Unavailable),
        (answer(200, {"access_token": "x", "token_type": "mac"}), "no bearer token", Unavailable),
        (answer(200, {"access_token": "a\r\nb", "token_type": "bearer"}), "no bearer", Unavailable),
        (answer(200, b" " * (TOKEN_ANSWER_BYTES_MAX + 1)), "too long", Unavailable),
        (b"", "cannot be reached", Unavailable),
    ],
)
async def test_a_token_that_cannot_be_had_says_why_and_shows_nothing(
    said: bytes, because: str, kind: type[Unavailable]
) -> None:
    clock = SteppingClock()
    async with api(lambda _: said) as login, open_session() as session:
        tokens = AccessTokens(session=session, clock=clock)
        with pytest.raises(kind) as refused:
            await tokens.of(server_at(login.url), VALUE)
        assert because in refused.value.message
        assert VALUE not in f"{refused.value!r} {refused.value.message} {refused.value.hint}"
        assert len(login.asked) == 1


# Where a value never is.


async def test_a_value_is_nowhere_but_at_its_server(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server repeats what it was shown in every way it can; then everything is searched."""
    turns = iter(range(100))

    def repeats(asked: Asked) -> bytes:
        said = asked.headers["authorization"]
        status = (200, 400, 403, 404)[next(turns) % 4]
        return answer(status, {"you": said, "only": said.removeprefix("Bearer "), said: 1})

    async with (
        api(repeats) as shop,
        acting(tmp_path, fleet_of(shop.url, GET, server={"secret": "KEY"})) as act,
    ):
        await put(act, KEY=VALUE)
        seen = [await act.receipt("get_order", order=str(n)) for n in range(4)]
        assert all(VALUE in asked.headers["authorization"] for asked in shop.asked)
        assert len(shop.asked) == 4
        shown = await everything(act, act.run)
        shown.append(repr(seen) + repr(act.house.tools) + repr(act.house.models))
        await act.house.services.secrets.rotate(OWNER, "KEY", OTHER)
        shown.append(repr(await act.house.services.secrets.list_names(OWNER)))
        shown.append(repr(act.house.tools.http.credentials))
    shown += list(capfd.readouterr())
    shown += [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    for text in shown:
        for form in (VALUE, OTHER, VALUE.replace("/", "\\/"), base64.b64encode(VALUE.encode())):
            assert str(form) not in text


async def everything(act: Acting, run: StartedRun) -> list[str]:
    """All that the record holds of a run, and what may be read of it."""
    services = act.house.services
    rows = await services.actions.list_of_run(OWNER, run.id, after="", rows=500)
    shown = [repr(rows)]
    for row in rows:
        shown.append(repr(await services.actions.show(OWNER, row["id"])))
    for table in ("actions", "leaves", "runs", "secrets", "retiring_secrets", "sealed"):
        shown.append(await whole(act.house.db, table))
    return shown


async def whole(db: Database, table: str) -> str:
    """All rows of a table."""
    rows = await db.read(lambda tx: list(tx.rows(f"select * from {table}")))
    return repr([dict(row) for row in rows])


async def test_a_command_gets_its_variables_and_its_secrets(tmp_path: Path) -> None:
    async with acting(tmp_path, fleet_of("http://127.0.0.1:9", GET)) as act:
        await put(act, SHOP_KEY=VALUE)
        credentials: Credentials = act.house.tools.http.credentials
        server = Server(
            name=ServerName("shop"),
            protocol="mcp",
            url=None,
            command=("shop",),
            environment={"MODE": "test"},
            secrets={"TOKEN": "SHOP_KEY"},
        )
        assert await credentials.variables(server) == {"MODE": "test", "TOKEN": VALUE}


def test_what_is_shown_does_not_show_itself() -> None:
    from quarterdeck.upstream.credentials import Shown

    shown = Shown(server=server_at("http://x"), account="KEY", headers={"a": VALUE}, value=VALUE)
    assert VALUE not in repr(shown)
    body = orjson.dumps({"a": VALUE, "b": f"Bearer {VALUE}"})
    assert shown.scrubbed(body) == b'{"a":"[secret]","b":"Bearer [secret]"}'


def test_an_api_of_the_tests_is_what_it_says() -> None:
    assert Api("", lambda _: b"x")(Asked(method="GET", target="/", headers={}, body=b"")) == b"x"


async def test_doctor_says_which_secrets_are_missing_and_which_are_old(tmp_path: Path) -> None:
    files = fleet_of("http://127.0.0.1:9", GET, server={"secret": "KEY"})
    async with acting(tmp_path, files) as act:
        services = act.house.services

        async def found() -> tuple[str, str]:
            checks = await services.health.check(OWNER)
            [check] = [check for check in checks if check.name == "secrets"]
            return check.state, check.sentence + check.do

        state, said = await found()
        assert state == "fail"
        assert "`KEY`" in said
        await put(act, KEY=VALUE)
        assert (await found())[0] == "ok"
        age = (SECRET_AGE_DAYS_MAX + 1) * 86_400_000_000
        old = "update secrets set set_at = set_at - :age"
        await act.house.db.write(lambda tx: tx.execute(old, {"age": age}))
        state, said = await found()
        assert state == "warn"
        assert f"`KEY` ({SECRET_AGE_DAYS_MAX + 1} days)" in said
        assert "quarterdeck secrets rotate KEY" in said
        await services.secrets.rotate(OWNER, "KEY", OTHER)
        assert (await found())[0] == "ok"


async def test_an_old_value_is_forgotten_once_its_time_is_over(tmp_path: Path) -> None:
    async with acting(tmp_path, fleet_of("http://127.0.0.1:9", GET)) as act:
        db, secrets = act.house.db, act.house.services.secrets
        await put(act, KEY=VALUE)
        await secrets.rotate(OWNER, "KEY", OTHER)
        assert await forget_secrets(db) == 0
        await db.write(lambda tx: tx.execute("update retiring_secrets set until = 1", {}))
        assert await forget_secrets(db) == 1
        assert await db.read(lambda tx: tx.rows("select * from retiring_secrets")) == []


async def test_every_secret_is_put_under_a_new_master_key(tmp_path: Path) -> None:
    async with acting(tmp_path, fleet_of("http://127.0.0.1:9", GET)) as act:
        await put(act, KEY=VALUE)
        await act.house.services.secrets.rotate(OWNER, "KEY", OTHER)
        old, new = act.house.master, SealingKey(b"n" * 32, act.house.dice)
        await act.house.db.write(lambda tx: rewrap(tx, old, new))
        kept = await act.house.db.read(lambda tx: find_kept(tx, new, "KEY"))
        assert kept is not None
        assert (kept.value, kept.before) == (OTHER, VALUE)
