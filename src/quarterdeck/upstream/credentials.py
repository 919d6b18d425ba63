"""Vendor keys: looked up by name at the moment of the call, seen by nothing but `upstream/`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from quarterdeck.domain.actions import Cleared
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.fleets import Vendor
from quarterdeck.keys import SealingKey
from quarterdeck.sources import Clock
from quarterdeck.store import secrets
from quarterdeck.store.database import Database

KEPT_SECONDS: Final = 30  # a rotated secret is used everywhere after this


@dataclass(slots=True, kw_only=True)
class Credentials:
    """Values of secrets: the environment's first, then the database's."""

    db: Database
    master: SealingKey
    clock: Clock
    environment: Mapping[str, str] = field(repr=False)
    _kept: dict[str, tuple[float, str]] = field(default_factory=dict, repr=False)

    async def of(self, cleared: Cleared, vendor: Vendor) -> str | None:
        """The key of a vendor this action was cleared for; `None` if the vendor needs none."""
        assert vendor is cleared.contract or (
            cleared.fallback is not None and vendor is cleared.fallback.contract
        ), "keys are for the vendors an action was cleared for"
        name = vendor.secret
        if name is None:
            return None
        if name.lower() in self.environment:
            return self.environment[name.lower()]
        now = self.clock.monotonic()
        kept = self._kept.get(name)
        if kept is not None and now - kept[0] < KEPT_SECONDS:
            return kept[1]
        value = await self.db.read(lambda tx: secrets.find(tx, self.master, name))
        if value is None:
            raise Unavailable(
                f"the secret `{name}` of vendor `{vendor.name}` is not set",
                hint=f"run: quarterdeck secrets set {name}",
            )
        self._kept[name] = (now, value)
        return value
