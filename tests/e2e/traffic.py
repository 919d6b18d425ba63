"""Clients that go on whatever happens to the server: model calls, actions of their own, whole runs.

Every call has content of its own, so that each effect, wherever it was seen, belongs to one action.
"""

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.fleets import files

CHAT, MESSAGES = "/openai/v1/chat/completions", "/anthropic/v1/messages"
SCRIPTED_TURNS: Final = 1500
OWN_EFFECTS: Final = 1_000_000  # numbers from here on are effects of the clients themselves
PAUSE_SECONDS: Final = 0.02
SOURCE: Final = """
import time


def _write(name, n):
    time.sleep(0.01)
    with open(f"EFFECTS/{name}.txt", "a") as file:
        file.write(f"{n}\\n")
    time.sleep(0.01)
    return {"n": n}


def look_up(n: int = 0, text: str = "") -> dict:
    return _write("look_up", n)


def file_note(n: int = 0, text: str = "") -> dict:
    return _write("file_note", n)


def pay(n: int = 0, text: str = "") -> dict:
    return _write("pay", n)


def wipe(n: int = 0, text: str = "") -> dict:
    return _write("wipe", n)
"""


def fleet_files(base_url: str, effects: Path, **caps: str) -> dict[str, bytes]:
    """The small fleet; its tools write a line for every call, and its clerk has models more."""
    found = dict(files(base_url=base_url, **caps))
    found["tools/tools.py"] = SOURCE.replace("EFFECTS", str(effects)).encode()
    agent = found["agents/clerk.yaml"].decode()
    more = "  router: {vendor: local, model: small-2}\n"
    more += "  extractor: {vendor: local, model: small-3}\n"
    found["agents/clerk.yaml"] = agent.replace("  judge:", f"{more}  judge:").encode()
    fleet = found["fleet.yaml"].decode()
    price = '{input: "0.15", output: "0.60"}'
    prices = f"prices: {{small-2: {price}, small-3: {price}, small-1:"
    found["fleet.yaml"] = fleet.replace("prices: {small-1:", prices).encode()
    return found


def script() -> dict[str, Any]:
    """`small-1` asks for tools, with a number of its own each time; the others just talk.

    `small-3` talks for a minute.
    """
    rules: list[dict[str, Any]] = []
    for nth in range(1, SCRIPTED_TURNS + 1):
        tool = (None, "pay", "file_note")[nth % 3]
        calls = [{"name": tool, "arguments": {"n": nth}}] if tool else []
        rules.append(
            {"model": "small-1", "nth": nth, "answer": {"text": "so", "tool_calls": calls}}
        )
    rules.append({"model": "small-2", "generate": {"chunks": 12, "delay_seconds": 0.01}})
    rules.append({"model": "small-3", "generate": {"chunks": 600, "delay_seconds": 0.1}})
    rules.append({"dialect": "anthropic", "answer": {"text": "yes it is", "delay_seconds": 0.01}})
    return {"rules": rules}


