"""The pages over a real house: what they show, what they never let through."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest

from quarterdeck.console.perimeter import HEADERS
from quarterdeck.domain.actions import Cleared, Content, Receipt
from quarterdeck.domain.ids import TeamName
from quarterdeck.domain.limits import (
    HOLD_LAPSE_SECONDS,
    PAGE_ROWS_DEFAULT,
    TIMELINE_ROWS,
    VIEWS_MAX,
)
from quarterdeck.domain.money import Usage
from quarterdeck.domain.people import Caller
from quarterdeck.loops.sweep_actions import sweep_actions
from quarterdeck.store import standing
from tests.console.stage import (
    ORIGIN,
    OWNER,
    Stage,
    ask,
    contested,
    doubtful,
    hidden,
    ordinary,
    said,
    silent,
    stage,
    text_of,
    use,
)
from tests.doubles import SteppingClock
from tests.fleets import files

OWN_SCRIPT = r'<script type="module" src="/console/static/built/(console|plots)\.js\?v=\w+">'
HOSTILE = (
    "</pre></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'><a href=http://evil."
    "example>x</a>{{ 7*7 }}{% raw %}\x1b[31m\u202egnp.exe\u200b\U000e0041 javascript:alert(1)"
)


@pytest.fixture
async def on(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        await made.sign_in()
        yield made


class _Markup(HTMLParser):
    """Collects what could act on a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name in ("href", "src", "action"):
                self.addresses.add(value or "")


def addresses(page: str, kind: str) -> list[str]:
    """The pages a page leads to, in order, each once."""
    found = re.findall(rf'href="(/console/{kind}/[^"?]+)"', page)
    return list(dict.fromkeys(found))


async def actions_of(on: Stage, run: str) -> list[str]:
    """The ids of a run's actions, in order."""
    rows = await on.house.db.read(
        lambda tx: tx.rows("select id from actions where run = :r order by id", {"r": run})
    )
    return [row["id"] for row in rows]


async def every_page(on: Stage) -> dict[str, str]:
    """The fleet, the lists, every run and every action, readable and raw."""
    fixed = ("/console/", "/console/runs", "/console/tools", "/console/costs", "/console/health")
    named = ("/console/agents/clerk", "/console/tools/look_up")
    pages = {path: await on.read(path) for path in (*fixed, *named)}
    for run in addresses(pages["/console/runs"], "runs"):
        pages[run] = await on.read(run)
        for action in addresses(pages[run], "actions"):
            pages[action] = await on.read(action)
            pages[f"{action}?view=raw"] = await on.read(f"{action}?view=raw")
    return pages


async def test_without_runs_every_list_says_what_to_do_next(on: Stage) -> None:
    for path in ("/console/", "/console/runs", "/console/agents/clerk"):
        page = text_of(await on.read(path))
        assert "No runs yet" in page
        assert "quarterdeck runs start clerk" in page
    assert "Nothing was charged" in text_of(await on.read("/console/costs"))


async def test_without_a_fleet_every_list_says_how_to_make_one(tmp_path: Path) -> None:
    async with stage(tmp_path, fleet=False) as on:
        await on.sign_in()
        for path in ("/console/", "/console/runs"):
            page = text_of(await on.read(path))
            assert "quarterdeck init" in page
            assert "quarterdeck apply" in page


async def test_the_list_shows_runs_newest_first_with_what_became_of_them(on: Stage) -> None:
    runs = [await ordinary(on), await contested(on), await doubtful(on)]
    page = await on.read("/console/runs")
    assert addresses(page.partition("<table")[2], "runs") == [
        f"/console/runs/{run.id}" for run in reversed(runs)
    ]
    rows = [text_of(row) for row in page.split("<tr ")[2:]]
    assert "succeeded" in rows[2]
    assert "3 nothing $0.0033" in rows[2]
    assert "escalated" in rows[1]
    assert "6 1 held 3 refused 1 failed $0.0010" in rows[1]
    assert "running" in rows[0]
    assert "so far 1 1 in doubt not yet known" in rows[0]


async def test_what_is_out_of_the_ordinary_in_a_run_leads_to_those_actions(on: Stage) -> None:
    run = await contested(on)
    page = await on.read("/console/runs")
    link = re.search(r'href="([^"]+show=refused)"', page)
    assert link is not None
    shown = await on.read(link.group(1))
    targets = re.findall(r'data-open href="/console/actions/[^"]+">([^<]+)<', shown)
    assert targets == ["large-9", "drop_tables", "look_up"]
    assert run.id in shown


