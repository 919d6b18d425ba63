"""The callers of a soak: they begin calls at a mean rate, and note the action of each."""

import asyncio
import hashlib
import json
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.load import Client, is_whole
from benchmarks.soak.kinds import KINDS, MODEL_ROUGH

CHAT, ACTIONS = "/openai/v1/chat/completions", "/v1/actions"
CALLS_A_CONNECTION: Final = 50  # then another one is opened: descriptors come and go
AT_ONCE_MAX: Final = 200
CALL_SECONDS_MAX: Final = 60
EVENTS_BEFORE_HANG_UP: Final = 3
LEAVE_SECONDS_MAX: Final = 0.03
PROBLEMS_MAX: Final = 20
ACTION: Final = re.compile(rb"(?i)x-quarterdeck-action-id: *(\w+)")
BLOCKED: Final = b"is not called for now"  # the circuit of its vendor entry is open
STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})")


@dataclass
class Journal:
    """What the callers know of their calls."""

    actions: dict[str, tuple[str, int]] = field(default_factory=dict)
    #: Calls that were left before they were answered, by the digest of what was sent.
    early: dict[str, int] = field(default_factory=dict)
    begun: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    blocked: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)

    def problem(self, kind: str, what: str) -> None:
        """Something that must not be."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(f"{kind}: {what}")


@dataclass
class Traffic:
    """Calls of all kinds, by several runs."""

    port: int
    credentials: list[str]
    rate: float
    journal: Journal = field(default_factory=Journal)
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    over: bool = False
    _idle: list[tuple[Client, int]] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def flow(self) -> None:
        """Begin calls until it is over, then wait for those under way."""
        kinds, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
        number = 0
        while not self.over:
            await asyncio.sleep(self.dice.expovariate(self.rate))
            if len(self._tasks) >= AT_ONCE_MAX:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            (kind,) = self.dice.choices(kinds, weights)
            number += 1
            task = asyncio.ensure_future(self._call(kind, number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._tasks:
            await asyncio.wait(self._tasks)
        for client, _ in self._idle:
            client.transport.close()
        self._idle.clear()

    async def _call(self, kind: str, number: int) -> None:
        self.journal.begun[kind] += 1
        credential = self.dice.choice(self.credentials)
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                if kind == "early_hang_up":
                    await self._leave(number, credential)
                elif kind.startswith("tool"):
                    await self._tool(kind, number, credential)
                else:
                    await self._model(kind, number, credential)
        except TimeoutError:
            self.journal.problem(kind, f"call {number} has no end after {CALL_SECONDS_MAX} s")
        except OSError as error:
            self.journal.problem(kind, f"call {number}: {error!r}")
        self.journal.ended[kind] += 1

    async def _leave(self, number: int, credential: str) -> None:
        """Hang up at any moment before the answer: while it is read, admitted, or sent on."""
        client, _ = await self._connection()
        body = _chat_body("early_hang_up", number)
        self.journal.early[hashlib.sha256(body).hexdigest()] = number
        client.transport.write(_post(CHAT, body, credential))
        await asyncio.sleep(self.dice.uniform(0, LEAVE_SECONDS_MAX))
        client.transport.abort()

    async def _model(self, kind: str, number: int, credential: str) -> None:
        client, used = await self._connection()
        if kind == "hang_up":
            client.enough = _has_begun
        await client.ask(_post(CHAT, _chat_body(kind, number), credential))
        answer = bytes(client.buffer)
        if kind == "hang_up":
            client.transport.abort()
        else:
            self._give_back(client, used)
        status = int(found[1]) if (found := STATUS.match(answer)) else 0
        action = found[1].decode() if (found := ACTION.search(answer)) else None
        if action is None:
            self.journal.problem(kind, f"call {number} has no action: {answer[:300]!r}")
            return
        self._note(action, kind, number)
        if KINDS[kind].model == MODEL_ROUGH and BLOCKED in answer:
            self.journal.blocked += 1
            self.journal.actions[action] = ("blocked", number)
        elif status not in KINDS[kind].statuses:
            self.journal.problem(kind, f"call {number}: {status} {answer[-300:]!r}")
        elif kind == "half" and is_whole(bytearray(answer)):
            self.journal.problem(kind, f"call {number}: half a stream came as a whole one")
        elif kind == "stream" and answer.count(b"word ") != 8:
            self.journal.problem(kind, f"call {number}: not the stream that was sent: {answer!r}")
        elif kind == "whole" and f"All is well with call {number}. ".encode() not in answer:
            self.journal.problem(kind, f"call {number} got the answer of another: {answer!r}")

    async def _tool(self, kind: str, number: int, credential: str) -> None:
        tool = "unheard_of" if kind == "tool_refused" else "note"
        body: dict[str, Any] = {"tool": tool, "arguments": {"n": number}}
        body["idempotency_key"] = f"key-{number}"
        status, said = await self._post(ACTIONS, body, credential)
        if "action" not in said:
            self.journal.problem(kind, f"call {number} has no action: {status} {said}")
            return
        self._note(said["action"], kind, number)
        if kind == "tool_refused":
            if status != 403:
                self.journal.problem(kind, f"call {number}: {status} {said}")
            return
        if status != 201:
            self.journal.problem(kind, f"call {number} was not cleared: {status} {said}")
            return
        receipt = {"status": "failed" if kind == "tool_failed" else "done", "result": {"n": number}}
        told, outcome = await self._post(f"{ACTIONS}/{said['action']}/receipt", receipt, credential)
        if told != 200:
            self.journal.problem(kind, f"receipt {number}: {told} {outcome}")
        if kind == "tool_again":
            status, again = await self._post(ACTIONS, body, credential)
            if (status, again.get("action")) != (200, said["action"]):
                self.journal.problem(kind, f"repeat {number}: {status} {again}")

    async def _post(self, path: str, body: dict[str, Any], credential: str) -> tuple[int, Any]:
        client, used = await self._connection()
        status = await client.ask(_post(path, json.dumps(body).encode(), credential))
        _, _, answer = bytes(client.buffer).partition(b"\r\n\r\n")
        chunked = b"transfer-encoding: chunked" in bytes(client.buffer).lower()
        self._give_back(client, used)
        if chunked:
            answer = answer.split(b"\r\n", 1)[1].rsplit(b"\r\n0\r\n", 1)[0]
        return status, json.loads(answer) if status else {}

    def _note(self, action: str, kind: str, number: int) -> None:
        if action in self.journal.actions:
            self.journal.problem(kind, f"call {number} was answered with the action of another")
        self.journal.actions[action] = (kind, number)

    async def _connection(self) -> tuple[Client, int]:
        while self._idle:
            client, used = self._idle.pop()
            if not client.lost:
                return client, used
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(Client, "127.0.0.1", self.port)
        return client, 0

    def _give_back(self, client: Client, used: int) -> None:
        if used + 1 >= CALLS_A_CONNECTION:
            client.transport.close()
        elif not client.lost:
            self._idle.append((client, used + 1))


def _has_begun(buffer: bytearray) -> bool:
    return buffer.count(b"data:") >= EVENTS_BEFORE_HANG_UP or (
        is_whole(buffer) and not buffer.startswith(b"HTTP/1.1 200")
    )


def _chat_body(kind: str, number: int) -> bytes:
    said = f"soak:{kind}:{number} " + "How do I get a refund for my order? " * 8
    body: dict[str, Any] = {
        "model": KINDS[kind].model,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": said}],
    }
    if kind in ("stream", "hang_up", "half"):
        body["stream"] = True
        if number % 2:  # the others get it asked for by the gateway, and withheld
            body["stream_options"] = {"include_usage": True}
    return json.dumps(body).encode()


def _post(path: str, content: bytes, credential: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: soak\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {credential}\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content
