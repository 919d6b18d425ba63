"""HTTP operations as tools: one request as it was cleared, its answer as a JSON value.

INVARIANT: what may have taken effect is not sent again, unless its contract says that a repeat
under the same key is harmless. A write that was sent and not answered is a `TimeoutError`: nobody
knows whether it took place, and a 5xx says no more than silence does.
INVARIANT: what shows the account stands in no result and no error, even where a server repeats it.
Deliberately absent: redirects, cookies, compressed answers, streams.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import aiohttp
from msgspec.structs import replace
from yarl import URL

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.actions import Cleared, Receipt
from quarterdeck.domain.attempts import RETRYABLE, backoff
from quarterdeck.domain.errors import QuarterdeckError, Unavailable
from quarterdeck.domain.limits import (
    HTTP_ERROR_BYTES_MAX,
    HTTP_RETRIES_MAX,
    TOOL_RESULT_BYTES_MAX,
    VENDOR_CONNECT_SECONDS_DEFAULT,
)
from quarterdeck.domain.servers import Server
from quarterdeck.domain.tools import HttpBackend, Tool
from quarterdeck.sources import Clock, Dice
from quarterdeck.upstream.credentials import Credentials, Shown
from quarterdeck.upstream.models.lines import Lines
from quarterdeck.upstream.tools.http_answer import HttpAnswer, receipt_of
from quarterdeck.upstream.tools.http_request import HttpRequest, build
from quarterdeck.upstream.tools.receipts import failed, not_attempted
from quarterdeck.upstream.tools.sessions import closed_as_used
from quarterdeck.upstream.tools.visits import Visit, visit

_BROKEN: Final = (aiohttp.ClientError, ConnectionError, OSError, ValueError)
_NOT_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)
_UNSAID: Final = {
    "accept": "application/json, text/plain;q=0.9, */*;q=0.5",
    "accept-encoding": "identity",
    "user-agent": "quarterdeck",
}
LAPSED: Final = "the clearance lapsed or something was frozen before the call began"
#: Without an answer: nothing was sent, it was closed as we sent, or nobody knows.
Loss: TypeAlias = Literal["unreachable", "closed", "unanswered"]


class Lost(NamedTuple):
    """An attempt that brought no answer."""

    loss: Loss
    because: str


@dataclass(slots=True, kw_only=True)
class HttpTools:
    """Carries out operations of HTTP APIs."""

    session: aiohttp.ClientSession
    bindings: Bindings
    credentials: Credentials
    lines: Lines
    clock: Clock
    dice: Dice
    is_current: Callable[[Cleared], bool]
    may_go_on: Callable[[Cleared], bool]

    async def call(self, cleared: Cleared) -> Receipt:
        """Carry out one operation. `TimeoutError` means that it may or may not have happened."""
        tool = cleared.contract
        assert isinstance(tool, Tool)
        backend = tool.backend
        assert isinstance(backend, HttpBackend)
        binding = await self.bindings.of(cleared.action.revision)
        server = binding.fleet.servers[backend.server]
        detail = {"method": backend.method, "destination": f"{server.url}{backend.path}"}
        try:
            # The action's own id: the same each time this action is carried out, and of no other.
            request = build(
                backend, server.url or "", cleared.action.arguments, tool.key, cleared.action.id
            )
            async with visit(cleared, server, self.lines) as made:
                shown = await self.credentials.at(cleared, server, tool)
                call = _Call(self, cleared, tool, server, request, shown)
                return await call.carried_out(made, detail)
        except QuarterdeckError as error:
            return not_attempted(error, detail)

    async def close(self) -> None:
        """Nothing is kept: the session is the process's."""


