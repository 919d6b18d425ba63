"""Views: filters a person saved under a name.

They are a person's own and change nothing an agent does, so they leave no entry in the ledger.
"""

from dataclasses import dataclass

from quarterdeck.domain.errors import Invalid, LimitExceeded, NotFound
from quarterdeck.domain.limits import VIEW_NAME_CHARACTERS_MAX, VIEW_QUERY_CHARACTERS_MAX, VIEWS_MAX
from quarterdeck.domain.people import Caller, authorise
from quarterdeck.store import views
from quarterdeck.store.database import Database, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A saved filter: `query` is what stands after the `?` of the list's address."""

    name: str
    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """The use cases of saved views."""

    db: Database

    async def list_own(self, caller: Caller) -> list[View]:
        """What the caller saved, by name."""
        authorise(caller, "read")
        rows = await self.db.read(lambda tx: views.list_of_person(tx, caller.id))
        return [View(name=row["name"], query=row["query"]) for row in rows]

    async def save(self, caller: Caller, name: str, query: str) -> View:
        """Save a filter under a name; a name that is taken means the new one from now on."""
        authorise(caller, "read")
        name = " ".join(name.split())
        if not 1 <= len(name) <= VIEW_NAME_CHARACTERS_MAX:
            raise Invalid(
                "a view needs a name", hint=f"use 1 to {VIEW_NAME_CHARACTERS_MAX} characters"
            )
        if len(query) > VIEW_QUERY_CHARACTERS_MAX:
            raise LimitExceeded(
                "this filter is too long to be saved",
                hint=f"a filter has at most {VIEW_QUERY_CHARACTERS_MAX} characters",
            )
        await self.db.write(lambda tx: _put(tx, caller.id, name, query))
        return View(name=name, query=query)

    async def forget(self, caller: Caller, name: str) -> None:
        """Remove a view of one's own."""
        authorise(caller, "read")
        if not await self.db.write(lambda tx: views.forget(tx, caller.id, name)):
            raise NotFound("you have no view of this name", hint="load the list of runs again")


def _put(tx: Transaction, person: str, name: str, query: str) -> None:
    views.put(tx, person, name, query)
    if views.count(tx, person) > VIEWS_MAX:
        raise LimitExceeded(f"a person has at most {VIEWS_MAX} views", hint="remove one first")
