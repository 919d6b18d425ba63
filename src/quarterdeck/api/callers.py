"""Who asks: every request names somebody by `Authorization: Bearer`, or is refused.

Three kinds of credential are good here: the local token of the data folder (its owner), an agent's
long-lived key (that agent), and a run's credential (which may end its own run and nothing else).
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from fastapi import Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from quarterdeck.api.described import HOLDER
from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.opening import PREFIX as RUN_PREFIX
from quarterdeck.checkpoint.stages import check_run
from quarterdeck.domain.errors import Forbidden, Unidentified
from quarterdeck.domain.ids import RunId
from quarterdeck.domain.people import Caller
from quarterdeck.services.keys import PREFIX as KEY_PREFIX
from quarterdeck.services.keys import Keys
from quarterdeck.store import runs

_HINT: Final = (
    "send `Authorization: Bearer TOKEN` with an agent key, a run credential, or the token in the"
    " data folder's server.json"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """Somebody known; `run` is set if a run's own credential was shown."""

    caller: Caller
    run: RunId | None = None


Identify: TypeAlias = Callable[[str], Awaitable[Identified]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """Tells from a token who sent it."""

    keys: Keys
    checkpoint: Checkpoint
    local_token: str
    local_user: str

    async def __call__(self, token: str) -> Identified:
        """Who holds this token; raises Unidentified for anybody else."""
        if self.local_token and hmac.compare_digest(token.encode(), self.local_token.encode()):
            return Identified(caller=Caller(id=f"local:{self.local_user}", role="owner"))
        if token.startswith(KEY_PREFIX):
            return Identified(caller=await self.keys.identify(token))
        if token.startswith(RUN_PREFIX):
            return await self._of_run(token)
        raise Unidentified("this token is not known", hint=_HINT)

    async def _of_run(self, credential: str) -> Identified:
        identity = await self.checkpoint.identify(credential)
        standing = await self.checkpoint.db.read(lambda tx: runs.find_standing(tx, identity.run))
        check_run(standing, self.checkpoint.clock.micros())
        caller = Caller(id=f"run:{identity.run}", role="agent", agent=identity.agent)
        return Identified(caller=caller, run=identity.run)


_BEARER: Final = Security(
    HTTPBearer(
        auto_error=False,
        scheme_name=HOLDER,
        description="The local token of the data folder, or an agent key, `qdk_…`.",
    )
)


@dataclass(frozen=True, slots=True)
class Callers:
    """The dependencies that routes ask for."""

    identify: Identify

    async def anybody(self, shown: HTTPAuthorizationCredentials | None = _BEARER) -> Identified:
        """Anybody known, runs included."""
        if shown is None or not shown.credentials:
            raise Unidentified("nobody is named in this request", hint=_HINT)
        return await self.identify(shown.credentials)

    async def caller(self, shown: HTTPAuthorizationCredentials | None = _BEARER) -> Caller:
        """A person or an agent; a run's credential is good for its own end only."""
        identified = await self.anybody(shown)
        if identified.run is not None:
            raise Forbidden(
                "a run's credential may end its own run, and nothing else here",
                hint="use an agent key or a person's token",
            )
        return identified.caller
