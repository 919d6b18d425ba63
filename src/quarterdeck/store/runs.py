"""Rows of runs."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from quarterdeck.domain import labels as labelling
from quarterdeck.domain.ids import AgentName, RevisionHash, RunId, TeamName
from quarterdeck.domain.labels import Labels
from quarterdeck.domain.limits import RUN_CREDENTIAL_SECONDS
from quarterdeck.domain.runs import RunFilters, RunIdentity, RunOutcome
from quarterdeck.sources import ID_CHARACTERS, earliest_id, latest_id
from quarterdeck.store.actions import BEGUN_IN_RUN
from quarterdeck.store.database import NEVER_QUEUED, Need, Reading, Row, Transaction

_INSERT: Final = """
insert into runs (id, agent, team, revision, state, kind, started_by, correlation, labels,
  credential_hash, credential_until, deadline, incarnation, started_at, input, sealing_key)
values (:id, :agent, :team, :revision, 'running', :kind, :started_by, :correlation, :labels,
  :credential_hash, :credential_until, :deadline, :incarnation, :started_at, :input, :sealing_key)
"""
_END: Final = """
update runs set state = :state, because = :because, result = :result, ended_at = :now,
  credential_until = 0
where id = :id and state = 'running'
"""
_STANDING: Final = """
select r.state, r.labels, r.credential_until, r.deadline, r.incarnation,
  s.epoch, s.incarnation as incarnation_now
from runs r, standing s where r.id = :run and s.id = 1
"""
_PAGE: Final = (
    "r.id, r.agent, r.team, r.revision, r.state, r.kind, r.started_by, r.started_at, r.ended_at,"
    " r.because, r.correlation"
)
_WORD: Final = "exists (select 1 from run_words where word = :w{} and run = r.id)"
# Of most runs there are few actions, and those in doubt are few altogether.
_HAVING: Final = {
    **{
        state: (
            f"exists (select 1 from actions a where a.run = r.id and a.state = '{state}'"  # noqa: S608  a fixed word
            " and a.state <> 'done' and a.state <> 'begun')"
        )
        for state in ("failed", "refused", "held", "suggested", "not_attempted")
    },
    "in_doubt": (
        "r.id in (select run from actions"
        " where state = 'in_doubt' and state <> 'done' and state <> 'begun')"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a run starts with."""

    id: RunId
    agent: AgentName
    team: TeamName
    revision: RevisionHash
    kind: str
    started_by: str
    correlation: str
    labels: Labels
    credential_hash: bytes
    deadline: int
    input: str
    sealing_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPlace:
    """Where a run is opened from, once for all that comes from there at one revision."""

    kind: str
    started_by: str
    correlation: str
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run under way, how long its credential is good, and how long it may last."""

    run: RunId
    credential_until: int
    deadline: int

    def is_good(self, now: int, *, seconds: int) -> bool:
        """Whether its credential is good for a while."""
        return self.credential_until > now + seconds * 1_000_000

    def may_last(self, now: int) -> bool:
        """Whether its deadline is to come."""
        return self.deadline > now


def insert(tx: Transaction, run: NewRun) -> None:
    """Start a run under the present incarnation."""
    incarnation = tx.row("select incarnation from standing where id = 1")
    assert incarnation is not None
    tx.execute(
        _INSERT,
        {
            "id": run.id,
            "agent": run.agent,
            "team": run.team,
            "revision": run.revision,
            "kind": run.kind,
            "started_by": run.started_by,
            "correlation": run.correlation,
            "labels": labelling.written(run.labels),
            "credential_hash": run.credential_hash,
            "credential_until": min(run.deadline, tx.now + RUN_CREDENTIAL_SECONDS * 1_000_000),
            "deadline": run.deadline,
            "incarnation": incarnation["incarnation"],
            "started_at": tx.now,
            "input": run.input,
            "sealing_key": run.sealing_key,
        },
    )


def end(tx: Transaction, run: RunId, outcome: RunOutcome) -> bool:
    """End a running run; `False` if it had ended before. Its credential dies with it."""
    ended = tx.execute(
        _END,
        {
            "id": run,
            "state": outcome.state,
            "because": outcome.because,
            "result": None if outcome.result is None else orjson.dumps(outcome.result).decode(),
            "now": tx.now,
        },
    )
    return ended == 1


def find_identity(tx: Reading, credential_hash: bytes) -> RunIdentity | None:
    """Who a credential stands for. Whether it is still good is asked again in every admission."""
    row = tx.row(
        "select id, agent, team, revision, labels, deadline from runs"
        " where credential_hash = :hash",
        {"hash": credential_hash},
    )
    if row is None:
        return None
    return RunIdentity(
        run=RunId(row["id"]),
        agent=AgentName(row["agent"]),
        team=TeamName(row["team"]),
        revision=RevisionHash(row["revision"]),
        labels=labelling.parse(row["labels"]),
        deadline=row["deadline"],
    )


def need(run: RunId) -> Need:
    """The standing of a run, for a write that asks for it."""
    return Need(_STANDING, "run", run)


def find_standing(tx: Reading, run: RunId) -> Row | None:
    """The run's row as far as an admission needs it, with the epoch and incarnation of now."""
    return tx.row(_STANDING, {"run": run}, about=NEVER_QUEUED)


