"""The pages over a real house: what they show, what they never let through."""

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from quarterdeck.console.perimeter import HEADERS
from quarterdeck.domain.limits import PAGE_ROWS_DEFAULT
from tests.console.stage import (
    OWNER,
    Stage,
    ask,
    contested,
    doubtful,
    ordinary,
    said,
    silent,
    stage,
    text_of,
    use,
)

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


async def every_page(on: Stage) -> dict[str, str]:
    """The list, every run and every action."""
    pages = {"/console/": await on.read("/console/")}
    for run in addresses(pages["/console/"], "runs"):
        pages[run] = await on.read(run)
        for action in addresses(pages[run], "actions"):
            pages[action] = await on.read(action)
    return pages


async def test_without_runs_the_list_says_what_to_do_next(on: Stage) -> None:
    page = text_of(await on.read("/console/"))
    assert "No runs yet" in page
    assert "quarterdeck runs start clerk" in page


async def test_without_a_fleet_the_list_says_how_to_make_one(tmp_path: Path) -> None:
    async with stage(tmp_path, fleet=False) as on:
        await on.sign_in()
        page = text_of(await on.read("/console/"))
        assert "quarterdeck init" in page
        assert "quarterdeck apply" in page


async def test_the_list_shows_runs_newest_first_with_what_became_of_them(on: Stage) -> None:
    runs = [await ordinary(on), await contested(on), await doubtful(on)]
    page = await on.read("/console/")
    assert addresses(page.partition("<table")[2], "runs") == [
        f"/console/runs/{run.id}" for run in reversed(runs)
    ]
    rows = [text_of(row) for row in page.split("<tr ")[2:]]
    assert "succeeded" in rows[2]
    assert "3 0 0 0.003278 USD" in rows[2]
    assert "escalated" in rows[1]
    assert "6 3 0 0.001021 USD" in rows[1]
    assert "running" in rows[0]
    assert "so far 1 0 1 not yet known" in rows[0]
    assert "1 action is in doubt" in text_of(page)


async def test_the_list_is_filtered_by_agent_and_state(on: Stage) -> None:
    done, _, open_run = await ordinary(on), await contested(on), await doubtful(on)
    table = (await on.read("/console/?agent=clerk&state=succeeded")).partition("<table")[2]
    assert addresses(table, "runs") == [f"/console/runs/{done.id}"]
    table = (await on.read("/console/?state=running")).partition("<table")[2]
    assert addresses(table, "runs") == [f"/console/runs/{open_run.id}"]
    page = await on.read("/console/?agent=nobody")
    assert "No run matches" in page
    assert '<option value="nobody" selected>' in page


async def test_a_state_that_is_none_is_said_to_be_none(on: Stage) -> None:
    answer = await on.browser.get("/console/", params={"state": "asleep<b>"})
    assert answer.status_code == 400
    assert "`asleep<b>` is not a state of a run" in text_of(answer.text)


async def test_older_runs_are_a_page_away_and_none_is_lost_or_shown_twice(on: Stage) -> None:
    made = [await on.start({"n": n}) for n in range(PAGE_ROWS_DEFAULT + 3)]
    first = await on.read("/console/?agent=clerk")
    older = re.search(r'href="(/console/\?[^"]*before=[^"]*)"', first)
    assert older is not None
    second = await on.read(older.group(1).replace("&amp;", "&"))
    shown = addresses(first, "runs") + addresses(second, "runs")
    assert shown == [f"/console/runs/{run.id}" for run in reversed(made)]
    assert "Older runs" not in second
    assert "Newest runs" in second