@dataclass
class Traffic:
    """What the clients know: where the server is, which runs they have, what they did and saw."""

    urls: tuple[str, ...] = ()
    api_url: str = ""
    token: str = ""
    credentials: list[str] = field(default_factory=list)
    own_effects: list[int] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    refusals: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    problems: list[str] = field(default_factory=list)
    tolerated: frozenset[int] = frozenset()
    over: bool = False
    reachable: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _turns: "itertools.count[int]" = field(default_factory=itertools.count)

    async def _post(
        self, path: str, body: Mapping[str, Any], credential: str, key: str | None = None
    ) -> Any:
        """One call of a run; nothing if no answer came."""
        headers = {"authorization": f"Bearer {credential}"}
        if key is not None:
            headers["idempotency-key"] = key
        return await self._send(path, body, headers)

    async def _send(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        await self.reachable.wait()
        url = self.urls[next(self._turns) % len(self.urls)]
        if path == "/v1/runs":
            url = self.api_url
        # A client for each call: none holds a connection to a server that is gone.
        async with httpx2.AsyncClient(
            base_url=url, timeout=60, trust_env=False, verify=False
        ) as client:
            try:
                answer = await client.post(path, json=body, headers=headers)
            except httpx2.TransportError:
                await asyncio.sleep(PAUSE_SECONDS)
                return None
        self.answers[f"{path.split('/')[1]} {answer.status_code}"] += 1
        if answer.status_code in self.tolerated:
            self.refusals[path].add(answer.text)
            await asyncio.sleep(PAUSE_SECONDS)
        return answer

    async def chat(self) -> None:
        """A model call; every second one streams, every third is repeated until it is answered."""
        n, credential = next(self._numbers), self.credentials[-1]
        said = [{"role": "user", "content": f"call {n}"}]
        body = {"model": "small-2", "messages": said, "max_tokens": 40, "stream": n % 2 == 0}
        key = f"chat-{n}" if n % 3 == 0 else None
        answer = await self._post(CHAT, body, credential, key)
        while key is not None and self._is_none(answer):
            answer = await self._post(CHAT, body, credential, key)
        # 409: the first attempt died with its server, and nobody knows what came of it.
        self._expect(answer, 200, *(() if key is None else (409,)))

    async def message(self) -> None:
        """A call in the other dialect."""
        said = [{"role": "user", "content": f"message {next(self._numbers)}"}]
        body = {"model": "other-1", "max_tokens": 20, "messages": said}
        answer = await self._post(MESSAGES, body, self.credentials[-1])
        self._expect(answer, 200)

    async def own_action(self) -> None:
        """Ask, do it ourselves, tell what came of it; every step until it is answered."""
        n, credential = OWN_EFFECTS + next(self._numbers), self.credentials[-1]
        body = {"tool": "pay", "arguments": {"n": n}, "idempotency_key": f"own-{n}"}
        asked = await self._until_answered("/v1/actions", body, credential)
        said = asked.json()
        done = asked.status_code == 201
        if done:
            self.own_effects.append(n)
            await asyncio.sleep(PAUSE_SECONDS)
        elif said.get("answer") != "in_doubt":  # admitted before, but nobody told us: not done
            self._expect(asked, 201)
            return
        receipt = {"status": "done", "result": {"n": n}} if done else {"status": "failed"}
        told = await self._until_answered(
            f"/v1/actions/{said['action']}/receipt", receipt, credential
        )
        # 409: it was taken before, and its answer was lost with the server.
        self._expect(told, 200, 409)

    async def whole_run(self) -> None:
        """A run of the plain runner; it is not durable yet, so an answer may never come."""
        body = {"agent": "clerk", "input": {"n": next(self._numbers)}, "kind": "runner"}
        headers = {"authorization": f"Bearer {self.token}"}
        answer = await self._send("/v1/runs", {**body, "wait": True}, headers)
        # 401: the server was replaced since, and the token of its data folder with it.
        self._expect(answer, 200, 401)

    async def _until_answered(self, path: str, body: Mapping[str, Any], credential: str) -> Any:
        while self._is_none(answer := await self._post(path, body, credential)):
            await asyncio.sleep(PAUSE_SECONDS)
        return answer

    def _is_none(self, answer: Any) -> bool:
        return answer is None or answer.status_code in self.tolerated

    def _expect(self, answer: Any, *statuses: int) -> None:
        if not self._is_none(answer) and answer.status_code not in statuses:
            path = answer.request.url.path
            self.problems.append(f"{path}: {answer.status_code} {answer.text[:500]}")

    async def go_on(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step until the traffic is over."""
        while not self.over:
            await self.reachable.wait()
            await step()
            await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def flowing(traffic: Traffic) -> AsyncIterator[None]:
    """All kinds of clients at once; at the end each finishes what it is at."""
    steps = [traffic.chat, traffic.chat, traffic.message, traffic.own_action, traffic.own_action]
    steps += [traffic.whole_run, traffic.whole_run]
    tasks = [asyncio.create_task(traffic.go_on(step)) for step in steps]
    try:
        yield
    except BaseException:
        for task in tasks:
            task.cancel()
        raise
    traffic.over = True
    await asyncio.gather(*tasks)
