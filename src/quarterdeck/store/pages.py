"""Pages of a list whose ids are in the order of time. Only fixed names become SQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from quarterdeck.store.database import Reading, Row


def list_newest(
    tx: Reading,
    select: str,
    key: str,
    *,
    fits: Mapping[str, str],
    before: str,
    rows: int,
    states: Sequence[str] = (),
    but: Sequence[Mapping[str, str]] = (),
) -> list[Row]:
    """What fits, newest first, older than `before`; an empty value or no states fit anything.

    `but`: without those whose columns have all the values of one of these.
    """
    params: dict[str, Any] = {column: value for column, value in fits.items() if value}
    found = [f"{column} = :{column}" for column in params]
    params["rows"] = rows
    if before:
        params["before"] = before
        found.append(f"{key} < :before")
    if states:
        params |= {f"s{number}": state for number, state in enumerate(states)}
        found.append(f"state in ({', '.join(f':s{number}' for number in range(len(states)))})")
    for number, values in enumerate(but):
        params |= {f"{column}_{number}": value for column, value in values.items()}
        same = " and ".join(f"{column} = :{column}_{number}" for column in values)
        found.append(f"not ({same})")
    where = f" where {' and '.join(found)}" if found else ""
    return list(tx.rows(f"{select}{where} order by {key} desc limit :rows", params))
