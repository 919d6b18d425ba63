"""A model call against vendors on real sockets that misbehave: what is sent again, what never."""

import asyncio

import pytest

from quarterdeck.domain.actions import Cleared
from quarterdeck.domain.attempts import Attempt
from quarterdeck.domain.circuits import state_of
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import CIRCUIT_CALLS_MIN
from quarterdeck.upstream.models.call import ModelCall
from quarterdeck.upstream.models.client import Broken, ModelClient, Unanswered
from tests.upstream.calls import (
    BODY,
    HEADERS,
    Standing,
    cleared_call,
    client,
    vendor_of,
    whole,
)
from tests.vendors import (
    ANSWER,
    Connection,
    Step,
    breaks_in_the_middle,
    closes,
    hangs,
    hangs_after_headers,
    hangs_in_the_middle,
    nobody,
    resets,
    says,
    streams,
    vendor,
)


async def unanswered(caller: ModelClient, cleared: Cleared) -> Unanswered:
    """How a call ends that nobody answers."""
    with pytest.raises(Unanswered) as error:
        await caller.open(cleared, HEADERS).answered()
    return error.value


def ends(attempts: tuple[Attempt, ...]) -> list[tuple[str, str, int | None]]:
    """Where each attempt went and how it ended."""
    return [(a.vendor, a.end, a.status) for a in attempts]


async def test_a_call_without_trouble_is_one_request_and_leaves_no_trace_of_attempts() -> None:
    async with vendor() as first, client() as caller:
        answer = await caller.open(cleared_call(vendor_of(first.url)), HEADERS).answered()
        assert await whole(answer) == ANSWER
        assert (answer.status, answer.earlier) == (200, ())
        assert [r.body for r in first.requests] == [BODY]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
async def test_a_status_that_says_to_come_back_is_asked_once_more(status: int) -> None:
    async with vendor(says(status, b"{}", retry_after="0"), says()) as first, client() as caller:
        answer = await caller.open(cleared_call(vendor_of(first.url)), HEADERS).answered()
        assert await whole(answer) == ANSWER
        assert ends(answer.earlier) == [("first", "error", status)]
        assert [r.body for r in first.requests] == [BODY, BODY]
        assert first.connections == 1, "the connection of the first attempt was kept"


async def test_the_last_error_is_passed_on_as_the_vendor_said_it() -> None:
    body = b'{"error":{"message":"slow down"}}'
    async with vendor(says(429, body, retry_after_ms="1")) as first, client() as caller:
        answer = await caller.open(cleared_call(vendor_of(first.url)), HEADERS).answered()
        assert (answer.status, await whole(answer)) == (429, body)
        assert len(first.requests) == 2
        assert answer.earlier[0].error == body.decode()


@pytest.mark.parametrize("retries", [0, 3])
async def test_the_entry_says_how_often(retries: int) -> None:
    async with vendor(says(503, b"{}", retry_after_ms="1")) as first, client() as caller:
        cleared = cleared_call(vendor_of(first.url, retries=retries))
        answer = await caller.open(cleared, HEADERS).answered()
        assert answer.status == 503
        answer.close()
        assert len(first.requests) == 1 + retries


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_other_errors_are_the_callers_and_passed_on(status: int) -> None:
    async with vendor(says(status, b"{}")) as first, client() as caller:
        answer = await caller.open(cleared_call(vendor_of(first.url)), HEADERS).answered()
        assert answer.status == status
        answer.close()
        assert len(first.requests) == 1


async def test_an_error_that_tells_of_usage_was_charged_for_and_is_the_answer() -> None:
    body = b'{"error":{"message":"late"},"usage":{"prompt_tokens":7,"completion_tokens":0}}'
    async with vendor(says(500, body, retry_after="0"), says()) as first, client() as caller:
        answer = await caller.open(cleared_call(vendor_of(first.url)), HEADERS).answered()
        assert (answer.status, await whole(answer)) == (500, body)
        assert len(first.requests) == 1


async def test_an_error_too_long_to_look_at_is_passed_on_whole() -> None:
    body = b"x" * 200_000
    async with vendor(says(500, body, retry_after="0"), says()) as first, client() as caller:
        answer = await caller.open(cleared_call(vendor_of(first.url)), HEADERS).answered()
        assert await whole(answer) == body
        assert len(first.requests) == 1


async def test_where_nobody_listens_nothing_was_attempted() -> None:
    async with client() as caller:
        error = await unanswered(caller, cleared_call(vendor_of(nobody())))
    assert error.receipt.status == "not_attempted"
    assert ends(error.receipt.attempts) == [("first", "unreachable", None)] * 2
    assert error.retry_after is None


