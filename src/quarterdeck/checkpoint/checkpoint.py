"""The one place every action passes, before and after it takes effect.

INVARIANT (I-1): an effect runs only with a Cleared.
INVARIANT (I-2): a Cleared exists only after its intent is committed.
INVARIANT (I-5): no transaction is open while anything remote is awaited.
Deliberately absent: any knowledge of a vendor, a wire or a tool's back end.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from msgspec.structs import replace

from quarterdeck.checkpoint import admission as admissions
from quarterdeck.checkpoint import attempts, stages
from quarterdeck.checkpoint import settlement as settlements
from quarterdeck.checkpoint.admission import Draft, Earlier
from quarterdeck.checkpoint.bindings import Binding, Bindings
from quarterdeck.checkpoint.clearance import is_current, may_go_on
from quarterdeck.checkpoint.recording import Prepared, Recorder
from quarterdeck.checkpoint.settlement import Settlement
from quarterdeck.checkpoint.spool import Spool
from quarterdeck.checkpoint.stages import Ruling
from quarterdeck.domain import labels as labelling
from quarterdeck.domain.actions import (
    Action,
    Admission,
    Cleared,
    Done,
    Effect,
    InDoubt,
    Outcome,
    Proposal,
    Receipt,
)
from quarterdeck.domain.budgets import windows
from quarterdeck.domain.errors import Conflict, LimitExceeded, Unavailable, Unidentified
from quarterdeck.domain.fleets import Cap, Tool
from quarterdeck.domain.ids import ActionId, AgentName, BudgetId, RevisionHash, RunId, TeamName
from quarterdeck.domain.labels import Label
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.limits import EFFECT_SECONDS_MAX, TARGET_CHARACTERS_MAX
from quarterdeck.domain.runs import RunIdentity
from quarterdeck.domain.verdicts import Reason, Verdict, strictest
from quarterdeck.keys import SealingKey, credential_hash
from quarterdeck.sources import Clock, Dice, Ids, datetime_of, day_of
from quarterdeck.store import actions, ledger, runs, sealed
from quarterdeck.store.database import Database, Row, Transaction
from quarterdeck.store.group import CommitUnknown
from quarterdeck.store.keys import Keyring
from quarterdeck.store.standing import Standing

IDENTITIES_KNOWN_MAX: Final = 10_000
RUN_KEYS_KNOWN_MAX: Final = 1_000


NOTHING_NOTICED: Final = Standing(incarnation="", epoch=0, fleet_version=None, frozen=frozenset())


@dataclass(slots=True)
class Watch:
    """The standing this process has noticed; a loop keeps it fresh, no admission rests on it."""

    noticed: Standing = NOTHING_NOTICED
    disk_low: bool = False
    renewed_at: int = 0
    steady_since: int = 0  # when this process last began to renew its lease without a gap

    @property
    def epoch(self) -> int:
        """The freeze epoch noticed."""
        return self.noticed.epoch


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """Admit, carry out, settle."""

    db: Database
    bindings: Bindings
    recorder: Recorder
    keyring: Keyring
    clock: Clock
    ids: Ids
    dice: Dice
    process: str
    spool: Spool
    watch: Watch = field(default_factory=Watch)
    # Admissions that may be committed without anybody having been told, and when they were asked.
    unanswered: dict[ActionId, int] = field(default_factory=dict)
    _identities: "OrderedDict[str, RunIdentity]" = field(default_factory=OrderedDict, repr=False)
    _run_keys: "OrderedDict[RunId, SealingKey]" = field(default_factory=OrderedDict)

    async def carry_out(self, proposal: Proposal, effect: Effect) -> Outcome:
        """Pass one action through: the only path to an effect."""
        admission = await self.admit(proposal)
        if not isinstance(admission, Cleared):
            return admission
        receipt = await execute(effect, admission)
        if isinstance(receipt, InDoubt):
            await self.doubt(receipt.action.id, self.process, because="timeout")
            return receipt
        try:
            return await self.settle(admission, receipt)
        except Exception:
            # Whatever broke, the effect took place: what is still open is in doubt, then swept.
            await self.doubt(admission.action.id, self.process, because="settlement failed")
            raise

    async def admit(self, proposal: Proposal) -> Admission:
        """Decide a proposal and commit the decision; a Cleared comes back only after the commit."""
        if self.watch.disk_low:
            raise Unavailable(
                "the disk is nearly full: what was begun is settled, nothing new is admitted",
                hint="make room where the data folder is, see `quarterdeck doctor`; then try again",
            )
        identity = await self.identify(proposal.credential)
        binding = await self.bindings.of(identity.revision)
        now = self.clock.micros()
        action_id = ActionId(self.ids.new("act"))
        action = stages.bind(proposal, identity, action=action_id, now=now)
        ruling = self._rule(proposal, binding)
        if ruling.verdict.answer != "allow":
            # What somebody sent is quoted in reasons and names: it goes into rows, so no secrets.
            ruling = await self._redacted(action.team, ruling)
        if ruling.contract is None:
            target = await self.recorder.redacted_text(action.team, action.target)
            action = replace(action, target=target[:TARGET_CHARACTERS_MAX])
        elif action.kind == "model":
            action = _retargeted(action, ruling)
        prepared = await self.recorder.prepare(action.team, action.run, proposal.content)
        draft = Draft(
            action=action,
            ruling=ruling,
            windows=_windows(binding, now),
            prepared=prepared,
            process=self.process,
            nonce=self.dice.bytes(NONCE_BYTES),
            sealed_arguments=await self._seal_arguments(action, ruling),
            noticed=self.watch.noticed,
        )
        try:
            answer = await self.db.write(
                lambda tx: admissions.admit(tx, draft), needs=lambda: admissions.needs(draft)
            )
        except (asyncio.CancelledError, Unavailable) as error:
            if not isinstance(error, Unavailable) or isinstance(error.__cause__, CommitUnknown):
                self.unanswered[action_id] = now
            raise
        if isinstance(answer, Earlier):
            return await self._as_before(answer.row)
        self.recorder.stored(prepared)
        return answer

    async def _redacted(self, team: TeamName, ruling: Ruling) -> Ruling:
        reasons = [
            Reason(r.rule, await self.recorder.redacted_text(team, r.because))
            for r in ruling.verdict.reasons
        ]
        return replace(ruling, verdict=Verdict(ruling.verdict.answer, tuple(reasons)))

    def _rule(self, proposal: Proposal, binding: Binding) -> Ruling:
        ruled = (stages.rule_model if proposal.kind == "model" else stages.rule_tool)(
            proposal, binding
        )
        if not proposal.findings:
            return ruled
        return replace(ruled, verdict=strictest(ruled.verdict, *proposal.findings))

    async def settle(self, cleared: Cleared, receipt: Receipt, *, patient: bool = False) -> Done:
        """Charge what the effect used and commit its outcome; a tool's result leaves only after.

        `patient` where nobody waits for the commit: a model's answer has left already.
        """
        action = cleared.action
        if receipt.attempts:
            receipt = await attempts.recorded(self.recorder, cleared, receipt)
        used = attempts.used(cleared, receipt)
        if "error" in receipt.detail:
            said = await self.recorder.redacted_text(action.team, str(receipt.detail["error"]))
            receipt = replace(receipt, detail=receipt.detail | {"error": said})
        nonces = self.dice.bytes(2 * NONCE_BYTES)
        prepared = await self._prepared_answer(action, receipt)
        settlement = Settlement(
            action=action,
            reservation=cleared.reservation,
            receipt=receipt,
            used=used,
            prepared=prepared,
            labels=_result_labels(cleared) | (prepared.labels if prepared else labelling.NONE),
            sealed_answer=await self._sealed_answer(action, receipt),
            nonces=(nonces[:NONCE_BYTES], nonces[NONCE_BYTES:]),
        )
        try:
            overrun = await self.commit_settlement(settlement, patient=patient)
        except (Unavailable, LimitExceeded):
            # The effect took place: what cannot be committed now is kept on disk and retried.
            await asyncio.to_thread(self.spool.put, settlement)
            return Done(action=action, receipt=receipt)
        if overrun is None:
            raise Conflict(f"action `{action.id}` was settled before")
        return Done(action=action, receipt=receipt, overrun_nanousd=overrun)

    async def commit_settlement(
        self, settlement: Settlement, *, patient: bool = False
    ) -> int | None:
        """Commit a settlement: the overrun, or `None` if the action was settled before."""
        return await self.db.write(
            lambda tx: settlements.settle(tx, settlement),
            needs=lambda: settlements.needs(settlement),
            patient=patient,
        )

    async def doubt(self, action: ActionId, process: str, *, because: str) -> None:
        """Say of an action begun by `process` that nobody knows whether it took place."""
        nonce = self.dice.bytes(NONCE_BYTES)

        def mark(tx: Transaction) -> None:
            if actions.doubt(tx, action):
                body = {"action": action, "process": process, "because": because}
                ledger.append(tx, Entry(kind="doubted", subject=action, body=body), nonce)

        await self.db.write(mark)

    def is_current(self, cleared: Cleared) -> bool:
        """Whether an effect may still begin, as far as this process has noticed."""
        return is_current(cleared, now=self.clock.micros(), epoch=self.watch.epoch)

    def may_go_on(self, cleared: Cleared) -> bool:
        """Whether an effect that has begun may make a further attempt."""
        return may_go_on(cleared, epoch=self.watch.epoch)

    async def identify(self, credential: str) -> RunIdentity:
        """Whose run this is. Whether the credential still lives is asked again in the admission."""
        known = self._identities.get(credential)
        if known is not None:
            return known
        digest = credential_hash(credential)
        found = await self.db.read(lambda tx: runs.find_identity(tx, digest))
        if found is None:
            raise Unidentified(
                stages.UNKNOWN_CREDENTIAL,
                hint="start a run with `quarterdeck runs start` and use its credential",
            )
        self._identities[credential] = found
        if len(self._identities) > IDENTITIES_KNOWN_MAX:
            self._identities.popitem(last=False)
        return found

    async def _prepared_answer(self, action: Action, receipt: Receipt) -> Prepared | None:
        if not receipt.content.rest:
            return None
        return await self.recorder.prepare_answer(action.team, action.run, receipt.content)

    async def _sealed_answer(self, action: Action, receipt: Receipt) -> bytes | None:
        """What can be asked for again exactly: a tool's result, a model's under a key."""
        if receipt.status == "not_attempted" or not (
            action.kind == "tool" or action.idempotency_key is not None
        ):
            return None
        try:
            key = await self._run_key(action.run, action.team)
        except Unavailable:
            key = None  # that it took place matters more than being asked for its answer again
        if key is None:
            return None
        body = orjson.dumps({"result": receipt.result.decode("latin-1"), "detail": receipt.detail})
        return key.seal(f"{action.id}/answer", body)

    async def _seal_arguments(self, action: Action, ruling: Ruling) -> bytes | None:
        """What may have to be carried out again exactly: an idempotent tool's arguments."""
        if not isinstance(ruling.contract, Tool) or not ruling.contract.idempotent:
            return None
        key = await self._run_key(action.run, action.team)
        # A run without a key has ended: its admission is refused in a moment.
        return None if key is None else key.seal(f"{action.id}/arguments", action.arguments)

    async def sealed_arguments(self, action: Action) -> bytes | None:
        """The arguments an action in doubt was cleared with, if they were sealed."""
        name = f"{action.id}/arguments"
        stored = await self.db.read(lambda tx: sealed.find(tx, name))
        key = await self._run_key(action.run, action.team)
        return None if stored is None or key is None else key.open(name, stored)

    async def _run_key(self, run: RunId, team: TeamName) -> SealingKey | None:
        known = self._run_keys.get(run)
        if known is None:
            team_key = await self.keyring.team_key(team)
            known = await self.db.read(lambda tx: sealed.find_run_key(tx, run, team_key))
            if known is None:
                return None
            self._run_keys[run] = known
            if len(self._run_keys) > RUN_KEYS_KNOWN_MAX:
                self._run_keys.popitem(last=False)
        return known

    async def _as_before(self, row: Row) -> Done | InDoubt:
        """The outcome of an action asked before, from its row and its sealed answer."""
        action = action_of(row)
        if row["state"] in ("begun", "in_doubt"):
            return InDoubt(action=action)
        stored = await self.db.read(lambda tx: sealed.find(tx, f"{action.id}/answer"))
        answer: dict[str, Any] = {"result": "", "detail": {}}
        key = await self._run_key(action.run, action.team)
        if stored is not None and key is not None:
            answer = orjson.loads(key.open(f"{action.id}/answer", stored))
        receipt = Receipt(
            status=row["state"] if row["state"] in ("done", "failed") else "failed",
            result=answer["result"].encode("latin-1"),
            cost_nanousd=row["cost_nanousd"],
            detail=answer["detail"],
        )
        return Done(action=action, receipt=receipt)