async def test_the_list_is_filtered_and_its_address_says_by_what(on: Stage) -> None:
    done, asked, open_run = await ordinary(on), await contested(on), await doubtful(on)
    for query, expected in (
        ("agent=clerk&state=succeeded", [done]),
        ("state=running", [open_run]),
        ("with=refused", [asked]),
        ("with=in_doubt", [open_run]),
        ("team=desk&period=1h", [open_run, asked, done]),
        ("team=elsewhere", []),
        ("text=parcel", [done]),
        (f"correlation={done.id}", [done]),
        (f"day={datetime.now(UTC).date()}", [open_run, asked, done]),
        ("day=2001-01-01", []),
        ("since=2001-01-01&state=escalated", [asked]),
    ):
        table = (await on.read(f"/console/runs?{query}")).partition("<table")[2]
        found = addresses(table, "runs")
        assert found == [f"/console/runs/{run.id}" for run in expected], query
    page = await on.read("/console/runs?agent=nobody")
    assert "No run matches" in page
    assert '<option value="nobody" selected>' in page


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"state": "asleep<b>"}, "`asleep<b>` is not a state of a run"),
        ({"with": "joy"}, "`joy` is not something to look for"),
        ({"period": "3y"}, "`3y` is not a period"),
        ({"day": "yesterday"}, "`yesterday` is not a day"),
    ],
)
async def test_a_filter_that_is_none_is_said_to_be_none(
    on: Stage, query: dict[str, str], words: str
) -> None:
    answer = await on.browser.get("/console/runs", params=query)
    assert answer.status_code == 400
    assert words in text_of(answer.text)


async def test_older_runs_are_a_page_away_and_none_is_lost_or_shown_twice(on: Stage) -> None:
    made = [await on.start({"n": n}) for n in range(PAGE_ROWS_DEFAULT + 3)]
    first = await on.read("/console/runs?agent=clerk")
    older = re.search(r'href="(/console/runs\?[^"]*before=[^"]*)"', first)
    assert older is not None
    second = await on.read(older.group(1).replace("&amp;", "&"))
    shown = addresses(first, "runs") + addresses(second, "runs")
    assert shown == [f"/console/runs/{run.id}" for run in reversed(made)]
    assert "Older runs" not in second
    assert "Newest runs" in second


async def test_a_run_shows_its_actions_with_the_rule_that_told(on: Stage) -> None:
    run = await contested(on)
    page = await on.read(f"/console/runs/{run.id}")
    steps = [text_of("<li" + step) for step in page.split('<li class="step')[1:]]
    assert "the customer wants something no rule covers" in text_of(page)
    assert "model local/small-1 done" in steps[0]
    assert "90 → 12 $0.000021 estimated" in steps[0]
    assert "refused default:model" in steps[1]
    assert "refused default:tool" in steps[2]
    assert "held effect:privileged" in steps[3]
    assert "refused contract:arguments" in steps[4]
    assert "failed" in steps[5]
    assert "the other side closed the connection" in steps[5]
    refused = text_of(await on.read(addresses(page, "actions")[1]))
    assert "default:model the agent `clerk` may not use" in refused


async def test_what_is_not_known_never_reads_as_zero(on: Stage) -> None:
    run = await doubtful(on)
    page = await on.read(f"/console/runs/{run.id}")
    assert "Cost not yet known" in text_of(page)
    assert "in doubt" in text_of(page)
    assert "unknown $0.0030 held" in text_of(page)
    action = text_of(await on.read(addresses(page, "actions")[0]))
    assert "cooperative" in action
    assert "Nobody knows yet whether it took place" in action
    assert "$0.00 " not in action


async def test_what_ended_without_anybody_knowing_says_what_is_left_to_do(on: Stage) -> None:
    run = await doubtful(on)
    late = SteppingClock(on.clock.time)
    late.push(HOLD_LAPSE_SECONDS + 60)
    on.house.checkpoint.clock = late

    async def never(cleared: Cleared) -> Receipt:
        raise AssertionError("it is not called again")

    await sweep_actions(on.house.checkpoint, never)
    page = await on.read(f"/console/runs/{run.id}")
    action = text_of(await on.read(addresses(page, "actions")[0]))
    assert "Outcome unknown. Nobody knows whether it took place" in action
    assert "Look in the system that it changes" in action


