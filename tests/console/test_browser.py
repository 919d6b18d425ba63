"""The console in Chromium: by keyboard, live, with long runs, on a phone, without JavaScript."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from quarterdeck.domain.limits import TIMELINE_ROWS
from quarterdeck.store.database import Transaction
from tests.console import gallery
from tests.console.browser import PHONE, ROOT, WIDE, Site, needs_chromium, pages_of, site
from tests.console.gallery import OWNER
from tests.serving import running

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="module")]
LONG = 45_000
AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
_FOUND = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations
    .filter((v) => v.impact === "serious" || v.impact === "critical")
    .map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 120)).join(" | ")}`);
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def on(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("console")
    async with running(folder / "data", gallery.files()) as server:
        made = await gallery.fill(server.house)
        async with site(server, made) as built:
            yield built


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
async def test_axe_finds_nothing_serious_and_nothing_leaves_the_screen(
    on: Site, size: tuple[int, int], scheme: str
) -> None:
    axe = AXE.read_text(encoding="utf-8")
    async with on.page(size, scheme) as page:
        for name, path in (await pages_of(on.server, on.gallery)).items():
            await on.open(page, path)
            await page.evaluate(axe)
            assert await page.evaluate(_FOUND) == [], f"{name} {scheme}"
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= size[0], f"{name} is {wide} wide"


async def test_the_action_beside_the_timeline_and_the_help_pass_axe_too(on: Site) -> None:
    async with on.page(scheme="dark") as page:
        await on.open(page, f"/runs/{on.gallery.long_run}")
        await page.evaluate(AXE.read_text(encoding="utf-8"))
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await expect(page.locator("#side #action")).to_be_visible()
        assert await page.evaluate(_FOUND) == []
        await page.keyboard.press("?")
        assert await page.evaluate(_FOUND) == []


async def test_a_run_is_read_by_keyboard(on: Site) -> None:
    async with on.page() as page:
        await on.open(page, f"/runs/{on.gallery.long_run}")
        picked = page.locator("[data-picked]")
        await page.keyboard.press("j")
        await expect(picked).to_have_attribute("data-place", "0")
        for _ in range(3):
            await page.keyboard.press("j")
        await page.keyboard.press("k")
        await expect(picked).to_have_attribute("data-place", "2")
        await page.keyboard.press("Enter")
        side = page.locator("#side")
        await expect(side.locator("h1")).to_contain_text("large-2")
        await page.keyboard.press("j")
        await expect(side.locator("h1")).to_contain_text("search_help")
        await page.keyboard.press("v")
        await expect(side).to_contain_text("As recorded")
        await page.keyboard.press("Escape")
        await expect(side).to_be_hidden()
        await page.keyboard.press("o")
        await page.wait_for_url("**/actions/act_*")
        await page.keyboard.press("]")
        await expect(page.locator(".path")).to_contain_text("action 5")
        await page.keyboard.press("u")
        await page.wait_for_url("**/runs/run_*?at=act_*")
        await expect(picked).to_have_attribute("data-place", "4")
        await page.keyboard.press("u")
        await page.wait_for_url("**/runs")


async def test_keys_lead_to_every_section_and_say_what_they_are(on: Site) -> None:
    async with on.page() as page:
        await page.keyboard.press("?")
        await expect(page.locator("#help")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator("#help")).to_be_hidden()
        for key, path in (
            ("r", "/runs"),
            ("w", "/approvals"),
            ("t", "/tools"),
            ("c", "/costs"),
            ("h", "/health"),
            ("f", "/"),
        ):
            await page.keyboard.press("g")
            await page.keyboard.press(key)
            await page.wait_for_url(f"{on.server.url}/console{path}")
        await page.keyboard.press("/")
        await expect(page.locator("#search")).to_be_focused()
        await page.keyboard.type(on.gallery.plain_run)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/runs/{on.gallery.plain_run}")
        await on.open(page, "/runs")
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        second = await page.locator("tr[data-picked]").get_attribute("id")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/runs/{second}")


async def test_earlier_messages_come_when_asked_for(on: Site) -> None:
    async with on.page() as page:
        path = (await pages_of(on.server, on.gallery))["action"]
        await on.open(page, path)
        said = page.locator(".talk").first.locator(".said")
        await expect(said).to_have_count(2)
        await page.keyboard.press("e")
        await page.wait_for_url("**earlier=20")
        await expect(said).to_have_count(22)
        await expect(page.locator(".said.old")).to_have_count(20)


async def test_the_theme_is_switched_and_stays(on: Site) -> None:
    async with on.page(scheme="light") as page:
        ground = "getComputedStyle(document.body).backgroundColor"
        light = await page.evaluate(ground)
        await page.keyboard.press("t")
        dark = await page.evaluate(ground)
        assert dark != light
        await on.open(page, "/costs")
        assert await page.evaluate(ground) == dark
        await page.click("#theme")
        assert await page.evaluate(ground) == light


async def test_times_are_in_the_readers_zone_with_utc_beside_them(on: Site) -> None:
    async with on.page(zone="Asia/Tokyo") as page:
        await on.open(page, f"/runs/{on.gallery.plain_run}")
        time = page.locator(".facts time").first
        shown, title = await time.inner_text(), await time.get_attribute("title")
        assert title is not None
        assert title.endswith("UTC")
        utc = int(title.split()[1].split(":")[0])
        assert int(shown.split()[-1].split(":")[0]) == (utc + 9) % 24
        assert "JST" in await page.locator(".foot").inner_text()


async def test_filters_change_the_list_and_its_address_without_loading_the_page(on: Site) -> None:
    async with on.page() as page:
        await on.open(page, "/runs")
        await page.evaluate("window.here = true")
        await page.select_option("[name=state]", "escalated")
        await page.wait_for_url("**state=escalated**")
        await expect(page.locator(".c-state").first).to_have_text("escalated")
        assert await page.evaluate("window.here") is True
        await page.fill(".save input[name=name]", "Escalated cases")
        await page.click(".save button")
        await expect(page.locator(".view.chosen a")).to_have_text("Escalated cases")
        await on.open(page, "/runs")
        await page.click("text=Escalated cases")
        await expect(page.locator("[name=state]")).to_have_value("escalated")
        await page.click(".view button")
        await expect(page.locator(".view")).to_have_count(0)


async def test_plots_are_drawn_and_a_day_leads_to_its_runs(on: Site) -> None:
    async with on.page() as page:
        await on.open(page, "/costs")
        over = page.locator(".plot .u-over")
        await expect(over).to_be_visible()
        box = await over.bounding_box()
        assert box is not None
        await page.mouse.move(box["x"] + box["width"] - 40, box["y"] + 60)
        await expect(page.locator(".u-legend")).to_contain_text("$")
        await page.mouse.click(box["x"] + box["width"] - 40, box["y"] + 60)
        await page.wait_for_url("**/runs?day=*")


async def test_hostile_content_stays_text(on: Site) -> None:
    async with on.page() as page:
        await on.open(page, f"/runs/{on.gallery.hostile_run}")
        for link in await page.locator("a[data-open]").evaluate_all("all => all.map(a => a.href)"):
            for view in ("", "?view=raw"):
                await page.goto(link + view)
                assert await page.locator("img[src=x], main script").count() == 0
                assert await page.locator("main a[href^=javascript]").count() == 0
        # `page` fails if anything opened a dialog or ran against the policy.


async def test_every_page_is_whole_without_javascript(on: Site) -> None:
    async with on.page(scripts=False) as page:
        for name, path in (await pages_of(on.server, on.gallery)).items():
            await on.open(page, path)
            await expect(page.locator("h1").first).to_be_visible()
            assert len(await page.locator("main").inner_text()) > 60, name
        await on.open(page, f"/runs/{on.gallery.long_run}")
        await expect(page.locator(".step")).to_have_count(TIMELINE_ROWS)
        await page.click("text=Later actions")
        await expect(page.locator(".step .s-number").first).to_have_text("101")
        await on.open(page, "/runs")
        await page.select_option("[name=state]", "escalated")
        await page.click("text=Filter >> nth=0")
        await expect(page.locator(".c-state").first).to_have_text("escalated")


async def test_a_long_run_opens_at_once_and_holds_few_rows(on: Site) -> None:
    """Goal: 45,000 actions cost what a few hundred do. Method: copies of one action's row."""
    run = await lengthen(on)
    async with on.page() as page:
        pieces: list[str] = []
        page.on("request", lambda r: pieces.append(r.url) if "/actions?from=" in r.url else None)
        await on.open(page, f"/runs/{run}")
        await expect(page.locator(".step").first).to_be_visible()
        rows = "document.querySelectorAll('.step').length"
        assert await page.evaluate(rows) <= 3 * TIMELINE_ROWS
        tall = await page.evaluate("document.documentElement.scrollHeight")
        assert tall > LONG * 30, "the scrollbar is that of the whole run"
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        last = page.locator(f'[data-place="{LONG}"]')
        await expect(last).to_be_visible()
        await expect(last.locator(".s-number")).to_have_text(f"{LONG + 1:,}")
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
        await expect(page.locator('[data-place="22500"]')).to_be_attached()
        assert await page.evaluate(rows) <= 5 * TIMELINE_ROWS
        assert len(pieces) <= 12, "pieces passed by are not fetched"


