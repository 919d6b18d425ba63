"""A process killed around calls that a person has allowed once, at a server that comes and goes."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson
import pytest

from tests.e2e.books import check_books, database
from tests.e2e.processes import Launcher, Process, run_as_a_program
from tests.upstream.http_api import answer, fleet_of, operation, text_argument

KILLS = 6
META = "dev.quarterdeck/outcome"
CANCEL = operation(
    "cancel_order",
    "POST",
    "/orders/{order}/cancel",
    body="*",
    arguments=text_argument("order", "because"),
    confirm=True,
)


@dataclass
class Billing:
    """A server on one port, up or down, and each order it has cancelled."""

    port: int = 0
    cancelled: Counter[str] = field(default_factory=Counter)
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                self.cancelled[head.split(b"/")[2].decode()] += 1
                await asyncio.sleep(0.02)
                writer.write(answer(200, {"state": "cancelled"}))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._open.discard(writer)
            writer.close()


@dataclass
class Desk:
    """An agent that insists, and a person who allows each order once and never again."""

    billing: Billing
    url: str = ""
    token: str = ""
    credential: str = ""
    approved: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    reachable: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: bool = False

    async def work(self, name: str) -> None:
        """Order after order, each until it is done, in doubt, or would need a second yes."""
        for number in range(10_000):
            order = f"{name}-{number}"
            while not self.is_over and not await self._is_settled(order):
                await asyncio.sleep(0.005)
            if self.is_over:
                return

    async def coming_and_going(self, dice: random.Random) -> None:
        while not self.is_over:
            await asyncio.sleep(dice.uniform(0.02, 0.2))
            await self.billing.down()
            await asyncio.sleep(dice.uniform(0.02, 0.1))
            await self.billing.up()

    async def _is_settled(self, order: str) -> bool:
        await self.reachable.wait()
        try:
            told = await self._call(order)
            self.answers[str(told.get("answer", "done"))] += 1
            if told.get("answer") == "held" and not self.approved[order]:
                self.approved[order] += 1
                await self._approve(told["approval"])
                return False
        except (httpx2.HTTPError, orjson.JSONDecodeError):
            return False
        return told.get("answer") != "not_attempted"

    async def _call(self, order: str) -> dict[str, Any]:
        told = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        arguments = {"order": order, "because": "late"}
        params = {"name": "cancel_order", "arguments": arguments, "_meta": told}
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "cancel_order",
            "authorization": f"Bearer {self.credential}",
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            said = await client.post(f"{self.url}/mcp", json=body, headers=headers)
        lines = [line[5:] for line in said.text.splitlines() if line.startswith("data:")]
        result = orjson.loads((lines or [said.text])[-1]).get("result")
        if result is None:  # a conflict with the same call under way, or a server that stops
            return {"answer": "not_attempted"}
        outcome: dict[str, Any] = result.get("_meta", {}).get(META, {})
        if result.get("isError") and not outcome:  # the same call is still under way
            return {"answer": "not_attempted"}
        return outcome

    async def _approve(self, approval: str) -> None:
        headers = {"authorization": f"Bearer {self.token}"}
        async with httpx2.AsyncClient(trust_env=False, timeout=30, headers=headers) as client:
            where = f"{self.url}/v1/approvals/{approval}"
            shown = (await client.get(where)).json()
            said = {"answer": "approve", "digest": shown["digest"]}
            answered = await client.post(where, json=said)
            assert answered.status_code in (200, 409), answered.text


@contextlib.asynccontextmanager
async def working(desk: Desk, dice: random.Random) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(desk.work(name)) for name in ("a", "b", "c")]
    tasks.append(asyncio.create_task(desk.coming_and_going(dice)))
    try:
        yield
    finally:
        desk.is_over = True
        desk.reachable.set()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("seed", range(2))
async def test_what_a_person_allowed_once_happens_once_wherever_the_process_is_killed(
    launcher: Launcher, seed: int
) -> None:
    """Goal: an approval is good again where nothing was begun, and never for a second effect.

    Method: agents insist on calls, each allowed once; the server that makes them is up and down,
    so approvals are used and given back all the time; the process is killed again and again.
    """
    dice = random.Random(seed)
    billing = Billing()
    await billing.up()
    desk = Desk(billing)
    fleet = launcher.write(fleet_of(f"http://127.0.0.1:{billing.port}", CANCEL))
    up = ("--fleet", str(fleet))
    async with working(desk, dice):
        for _ in range(KILLS):
            server = await _up(launcher, desk, up)
            await asyncio.sleep(dice.uniform(0.1, 0.9))
            desk.reachable.clear()
            await asyncio.to_thread(server.kill)
        server = await _up(launcher, desk, up)
        await asyncio.sleep(1)
    await billing.down()
    assert await asyncio.to_thread(server.stop) == 0
    assert set(desk.approved.values()) == {1}, "nobody said yes twice"
    assert max(billing.cancelled.values()) == 1, "nothing that was allowed once happened twice"
    assert set(billing.cancelled) <= set(desk.approved), "nothing happened that nobody allowed"
    returned, spent = await _entries(launcher)
    assert returned, f"approvals were given back, or this shows nothing: {desk.answers}"
    assert sum(spent.values()) > len(spent), "and used again"
    await check_books(launcher)


async def _up(launcher: Launcher, desk: Desk, more: tuple[str, ...]) -> Process:
    server = await asyncio.to_thread(launcher.up, *more)
    desk.url, desk.token = server.url, launcher.token()
    if not desk.credential:
        desk.credential = run_as_a_program(server.url, desk.token)["credential"]
    desk.reachable.set()
    return server


async def _entries(launcher: Launcher) -> tuple[int, Counter[str]]:
    """How many approvals the ledger says were given back, and how often each was used."""
    async with database(launcher) as db:
        leaves = await db.read(lambda tx: list(tx.rows("select data from leaves")))
    said = [orjson.loads(leaf["data"]) for leaf in leaves]
    returned = sum(leaf["kind"] == "approval_returned" for leaf in said)
    return returned, Counter(leaf["subject"] for leaf in said if leaf["kind"] == "approval_spent")
