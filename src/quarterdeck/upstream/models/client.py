"""The outgoing half of a model call: its attempts, one after another, until one is answered.

The address comes from the contract the action was cleared under; a client can never choose it.
INVARIANT: nothing that may have cost something is sent again to the same vendor entry, and nothing
is sent again once a byte of an answer was passed on (`domain/attempts.py` decides).
"""

import asyncio
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from msgspec.structs import replace

from quarterdeck.domain.actions import Address, Cleared, Receipt
from quarterdeck.domain.attempts import (
    Again,
    Allowance,
    Attempt,
    AttemptEnd,
    Over,
    Setback,
    Step,
    Stop,
    next_step,
    setback_of,
)
from quarterdeck.domain.circuits import Blocked, Report
from quarterdeck.domain.dialects import path_of
from quarterdeck.domain.dialects.rename import renamed
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.fleets import Vendor
from quarterdeck.domain.ids import AgentName
from quarterdeck.domain.limits import (
    EFFECT_SECONDS_MAX,
    ERROR_CHARACTERS_MAX,
    VENDOR_ERROR_BYTES_MAX,
)
from quarterdeck.sources import Clock, Dice
from quarterdeck.upstream.credentials import Credentials
from quarterdeck.upstream.models.auth import Outgoing, show_key
from quarterdeck.upstream.models.connections import (
    UNSAID,
    Answer,
    Broken,
    Failed,
    Request,
    Wireline,
    milliseconds,
    url_of,
)
from quarterdeck.upstream.models.lines import Line, Lines

__all__ = ["Answer", "Broken", "ModelClient", "Unanswered"]

PLACE_SECONDS: Final = 1.0  # calls end all the time: so soon it makes sense to ask again
LAPSED: Final = "the clearance lapsed or something was frozen before the call began"
_NOTHING_SENT: Final = frozenset(("unreachable", "not_tried"))
Headers: TypeAlias = Iterable[tuple[str, str]]


class Unanswered(Exception):
    """No attempt was answered; `receipt` says what was tried, and what it may have cost."""

    def __init__(self, message: str, receipt: Receipt, retry_after: float | None) -> None:
        super().__init__(message)
        self.receipt = receipt
        #: Nothing was sent, and asking again makes sense after so many seconds.
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelClient:
    """Calls model vendors."""

    wireline: Wireline
    credentials: Credentials
    lines: Lines
    clock: Clock
    dice: Dice
    is_current: Callable[[Cleared], bool]
    may_go_on: Callable[[Cleared], bool]

    def open(self, cleared: Cleared, headers: Headers) -> "Call":
        """The request an action was cleared for, ready to be sent."""
        return Call(self, cleared, headers)


