"""One account at one MCP server over streamable HTTP, in a session where the server has them.

INVARIANT: `Unavailable` means that nothing was asked; what was sent and not answered is a
`TimeoutError`, because nobody knows what came of it.
Deliberately absent: sending again what may have been read. Only what a server provably refused
before it looked is sent twice: a credential (401), a session it forgot (404), another era.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from itertools import count
from typing import Final

from quarterdeck.domain.consents import Challenge
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import (
    SERVER_CLOSE_SECONDS_MAX,
    SERVER_OPEN_SECONDS_MAX,
    SERVER_RESUMES_MAX,
    SERVER_RETRY_SECONDS_MAX,
    VENDOR_ERROR_BYTES_MAX,
)
from quarterdeck.domain.mcp.asks import OnSaid, Reply, Said
from quarterdeck.domain.mcp.errors import UNSUPPORTED_VERSION
from quarterdeck.domain.mcp.exchanges import (
    REFUSED,
    Answered,
    Discovered,
    Heard,
    Unreadable,
    Wanted,
    heard,
    notice,
    reply_to,
    rpc_error,
    written,
)
from quarterdeck.domain.servers import Server
from quarterdeck.upstream.connection import Connection
from quarterdeck.upstream.credentials import Shown
from quarterdeck.upstream.pool import Crossed, Pool, Unreachable
from quarterdeck.upstream.tools.mcp_endpoint import BROKEN, Endpoint, refusal
from quarterdeck.upstream.tools.mcp_listening import Listening
from quarterdeck.upstream.tools.mcp_opening import Instead, Opened, Opening
from quarterdeck.upstream.tools.mcp_stream import Place, body_of, messages

TRIES_MAX: Final = 3
NONE_ASKED: Final = b"{}"
_PONG: Final = Reply(result=b"{}")
_CANCELLED: Final = b'{"requestId":%d,"reason":"nobody waits for the answer any more"}'


class _Refused(Exception):
    """It provably was not looked at; worth sending again once something was put right."""

    def __init__(self, why: str, answer: Answered, challenge: Challenge | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.answer = answer
        self.challenge = challenge


@dataclass(slots=True)
class _Sending:
    """One request on its way."""

    wanted: Wanted
    shown: Shown
    on_said: OnSaid | None
    opened: Opened | None = None
    number: int = 0
    is_begun: bool = False
    is_heard: bool = False

    def headers(self) -> dict[str, str]:
        """What goes with it, and with all that belongs to it."""
        assert self.opened is not None
        return self.opened.headers(self.wanted, self.shown)


class HttpPeer:
    """Asks one server. What its era is, it finds out at the first request.

    `known` is the revision each server spoke last, by its name and URL, shared by all peers.
    """

    def __init__(
        self,
        pool: Pool,
        server: Server,
        *,
        capabilities: bytes,
        instead: Instead,
        known: dict[str, str],
    ) -> None:
        assert server.url is not None, "a server behind a command is another peer"
        self.server = server
        self._endpoint = Endpoint(pool, server.url)
        self._numbers = count(1)
        self._opening = Opening(self._endpoint, capabilities, instead, self._numbers)
        self._listening = Listening(self._endpoint) if capabilities != NONE_ASKED else None
        self._instead = instead
        self._known = known
        self._opened: Opened | None = None
        self._being_opened: asyncio.Task[Opened] | None = None
        self._shown = Shown(server=server)
        self._leaving: set[asyncio.Task[None]] = set()

    async def open(self, shown: Shown) -> Discovered:
        """What the server says of itself; the handshake is made where it wants one."""
        return (await self._open(shown)).said

    async def ask(self, wanted: Wanted, shown: Shown, on_said: OnSaid | None = None) -> Answered:
        """One exchange."""
        sending = _Sending(wanted, shown, on_said)
        try:
            async with asyncio.timeout(wanted.seconds):
                sending.opened = await self._open(shown)
                return await self._asked(sending)
        except TimeoutError as error:
            if not sending.is_begun:
                raise self._unavailable("it was not ready in time") from error
            raise TimeoutError(f"server `{self.server.name}` did not answer in time") from error
        except (*BROKEN, Unreadable) as error:
            if self._was_not_sent(sending, error):
                raise self._unavailable(_words(error)) from error
            because = f"server `{self.server.name}` did not answer: {_words(error)}"
            raise TimeoutError(because) from error

    async def close(self) -> None:
        """End the session at the server, if there is one."""
        if self._listening is not None:
            await self._listening.close()
        if self._being_opened is not None:
            self._being_opened.cancel()
            await asyncio.wait((self._being_opened,))
        if self._opened is not None and self._opened.session:
            headers = self._opened.headers(Wanted(method=""), self._shown)
            with contextlib.suppress(*BROKEN, TimeoutError):
                async with asyncio.timeout(SERVER_CLOSE_SECONDS_MAX):
                    await self._endpoint.delete(headers)
        while self._leaving:
            await asyncio.wait(self._leaving)
        await self._endpoint.drain()

    async def _asked(self, sending: _Sending) -> Answered:
        for tries in range(1, TRIES_MAX + 1):
            sending.number = next(self._numbers)
            try:
                return await self._once(sending)
            except _Refused as refused:
                sending.is_begun = sending.is_heard = False
                if tries == TRIES_MAX or not await self._put_right(refused, sending):
                    return refused.answer
        raise AssertionError("each try returns or is the last")

    async def _put_right(self, refused: _Refused, sending: _Sending) -> bool:
        if refused.challenge is not None:
            other = await self._instead(sending.shown, refused.challenge)
            sending.shown = other or sending.shown
            return other is not None
        if refused.why == "era":
            self._known.pop(self._key(), None)
        if self._opened is sending.opened:  # else somebody else has put it right already
            self._opened = None
        sending.opened = await self._open(sending.shown)
        return True

    async def _once(self, sending: _Sending) -> Answered:
        opened = sending.opened
        assert opened is not None
        body = written(sending.wanted, sending.number, opened.said.version)
        headers = sending.headers()
        if self._listening is not None and sending.on_said is not None and opened.session:
            await self._listening.begin(headers)
            with self._listening.told(lambda message: self._hear(message, sending)):
                return await self._posted(sending, opened, body, headers)
        return await self._posted(sending, opened, body, headers)

    async def _posted(
        self, sending: _Sending, opened: Opened, body: bytes, headers: dict[str, str]
    ) -> Answered:
        sending.wanted.look()
        sending.is_begun = True
        is_over = False
        try:
            async with self._endpoint.post(body, headers) as response:
                sending.is_heard = True
                answer = await self._read(response, sending)
            is_over = True
            return answer
        except (*BROKEN, _Refused):
            is_over = True
            raise
        finally:
            if not is_over and not opened.is_stateless:  # there, a closed stream is no goodbye
                self._soon_cancelled(sending)

    async def _read(self, response: Connection, sending: _Sending) -> Answered:
        if response.status == 202:
            raise Unreadable("it accepted a request as if it were a notification")
        if response.status >= 300:
            return await self._failure(response, sending)
        place = Place()
        answer = await self._answer(response, sending, place)
        return answer if answer is not None else await self._resumed(sending, place)

    async def _answer(
        self, response: Connection, sending: _Sending, place: Place
    ) -> Answered | None:
        """The answer on this stream; nothing if it ended without one and can be gone on with."""
        try:
            async for message in messages(response, place):
                if not message.is_answer:
                    await self._hear(message, sending)
                elif message.id == sending.number:
                    result = bytes(message.result) if len(message.result) else None
                    return Answered(result=result, error=bytes(message.error))
                # Else it answers what nobody asked; the stream may still bring ours.
        except BROKEN:
            if not place.last_id:
                raise
        return None

    async def _hear(self, message: Heard, sending: _Sending) -> None:
        """What the server says or asks before it answers."""
        assert message.method is not None
        reply = None
        if message.method == "ping":
            reply = _PONG
        elif sending.on_said is not None:
            said = Said(
                method=message.method,
                params=bytes(message.params) or b"{}",
                is_request=message.id is not None,
            )
            reply = await sending.on_said(said)
        if message.id is not None:
            await self._endpoint.tell(reply_to(message.id, reply or REFUSED), sending.headers())

    async def _resumed(self, sending: _Sending, place: Place) -> Answered:
        """A stream that was cut is gone on with, where its server said how (handshake era)."""
        for _ in range(SERVER_RESUMES_MAX):
            if not place.last_id:
                break
            wait = 1.0 if place.retry_milliseconds is None else place.retry_milliseconds / 1000
            await asyncio.sleep(min(wait, SERVER_RETRY_SECONDS_MAX))
            headers = sending.headers() | {"last-event-id": place.last_id}
            headers["accept"] = "text/event-stream"
            async with self._endpoint.get(headers) as response:
                if response.status != 200:
                    break
                answer = await self._answer(response, sending, place)
            if answer is not None:
                return answer
        raise Unreadable("its stream ended without an answer")

    async def _failure(self, response: Connection, sending: _Sending) -> Answered:
        """An answer with an error's status: the protocol's own error, if there is one in it."""
        status, opened = response.status, sending.opened
        assert opened is not None
        error = b""
        with contextlib.suppress(Unreadable):
            found = heard(await body_of(response, VENDOR_ERROR_BYTES_MAX))
            error = bytes(found.error) if found.id in (None, sending.number) else b""
        answer = Answered(error=error, status=status)
        challenge = refusal(response)
        if challenge is not None:
            raise _Refused("credential", answer, challenge)
        if status == 404 and opened.session:
            raise _Refused("session", answer)
        if error and rpc_error(error).code == UNSUPPORTED_VERSION:
            raise _Refused("era", answer)
        return answer

    async def _open(self, shown: Shown) -> Opened:
        if self._opened is not None:
            return self._opened
        if self._being_opened is None:
            self._being_opened = asyncio.create_task(self._meet(shown))
            self._being_opened.add_done_callback(self._met)
        # Whoever leaves does not take it away from the others.
        return await asyncio.shield(self._being_opened)

    async def _meet(self, shown: Shown) -> Opened:
        self._shown = shown
        try:
            async with asyncio.timeout(SERVER_OPEN_SECONDS_MAX):
                opened = await self._opening.open(shown, self._known.get(self._key()))
        except TimeoutError as error:
            raise self._unavailable("it did not answer in time") from error
        except (*BROKEN, Unreadable) as error:
            self._known.pop(self._key(), None)
            raise self._unavailable(_words(error)) from error
        self._known[self._key()] = opened.said.version
        self._opened = opened
        return opened

    def _met(self, task: asyncio.Task[Opened]) -> None:
        self._being_opened = None
        if not task.cancelled():
            task.exception()

    def _was_not_sent(self, sending: _Sending, error: BaseException) -> bool:
        if not sending.is_begun:
            return True
        return not sending.is_heard and isinstance(error, Unreachable | Crossed)

    def _soon_cancelled(self, sending: _Sending) -> None:
        """Tell the server that nobody waits any more."""

        async def cancel() -> None:
            line = notice("notifications/cancelled", _CANCELLED % sending.number)
            with contextlib.suppress(*BROKEN, TimeoutError):
                async with asyncio.timeout(SERVER_CLOSE_SECONDS_MAX):
                    await self._endpoint.tell(line, sending.headers())

        task = asyncio.create_task(cancel())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _key(self) -> str:
        return f"{self.server.name} {self.server.url}"

    def _unavailable(self, because: str) -> Unavailable:
        return Unavailable(
            f"cannot use server `{self.server.name}`: {because}"[:400],
            hint="see `quarterdeck servers list`",
        )


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