async def test_the_choice_moves_on_where_a_piece_ends(on: Site) -> None:
    run = await lengthen(on)
    async with on.page() as page:
        await on.open(page, f"/runs/{run}?from=200")
        await expect(page.locator('[data-place="200"]')).to_be_visible()
        await page.click('[data-place="299"] .s-number')
        await page.keyboard.press("j")
        await expect(page.locator("[data-picked]")).to_have_attribute("data-place", "300")
        await expect(page.locator("[data-picked]")).to_be_in_viewport()


async def test_changes_show_by_themselves_and_nothing_jumps(on: Site) -> None:
    house = on.server.house
    async with on.page((1440, 500)) as page:
        await on.open(page, "/runs")
        await expect(page.locator("#pulse")).to_have_text("live")
        await settled(page)
        await page.evaluate("window.here = true")
        kept = page.locator("tr[data-row] >> nth=6")
        kept_id = await kept.get_attribute("id")
        await page.evaluate(f"document.getElementById('{kept_id}').mark = 1")
        await page.locator(f"#{kept_id}").scroll_into_view_if_needed()
        await page.locator(f"#{kept_id} a[data-open]").focus()
        top = f"document.getElementById('{kept_id}').getBoundingClientRect().top"
        before = await page.evaluate(top)
        run = await house.services.runs.start(OWNER, "triage", {"text": "new"}, kind="external")
        await expect(page.locator(f"#{run.id}")).to_be_attached()
        assert await page.evaluate("window.here") is True
        assert await page.evaluate(f"document.getElementById('{kept_id}').mark") == 1
        assert abs(await page.evaluate(top) - before) <= 2
        await expect(page.locator(f"#{kept_id} a[data-open]")).to_be_focused()


