"""Whose credential a request shows, and what is said to one that shows none.

Agents show their run's credential. Where the fleet names an issuer, people's clients show its
tokens instead: the bearer is looked up among the fleet's people, and acts in a run of their own.
INVARIANT: a person's token goes no further than this file: not into a run, a record, or a log,
and never to a server.
"""

from dataclasses import dataclass
from typing import Final

import aiohttp
import structlog

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.opening import PREFIX, Opening
from quarterdeck.domain.fleets import SignIn
from quarterdeck.gateways.llm import headers
from quarterdeck.gateways.llm.body import Scope
from quarterdeck.gateways.mcp.issuers import Issuers
from quarterdeck.gateways.mcp.oauth import challenge, insufficient, invalid
from quarterdeck.gateways.mcp.people import PeopleRuns
from quarterdeck.gateways.mcp.tokens import (
    Bearer,
    KeyUnknown,
    NotGood,
    ScopeMissing,
    opened,
    verified,
)
from quarterdeck.sources import Clock

REALM: Final = 'Bearer realm="quarterdeck"'
_log = structlog.get_logger("sign_in")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Lets agents in by their runs, and people by the tokens of their issuer."""

    bindings: Bindings
    issuers: Issuers
    people: PeopleRuns
    clock: Clock

    async def credential(self, scope: Scope) -> str:
        """The credential of the run that the caller acts in; empty if none is shown."""
        shown = headers.credential_of(scope)
        if not shown or shown.startswith(PREFIX) or _bearer_of(scope) != shown:
            return shown
        fleet = await self.bindings.in_force()
        if fleet is None or fleet.sign_in is None:
            return shown  # nobody vouches for people: it is some unknown credential
        bearer = await self._bearer(shown, fleet.sign_in)
        if all(person.id != bearer.person for person in fleet.people):
            _log.info("person_unknown", issuer=fleet.sign_in.issuer)
            raise insufficient(fleet.sign_in)
        return await self.people.credential(bearer, fleet.sign_in)

    async def challenge(self, scope: Scope) -> str:
        """The `WWW-Authenticate` of a 401: where a client finds out whom to ask for a token."""
        fleet = await self.bindings.in_force()
        return REALM if fleet is None or fleet.sign_in is None else challenge(fleet.sign_in)

    async def _bearer(self, token: str, sign_in: SignIn) -> Bearer:
        try:
            asked = opened(token)
            keys = await self.issuers.keys(sign_in.issuer)
            now = self.clock.micros() / 1_000_000
            try:
                return verified(asked, keys, sign_in, now=now)
            except KeyUnknown:  # perhaps its keys were rotated
                newer = await self.issuers.keys(sign_in.issuer, after=keys)
                return verified(asked, newer, sign_in, now=now)
        except ScopeMissing:
            raise insufficient(sign_in) from None
        except (NotGood, KeyUnknown) as error:
            _log.info("token_refused", issuer=sign_in.issuer, because=str(error) or "unknown key")
            raise invalid(sign_in) from None


def door(
    checkpoint: Checkpoint, named: aiohttp.ClientSession, public: aiohttp.ClientSession
) -> Door:
    """The door of one process; `public` connects to public addresses only."""
    clock, dice = checkpoint.clock, checkpoint.dice
    return Door(
        bindings=checkpoint.bindings,
        issuers=Issuers(named=named, public=public, clock=clock),
        people=PeopleRuns(
            db=checkpoint.db,
            bindings=checkpoint.bindings,
            keyring=checkpoint.keyring,
            opening=Opening(keyring=checkpoint.keyring, clock=clock, dice=dice),
            ids=checkpoint.ids,
            clock=clock,
        ),
        clock=clock,
    )


def _bearer_of(scope: Scope) -> str:
    """What the `Authorization` header shows: people show their tokens nowhere else."""
    for name, value in scope["headers"]:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            shown: str = value[7:].strip().decode("latin-1")
            return shown
    return ""
