"""Operations of HTTP APIs, carried out over real sockets by a whole house."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from quarterdeck.domain.actions import Cleared, Done, InDoubt, Receipt, Refused
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import (
    CIRCUIT_CALLS_MIN,
    HTTP_ERROR_BYTES_MAX,
    HTTP_RETRIES_MAX,
    TOOL_RESULT_BYTES_MAX,
)
from quarterdeck.loops.sweep_actions import sweep_actions
from quarterdeck.upstream.tools.receipts import not_attempted
from tests.serving import OWNER
from tests.upstream.acting import acting
from tests.upstream.http_api import Asked, answer, api, fleet_of, operation, text_argument

GET = operation("get_order", "GET", "/orders/{order}", arguments=text_argument("order"))
CANCEL = operation(
    "cancel_order",
    "POST",
    "/orders/{order}/cancel",
    body="*",
    arguments=text_argument("order", "because"),
)
KEYED = CANCEL | {
    "name": "pay_order",
    "idempotent": True,
    "idempotency_key": {"header": "Idempotency-Key"},
}


def scripted(*answers: bytes | None) -> Any:
    """These answers one after another, and the last one from then on."""
    left: Iterator[bytes | None] = iter(answers)
    last: list[bytes | None] = []

    def say(_: Asked) -> bytes | None:
        last[:] = [next(left, last[0] if last else b"")]
        return last[0]

    return say


async def test_arguments_go_where_the_contract_says(tmp_path: Path) -> None:
    async with (
        api(lambda _: answer(200, {"state": "cancelled"})) as shop,
        acting(tmp_path, fleet_of(f"{shop.url}/v2", CANCEL)) as act,
    ):
        result = await act.result("cancel_order", order="a b", because="late")
        assert result == {"state": "cancelled"}
        [asked] = shop.asked
        assert (asked.method, asked.target) == ("POST", "/v2/orders/a%20b/cancel")
        assert asked.json() == {"because": "late"}
        receipt = await act.receipt("cancel_order", order="c", because="late")
        assert receipt.detail == {
            "method": "POST",
            "destination": f"{shop.url}/v2/orders/{{order}}/cancel",
            "status": 200,
        }
        assert receipt.cost_nanousd == 1_000_000


@pytest.mark.parametrize(
    ("said", "result"),
    [
        (answer(200, {"a": [1, None]}), {"a": [1, None]}),
        (answer(201, b"  "), None),
        (b"HTTP/1.1 204 No Content\r\n\r\n", None),
        (answer(200, b"plain", content_type="text/plain; charset=utf-8"), "plain"),
        (answer(200, b"caf\xe9", content_type="text/plain; charset=iso-8859-1"), "café"),
        (answer(200, {"x": 1}, content_type="application/problem+json"), {"x": 1}),
    ],
)
async def test_a_result_is_json_or_text(tmp_path: Path, said: bytes, result: object) -> None:
    async with api(scripted(said)) as shop, acting(tmp_path, fleet_of(shop.url, GET)) as act:
        assert await act.result("get_order", order="1") == result


@pytest.mark.parametrize(
    ("said", "because"),
    [
        (answer(200, b"{not json"), "neither JSON nor text"),
        (answer(200, b"\xff\xfe", content_type="text/plain"), "neither JSON nor text"),
        (answer(200, b"\x89PNG", content_type="image/png"), "neither JSON nor text"),
        (answer(200, b"\x1f\x8b..", content_encoding="gzip"), "neither JSON nor text"),
        (answer(200, b"[" * 100_000 + b"]" * 100_000), "neither JSON nor text"),
        (answer(200, b" " * (TOOL_RESULT_BYTES_MAX + 1)), "bytes: it was carried out"),
        (answer(302, b"", location="http://127.0.0.1:1/"), "redirects are not followed"),
    ],
)
async def test_a_result_that_cannot_be_given_is_a_failure_that_says_why(
    tmp_path: Path, said: bytes, because: str
) -> None:
    async with api(scripted(said)) as shop, acting(tmp_path, fleet_of(shop.url, GET)) as act:
        receipt = await act.receipt("get_order", order="1")
        assert receipt.status == "failed"
        assert because in orjson.loads(receipt.result)["error"]
        assert len(shop.asked) == 1


async def test_a_result_that_does_not_fit_the_contract_is_not_shown(tmp_path: Path) -> None:
    strict = GET | {"results": {"type": "object", "required": ["id"], "properties": {"id": {}}}}
    async with (
        api(scripted(answer(200, {"secret": "s3cr3t"}))) as shop,
        acting(tmp_path, fleet_of(shop.url, strict)) as act,
    ):
        receipt = await act.receipt("get_order", order="1")
        assert receipt.status == "failed"
        assert b"s3cr3t" not in receipt.result + orjson.dumps(receipt.detail)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429])
async def test_a_refusal_is_a_failure_with_what_the_server_said(
    tmp_path: Path, status: int
) -> None:
    said = answer(status, {"message": "no such order", "mail": "ann@example.com"})
    async with api(scripted(said)) as shop, acting(tmp_path, fleet_of(shop.url, CANCEL)) as act:
        receipt = await act.receipt("cancel_order", order="1", because="late")
        assert receipt.status == "failed"
        told = orjson.loads(receipt.result)
        assert told["status"] == status
        assert told["answer"]["message"] == "no such order"
        assert len(shop.asked) == 1, "a write without a key is sent once"


async def test_a_long_refusal_is_cut_and_stays_json(tmp_path: Path) -> None:
    long = answer(400, b'{"x":"' + "ä".encode() * 100_000 + b'"}')
    async with api(scripted(long)) as shop, acting(tmp_path, fleet_of(shop.url, CANCEL)) as act:
        receipt = await act.receipt("cancel_order", order="1", because="late")
        told = orjson.loads(receipt.result)
        assert len(told["answer"]) <= HTTP_ERROR_BYTES_MAX


@pytest.mark.parametrize("said", [answer(500), answer(503), answer(302), answer(303), b"", None])
async def test_a_write_that_was_not_confirmed_is_in_doubt(
    tmp_path: Path, said: bytes | None
) -> None:
    async with (
        api(scripted(said)) as shop,
        acting(tmp_path, fleet_of(shop.url, CANCEL | {"timeout_seconds": 1})) as act,
    ):
        outcome = await act.outcome("cancel_order", order="1", because="late")
        assert isinstance(outcome, InDoubt), outcome
        assert len(shop.asked) == 1
        assert await act.states() == ["in_doubt"]


async def test_an_answer_that_breaks_off_leaves_a_write_in_doubt(tmp_path: Path) -> None:
    cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"

    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(cut)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(breaks, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with acting(tmp_path, fleet_of(url, CANCEL)) as act:
        outcome = await act.outcome("cancel_order", order="1", because="late")
        assert isinstance(outcome, InDoubt), outcome
    server.close()


async def test_what_may_be_repeated_is_repeated_under_the_same_key(tmp_path: Path) -> None:
    async with (
        api(scripted(answer(503), answer(200, {"paid": True}))) as shop,
        acting(tmp_path, fleet_of(shop.url, KEYED)) as act,
    ):
        outcome = await act.outcome("pay_order", order="1", because="due")
        assert isinstance(outcome, Done)
        keys = [asked.headers["idempotency-key"] for asked in shop.asked]
        assert keys == [outcome.action.id] * 2
        await act.result("pay_order", order="2", because="due")
        assert shop.asked[-1].headers["idempotency-key"] != keys[0]


async def test_a_write_with_a_key_that_still_fails_is_in_doubt(tmp_path: Path) -> None:
    async with api(scripted(answer(503))) as shop, acting(tmp_path, fleet_of(shop.url, KEYED)) as a:
        assert isinstance(await a.outcome("pay_order", order="1", because="due"), InDoubt)
        assert len(shop.asked) == 1 + HTTP_RETRIES_MAX


async def test_a_freeze_between_two_attempts_does_not_undo_the_first(tmp_path: Path) -> None:
    """Goal: what was sent once is never called not attempted: its approval would be used again."""
    async with api(scripted(answer(503))) as shop, acting(tmp_path, fleet_of(shop.url, KEYED)) as a:
        may = iter([True])
        a.house.tools.http.may_go_on = lambda _: next(may, False)
        assert isinstance(await a.outcome("pay_order", order="1", because="due"), InDoubt)
        assert len(shop.asked) == 1


@pytest.mark.parametrize("said", [answer(500), b"", None])
async def test_a_read_that_failed_is_a_failure(tmp_path: Path, said: bytes | None) -> None:
    async with (
        api(scripted(said)) as shop,
        acting(tmp_path, fleet_of(shop.url, GET | {"timeout_seconds": 1})) as act,
    ):
        receipt = await act.receipt("get_order", order="1")
        assert receipt.status == "failed"


async def test_what_cannot_be_reached_was_not_attempted_and_costs_nothing(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with acting(tmp_path, fleet_of(url, CANCEL)) as act:
        receipt = await act.receipt("cancel_order", order="1", because="late")
        assert receipt.status == "not_attempted"
        assert receipt.cost_nanousd == 0
        assert "`billing`" in receipt.detail["error"]


async def test_a_name_that_nobody_has_was_not_attempted(tmp_path: Path) -> None:
    async with acting(tmp_path, fleet_of("http://nobody.invalid", CANCEL)) as act:
        receipt = await act.receipt("cancel_order", order="1", because="late")
        assert receipt.status == "not_attempted"


async def test_an_argument_that_leaves_its_place_is_not_attempted(tmp_path: Path) -> None:
    async with api() as shop, acting(tmp_path, fleet_of(shop.url, GET)) as act:
        receipt = await act.receipt("get_order", order="../admin")
        assert receipt.status == "not_attempted"
        assert shop.asked == []


async def test_what_the_contract_refuses_reaches_nobody(tmp_path: Path) -> None:
    async with api() as shop, acting(tmp_path, fleet_of(shop.url, GET)) as act:
        for outcome in (
            await act.outcome("get_order", order=1),
            await act.outcome("get_order", order="1", more="x"),
            await act.outcome("get_orders", order="1"),
        ):
            assert isinstance(outcome, Refused), outcome
        assert shop.asked == []


async def test_a_connection_that_was_closed_while_idle_is_made_anew(tmp_path: Path) -> None:
    """The server closes each connection after one answer, without having said that it would."""
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        await reader.readuntil(b"\r\n\r\n")
        served += 1
        writer.write(answer(200, {"n": served}))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with acting(tmp_path, fleet_of(url, GET)) as act:
        for n in range(1, 6):
            assert await act.result("get_order", order=str(n)) == {"n": n}
    server.close()


async def test_a_server_that_keeps_failing_is_not_called_for_a_while(tmp_path: Path) -> None:
    async with (
        api(scripted(answer(500))) as shop,
        acting(tmp_path, fleet_of(shop.url, CANCEL, GET)) as act,
    ):
        for n in range(CIRCUIT_CALLS_MIN):
            await act.outcome("cancel_order", order=str(n), because="late")
        asked = len(shop.asked)
        receipt = await act.receipt("cancel_order", order="x", because="late")
        assert receipt.status == "not_attempted"
        assert "has been failing" in receipt.detail["error"]
        assert len(shop.asked) == asked
        checks = await act.house.services.health.check(OWNER)
        [servers] = [check for check in checks if check.name == "servers"]
        assert servers.state == "warn"
        assert "`billing` is open" in servers.sentence


async def test_a_server_that_hangs_keeps_its_own_places_and_no_others(tmp_path: Path) -> None:
    """One server hangs with all its places taken; another answers meanwhile."""
    async with api(scripted(None)) as hung, api() as well:
        files = fleet_of(hung.url, GET | {"timeout_seconds": 30}, server={"calls_max": 2})
        other = operation("look", "GET", "/x", arguments=text_argument())
        other["http"]["server"] = "well"
        files |= {
            "servers/well.yaml": f"name: well\nprotocol: http\nurl: {well.url}\n".encode(),
            "tools/look.yaml": orjson.dumps(other),
        }
        files["agents/clerk.yaml"] = files["agents/clerk.yaml"].replace(
            b"- get_order\n", b"- get_order\n- look\n"
        )
        async with acting(tmp_path, files) as act:
            waiting = [
                asyncio.create_task(act.outcome("get_order", order=str(n))) for n in range(2)
            ]
            await hung.arrived.wait()
            assert await act.result("look") == {"ok": True}
            hung.release.set()
            await asyncio.gather(*waiting)


async def test_a_retry_that_never_began_says_nothing_of_the_call_before_it(tmp_path: Path) -> None:
    """The first call may have taken place. Then its server is away, then it is back."""
    async with (
        api(scripted(None)) as shop,
        acting(tmp_path, fleet_of(shop.url, KEYED | {"timeout_seconds": 1})) as act,
    ):
        outcome = await act.outcome("pay_order", order="1", because="due")
        assert isinstance(outcome, InDoubt)
        checkpoint, use = act.house.checkpoint, act.house.tools.use

        async def away(cleared: Cleared) -> Receipt:
            return not_attempted(Unavailable("the server is away"))

        await sweep_actions(checkpoint, away)
        assert await act.states() == ["in_doubt"]
        shop.answers = lambda _: answer(200, {"paid": True})
        await sweep_actions(checkpoint, use)
        assert await act.states() == ["in_doubt"], "not again at once"
        await act.house.db.write(lambda tx: tx.execute("update doubts set next_at = 0"))
        await sweep_actions(checkpoint, use)
        assert await act.states() == ["done"]
        assert {a.headers["idempotency-key"] for a in shop.asked} == {outcome.action.id}
