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
from typing import Any, Final, Literal, NamedTuple, TypeAlias

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
from quarterdeck.upstream.connection import PATIENT, Connection, Interrupted
from quarterdeck.upstream.credentials import Credentials, Shown
from quarterdeck.upstream.models.lines import Lines
from quarterdeck.upstream.pool import Crossed, Pool, Unreachable
from quarterdeck.upstream.requests import Unwritable, head_of, origin_of
from quarterdeck.upstream.tools.http_answer import HttpAnswer, receipt_of
from quarterdeck.upstream.tools.http_request import HttpRequest, build
from quarterdeck.upstream.tools.receipts import failed, not_attempted
from quarterdeck.upstream.tools.visits import Visit

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

    pool: Pool
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
            async with Visit(cleared, server, self.lines) as made:
                shown = await self.credentials.at(cleared, server, tool)
                call = _Call(self, cleared, tool, server, request, shown)
                return await call.carried_out(made, detail)
        except QuarterdeckError as error:
            return not_attempted(error, detail)

    async def close(self) -> None:
        """Nothing is kept: the connections are the process's."""


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
        tools = self.tools
        # The last look before the first byte leaves. What was sent once has begun in time.
        if not (tools.may_go_on if self.is_sent else tools.is_current)(self.cleared):
            if self.is_sent:  # so nobody may say that it was not attempted
                raise TimeoutError(LAPSED)
            raise Unavailable(LAPSED, hint="propose it again")
        was_sent, self.is_sent = self.is_sent, True
        response: Connection | None = None
        try:
            response = await self._asked()
            answer = await _read(response)
        except (Unreachable, Interrupted) as error:
            lost = _loss(error)
            self.is_sent = was_sent or lost.loss == "unanswered"
            return lost
        finally:
            if response is not None:
                tools.pool.give_back(response)
        return replace(answer, body=self.shown.scrubbed(answer.body))

    async def _asked(self) -> Connection:
        request = self.request
        try:
            url = URL(request.url, encoded=True)
        except ValueError as error:
            raise Unwritable("no URL") from error
        headers = {**_UNSAID, **request.headers, **self.shown.headers}
        # The whole of a call has its own bound; until its part of it ends nothing was sent.
        connect = min(VENDOR_CONNECT_SECONDS_DEFAULT, 0.9 * self.tool.timeout_seconds)
        return await self.tools.pool.ask(
            origin_of(url),
            head_of(request.method, url, headers, request.body),
            request.body or b"",
            PATIENT,
            connect=connect,
        )


def _loss(error: Unreachable | Interrupted) -> Lost:
    """What an error says about how far the attempt had come; addresses are nobody's business."""
    kind = type(error.__cause__ or error).__name__
    if isinstance(error, Unwritable):
        return Lost("unreachable", "the request cannot be written")
    if isinstance(error, Unreachable):
        return Lost("unreachable", f"it cannot be reached ({kind})")
    if isinstance(error, Crossed):
        return Lost("closed", "it closed the connection as it was used")
    return Lost("unanswered", f"it did not answer: {error}")


async def _read(response: Connection) -> HttpAnswer:
    """The answer, as far as it is kept: one that is too long is not read to its end."""
    most = TOOL_RESULT_BYTES_MAX if response.status < 300 else HTTP_ERROR_BYTES_MAX
    body = bytearray()
    while len(body) <= most:
        chunk = await response.more()
        if not chunk:
            break
        body += chunk
    return HttpAnswer(
        status=response.status,
        content_type=response.header("content-type"),
        encoding=response.header("content-encoding"),
        body=bytes(body[:most]),
        is_whole=len(body) <= most,
    )