@pytest.mark.parametrize("step", [hangs, hangs_after_headers, resets, closes])
async def test_what_was_sent_and_not_answered_is_in_doubt_and_never_sent_again(step: Step) -> None:
    async with vendor(step, says()) as first, client() as caller:
        error = await unanswered(caller, cleared_call(vendor_of(first.url, retries=5)))
        assert error.receipt.status == "failed"
        assert ends(error.receipt.attempts) == [("first", "unanswered", None)]
        assert len(first.requests) == 1


async def used(caller: ModelClient, url: str) -> None:
    """Leave a connection in the pool."""
    answer = await caller.open(cleared_call(vendor_of(url)), HEADERS).answered()
    assert await whole(answer) == ANSWER


@pytest.mark.parametrize("step", [resets, closes])
async def test_a_pooled_connection_closed_as_we_send_is_replaced_by_a_new_one(step: Step) -> None:
    """The classic race: an idle connection's end and our request cross on the way."""
    async with vendor(says(), step, says()) as first, client() as caller:
        await used(caller, first.url)
        answer = await caller.open(cleared_call(vendor_of(first.url)), HEADERS).answered()
        assert await whole(answer) == ANSWER
        assert ends(answer.earlier) == [("first", "closed", None)]
        assert [(r.connection, r.on_connection) for r in first.requests] == [(1, 1), (1, 2), (2, 1)]


async def test_a_pooled_connection_that_dies_at_work_is_not_that_race() -> None:
    async def works_then_dies(connection: Connection) -> None:
        await asyncio.sleep(1.05)  # longer than CLOSED_WHILE_SENDING_MILLISECONDS_MAX
        await resets(connection)

    async with vendor(says(), works_then_dies, says()) as first, client() as caller:
        await used(caller, first.url)
        timeouts = vendor_of(first.url).timeouts
        entry = vendor_of(first.url, timeouts=type(timeouts)(first_byte=5))
        error = await unanswered(caller, cleared_call(entry))
        assert ends(error.receipt.attempts) == [("first", "unanswered", None)]
        assert len(first.requests) == 2


async def test_a_new_connection_that_is_closed_may_be_a_vendor_that_died_at_work() -> None:
    async with vendor(closes, says()) as first, client() as caller:
        error = await unanswered(caller, cleared_call(vendor_of(first.url)))
        assert error.receipt.attempts[0].end == "unanswered"


@pytest.mark.parametrize("step", [hangs_in_the_middle, breaks_in_the_middle])
async def test_what_stops_after_its_first_byte_breaks_and_is_not_asked_again(step: Step) -> None:
    async with vendor(step) as first, vendor() as second, client() as caller:
        cleared = cleared_call(vendor_of(first.url), vendor_of(second.url, "second"))
        answer = await caller.open(cleared, HEADERS).answered()
        with pytest.raises(Broken):
            await whole(answer)
        answer.close()
        assert (len(first.requests), len(second.requests)) == (1, 0)


@pytest.mark.parametrize(
    ("step", "end", "status"),
    [
        (hangs, "unanswered", None),
        (hangs_after_headers, "unanswered", None),
        (resets, "unanswered", None),
        (says(429, b"{}", retry_after="30"), "error", 429),
    ],
)
async def test_the_declared_fallback_answers_where_the_first_cannot(
    step: Step, end: str, status: int | None
) -> None:
    async with vendor(step) as first, vendor() as second, client() as caller:
        cleared = cleared_call(vendor_of(first.url), vendor_of(second.url, "second"))
        answer = await caller.open(cleared, HEADERS).answered()
        assert await whole(answer) == ANSWER
        assert ends(answer.earlier) == [("first", end, status)]
        assert (answer.vendor, answer.model) == ("second", "small-1")
        assert [r.body for r in second.requests] == [BODY], "not a byte is different"


async def test_a_stream_fails_over_before_its_first_byte() -> None:
    first_step, second_step = hangs_after_headers, streams()
    async with vendor(first_step) as first, vendor(second_step) as second, client() as caller:
        cleared = cleared_call(vendor_of(first.url), vendor_of(second.url, "second"))
        answer = await caller.open(cleared, HEADERS).answered()
        assert (await whole(answer)).endswith(b"data: [DONE]\n\n")


async def test_only_the_name_of_the_model_changes_where_it_has_another_one() -> None:
    async with vendor(says(500, b"")) as first, vendor() as second, client() as caller:
        cleared = cleared_call(
            vendor_of(first.url, retries=0), vendor_of(second.url, "second"), model="deployed-1"
        )
        answer = await caller.open(cleared, HEADERS).answered()
        await whole(answer)
        [request] = second.requests
        assert request.body == BODY.replace(b'"small-1",', b'"deployed-1",', 1)
        assert request.headers["content-length"] == str(len(request.body))
        assert answer.model == "deployed-1"