class Call:
    """One call on its way: where it goes now, and what was tried."""

    def __init__(self, client: ModelClient, cleared: Cleared, headers: Headers) -> None:
        assert isinstance(cleared.contract, Vendor)
        assert cleared.action.address is not None, "a model call says where it goes"
        self.client = client
        self.cleared = cleared
        self.headers = _joined(headers)
        self.vendor = cleared.contract
        self.address: Address = cleared.action.address
        self.body = cleared.action.arguments
        self.second = cleared.fallback
        self.began = client.clock.monotonic()
        self.tried: list[Attempt] = []
        self.tries = 0  # at the present entry
        self.waited = 0.0
        self.sent = False
        self.under_way = False  # sent, and neither answered nor failed

    async def answered(self) -> Answer:
        """Send it: the first answer worth passing on, from its first byte on.

        Raises Unanswered if no attempt brings one, Unavailable if the vendor's key is missing.
        """
        while True:
            self.tries += 1
            step: Step | None
            try:
                answer = await self._attempt()
            except Failed as failed:
                step = self._after(failed)
                if isinstance(step, Stop):
                    raise self._unanswered(failed) from failed
            else:
                step = await self._instead_of(answer)
                if step is None:
                    if self.tried:
                        answer.earlier = tuple(self.tried)
                        answer.began_ms = milliseconds(self.asked - self.began)
                    return answer
            await self._take(step)

    async def _take(self, step: Again | Over) -> None:
        """Get ready for a further attempt."""
        if isinstance(step, Again):
            await asyncio.sleep(step.seconds)
            self.waited += step.seconds
        else:
            assert self.second is not None
            self.vendor, self.tries = self.second.contract, 0
            self.body = renamed(self.body, self.address.model, self.second.model)
            self.address = replace(self.address, model=self.second.model)
            self.second = None

    async def _instead_of(self, answer: Answer) -> Again | Over | None:
        """What to do instead of passing an answer on; None for passing it on."""
        if answer.status < 400:
            return None
        said = {name.lower(): value for name, value in answer.headers}
        setback = setback_of(answer.status, said, self.client.clock.now())
        step: Step = Stop() if setback is None else self._next(setback)
        if isinstance(step, Stop):
            return None
        try:
            body = await answer.read_error()
        except BaseException:
            answer.close()
            self._note("error", "", status=answer.status)
            raise
        if body is None or _tells_usage(body, said.get("content-encoding", "")):
            return None  # what was charged for is the answer, whatever its status
        answer.release()
        self._note("error", body.decode("utf-8", "replace"), status=answer.status)
        return step

    def _after(self, failed: Failed) -> Step:
        self._note(failed.end, str(failed))
        return self._next(Setback(end=failed.end, retry_after=failed.retry_after))

    def _next(self, setback: Setback) -> Step:
        allowance = Allowance(
            retries=self.vendor.retries,
            has_fallback=self.second is not None,
            waited=self.waited,
            seconds_left=self._seconds_left(),
        )
        roll = int.from_bytes(self.client.dice.bytes(4)) / 2**32
        return next_step(setback, allowance, tries=self.tries, roll=roll)

    async def _attempt(self) -> Answer:
        """One attempt at one entry, if its circuit and its places let it pass."""
        self.asked = self.client.clock.monotonic()
        vendor, agent = self.vendor, self.cleared.action.agent
        line = self.client.lines.of(vendor)
        passage = line.enter()
        if isinstance(passage, Blocked):
            because = f"vendor `{vendor.name}` has been failing and is not called for now"
            raise Failed("not_tried", because, passage.retry_after)
        report: Report = "unknown"
        taken = False
        try:
            places = line.places
            taken = places.take(agent, vendor.calls_max) or await places.wait(
                agent, vendor.calls_max
            )
            if not taken:
                because = f"too many calls to vendor `{vendor.name}` are under way"
                raise Failed("not_tried", because, PLACE_SECONDS)
            answer = await self._send()
            report = "failed" if answer.status >= 500 else "answered"
            answer.on_end(partial(_ended, line, agent, vendor.calls_max))
            taken = False  # the place is the answer's now
        except Failed as failed:
            report = "unknown" if failed.end in ("not_tried", "closed") else "failed"
            raise
        finally:
            line.told(report, probe=passage.probe)
            if taken:
                line.places.give_back(agent, vendor.calls_max)
        return answer

    async def _send(self) -> Answer:
        client, vendor = self.client, self.vendor
        try:
            key = await client.credentials.of(self.cleared, vendor)
        except Unavailable as error:
            if self.second is None and not self.tried:
                raise
            raise Failed("not_tried", error.message) from error
        url = url_of(vendor.base_url, path_of(vendor.dialect, self.address))
        headers = {**UNSAID, **self.headers}
        if key is not None:
            show_key(vendor, key, Outgoing(url, headers, self.body), client.clock.now)
        # The last look before the first byte leaves. What was sent once has begun in time.
        if not (client.may_go_on if self.sent else client.is_current)(self.cleared):
            raise self._unanswered(Failed("not_tried", LAPSED))
        self.sent = True
        request = Request(
            vendor=vendor,
            model=self.address.model,
            url=url,
            headers=headers,
            body=self.body,
            seconds_left=self._seconds_left() if self.tried else EFFECT_SECONDS_MAX,
        )
        self.under_way = True
        try:
            answer = await client.wireline.ask(self.cleared, request)
        except Failed:
            self.under_way = False
            raise
        self.under_way = False
        return answer

    def _seconds_left(self) -> int:
        return max(1, EFFECT_SECONDS_MAX - int(self.client.clock.monotonic() - self.began))

    def _note(self, end: AttemptEnd, error: str, status: int | None = None) -> None:
        self.tried.append(
            Attempt(
                vendor=self.vendor.name,
                model=self.address.model,
                end=end,
                status=status,
                began_ms=milliseconds(self.asked - self.began),
                took_ms=milliseconds(self.client.clock.monotonic() - self.asked),
                error=error[:ERROR_CHARACTERS_MAX],
            )
        )

    def _unanswered(self, failed: Failed) -> Unanswered:
        receipt = self.receipt(str(failed))
        nothing_sent = receipt.status == "not_attempted"
        return Unanswered(str(failed), receipt, failed.retry_after if nothing_sent else None)

    def receipt(self, because: str) -> Receipt:
        """What is to be settled where no answer came: nothing at all, if nothing was sent."""
        if self.under_way:
            self._note("unanswered", because)
        nothing_sent = all(attempt.end in _NOTHING_SENT for attempt in self.tried)
        return Receipt(
            status="not_attempted" if nothing_sent else "failed",
            result=b"",
            usage_source="none" if nothing_sent else "estimated",
            detail={"error": because[:ERROR_CHARACTERS_MAX]},
            attempts=tuple(self.tried),
        )


def _joined(headers: Headers) -> dict[str, str]:
    """Headers by name; what is said in two lines is said in one (RFC 9110 section 5.3)."""
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _ended(line: Line, agent: AgentName, places: int, *, broken: bool) -> None:
    """An answer has ended: its place is free, and a break counts against its vendor."""
    if broken:
        line.told("failed", probe=False)
    line.places.give_back(agent, places)


def _tells_usage(body: bytes, encoding: str) -> bool:
    """Whether an error says that something was used: then it is not asked for again."""
    if encoding.strip().lower() in ("gzip", "deflate"):
        bits = 16 + zlib.MAX_WBITS if encoding.strip().lower() == "gzip" else zlib.MAX_WBITS
        try:
            body = zlib.decompressobj(bits).decompress(body, VENDOR_ERROR_BYTES_MAX)
        except zlib.error:
            return False
    return b'"usage"' in body