class _Call:
    """One call on its way."""

    def __init__(
        self,
        tools: HttpTools,
        cleared: Cleared,
        tool: Tool,
        server: Server,
        request: HttpRequest,
        shown: Shown,
    ) -> None:
        self.tools = tools
        self.cleared = cleared
        self.tool = tool
        self.server = server
        self.request = request
        self.shown = shown
        self.is_sent = False
        self.may_repeat = tool.idempotent or tool.effect == "read"

    async def carried_out(self, made: Visit, detail: dict[str, Any]) -> Receipt:
        """Send it, again where that is harmless, and say what came of it."""
        try:
            async with asyncio.timeout(self.tool.timeout_seconds):
                found = await self._attempts()
        except TimeoutError:
            found = Lost("unanswered", f"no answer within {self.tool.timeout_seconds} s")
        if isinstance(found, HttpAnswer):
            made.report = "failed" if found.status >= 500 else "answered"
            detail = detail | {"status": found.status}
            return self._answered(found, detail)
        made.report = "failed"
        return self._lost(found, detail)

    def _answered(self, answer: HttpAnswer, detail: dict[str, Any]) -> Receipt:
        if self._is_doubtful(answer):
            raise TimeoutError(f"server `{self.server.name}` answered {answer.status}")
        return receipt_of(self.tool, answer, detail)

    def _is_doubtful(self, answer: HttpAnswer) -> bool:
        """Whether a write may have taken place although its answer does not say so.

        A server may fail after it has written, and a redirect is often the answer to a form.
        """
        if self.tool.effect == "read":
            return False
        return answer.status >= 500 or answer.status in (301, 302, 303)

    def _lost(self, lost: Lost, detail: dict[str, Any]) -> Receipt:
        because = f"server `{self.server.name}`: {lost.because}"
        if not self.is_sent:
            hint = "see `quarterdeck doctor`, and whether the server runs"
            return not_attempted(Unavailable(because, hint=hint), detail)
        if self.tool.effect == "read":  # whether a read took place is no question
            return failed(self.tool, because, detail=detail)
        raise TimeoutError(because)

    async def _attempts(self) -> HttpAnswer | Lost:
        tries = 0
        while True:
            tries += 1
            found = await self._attempt()
            if isinstance(found, HttpAnswer):
                if found.status == 401 and await self._dressed_anew():
                    continue  # it was refused before anything was done
                again = self.may_repeat and found.status in RETRYABLE
            else:
                again = self.may_repeat and found.loss in ("unreachable", "closed")
            if not again or tries > HTTP_RETRIES_MAX or not self.tools.may_go_on(self.cleared):
                return found
            roll = int.from_bytes(self.tools.dice.bytes(4)) / 2**32
            await asyncio.sleep(backoff(tries, roll))

    async def _dressed_anew(self) -> bool:
        """Whether there is another credential to show than the one refused."""
        other = await self.tools.credentials.instead(self.shown)
        if other is None or not self.tools.may_go_on(self.cleared):
            return False
        self.shown = other
        return True

    async def _attempt(self) -> HttpAnswer | Lost:
        tools, request = self.tools, self.request
        # The last look before the first byte leaves. What was sent once has begun in time.
        if not (tools.may_go_on if self.is_sent else tools.is_current)(self.cleared):
            if self.is_sent:  # so nobody may say that it was not attempted
                raise TimeoutError(LAPSED)
            raise Unavailable(LAPSED, hint="propose it again")
        began, was_sent, self.is_sent = tools.clock.monotonic(), self.is_sent, True
        response: aiohttp.ClientResponse | None = None
        try:
            response = await tools.session.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body,
                headers={**_UNSAID, **request.headers, **self.shown.headers},
                allow_redirects=False,
                timeout=_connecting(self.tool.timeout_seconds),
            )
            answer = await _read(response)
        except _BROKEN as error:
            lost = self._loss(error, response, began)
            self.is_sent = was_sent or lost.loss == "unanswered"
            return lost
        finally:
            if response is not None:
                response.release() if response.content.at_eof() else response.close()
        return replace(answer, body=self.shown.scrubbed(answer.body))

    def _loss(
        self, error: BaseException, response: aiohttp.ClientResponse | None, began: float
    ) -> Lost:
        """What an error says about how far the attempt had come."""
        tools = self.tools
        if isinstance(error, _NOT_SENT):
            return Lost("unreachable", f"it cannot be reached ({type(error).__name__})")
        if response is None and isinstance(error, ValueError | aiohttp.InvalidURL):
            return Lost("unreachable", "the request cannot be written")
        now = tools.clock.monotonic()
        if response is None and closed_as_used(tools.session, error, began=began, now=now):
            return Lost("closed", "it closed the connection as it was used")
        return Lost("unanswered", f"it did not answer ({type(error).__name__})")


@lru_cache(maxsize=64)
def _connecting(seconds: int) -> aiohttp.ClientTimeout:
    """The bound on connecting, within that on the whole call: until it ends nothing was sent."""
    return aiohttp.ClientTimeout(
        total=None, connect=min(VENDOR_CONNECT_SECONDS_DEFAULT, 0.9 * seconds)
    )


async def _read(response: aiohttp.ClientResponse) -> HttpAnswer:
    """The answer, as far as it is kept: one that is too long is not read to its end."""
    most = TOOL_RESULT_BYTES_MAX if response.status < 300 else HTTP_ERROR_BYTES_MAX
    body = bytearray()
    is_whole = True
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            is_whole = False
            break
    return HttpAnswer(
        status=response.status,
        content_type=response.headers.get("content-type", ""),
        encoding=response.headers.get("content-encoding", ""),
        body=bytes(body[:most]),
        is_whole=is_whole,
    )