async def test_a_run_under_way_grows_on_its_page(on: Site) -> None:
    house = on.server.house
    run = await house.services.runs.start(OWNER, "triage", {"text": "live"}, kind="external")
    play = gallery._Play(house, gallery.random.Random(1))
    talk = [{"role": "user", "content": "hello"}]
    await play.ask(run, talk, "small-2", {"choices": []})
    async with on.page() as page:
        await on.open(page, f"/runs/{run.id}")
        await expect(page.locator(".step")).to_have_count(1)
        await expect(page.locator("#pulse")).to_have_text("live")
        await settled(page)
        await page.locator("details.more summary").first.click()
        await page.keyboard.press("j")
        await play.use(run, "look_up_order", {"order": "1"}, gallery._said({"state": "packed"}))
        await expect(page.locator(".step")).to_have_count(2)
        await expect(page.locator("[data-picked]")).to_have_attribute("data-place", "0")
        await expect(page.locator("details.more").first).to_have_attribute("open", "")
        await play.end(run, "succeeded", "done and dusted")
        await expect(page.locator(".lead")).to_have_text("done and dusted")


async def test_a_lost_connection_is_said_and_mends_by_itself(tmp_path: Path) -> None:
    async with (
        running(tmp_path, gallery.files()) as server,
        site(server, gallery.Gallery()) as on,
    ):
        context = await on.browser.new_context()
        page = await context.new_page()
        await page.goto(server.house.sessions.one_time_link(server.url, OWNER))
        await page.click("button.primary")
        await page.wait_for_url("**/console/")
        pulse = page.locator("#pulse")
        await expect(pulse).to_have_text("live")
        blocked = re.compile("/console/live")
        await page.route(blocked, lambda route: route.abort())
        live = server.house.live
        live.close()
        await expect(pulse).to_have_class(re.compile("lost"))
        await expect(pulse).to_contain_text("connection lost")
        live._closed = False
        await page.unroute(blocked)
        await expect(pulse).to_have_text("live", timeout=15_000)
        await context.close()


async def settled(page: Page) -> None:
    """Wait for the first look of the poller, which later ones are compared with."""
    await asyncio.sleep(0)
    await page.wait_for_timeout(1_200)


async def lengthen(on: Site) -> str:
    """A run of its own with 45,001 actions, made once."""
    name = "run_" + "0" * 22
    house = on.server.house
    found = await house.db.read(lambda tx: tx.row("select id from runs where id = :r", {"r": name}))
    if found is None:
        await house.db.write(lambda tx: _copy(tx, on.gallery.doubtful_run, name))
    return name


def _copy(tx: Transaction, source: str, name: str) -> None:
    row: dict[str, Any] = dict(tx.row("select * from runs where id = :r", {"r": source}) or {})
    row |= {"id": name, "state": "failed", "ended_at": tx.now, "credential_hash": b"long"}
    _insert(tx, "runs", [row])
    one = dict(
        tx.row("select * from actions where run <> :r and state = 'done' limit 1", {"r": name})
        or {}
    )
    one |= {"run": name, "idempotency_key": None}
    _insert(tx, "actions", [{**one, "id": f"act_0{n:025}"} for n in range(LONG + 1)])


def _insert(tx: Transaction, table: str, rows: list[dict[str, Any]]) -> None:
    names = ", ".join(rows[0])
    values = ", ".join(f":{name}" for name in rows[0])
    tx.execute_many(f"insert into {table} ({names}) values ({values})", rows)
