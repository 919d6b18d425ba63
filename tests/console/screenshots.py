"""Takes the pictures of the console in the documents: wide and on a phone, light and dark.

make screenshots        into docs/images/console
"""

import asyncio
import base64
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from quarterdeck.store import standing
from tests.console import gallery
from tests.console.browser import CHROMIUM, PHONE, ROOT, WIDE, Site, pages_of, site
from tests.serving import running

FOLDER = ROOT / "docs" / "images" / "console"
QUALITY = 72
# Each shows something that the others do not.
SHOWN = (
    "fleet", "runs", "run", "run-action", "action", "action-raw", "actions", "agent",
    "blast-radius", "tools", "servers", "tool", "tool-quarantined", "server", "server-signed-in",
    "server-nobody", "costs", "health", "waiting", "approval", "suggestions", "suggestion", "plans",
    "plan", "runs-empty", "not-found", "sign-in",
)  # fmt: skip


async def main(folder: Path) -> None:
    """Take them all."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.webp"):
        old.unlink()
    with tempfile.TemporaryDirectory() as data:
        async with running(Path(data) / "data", gallery.files()) as server:
            made = await gallery.fill(server.house)
            async with site(server, made) as on:
                for size in (WIDE, PHONE):
                    for scheme in ("light", "dark"):
                        await _all(on, folder, size, scheme)
    taken = sorted(folder.glob("*.webp"))
    total = sum(path.stat().st_size for path in taken)
    print(f"{len(taken)} pictures, {total / 1e6:.2f} MB, in {folder}")


async def _all(on: Site, folder: Path, size: tuple[int, int], scheme: str) -> None:
    paths = await pages_of(on.server, on.gallery)
    async with on.page(size, scheme) as page:
        house = on.server.house
        for name in SHOWN:
            # Nobody renews the lease of a test's server; in pictures it should not look dead.
            await house.db.write(lambda tx: standing.renew_lease(tx, house.process))
            if name == "run-action" and size != WIDE:
                continue  # on a phone an action is a page of its own
            path = paths.get({"run-action": "run"}.get(name, name))
            if name == "sign-in":
                await page.context.clear_cookies()
                await page.goto(
                    on.server.house.sessions.one_time_link(on.server.url, gallery.OWNER)
                )
            else:
                assert path is not None, name
                await on.open(page, path)
            await page.wait_for_load_state("networkidle") if name == "costs" else None
            if name == "run-action":
                for key in ("j", "j", "j", "Enter"):
                    await page.keyboard.press(key)
                await page.locator("#side #action").wait_for()
            await page.wait_for_timeout(250)  # a plot draws a moment after its page
            await _take(page, folder / f"{name}-{size[0]}-{scheme}.webp")


async def _take(page: Page, path: Path) -> None:
    """As WebP, which playwright itself does not write."""
    session = await page.context.new_cdp_session(page)
    asked: dict[str, Any] = {"format": "webp", "quality": QUALITY}
    taken = await session.send("Page.captureScreenshot", asked)
    path.write_bytes(base64.b64decode(taken["data"]))


if __name__ == "__main__":
    if not CHROMIUM:
        sys.exit("Chromium is not installed (Debian: apt-get install chromium)")
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
