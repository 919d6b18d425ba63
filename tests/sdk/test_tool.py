"""Tools of the SDK against a real server on a real socket."""

import asyncio
import dataclasses
import threading
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import quarterdeck_sdk as quarterdeck
from quarterdeck_sdk.scope import CREDENTIAL, RUN, URL
from tests.fleets import files
from tests.sdk.conftest import Inside
from tests.serving import OWNER, running

done: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    done.clear()


@quarterdeck.tool
def pay(n: int, text: str | None = None) -> dict[str, int]:
    """Pay somebody."""
    done.append((n, quarterdeck.current().action))
    return {"paid": n}


@quarterdeck.tool("pay")
async def pay_awaited(n: int) -> dict[str, int]:
    await asyncio.sleep(0)
    done.append((n, quarterdeck.current().action))
    return {"paid": n}


@quarterdeck.tool("pay", key=lambda n: f"pay-{n}")
def pay_once(n: int) -> dict[str, int]:
    done.append(n)
    return {"paid": n}


@quarterdeck.tool
def wipe() -> None:
    done.append("wiped")


async def test_a_cleared_call_runs_once_is_charged_and_marked_cooperative(inside: Inside) -> None:
    assert await asyncio.to_thread(pay, 7) == {"paid": 7}
    [action] = await inside.server.actions(inside.run.id)
    assert done == [(7, action["id"])], "the function saw the id of its own action"
    assert (action["state"], action["mark"], action["cost_nanousd"]) == (
        "done",
        "cooperative",
        3_000_000,
    )
    shown = await inside.server.house.services.actions.show(OWNER, action["id"])
    assert shown["request"]["rest"] == {"n": 7}, "a default of None is as if absent"
    assert shown["response"] == {"paid": 7}


async def test_the_awaited_twin_does_the_same(inside: Inside) -> None:
    assert await pay_awaited(8) == {"paid": 8}
    [action] = await inside.server.actions(inside.run.id)
    assert done == [(8, action["id"])]
    assert action["state"] == "done"


async def test_a_refused_call_does_not_run_and_says_which_rule(inside: Inside) -> None:
    @quarterdeck.tool("nobody_granted")
    def forbidden() -> None:
        done.append("forbidden")

    with pytest.raises(quarterdeck.Refused, match="default:tool") as caught:
        await asyncio.to_thread(forbidden)
    assert caught.value.reasons[0].rule == "default:tool"
    [action] = await inside.server.actions(inside.run.id)
    assert (caught.value.action, action["state"]) == (action["id"], "refused")
    assert done == []


async def test_arguments_outside_the_contract_are_refused(inside: Inside) -> None:
    with pytest.raises(quarterdeck.Refused, match="contract:arguments"):
        await pay_awaited("seven")  # type: ignore[arg-type]
    assert done == []


async def test_a_privileged_call_is_held(inside: Inside) -> None:
    with pytest.raises(quarterdeck.Held, match="until a person answers"):
        await asyncio.to_thread(wipe)
    assert done == []


async def test_a_call_that_a_person_has_allowed_goes_through_when_it_is_made_again(
    inside: Inside,
) -> None:
    with pytest.raises(quarterdeck.Held) as caught:
        await asyncio.to_thread(wipe)
    approvals = inside.server.house.services.approvals
    digest = (await approvals.show(OWNER, caught.value.approval))["digest"]
    await approvals.answer(OWNER, caught.value.approval, "approve", digest=digest)
    await asyncio.to_thread(wipe)
    assert len(done) == 1


async def test_a_suggest_only_agent_suggests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cautious = dict(files())
    cautious["agents/clerk.yaml"] = cautious["agents/clerk.yaml"].replace(b"L2", b"L1")
    async with running(tmp_path, cautious) as server:
        run = await server.start_run()
        monkeypatch.setenv(URL, server.url)
        monkeypatch.setenv(RUN, run.id)
        monkeypatch.setenv(CREDENTIAL, run.credential)
        with pytest.raises(quarterdeck.Suggested, match="autonomy:L1"):
            await pay_awaited(1)
    assert done == []