async def execute(effect: Effect, cleared: Cleared) -> Receipt | InDoubt:
    """Run an effect. A raise is a failure; a timeout is not: it may have happened."""
    try:
        async with asyncio.timeout(EFFECT_SECONDS_MAX):
            return await effect(cleared)
    except TimeoutError:
        return InDoubt(action=cleared.action)
    except Exception as error:  # noqa: BLE001  whatever an effect raises is an outcome
        return Receipt(
            status="failed",
            result=b"",
            cost_nanousd=cleared.bound.nanousd,
            usage_source="estimated",
            detail={"error": f"{type(error).__name__}: {error}"[:500]},
        )


def _retargeted(action: Action, ruling: Ruling) -> Action:
    """A model is named with the vendor entry it is bound to."""
    assert ruling.contract is not None
    return replace(action, target=f"{ruling.contract.name}/{action.target}")


def _windows(binding: Binding, now: int) -> Mapping[BudgetId, Cap | None]:
    """The budgets an action of this agent touches today; they are the same all day."""
    day = day_of(now)
    found = binding.windows.get(day)
    if found is None:
        fleet, agent = binding.fleet, binding.agent
        caps = {
            "fleet": fleet.caps,
            f"team:{agent.team}": fleet.teams.get(agent.team, ()),
            f"agent:{agent.name}": agent.caps,
        }
        binding.windows.clear()
        found = binding.windows[day] = windows(caps, datetime_of(now))
    return found


def _result_labels(cleared: Cleared) -> frozenset[Label]:
    contract = cleared.contract
    if not isinstance(contract, Tool):
        return labelling.NONE
    return frozenset(("internal",) if contract.trust == "trusted" else ("external",))


def action_of(row: Row) -> Action:
    """An action as its row remembers it; the arguments themselves are only in the sealed store."""
    return Action(
        id=ActionId(row["id"]),
        run=RunId(row["run"]),
        agent=AgentName(row["agent"]),
        team=TeamName(row["team"]),
        revision=RevisionHash(row["revision"]),
        kind=row["kind"],
        target=row["target"],
        arguments=b"",
        digest=row["digest"],
        labels=labelling.parse(row["labels"]),
        mark=row["mark"],
        idempotency_key=row["idempotency_key"],
        proposed_at=row["proposed_at"],
    )
