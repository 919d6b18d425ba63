"""People who come with MCP clients of their own: each person and client has a run.

The platform opens it when the person first comes, under the agent that `sign_in` names and at its
revision in force; it is used until its deadline, and everything done in it has the person as its
starter. Its credential never leaves this process: it is made again, in any process, from the
run's id and a key of this database.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.checkpoint.opening import PREFIX, OpenedRun, Opening, Starter
from quarterdeck.domain.fleets import SignIn
from quarterdeck.domain.ids import RunId
from quarterdeck.gateways.mcp.tokens import Bearer
from quarterdeck.sources import Clock, Ids
from quarterdeck.store import runs
from quarterdeck.store.database import Database, Transaction
from quarterdeck.store.keys import Keyring

KIND: Final = "person"
#: So much life a credential must have left; the person has just shown who they are, so it is
#: renewed however long it was not used, up to the run's deadline.
_LEFT_SECONDS_MIN: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleRuns:
    """The runs of people's clients."""

    db: Database
    bindings: Bindings
    keyring: Keyring
    opening: Opening
    ids: Ids
    clock: Clock

    async def credential(self, bearer: Bearer, sign_in: SignIn) -> str:
        """The credential of the run in which a person acts through a client."""
        binding = await self.bindings.agent_in_force(sign_in.agent)
        key = await self.keyring.people_key()
        run = RunId(self.ids.new("run"))
        found = await self.db.read(
            lambda tx: runs.find_open(tx, _place(bearer, binding.agent.revision))
        )
        if found is not None and found.is_good(self.clock.micros(), seconds=_LEFT_SECONDS_MIN):
            return _credential(key, found.run)
        given = {"person": bearer.person, "client": bearer.client}
        place = _place(bearer, binding.agent.revision)
        starter = Starter(id=place.started_by, kind=KIND, correlation=place.correlation)
        opened = await self.opening.run(binding, given, starter, run, _credential(key, run))

        def write(tx: Transaction) -> RunId:
            return _found_or_opened(tx, bearer, opened)

        return _credential(key, await self.db.write(write))


def _found_or_opened(tx: Transaction, bearer: Bearer, opened: OpenedRun) -> RunId:
    """The run there is, with its credential renewed, or the new one: somebody may be faster."""
    found = runs.find_open(tx, _place(bearer, opened.row.revision))
    if found is not None and found.may_last(tx.now):
        runs.renew_credential(tx, found.run, found.deadline)
        return found.run
    opened.write(tx)
    return opened.row.id


def _place(bearer: Bearer, revision: str) -> runs.OpenPlace:
    return runs.OpenPlace(
        kind=KIND,
        started_by=f"person:{bearer.person}",
        # Of any length and with any letters in it: what the run is given names it in words.
        correlation="client:" + hashlib.sha256(bearer.client.encode()).hexdigest()[:24],
        revision=revision,
    )


def _credential(key: bytes, run: RunId) -> str:
    """256 bits that only a holder of the key can make."""
    made = hmac.digest(key, b"person's run\0" + run.encode(), "sha256")
    return PREFIX + base64.urlsafe_b64encode(made).rstrip(b"=").decode()