async def test_an_action_shows_what_was_asked_and_what_came_back(on: Stage) -> None:
    run = await ordinary(on)
    model, tool, _ = addresses(await on.read(f"/console/runs/{run.id}"), "actions")
    shown = text_of(await on.read(model))
    assert "User 1 Where is my parcel?" in shown
    assert '"temperature": 0' in shown
    assert '"text": "Let me look."' in shown or "text Let me look." in shown
    assert "1,204 input · 300 cache read · 88 output reported" in shown
    shown = text_of(await on.read(tool))
    assert "Arguments n 7" in shown
    assert "Result parcel on its way" in shown


async def test_a_long_conversation_shows_only_what_the_turn_added(on: Stage) -> None:
    run = await on.start({})
    talk: list[dict[str, Any]] = [{"role": "user", "content": "start"}]
    for turn in range(30):
        answer = {"role": "assistant", "content": f"answer {turn}"}
        await on.act(ask(run, talk), said({"choices": [{"message": answer}]}))
        talk += [answer, {"role": "user", "content": f"question {turn}"}]
    last = (await actions_of(on, run.id))[-1]
    page = await on.read(f"/console/actions/{last}")
    shown = text_of(page)
    assert "57 earlier messages as in the turn before" in shown
    assert "Model 58 answer 28 User 59 question 28" in shown
    assert "question 27" not in shown
    assert "Model answer 29" in shown, "what came back"
    earlier = re.search(r'data-earlier href="([^"]+)"', page)
    assert earlier is not None
    shown = text_of(await on.read(earlier.group(1)))
    assert "question 27" in shown
    assert "question 18" in shown
    assert "question 17" not in shown


async def test_what_changed_of_a_turn_beside_its_messages_is_named(on: Stage) -> None:
    run = await on.start({})
    first = [{"role": "system", "content": "Be brief.\nBe kind."}, {"role": "user", "content": "a"}]
    second = [{"role": "system", "content": "Be brief.\nBe exact."}, first[1]]
    await on.act(ask(run, first), said({}))
    other = ask(run, second)
    rest = orjson.dumps({"model": "small-1", "temperature": 1})
    await on.act(replace(other, content=Content(parts=other.content.parts, rest=rest)), said({}))
    last = (await actions_of(on, run.id))[-1]
    page = await on.read(f"/console/actions/{last}")
    assert "temperature 0 1" in text_of(page)
    assert "Message 1 is not what it was" in text_of(page)
    assert re.search(r'class="minus"><span[^>]*>-</span>Be kind\.', page)
    assert re.search(r'class="plus"><span[^>]*>\+</span>Be exact\.', page)
    assert re.search(r'class="same"><span[^>]*> </span>Be brief\.', page)


async def test_the_raw_view_and_its_file_are_the_bytes_as_recorded(on: Stage) -> None:
    run = await on.start({})
    text = "pay\u202e bob \u200b<b>"
    await on.act(ask(run, [{"role": "user", "content": text}]), said({"text": text}))
    action = (await actions_of(on, run.id))[0]
    page = await on.read(f"/console/actions/{action}?view=raw")
    assert "pay⟨U+202E⟩ bob ⟨U+200B⟩&lt;b&gt;" in page
    assert "2 invisible characters written out" in page
    for side, recorded in (
        ("answer", orjson.dumps({"text": text})),
        ("request", orjson.dumps({"role": "user", "content": text})),
    ):
        answer = await on.browser.get(f"/console/actions/{action}/{side}.json")
        assert answer.content.startswith(recorded)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment")
    assert (await on.browser.get(f"/console/actions/{action}/other.json")).status_code == 400


async def test_long_content_is_cut_and_says_where_the_rest_is(on: Stage) -> None:
    run = await on.start({})
    messages = [{"role": "user", "content": f"message {n} " + "x" * 30} for n in range(90)]
    messages.append({"role": "user", "content": "y" * 50_000})
    await on.act(ask(run, messages), said({"text": "z" * 50_000}))
    action = (await actions_of(on, run.id))[0]
    page = await on.read(f"/console/actions/{action}")
    assert len(page) < 120_000
    shown = text_of(page)
    assert "31 new messages before these are left out" in shown
    assert "message 30 " not in shown
    assert "User 32 message 31 " in shown
    assert "Shown are the first 20,000 of 50,000 characters" in shown
    assert f"quarterdeck actions show {action} --json" in shown