async def test_when_both_fail_the_last_one_speaks() -> None:
    said = b'{"error":{"message":"closed on Sundays"}}'
    closed = says(503, said, retry_after="60")
    async with vendor(hangs) as first, vendor(closed) as second, client() as caller:
        cleared = cleared_call(vendor_of(first.url), vendor_of(second.url, "second"))
        answer = await caller.open(cleared, HEADERS).answered()
        assert (answer.status, await whole(answer)) == (503, said)
        assert ends(answer.earlier) == [("first", "unanswered", None)]


async def test_a_freeze_that_comes_meanwhile_ends_the_call() -> None:
    standing = Standing()

    async def freezes(connection: Connection) -> None:
        standing.going_on = False
        await says(500, b"{}", retry_after="0")(connection)

    async with vendor(freezes) as first, vendor() as second, client(standing) as caller:
        cleared = cleared_call(vendor_of(first.url), vendor_of(second.url, "second"))
        error = await unanswered(caller, cleared)
        assert ends(error.receipt.attempts) == [("first", "error", 500)]
        assert (len(first.requests), len(second.requests)) == (1, 0)


async def test_nothing_is_sent_once_the_clearance_has_lapsed() -> None:
    async with vendor() as first, client(Standing(current=False)) as caller:
        error = await unanswered(caller, cleared_call(vendor_of(first.url)))
        assert (error.receipt.status, error.receipt.attempts) == ("not_attempted", ())
        assert first.requests == []


async def test_who_leaves_is_charged_for_what_was_sent_and_for_nothing_else() -> None:
    async with vendor(hangs) as first, client() as caller:
        call = caller.open(cleared_call(vendor_of(first.url)), HEADERS)
        assert call.receipt("hung up").status == "not_attempted"
        task = asyncio.create_task(call.answered())
        await first.asked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        receipt = call.receipt("hung up")
        assert receipt.status == "failed"
        assert ends(receipt.attempts) == [("first", "unanswered", None)]
        [(_, line)] = caller.lines._lines.items()
        assert (line.places.taken, state_of(line.circuit)) == (0, "closed")


async def test_a_vendor_is_hung_up_on_when_its_caller_leaves_before_the_first_byte() -> None:
    hung_up = asyncio.Event()

    async def promises(connection: Connection) -> None:
        await hangs_after_headers(connection)
        hung_up.set()

    async with vendor(promises) as first, client() as caller:
        call = caller.open(cleared_call(vendor_of(first.url)), HEADERS)
        task = asyncio.create_task(call.answered())
        await first.asked.wait()
        await asyncio.sleep(0.05)  # for its headers; without them the test holds as well
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.wait_for(hung_up.wait(), 5)
        assert ends(call.receipt("hung up").attempts) == [("first", "unanswered", None)]


async def test_a_dead_vendor_is_not_called_for_a_while_and_says_so_at_once() -> None:
    async with client() as caller:
        entry = vendor_of(nobody(), retries=0)
        for _ in range(CIRCUIT_CALLS_MIN):
            assert (await unanswered(caller, cleared_call(entry))).retry_after is None
        error = await unanswered(caller, cleared_call(entry))
        assert ends(error.receipt.attempts) == [("first", "not_tried", None)]
        assert error.receipt.status == "not_attempted"
        assert error.retry_after is not None
        assert 0 < error.retry_after <= 15
        assert [s.circuit for s in caller.lines.states()] == ["open"]


async def test_with_an_open_circuit_the_fallback_is_asked_without_waiting() -> None:
    async with vendor() as second, client() as caller:
        entry = vendor_of(nobody(), retries=0)
        for _ in range(CIRCUIT_CALLS_MIN):
            await unanswered(caller, cleared_call(entry))
        answer = await caller.open(
            cleared_call(entry, vendor_of(second.url, "second")), HEADERS
        ).answered()
        assert ends(answer.earlier) == [("first", "not_tried", None)]
        answer.close()


