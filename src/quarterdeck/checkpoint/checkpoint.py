"""The one place every action passes, before and after it takes effect.

INVARIANT (I-1): an effect runs only with a Cleared.
INVARIANT (I-2): a Cleared exists only after its intent is committed.
INVARIANT (I-5): no transaction is open while anything remote is awaited.
Deliberately absent: any knowledge of a vendor, a wire or a tool's back end.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from quarterdeck.checkpoint import admission as admissions
from quarterdeck.checkpoint import approvals, attempts, earlier, stages
from quarterdeck.checkpoint import settlement as settlements
from quarterdeck.checkpoint.admission import Draft
from quarterdeck.checkpoint.approvals import Desk, Question
from quarterdeck.checkpoint.bindings import Binding, Bindings
from quarterdeck.checkpoint.clearance import is_current, may_go_on
from quarterdeck.checkpoint.earlier import Earlier
from quarterdeck.checkpoint.recording import Prepared, Recorder
from quarterdeck.checkpoint.sealing import Seals
from quarterdeck.checkpoint.settlement import Settlement
from quarterdeck.checkpoint.spool import Spool
from quarterdeck.checkpoint.stages import Ruling
from quarterdeck.checkpoint.suggestions import lifted
from quarterdeck.checkpoint.windows import windows_of
from quarterdeck.domain import labels as labelling
from quarterdeck.domain.actions import (
    Action,
    Admission,
    Cleared,
    Done,
    Effect,
    InDoubt,
    Kind,
    Outcome,
    Proposal,
    Receipt,
)
from quarterdeck.domain.errors import Conflict, LimitExceeded, Unavailable, Unidentified
from quarterdeck.domain.ids import ActionId, ServerName, TeamName
from quarterdeck.domain.labels import Label
from quarterdeck.domain.ledger import NONCE_BYTES, Entry
from quarterdeck.domain.limits import EFFECT_SECONDS_MAX, TARGET_CHARACTERS_MAX
from quarterdeck.domain.runs import RunIdentity
from quarterdeck.domain.servers import Server
from quarterdeck.domain.tools import Tool
from quarterdeck.domain.verdicts import Reason, Verdict, strictest
from quarterdeck.keys import credential_hash
from quarterdeck.sources import Clock, Dice, Ids
from quarterdeck.store import actions, ledger, runs
from quarterdeck.store.database import Database, Transaction
from quarterdeck.store.group import CommitUnknown
from quarterdeck.store.keys import Keyring
from quarterdeck.store.standing import Standing

IDENTITIES_KNOWN_MAX: Final = 10_000


NOTHING_NOTICED: Final = Standing(incarnation="", epoch=0, fleet_version=None, frozen=frozenset())


#: What rules an action of each kind, before the transaction.
RULES: Final[Mapping[Kind, Callable[[Proposal, Binding], Ruling]]] = {
    "model": stages.rule_model,
    "tool": stages.rule_tool,
    "resource": stages.rule_server,
    "prompt": stages.rule_server,
    "elicitation": stages.rule_server,
    "sampling": stages.rule_server,
}


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
    #: The definition of a tool that its server gives now; its contract's own pin, if nobody asks.
    definition_of: Callable[[Tool], str] = approvals.pin_of
    #: Whether what its server says of a tool is what was granted; nobody asks where none is said.
    quarantine: Callable[[Tool, Mapping[ServerName, Server]], Verdict] | None = None
    seals: Seals = field(init=False, repr=False)
    _identities: "OrderedDict[str, RunIdentity]" = field(default_factory=OrderedDict, repr=False)

    def __post_init__(self) -> None:
        self.seals = Seals(self.db, self.keyring)

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
        if proposal.suggestion is not None:
            binding = lifted(binding)  # whether it is one is asked in the transaction
        now = self.clock.micros()
        action_id = ActionId(self.ids.new("act"))
        action = stages.bind(proposal, identity, action=action_id, now=now)
        ruling = self.rule(proposal, binding)
        if ruling.verdict.answer != "allow":
            # What somebody sent is quoted in reasons and names: it goes into rows, so no secrets.
            ruling = await self.redacted(action.team, ruling)
        if ruling.contract is None:
            target = await self.recorder.redacted_text(action.team, action.target)
            action = replace(action, target=target[:TARGET_CHARACTERS_MAX])
        elif action.kind == "model":
            action = _retargeted(action, ruling)
        prepared = await self.recorder.prepare(action.team, action.run, proposal.content)
        draft = Draft(
            action=action,
            ruling=ruling,
            windows=windows_of(binding, ruling, now),
            prepared=prepared,
            process=self.process,
            nonce=self.dice.bytes(NONCE_BYTES),
            sealed_arguments=await self._seal_arguments(action, ruling),
            noticed=self.watch.noticed,
            question=await self._question(proposal, action, ruling, binding),
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
            return await earlier.answered(answer, self.seals)
        self.recorder.stored(prepared)
        return answer

    async def redacted(self, team: TeamName, ruling: Ruling) -> Ruling:
        """A ruling whose reasons may be recorded: they quote what somebody sent."""
        reasons = [
            Reason(r.rule, await self.recorder.redacted_text(team, r.because))
            for r in ruling.verdict.reasons
        ]
        return replace(ruling, verdict=Verdict(ruling.verdict.answer, tuple(reasons)))

    def rule(self, proposal: Proposal, binding: Binding) -> Ruling:
        """What grants and contract say of a proposal, before anything else is asked."""
        ruled = RULES[proposal.kind](proposal, binding)
        findings = proposal.findings
        if self.quarantine is not None and isinstance(ruled.contract, Tool):
            found = self.quarantine(ruled.contract, binding.fleet.servers)
            findings = findings if found.answer == "allow" else (*findings, found)
        if not findings:
            return ruled
        return replace(ruled, verdict=strictest(ruled.verdict, *findings))

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
            sealed_answer=await self.seals.seal_answer(cleared, receipt),
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
            if actions.doubt(tx, action, process):
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

    async def _seal_arguments(self, action: Action, ruling: Ruling) -> bytes | None:
        """What may have to be carried out exactly so: again, or once a person has answered."""
        again = isinstance(ruling.contract, Tool) and ruling.contract.idempotent
        # A run without a key has ended: its admission is refused in a moment.
        if again or ruling.verdict.answer in ("ask", "suggest"):
            return await self.seals.seal_arguments(action)
        return None

    async def _question(
        self, proposal: Proposal, action: Action, ruling: Ruling, binding: Binding
    ) -> Question | None:
        """What people would be asked; nothing where the rules do not need them."""
        if ruling.verdict.answer not in ("ask", "suggest") and proposal.suggestion is None:
            return None
        subject = approvals.subject_of(action, ruling, binding, self.definition_of)
        desk = Desk(recorder=self.recorder, ids=self.ids, dice=self.dice)
        return await approvals.question(proposal, action, subject, ruling=ruling, desk=desk)


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


def _result_labels(cleared: Cleared) -> frozenset[Label]:
    contract = cleared.contract
    if isinstance(contract, Tool):
        origin: Label = "internal" if contract.trust == "trusted" else "external"
        return frozenset((origin, *contract.data))
    return labelling.NONE if cleared.action.kind == "model" else frozenset(("external",))