async def test_a_budget_that_is_spent_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, files(agent_cap="0.007")) as server:
        run = await server.start_run()
        monkeypatch.setenv(URL, server.url)
        monkeypatch.setenv(RUN, run.id)
        monkeypatch.setenv(CREDENTIAL, run.credential)
        outcomes = await asyncio.gather(*(pay_awaited(n) for n in range(5)), return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, quarterdeck.Refused)]
        assert (len(done), len(refused)) == (2, 3), "0.003 USD each: two fit under 0.007"
        assert all("budget:agent:clerk" in str(error) for error in refused)
        rows = await server.actions(run.id)
        assert sum(row["cost_nanousd"] for row in rows) == 6_000_000


async def test_a_function_that_raises_is_settled_as_failed_and_raises(inside: Inside) -> None:
    @quarterdeck.tool("pay")
    def broken(n: int) -> None:
        raise LookupError(f"no account {n}")

    with pytest.raises(LookupError, match="no account 3"):
        await asyncio.to_thread(broken, 3)
    [action] = await inside.server.actions(inside.run.id)
    assert (action["state"], action["detail"]["error"]) == ("failed", "LookupError: no account 3")


async def test_a_stop_iteration_of_the_function_is_not_taken_for_its_end(inside: Inside) -> None:
    @quarterdeck.tool("pay")
    def ends(n: int) -> None:
        next(iter(()))

    def call() -> str:
        try:
            ends(1)
        except StopIteration:
            return "stopped"
        return "returned"

    assert await asyncio.to_thread(call) == "stopped"


async def test_a_call_that_is_cut_short_is_left_open_because_nobody_knows(inside: Inside) -> None:
    begun = asyncio.Event()

    @quarterdeck.tool("pay")
    async def hanging(n: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(hanging(1))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [action] = await inside.server.actions(inside.run.id)
    assert action["state"] not in ("done", "failed", "refused"), action["state"]


async def test_the_same_key_is_carried_out_once_and_answered_as_before(inside: Inside) -> None:
    def twice() -> list[Any]:
        return [pay_once(4), pay_once(4), pay_once(5)]

    assert await asyncio.to_thread(twice) == [{"paid": 4}, {"paid": 4}, {"paid": 5}]
    assert done == [4, 5]
    assert len(await inside.server.actions(inside.run.id)) == 2


async def test_a_key_that_failed_or_is_open_does_not_run_again(inside: Inside) -> None:
    @quarterdeck.tool("pay", key=lambda n: "k")
    async def fails(n: int) -> None:
        done.append(n)
        if len(done) == 1:
            with pytest.raises(quarterdeck.InDoubt):
                await fails(n)
        raise LookupError

    with pytest.raises(LookupError):
        await fails(1)
    with pytest.raises(quarterdeck.FailedBefore):
        await fails(1)
    with pytest.raises(quarterdeck.Rejected, match="other arguments"):
        await fails(2)
    assert done == [1]


async def test_the_same_call_again_gets_the_first_answer_and_is_not_done_again(
    inside: Inside,
) -> None:
    assert [await pay_awaited(6), await pay_awaited(6)] == [{"paid": 6}, {"paid": 6}]
    assert len(done) == 1, "a loop that repeats itself pays once"


async def test_many_calls_at_once_each_know_their_own_action(inside: Inside) -> None:
    await asyncio.gather(*(pay_awaited(n) for n in range(30)))
    rows = await inside.server.actions(inside.run.id)
    assert sorted(action for _, action in done) == sorted(row["id"] for row in rows)
    assert len({action for _, action in done}) == 30
    assert quarterdeck.current().action is None


async def test_nested_tools_each_have_an_action_and_give_the_outer_one_back(
    inside: Inside,
) -> None:
    seen: list[str | None] = []

    @quarterdeck.tool("look_up")
    async def outer(n: int) -> int:
        seen.append(quarterdeck.current().action)
        await pay_awaited(n)
        seen.append(quarterdeck.current().action)
        return n

    await outer(1)
    assert seen[0] == seen[1]
    assert done[0][1] not in (None, seen[0])


async def test_values_with_one_obvious_form_are_written_as_json(inside: Inside) -> None:
    @dataclasses.dataclass
    class Note:
        day: date
        amount: Decimal

    @quarterdeck.tool("look_up")
    async def look_up(text: date) -> Note:
        return Note(text, Decimal("1.50"))

    assert await look_up(date(2026, 1, 2)) == Note(date(2026, 1, 2), Decimal("1.50"))
    [action] = await inside.server.actions(inside.run.id)
    shown = await inside.server.house.services.actions.show(OWNER, action["id"])
    assert shown["request"]["rest"] == {"text": "2026-01-02"}
    assert shown["response"] == {"day": "2026-01-02", "amount": "1.50"}


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}, b"bytes"])
async def test_an_argument_that_is_not_json_is_named_and_nothing_is_asked(
    inside: Inside, value: Any
) -> None:
    with pytest.raises(quarterdeck.Unencodable, match=r"argument `n` of `pay`.*without=\['n'\]"):
        await pay_awaited(value)
    assert await inside.server.actions(inside.run.id) == []