async def test_calls_that_hang_take_no_place_from_another_agent_or_another_vendor() -> None:
    """Goal: one slow vendor delays nobody else. Method: fill it, then call as others do.

    Nothing is measured: while the slow calls hang for as long as the test lasts, the others are
    answered, every one of them.
    """
    async with vendor(hangs) as slow, vendor() as quick, client() as caller:
        entry = vendor_of(slow.url, calls_max=8, timeouts=type(vendor_of("").timeouts)())
        hanging = [
            asyncio.create_task(caller.open(cleared_call(entry), HEADERS).answered())
            for _ in range(20)
        ]
        while len(slow.requests) < 6:
            await asyncio.sleep(0)
        for _ in range(50):
            await used(caller, quick.url)
        other = asyncio.create_task(
            caller.open(cleared_call(entry, agent="another"), HEADERS).answered()
        )
        while len(slow.requests) < 7:
            await asyncio.sleep(0)
        [state] = [s for s in caller.lines.states() if s.base_url == slow.url]
        assert (state.calls, state.waiting) == (7, 14)
        assert not any(task.done() for task in hanging)
        for task in (*hanging, other):
            task.cancel()
        await asyncio.gather(*hanging, other, return_exceptions=True)
        assert all((s.calls, s.waiting) == (0, 0) for s in caller.lines.states())


@pytest.mark.parametrize(
    ("auth", "shown"),
    [
        ("bearer", {"authorization": "Bearer k-1"}),
        ("x-api-key", {"x-api-key": "k-1"}),
        ("api-key", {"api-key": "k-1"}),
        ("x-goog-api-key", {"x-goog-api-key": "k-1"}),
    ],
)
async def test_the_key_is_shown_as_the_entry_says(auth: str, shown: dict[str, str]) -> None:
    async with vendor() as first, client(Standing(secrets={"key": "k-1"})) as caller:
        await whole(
            await caller.open(
                cleared_call(vendor_of(first.url, auth=auth, secret="KEY")), HEADERS
            ).answered()
        )
        [request] = first.requests
        names = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
        assert {n: v for n, v in request.headers.items() if n in names} == shown


async def test_a_request_to_aws_is_signed_for_its_region_and_each_vendor_sees_its_own_key() -> None:
    secrets = {"aws": "AKIDEXAMPLE:abc/def", "key": "k-2"}
    async with vendor(resets) as first, vendor() as second:
        async with client(Standing(secrets=secrets)) as caller:
            signed = vendor_of(first.url, auth="aws-sigv4", secret="AWS", region="eu-central-1")
            cleared = cleared_call(signed, vendor_of(second.url, "second", secret="KEY"))
            await whole(await caller.open(cleared, HEADERS).answered())
        said = first.requests[0].headers["authorization"]
        assert said.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        assert "/eu-central-1/bedrock/aws4_request, SignedHeaders=content-type;host;" in said
        assert "abc/def" not in str(first.requests[0].headers)
        assert second.requests[0].headers["authorization"] == "Bearer k-2"
        assert "x-amz-date" not in second.requests[0].headers


async def test_a_redirect_is_not_followed() -> None:
    async with vendor() as elsewhere, vendor(says(307, b"", location="X")) as first:
        async with client() as caller:
            answer = await caller.open(cleared_call(vendor_of(first.url)), HEADERS).answered()
            assert answer.status == 307
            answer.close()
        assert elsewhere.requests == []


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with vendor() as proxy, vendor() as first, client() as caller:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await used(caller, first.url)
        assert proxy.requests == []


async def test_a_key_that_is_not_set_is_said_in_words_and_nothing_is_sent() -> None:
    class Away:
        async def read(self, _: object) -> None:
            return None

    async with vendor() as first, client() as caller:
        object.__setattr__(caller.credentials, "db", Away())
        cleared = cleared_call(vendor_of(first.url, secret="KEY"))
        with pytest.raises(Unavailable, match="the secret `KEY` of vendor `first` is not set"):
            await caller.open(cleared, HEADERS).answered()
        receipt = await ModelCall(caller).ask(cleared)
        assert receipt.status == "not_attempted", "and the runner charges nothing either"
        assert first.requests == []


async def test_the_runner_gets_the_fallbacks_answer_with_what_was_tried() -> None:
    async with vendor(resets) as first, vendor() as second, client() as caller:
        cleared = cleared_call(vendor_of(first.url), vendor_of(second.url, "second"))
        receipt = await ModelCall(caller).ask(cleared)
        assert (receipt.status, receipt.result) == ("done", ANSWER)
        assert ends(receipt.attempts) == [
            ("first", "unanswered", None),
            ("second", "answered", 200),
        ]
        assert receipt.attempts[-1].usage == receipt.usage


async def test_every_header_of_the_caller_arrives_and_what_it_left_out_is_plain() -> None:
    sent = (("anthropic-beta", "a"), ("anthropic-beta", "b"), ("user-agent", "SDK/1"))
    async with vendor() as first, client() as caller:
        await whole(await caller.open(cleared_call(vendor_of(first.url)), sent).answered())
        [request] = first.requests
        assert request.headers["user-agent"] == "SDK/1"
        assert request.headers["anthropic-beta"] == "a, b"
        assert request.headers["accept-encoding"] == "identity"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["host"] == first.url.removeprefix("http://")