def find_open(tx: Reading, place: OpenPlace) -> OpenRun | None:
    """The newest run under way that somebody opened from there, with time left."""
    row = tx.row(
        "select r.id, r.credential_until, r.deadline, s.incarnation as now, r.incarnation"
        " from runs r, standing s where s.id = 1 and r.correlation = :correlation"
        " and r.state = 'running' and r.kind = :kind and r.started_by = :started_by"
        " and r.revision = :revision and r.incarnation = s.incarnation"
        " order by r.id desc limit 1",
        {
            "correlation": place.correlation,
            "kind": place.kind,
            "started_by": place.started_by,
            "revision": place.revision,
        },
    )
    if row is None:
        return None
    return OpenRun(
        run=RunId(row["id"]), credential_until=row["credential_until"], deadline=row["deadline"]
    )


def renew_credential(tx: Transaction, run: RunId, deadline: int) -> None:
    """A used credential lives on, up to the run's deadline."""
    until = min(deadline, tx.now + RUN_CREDENTIAL_SECONDS * 1_000_000)
    tx.execute(
        "update runs set credential_until = :until where id = :run", {"until": until, "run": run}
    )


def join_labels(tx: Transaction, run: RunId, labels: Labels) -> None:
    """Add labels to a run; they never leave it (I-8)."""
    row = tx.row("select labels from runs where id = :run", {"run": run}, about=NEVER_QUEUED)
    assert row is not None
    present = labelling.parse(row["labels"])
    if not labels <= present:
        tx.execute(
            "update runs set labels = :labels where id = :run",
            {"labels": labelling.written(present | labels), "run": run},
        )


def find(tx: Reading, run: str) -> Row | None:
    """A whole run row."""
    return tx.row("select * from runs where id = :run", {"run": run})


def list_page(tx: Reading, filters: RunFilters, before: str, rows: int) -> list[Row]:
    """Runs that fit, newest first; older than the run `before`, if one is named."""
    conditions, params = _conditions(filters, before)
    first, *others = filters.words or ("",)
    source = "runs r"
    if first:
        # The rows of one word are in the order of runs: the page is read from there.
        source = "run_words w cross join runs r"
        conditions += ["w.word = :w", "r.id = w.run"]
        params["w"] = first
        if before:
            conditions.append("w.run < :before")
    for number, word in enumerate(others):
        conditions.append(_WORD.format(number))
        params[f"w{number}"] = word
    where = f" where {' and '.join(conditions)}" if conditions else ""
    order = "w.run" if first else "r.id"
    sql = f"select {_PAGE} from {source}{where} order by {order} desc limit :rows"  # noqa: S608  fixed names
    return list(tx.rows(sql, {**params, "rows": rows}))


def _conditions(filters: RunFilters, before: str) -> tuple[list[str], dict[str, Any]]:
    """Every filter as a condition on `r`, with its parameters. Only fixed names become SQL."""
    found: list[str] = []
    params: dict[str, Any] = {"before": before} if before else {}
    if before:
        found.append("r.id < :before")
    for name in ("agent", "team", "state", "kind", "correlation"):
        if wanted := getattr(filters, name):
            found.append(f"r.{name} = :{name}")
            params[name] = wanted
    for column, operator, value in (
        # Ids are in the order of time: the first of each pair is the one an index serves.
        ("id", ">=", filters.since and earliest_id(filters.since)),
        ("started_at", ">=", filters.since),
        ("id", "<=", filters.until and latest_id(filters.until)),
        ("started_at", "<", filters.until),
        ("id", ">=", filters.prefix),
        ("id", "<=", filters.prefix and filters.prefix.ljust(ID_CHARACTERS, "z")),
    ):
        if value:
            params[f"p{len(params)}"] = value
            found.append(f"r.{column} {operator} :p{len(params) - 1}")
    if filters.having:
        found.append(_HAVING[filters.having])
    return found, params


def totals(tx: Reading, run: str) -> Row:
    """How many actions a run has, what they cost, how many were refused or are in doubt."""
    row = tx.row(
        "select count(*) as actions,"
        " cast(coalesce(sum(cost_nanousd), 0) as bigint) as cost_nanousd,"
        " count(case when state = 'refused' then 1 end) as refused,"
        " count(case when state in ('begun', 'in_doubt') then 1 end) as open,"
        " count(case when state = 'in_doubt' then 1 end) as in_doubt"
        " from actions where run = :run",
        {"run": run},
    )
    assert row is not None
    return row


def forget_sealing_key(tx: Transaction, run: RunId) -> None:
    """Destroy the run's key once it has ended and nothing of it is open or in doubt (I-9).

    What was held can be proposed no more; a suggestion can still be carried out as it was.
    """
    tx.execute(
        "update runs set sealing_key = null"  # noqa: S608  fixed words
        " where id = :run and state <> 'running' and not exists"
        " (select 1 from actions where run = :run and state = 'in_doubt'"
        " and state <> 'done' and state <> 'begun')"
        f" and not exists (select 1{BEGUN_IN_RUN})"
        " and not exists (select 1 from suggestions where run = :run and state = 'open')",
        {"run": run},
    )