async def test_a_number_the_server_cannot_sign_for_is_an_error_that_says_so(
    inside: Inside,
) -> None:
    with pytest.raises(quarterdeck.Rejected, match="invalid"):
        await pay_awaited(2**60)
    assert done == []


async def test_a_result_that_is_not_json_is_returned_and_recorded_by_its_type(
    inside: Inside,
) -> None:
    @quarterdeck.tool("look_up")
    async def opens(n: int) -> threading.Event:
        return threading.Event()

    assert isinstance(await opens(1), threading.Event)
    [action] = await inside.server.actions(inside.run.id)
    assert action["state"] == "done"
    shown = await inside.server.house.services.actions.show(OWNER, action["id"])
    assert "Event" in shown["response"]["not_recorded"]


async def test_parameters_can_be_left_out_of_the_decision(inside: Inside) -> None:
    @quarterdeck.tool("look_up", without=["self"])
    async def method(self: object, n: int, **more: Any) -> int:
        return n

    assert await method(object(), 1, text="x") == 1
    [action] = await inside.server.actions(inside.run.id)
    shown = await inside.server.house.services.actions.show(OWNER, action["id"])
    assert shown["request"]["rest"] == {"n": 1, "text": "x"}


async def test_a_promise_of_an_effect_is_not_taken_for_the_effect(inside: Inside) -> None:
    async def later(n: int) -> None:
        done.append(n)

    @quarterdeck.tool("pay")
    def promises(n: int) -> Any:
        return later(n)

    with pytest.raises(quarterdeck.Misconfigured, match="decorate an `async def`"):
        await asyncio.to_thread(promises, 1)
    [action] = await inside.server.actions(inside.run.id)
    assert (action["state"], done) == ("failed", [])


def test_mistakes_are_told_where_the_function_is_written() -> None:
    with pytest.raises(quarterdeck.Misconfigured, match="is a method"):

        class Desk:
            @quarterdeck.tool
            def pay(self, n: int) -> None: ...

    with pytest.raises(quarterdeck.Misconfigured, match="yields"):

        @quarterdeck.tool
        def stream() -> Any:
            yield 1

    with pytest.raises(quarterdeck.Misconfigured, match=r"\*rest"):

        @quarterdeck.tool
        def many(*rest: int) -> None: ...

    with pytest.raises(quarterdeck.Misconfigured, match="no parameter `ctx`"):

        @quarterdeck.tool("x", without=["ctx"])
        def plain(n: int) -> None: ...

    with pytest.raises(quarterdeck.Misconfigured, match="needs a name"):
        quarterdeck.tool(lambda: None)


def test_a_tool_keeps_the_name_the_words_and_the_signature_frameworks_read() -> None:
    import inspect

    assert (pay.__name__, pay.__doc__) == ("pay", "Pay somebody.")
    assert list(inspect.signature(pay).parameters) == ["n", "text"]
    assert inspect.iscoroutinefunction(pay_awaited)


@pytest.mark.parametrize("missing", [URL, RUN, CREDENTIAL])
def test_what_is_missing_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL, RUN, CREDENTIAL):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv(missing)
    with pytest.raises(quarterdeck.Misconfigured, match=missing):
        pay(1)


def test_an_address_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL, RUN, CREDENTIAL):
        monkeypatch.setenv(name, "here")
    with pytest.raises(quarterdeck.Misconfigured, match="`here` is not the URL of a server"):
        pay(1)


async def test_a_wrong_credential_is_rejected_with_the_servers_words(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CREDENTIAL, "qdr_wrong")
    with pytest.raises(quarterdeck.Rejected) as caught:
        await pay_awaited(1)
    assert (caught.value.status, caught.value.code) == (401, "unidentified")
    assert done == []


def test_the_names_are_found_under_quarterdeck_too() -> None:
    import quarterdeck as server

    assert server.tool is quarterdeck.tool
    assert server.current is quarterdeck.current
    with pytest.raises(AttributeError, match="no attribute `nothing`"):
        _ = server.nothing