async def test_a_run_shows_its_actions_with_verdicts_rules_and_their_sentences(on: Stage) -> None:
    run = await contested(on)
    page = await on.read(f"/console/runs/{run.id}")
    steps = [text_of(step) for step in page.split('<li class="step')[1:]]
    assert "the customer wants something no rule covers" in text_of(page)
    assert "verdict allow state done" in steps[0]
    assert "90 input · 12 output estimated" in steps[0]
    assert "0.000021 USD estimated" in steps[0]
    assert "verdict deny state refused default:model the agent `clerk` may not use" in steps[1]
    assert "default:tool the agent `clerk` has no tool `drop_tables`" in steps[2]
    assert "Cost none" in steps[2]
    assert "verdict ask state held effect:privileged privileged tools always ask" in steps[3]
    assert 'contract:arguments n: "seven" is not of type' in steps[4]
    assert "state failed" in steps[5]
    assert "the other side closed the connection" in steps[5]


async def test_what_is_not_known_never_reads_as_zero(on: Stage) -> None:
    run = await doubtful(on)
    page = await on.read(f"/console/runs/{run.id}")
    assert "Cost not yet known" in text_of(page)
    assert "state in doubt" in text_of(page)
    assert "Took unknown Cost 0.003000 USD held" in text_of(page)
    assert "cooperative" in text_of(page)
    action = text_of(await on.read(addresses(page, "actions")[0]))
    assert "nobody can say yet whether the effect took place" in action
    assert "0.00 USD" not in action


async def test_an_action_shows_what_was_asked_and_what_came_back(on: Stage) -> None:
    run = await ordinary(on)
    model, tool, _ = addresses(await on.read(f"/console/runs/{run.id}"), "actions")
    shown = text_of(await on.read(model))
    assert "Part 1 of 1: user Where is my parcel?" in shown
    assert '"temperature": 0' in shown
    assert '"text": "Let me look."' in shown
    assert "1,204 input · 300 cache read · 88 output reported" in shown
    shown = text_of(await on.read(tool))
    assert 'Arguments { "n": 7 }' in shown
    assert '"parcel": "on its way"' in shown


async def test_long_content_is_cut_and_says_where_the_rest_is(on: Stage) -> None:
    run = await on.start({})
    messages = [{"role": "user", "content": f"message {n} " + "x" * 30} for n in range(60)]
    messages.append({"role": "user", "content": "y" * 50_000})
    await on.act(ask(run, messages), said({"text": "z" * 50_000}))
    action = addresses(await on.read(f"/console/runs/{run.id}"), "actions")[0]
    page = await on.read(action)
    assert len(page) < 100_000
    shown = text_of(page)
    assert "21 earlier parts are left out" in shown
    assert "message 20 " not in shown
    assert "Part 22 of 61: user message 21 " in shown
    assert f"quarterdeck actions show {action.rpartition('/')[2]} --json" in shown


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
    assert len(pages) == 7
    for path, page in pages.items():
        markup = _Markup()
        markup.feed(page)
        assert not markup.tags & {"script", "iframe", "object", "embed", "style", "base"}, path
        assert not {n for n in markup.attributes if n.startswith("on") or n == "style"}, path
        assert all(a.startswith(("/console/", "#main")) for a in markup.addresses), path
        assert not re.search("[\x00-\x08\x0b-\x1f\u200b\u202e\U000e0041]", page), path
    shown = text_of(pages[f"/console/runs/{run.id}"])
    assert shown.count("<script>alert(1)</script>") >= 5  # there to be read, as it was said
    assert "{{ 7*7 }}" in shown


async def test_every_answer_carries_the_security_headers(on: Stage) -> None:
    run = await ordinary(on)
    action = addresses(await on.read(f"/console/runs/{run.id}"), "actions")[0]
    link = on.sessions.one_time_link("", OWNER)
    statuses = set()
    for path in (
        "/console/", f"/console/runs/{run.id}", action, link, "/console/sign-in",
        "/console/signed-out", "/console/runs/none", "/console/actions/none", "/console/nothing",
        "/console/sign-out", "/console/?state=no", "/console/static/console.css",
        "/console/static/mark.svg", "/console/static/nothing", "/console/static/../app.py",
    ):  # fmt: skip
        answer = await on.browser.get(path)
        statuses.add(answer.status_code)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (path, name)
        assert "script-src" not in answer.headers["content-security-policy"]
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
