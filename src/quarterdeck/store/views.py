"""Rows of saved views: a person's names for filters of the list of runs."""

from quarterdeck.store.database import Reading, Row, Transaction


def put(tx: Transaction, person: str, name: str, query: str) -> None:
    """Save a view, or give the name to another one."""
    tx.execute(
        "insert into views (person, name, query, saved_at) values (:person, :name, :query, :now)"
        " on conflict (person, name) do update set"
        " query = excluded.query, saved_at = excluded.saved_at",
        {"person": person, "name": name, "query": query, "now": tx.now},
    )


def forget(tx: Transaction, person: str, name: str) -> bool:
    """Remove a view; `False` if there was none."""
    return (
        tx.execute(
            "delete from views where person = :person and name = :name",
            {"person": person, "name": name},
        )
        == 1
    )


def list_of_person(tx: Reading, person: str) -> list[Row]:
    """A person's views, by name."""
    return list(
        tx.rows(
            "select name, query from views where person = :person order by name",
            {"person": person},
        )
    )


def count(tx: Reading, person: str) -> int:
    """How many views a person has."""
    row = tx.row("select count(*) as views from views where person = :person", {"person": person})
    assert row is not None, "counting always answers"
    return int(row["views"])
