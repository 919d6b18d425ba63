"""The stage of an admission that carries out a suggestion: for a person, once, checked anew.

Only the level of autonomy is lifted, because a person has decided and not the agent.
INVARIANT: a suggestion is used up in the transaction of the admission that carries it out, and
only by the run that was started for it.
"""

from dataclasses import replace

from quarterdeck.checkpoint.bindings import Binding
from quarterdeck.domain.actions import Action
from quarterdeck.domain.fleets import Autonomy
from quarterdeck.domain.ledger import Entry
from quarterdeck.domain.verdicts import Verdict, allow, deny
from quarterdeck.store import ledger, runs, suggestions
from quarterdeck.store.database import Row, Transaction

#: The kind of run that a person starts to carry a suggestion out; nobody else is given its
#: credential.
KIND = "suggestion"
#: The lowest level at which an agent makes its writes.
_LIFTED: Autonomy = "L2"


def lifted(binding: Binding) -> Binding:
    """The same agent, ruled as if it made its writes by itself."""
    return replace(binding, agent=replace(binding.agent, autonomy=_LIFTED))


def fitting(tx: Transaction, action: Action, suggestion: str, *, incarnation: str) -> Verdict:
    """Whether this action is that suggestion, and nobody has decided about it."""
    row = suggestions.get_locked(tx, suggestion)
    run = runs.find(tx, action.run)
    if row is None or run is None or run["kind"] != KIND or not _is_same(row, action):
        return deny("suggestion:other", "it is not what was suggested")
    if row["incarnation"] != incarnation:
        return deny("suggestion:void", "it was suggested before a restore")
    if row["state"] != "open":
        did = "dismissed it" if row["state"] == "dismissed" else "carried it out"
        return deny("suggestion:decided", f"`{row['decided_by']}` has {did} already")
    return allow("suggestion", f"`{run['started_by']}` carries out the suggestion {suggestion}")


def _is_same(row: Row, action: Action) -> bool:
    asked = (action.agent, action.revision, action.target, action.digest)
    return asked == (row["agent"], row["revision"], row["target"], row["call"])


def carry_out(tx: Transaction, action: Action, suggestion: str, nonce: bytes) -> None:
    """Use the suggestion up for an action that was cleared."""
    run = runs.find(tx, action.run)
    assert run is not None, "an admission has a run"
    by = run["started_by"]
    used = suggestions.carry_out(tx, suggestion, by=by, run=action.run, action=action.id)
    assert used, "it was open and locked a moment ago, in the same transaction"
    body = {"suggestion": suggestion, "action": action.id, "run": action.run, "by": by}
    ledger.append(tx, Entry(kind="suggestion_carried_out", subject=suggestion, body=body), nonce)
