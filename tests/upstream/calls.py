"""A model client of the real parts, and cleared calls for it, without a database."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.checkpoint.clearance import Terms, clear
from quarterdeck.checkpoint.estimate import attempts_bound
from quarterdeck.domain.actions import Action, Address, Alternative, Cleared, Tokens
from quarterdeck.domain.budgets import Reservation
from quarterdeck.domain.fleets import Timeouts, Vendor
from quarterdeck.domain.ids import ActionId, AgentName, RevisionHash, RunId, TeamName, VendorName
from quarterdeck.domain.labels import NONE
from quarterdeck.domain.money import Price
from quarterdeck.domain.verdicts import allow
from quarterdeck.keys import SealingKey
from quarterdeck.sources import SystemClock
from quarterdeck.store.database import Database
from quarterdeck.upstream.consents import ServerConsents
from quarterdeck.upstream.credentials import Credentials
from quarterdeck.upstream.models.client import Answer, ModelClient
from quarterdeck.upstream.models.connections import Wireline
from quarterdeck.upstream.models.lines import Lines
from quarterdeck.upstream.pool import Pool
from quarterdeck.upstream.sessions import open_session
from quarterdeck.upstream.tokens import AccessTokens
from tests.doubles import SeededDice

PRICE = Price(input=150, output=600, cache_read=0, cache_write=0, reasoning=0, version="v1")
DEAR = Price(input=300, output=1200, cache_read=0, cache_write=0, reasoning=0, version="v2")
BODY = b'{"model":"small-1", "messages":[{"role":"user","content":"model small-1"}]}'
TOKENS = Tokens(input_max=90, output_max=50)
HEADERS = (("content-type", "application/json"),)


def vendor_of(url: str, name: str = "first", **fields: Any) -> Vendor:
    """A vendor entry; what hangs is given up soon."""
    known: dict[str, Any] = {
        "dialect": "openai",
        "secret": None,
        "prices": {"small-1": PRICE},
        "allow": frozenset(),
        "timeouts": Timeouts(connect=2, first_byte=1, between_bytes=1, total=5),
    }
    return Vendor(name=VendorName(name), base_url=url, **known | fields)


def cleared_call(
    vendor: Vendor,
    fallback: Vendor | None = None,
    *,
    model: str = "small-1",
    agent: str = "clerk",
    body: bytes = BODY,
) -> Cleared:
    """A call that may be made."""
    second = None
    if fallback is not None:
        second = Alternative(contract=fallback, model=model, price=DEAR)
    action = Action(
        id=ActionId("act_1"),
        run=RunId("run_1"),
        agent=AgentName(agent),
        team=TeamName("desk"),
        revision=RevisionHash("rev_1"),
        kind="model",
        target=f"{vendor.name}/small-1",
        arguments=body,
        digest="",
        labels=NONE,
        mark="enforced",
        idempotency_key=None,
        proposed_at=0,
        address=Address(wire="openai-chat", model="small-1"),
    )
    terms = Terms(
        contract=vendor,
        price=PRICE,
        bound=attempts_bound(PRICE, second, TOKENS),
        epoch=1,
        incarnation="inc_1",
        now=0,
        tokens=TOKENS,
        fallback=second,
    )
    verdict = allow("grant:model:main", "the agent's main model")
    reservation = Reservation(holds=(), owner="prc_1")
    return clear(action, verdict, reservation=reservation, terms=terms, approval=None)


@dataclass
class Standing:
    """What the checkpoint would say of a clearance."""

    current: bool = True
    going_on: bool = True
    secrets: Mapping[str, str] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def client(standing: Standing | None = None) -> AsyncIterator[ModelClient]:
    """The client, with its own connections."""
    says = standing or Standing()
    clock, dice = SystemClock(), SeededDice(1)
    async with Pool() as pool, open_session() as session:
        yield ModelClient(
            wireline=Wireline(pool, clock.monotonic),
            credentials=Credentials(
                db=cast(Database, None),  # secrets come from the environment here
                master=SealingKey(b"m" * 32, dice),
                clock=clock,
                environment=says.secrets,
                bindings=cast(Bindings, None),  # only servers' calls ask whose they are
                tokens=AccessTokens(session=session, clock=clock),
                consents=cast(ServerConsents, None),  # nobody signs in anywhere here
            ),
            lines=Lines(clock.monotonic),
            clock=clock,
            dice=dice,
            is_current=lambda _: says.current,
            may_go_on=lambda _: says.going_on,
        )


async def whole(answer: Answer) -> bytes:
    """All of an answer; gives its connection back."""
    body = b"".join([chunk async for chunk in answer.chunks()])
    answer.release()
    return body