async def test_a_run_is_read_in_pieces_and_at_any_place(on: Stage) -> None:
    run = await on.start({})
    for _ in range(TIMELINE_ROWS + 7):
        await on.house.checkpoint.carry_out(use(run, "drop_tables", {}), silent)
    ids = await actions_of(on, run.id)
    first = await on.read(f"/console/runs/{run.id}")
    assert re.findall(r'<li class="step[^>]*id="(act_[^"]+)"', first) == ids[:TIMELINE_ROWS]
    assert "1 to 100 of 107" in text_of(first)
    piece = await on.read(f"/console/runs/{run.id}/actions?from={TIMELINE_ROWS}")
    assert re.findall(r'id="(act_[^"]+)"', piece) == ids[TIMELINE_ROWS:]
    assert f'start="{TIMELINE_ROWS + 1}"' in piece
    assert "<html" not in piece
    at = await on.read(f"/console/runs/{run.id}?at={ids[-1]}")
    assert ids[-1] in at
    assert ids[0] not in at
    assert "101" in text_of(await on.read(f"/console/runs/{run.id}?from=999999"))
    answer = await on.browser.get(f"/console/runs/{run.id}", params={"show": "all<b>"})
    assert answer.status_code == 400


async def test_tool_calls_stand_under_the_model_call_they_follow(on: Stage) -> None:
    led, alone = await ordinary(on), await doubtful(on)
    page = await on.read(f"/console/runs/{led.id}")
    assert [" nested" in step.split(">")[0] for step in page.split('<li class="step')[1:]] == [
        False,
        True,
        True,
    ]
    assert 'nested"' not in await on.read(f"/console/runs/{alone.id}")


async def test_the_fleet_says_what_needs_a_person_and_leads_there(on: Stage) -> None:
    run, open_run = await contested(on), await doubtful(on)
    page = await on.read("/console/")
    shown = text_of(page)
    assert "Needs a person 2" in shown
    assert "1 case handed to a person" in shown
    assert "1 action in doubt" in shown
    assert "to approve or deny" not in shown, "the run that was held has ended"
    assert f'href="/console/runs/{run.id}"' in page
    assert (await actions_of(on, open_run.id))[0] in page
    row = page.split('id="agent-clerk"')[1].split("</tr>")[0]
    assert "clerk desk · L2 · Answers and files. running ready 1 2" in text_of("<td " + row)


async def test_an_agent_that_is_frozen_or_has_spent_its_cap_is_not_ready(on: Stage) -> None:
    await on.house.services.changes.apply(OWNER, files(agent_cap="0.00005"))
    run = await on.start({})
    usage = Usage(input=1_000, output=0)
    await on.act(ask(run, [{"role": "user", "content": "x"}]), said({}, usage))
    await on.house.db.write(lambda tx: standing.freeze(tx, "agent:clerk", "looping"))
    await on.house.db.write(
        lambda tx: tx.execute("update budgets set charged = cap, held = 0 where cap is not null")
    )
    for path in ("/console/", "/console/agents/clerk"):
        shown = text_of(await on.read(path))
        assert "frozen" in shown
        assert "not ready" in shown
        assert "its budget of this day is spent" in shown
        assert "agent:clerk is frozen" in shown


async def test_an_agents_page_is_its_card_its_grants_and_what_changed(on: Stage) -> None:
    await ordinary(on)
    await on.house.services.changes.apply(OWNER, files(agent_cap="70"))
    shown = text_of(await on.read("/console/agents/clerk"))
    assert "It can do nothing else" in shown
    assert "writes file_note" in shown
    assert "reads look_up untrusted results" in shown
    assert "privileged wipe" in shown
    assert "small-1 main by local" in shown
    assert "a day $0.0033 of $70.00" in shown
    assert "in force" in shown
    assert "first seen" in shown
    assert re.search(r"agent `clerk` changed: .*50.*70", shown)
    assert (await on.browser.get("/console/agents/nobody")).status_code == 404


async def test_costs_lead_to_the_runs_and_actions_they_are_made_of(on: Stage) -> None:
    run = await ordinary(on)
    page = await on.read("/console/costs?days=1")
    assert "Charged $0.0033" in text_of(page)
    for words in ("By agent", "By model or tool", "By day", "look_up", "local/small-1"):
        assert words in text_of(page)
    links = re.findall(r'href="(/console/actions\?target=file_note[^"]*)"', page)
    actions = await on.read(links[0].replace("&amp;", "&"))
    assert (await actions_of(on, run.id))[2] in actions
    runs = re.findall(r'href="(/console/runs\?agent=clerk[^"]*)"', page)
    assert run.id in await on.read(runs[0].replace("&amp;", "&"))
    refused = await contested(on)
    page = await on.read("/console/costs?days=1")
    for link in re.findall(r'href="(/console/runs\?[^"]*with=refused)"', page):
        assert refused.id in await on.read(link.replace("&amp;", "&"))
    link = re.findall(
        r'href="(/console/actions\?target=drop_tables[^"]*state=refused[^"]*)"', page
    )[0]
    assert (await actions_of(on, refused.id))[2] in await on.read(link.replace("&amp;", "&"))
    answer = await on.browser.get("/console/costs", params={"days": "4000"})
    assert answer.status_code == 400


