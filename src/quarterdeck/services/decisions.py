"""What approvals and suggestions have in common: who may decide, and the reason they give."""

from collections.abc import Callable

from quarterdeck.domain.errors import NotFound
from quarterdeck.domain.ids import TeamName
from quarterdeck.domain.limits import ANSWER_CHARACTERS_MAX
from quarterdeck.domain.people import Caller, authorise_team
from quarterdeck.guards.redact import redact
from quarterdeck.store.database import Database, Reading, Row
from quarterdeck.store.keys import Keyring


async def get_for_decision(
    db: Database, caller: Caller, find: Callable[[Reading], Row | None], missing: NotFound
) -> Row:
    """The row, for whoever may decide about it; another team's is `missing`."""
    row = await db.read(find)
    authorise_team(caller, "approve", "" if row is None else row["team"], missing)
    if row is None:
        raise missing
    return row


async def kept_reason(keyring: Keyring, team: TeamName, because: str) -> str:
    """What a person gave as the reason, as it may be kept: redacted, and no longer than we keep."""
    pseudonyms = await keyring.pseudonyms(team)
    said = redact(because[:ANSWER_CHARACTERS_MAX].encode("utf-8", "replace"), pseudonyms)
    return said.body.decode("utf-8", "replace")
