"""A real browser before a real server: Debian's Chromium, driven by playwright, nothing downloaded.

A page that writes an error to its console, runs against the content security policy, asks another
host for something, or opens a dialog, fails its test.
"""

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.console.gallery import OWNER, Gallery
from tests.serving import Running

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
BUILT = ROOT / "src" / "quarterdeck" / "console" / "static" / "built" / "console.js"
needs_chromium = pytest.mark.skipif(
    not CHROMIUM, reason="Chromium is not installed (Debian: apt-get install chromium)"
)
WIDE, PHONE = (1440, 900), (390, 844)


@dataclass
class Site:
    """A server with a fleet at work, and a browser."""

    server: Running
    gallery: Gallery
    browser: Browser
    troubles: list[str] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def page(
        self,
        size: tuple[int, int] = WIDE,
        scheme: Any = "light",
        *,
        scripts: bool = True,
        zone: str = "Europe/Berlin",
    ) -> AsyncIterator[Page]:
        """A page of somebody who is signed in; what goes wrong in it fails the test."""
        context = await self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            java_script_enabled=scripts,
            timezone_id=zone,
            reduced_motion="reduce",
        )
        page = await context.new_page()
        self.watch(page)
        await page.goto(self.server.house.sessions.one_time_link(self.server.url, OWNER))
        await page.click("button.primary")
        await page.wait_for_url("**/console/")
        try:
            yield page
        finally:
            await context.close()
        assert not self.troubles, self.troubles

    def watch(self, page: Page) -> None:
        """Note what must not happen."""
        self.troubles.clear()

        def said(message: Any) -> None:
            # What a test asks for on purpose is told by the browser as an error too.
            if message.type == "error" and "the server responded with a status of" not in (
                message.text
            ):
                self.troubles.append(message.text)

        def asked(request: Any) -> None:
            if not request.url.startswith((self.server.url, "data:")):
                self.troubles.append(f"asked {request.url}")

        page.on("console", said)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("dialog", lambda dialog: self.troubles.append(f"dialog {dialog.message}"))
        page.on("request", asked)

    async def open(self, page: Page, path: str) -> None:
        """A page of the console."""
        await page.goto(f"{self.server.url}/console{path}")


@contextlib.asynccontextmanager
async def site(server: Running, gallery: Gallery) -> AsyncIterator[Site]:
    """A browser before a server."""
    assert BUILT.is_file(), "the console's scripts are not built: python frontend/build.py --dev"
    async with async_playwright() as play:
        # As root, as in a container, Chromium has no sandbox of its own.
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield Site(server, gallery, browser)
        finally:
            await browser.close()


async def pages_of(server: Running, gallery: Gallery) -> dict[str, str]:
    """Every page there is, by name."""
    actions = await server.house.services.actions.list_of_run(
        OWNER, gallery.long_run, after="", rows=200
    )
    models = [a["id"] for a in actions if a["kind"] == "model"]
    tools = [a["id"] for a in actions if a["kind"] == "tool"]
    return {
        "fleet": "/",
        "runs": "/runs",
        "runs-filtered": "/runs?with=failed&period=24h",
        "runs-empty": "/runs?state=cancelled",
        "run": f"/runs/{gallery.long_run}",
        "run-in-doubt": f"/runs/{gallery.doubtful_run}",
        "action": f"/actions/{models[40]}",
        "action-tool": f"/actions/{tools[3]}",
        "action-raw": f"/actions/{models[2]}?view=raw",
        "actions": "/actions?target=search_help",
        "agent": "/agents/triage",
        "blast-radius": "/agents/refunds#radius-title",
        "tools": "/tools",
        "servers": "/tools#servers-title",
        "tool": "/tools/find_parcel",
        "tool-quarantined": "/tools/list_depots",
        "server": "/servers/parcels",
        "server-signed-in": "/servers/tracker",
        "server-nobody": "/servers/calendar",
        "costs": "/costs",
        "health": "/health",
        "waiting": "/approvals",
        "waiting-all": "/approvals?show=all",
        "approval": f"/approvals/{gallery.approval}",
        "approval-spent": f"/approvals/{gallery.answered}",
        "suggestions": "/suggestions",
        "suggestion": f"/suggestions/{gallery.suggestion}",
        "plans": "/plans",
        "plan": f"/plans/{gallery.plan}",
        "search": "/search?q=lawyer",
        "not-found": "/runs/run_nothing",
    }