async def test_search_leads_to_what_an_id_names(on: Stage) -> None:
    run = await ordinary(on)
    action = (await actions_of(on, run.id))[0]
    for words, where in (
        (run.id, f"/console/runs/{run.id}"),
        (f"  {action} ", f"/console/actions/{action}"),
        ("clerk", "/console/agents/clerk"),
    ):
        answer = await on.browser.get("/console/search", params={"q": words})
        assert answer.status_code == 303
        assert answer.headers["location"] == where
    found = await on.browser.get("/console/search", params={"q": "parcel"})
    assert run.id in found.text
    nothing = await on.browser.get("/console/search", params={"q": "<i>nothing"})
    assert nothing.status_code == 404
    assert "Nothing is called “<i>nothing”" in text_of(nothing.text)


async def test_a_view_is_kept_for_its_person_under_a_name(on: Stage) -> None:
    await ordinary(on)
    page = await on.read("/console/runs?state=failed&agent=clerk")
    token, query = hidden(page, "form_token"), hidden(page.split("Save this view")[0], "query")
    fields = {"form_token": token, "query": query, "name": "  my <b> failures "}
    answer = await on.post("/console/views", **fields)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/runs?agent=clerk&state=failed"
    page = await on.read("/console/runs")
    assert "my <b> failures" in text_of(page)
    assert 'href="/console/runs?agent=clerk&amp;state=failed"' in page
    other = Caller(id="local:bob", role="viewer")
    assert await on.house.services.views.list_own(other) == []
    answer = await on.post("/console/views/remove", form_token=token, name="my <b> failures")
    assert answer.status_code == 303
    assert "my <b> failures" not in text_of(await on.read("/console/runs"))


async def test_a_view_takes_a_name_a_token_and_no_more_than_filters(on: Stage) -> None:
    token = hidden(await on.read("/console/runs"), "form_token")
    assert (await on.post("/console/views", name="x", query="")).status_code == 403
    assert (await on.post("/console/views", form_token=token, name=" ")).status_code == 400
    long = {"form_token": token, "name": "x", "query": "text=" + "y" * 2_000}
    assert (await on.post("/console/views", **long)).status_code == 413
    sly = {"form_token": token, "name": "x", "query": "state=failed&evil=javascript:1&before=run_"}
    assert (await on.post("/console/views", **sly)).status_code == 303
    views = await on.house.services.views.list_own(OWNER)
    assert [view.query for view in views] == ["state=failed"]
    for number in range(VIEWS_MAX - 1):
        await on.house.services.views.save(OWNER, f"view {number}", "")
    full = await on.post("/console/views", form_token=token, name="one more", query="")
    assert full.status_code == 413


async def test_a_person_of_one_team_sees_nothing_of_another(on: Stage) -> None:
    run, doubted = await contested(on), await doubtful(on)
    action = (await actions_of(on, run.id))[0]
    other = Caller(id="token:vic", role="viewer", team=TeamName("elsewhere"))
    link = on.sessions.one_time_link(ORIGIN, other)
    await on.post("/console/sign-in", token=link.partition("token=")[2])
    for path in (
        f"/console/runs/{run.id}", f"/console/runs/{run.id}/actions", f"/console/actions/{action}",
        f"/console/actions/{action}/request.json", "/console/agents/clerk",
        f"/console/live?run={run.id}", f"/console/search?q={run.id}",
    ):  # fmt: skip
        assert (await on.browser.get(path)).status_code == 404, path
    for path in (
        "/console/", "/console/runs", "/console/runs?team=desk", "/console/costs",
        "/console/actions?target=look_up",
    ):  # fmt: skip
        page = await on.read(path)
        assert run.id not in page, path
        assert doubted.id not in page, path
        assert action not in page, path
        assert "handed to a person" not in page, path


async def test_hostile_content_is_only_text_on_every_page(on: Stage) -> None:
    run = await on.start({"text": HOSTILE, "correlation": HOSTILE[:100], HOSTILE: HOSTILE})
    await on.act(
        ask(run, [{"role": HOSTILE, "content": HOSTILE}, {"type": HOSTILE, "x": [HOSTILE]}]),
        said({HOSTILE: HOSTILE}),
    )
    await on.act(use(run, HOSTILE, {HOSTILE: HOSTILE}, idempotency_key=HOSTILE), silent)
    await on.act(use(run, "look_up", {"n": HOSTILE}), silent)
    await on.act(use(run, "look_up", {"text": HOSTILE}), said(HOSTILE))
    await on.act(ask(run, [{"role": "user", "content": "hi"}], HOSTILE), silent)
    await on.end(run, "failed", HOSTILE, text=HOSTILE)
    pages = await every_page(on)
    assert len(pages) == 18
    for path, page in pages.items():
        markup = _Markup()
        markup.feed(page)
        assert not markup.tags & {"iframe", "object", "embed", "style", "base"}, path
        scripts = re.findall(r"<script[^>]*>[^<]*", page)
        assert all(re.fullmatch(OWN_SCRIPT, script) for script in scripts), path
        assert not {n for n in markup.attributes if n.startswith("on") or n == "style"}, path
        assert all(a.startswith(("/console/", "#")) for a in markup.addresses), path
        assert not re.search("[\x00-\x08\x0b-\x1f\u200b\u202e\U000e0041]", page), path
    shown = text_of(pages[f"/console/runs/{run.id}"])
    assert shown.count("<script>alert(1)</script>") >= 4  # there to be read, as it was said
    assert "{{ 7*7 }}" in shown


async def test_a_file_of_ours_is_kept_by_browsers_and_nothing_else_is(on: Stage) -> None:
    page = await on.read("/console/")
    style = re.search(r'href="(/console/static/console\.css\?v=\w+)"', page)
    assert style is not None
    kept = await on.browser.get(style.group(1))
    assert "immutable" in kept.headers["cache-control"]
    for path in ("/console/", "/console/static/console.css", "/console/static/nothing?v=1"):
        assert (await on.browser.get(path)).headers["cache-control"] == "no-store"


async def test_every_answer_carries_the_security_headers(on: Stage) -> None:
    run = await ordinary(on)
    action = addresses(await on.read(f"/console/runs/{run.id}"), "actions")[0]
    link = on.sessions.one_time_link("", OWNER)
    statuses = set()
    for path in (
        "/console/", f"/console/runs/{run.id}", action, link, "/console/sign-in",
        "/console/signed-out", "/console/runs/none", "/console/actions/none", "/console/nothing",
        "/console/sign-out", "/console/runs?state=no", "/console/static/console.css",
        "/console/static/mark.svg", "/console/static/nothing", "/console/static/../app.py",
    ):  # fmt: skip
        answer = await on.browser.get(path)
        statuses.add(answer.status_code)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (path, name)
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
    assert statuses == {200, 400, 401, 404, 405}


async def test_a_page_that_is_not_there_says_so_in_the_same_frame(on: Stage) -> None:
    for path, words in (
        ("/console/runs/run_x", "No run `run_x`. See `quarterdeck runs list`."),
        ("/console/actions/act_x", "No action `act_x`. See `quarterdeck actions list RUN`."),
        ("/console/nowhere", "There is no such page."),
    ):
        answer = await on.browser.get(path)
        assert answer.status_code == 404
        assert words in text_of(answer.text)
        assert "Sign out" in answer.text


async def test_our_own_mistake_tells_nothing_of_our_inside(on: Stage) -> None:
    run = await ordinary(on)
    await on.house.db.write(
        lambda tx: tx.execute("update runs set result = '{broken' where id = :id", {"id": run.id})
    )
    answer = await on.browser.get(f"/console/runs/{run.id}")
    assert answer.status_code == 500
    assert "The console made a mistake." in text_of(answer.text)
    assert "Traceback" not in answer.text
    assert "broken" not in answer.text
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7700", "127.0.0.1.evil.example", "localhost.", "", "["]
)
async def test_a_host_we_do_not_know_is_not_answered(on: Stage, host: str) -> None:
    answer = await on.browser.get("/console/", headers={"host": host})
    assert answer.status_code == 421
    assert "No runs yet" not in answer.text
    assert "local:ann" not in answer.text
    assert "form_token" not in answer.text
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]


@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost:7700", "LOCALHOST", "[::1]:7700"])
async def test_the_names_of_this_machine_are_answered(on: Stage, host: str) -> None:
    assert (await on.browser.get("/console/", headers={"host": host})).status_code == 200
