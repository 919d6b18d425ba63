"""The ledger over HTTP: its head, a check, proofs, an export for the offline verifier."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from quarterdeck.api.callers import Callers
from quarterdeck.api.described import who
from quarterdeck.api.wire import TEXT, Shown, StrictRoute, moment
from quarterdeck.domain.people import Caller
from quarterdeck.services.ledger import LedgerReadings

_JSON_LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/jsonl": {}}, "description": "JSON Lines"}
}


class HeadShown(Shown):
    """The newest signed head, and how many leaves it does not cover yet."""

    note: str
    origin: str
    public_key: str
    size: int
    root: str
    at: str
    unsealed: int


class VerificationShown(Shown):
    """What was checked and what is wrong; `ok` means nothing is."""

    ok: bool
    origin: str
    public_key: str
    leaves: int
    unsealed: int
    writers: int
    heads: int
    bodies_checked: int
    bodies_absent: int
    problems: list[str]
    problems_count: int


class LeafShown(Shown):
    """A leaf, its body, and the hashes from it to the root."""

    index: int
    data: str
    body: str | None
    nonce: str | None
    proof: list[str]


class ProofShown(Shown):
    """Leaves about a subject, with the signed head they lead to."""

    subject: str
    public_key: str
    head: str
    size: int
    root: str
    leaves: list[LeafShown]


def routes(ledger: LedgerReadings, callers: Callers) -> APIRouter:
    """`/v1/ledger`."""
    router = APIRouter(prefix="/v1/ledger", tags=["ledger"], route_class=StrictRoute)

    @router.get("/head", openapi_extra=who("read"))
    async def show_head(*, caller: Annotated[Caller, Depends(callers.caller)]) -> HeadShown:
        """The newest signed head, after sealing what waits."""
        head = await ledger.head(caller)
        return HeadShown(**{**asdict(head), "at": moment(head.at)})

    @router.post("/verify", openapi_extra=who("read"))
    async def verify(*, caller: Annotated[Caller, Depends(callers.caller)]) -> VerificationShown:
        """Check all that is stored. `ok` says how it went; the status is 200 either way."""
        found = asdict(await ledger.verify(caller))
        return VerificationShown(**{**found, "problems": list(found["problems"])})

    @router.get("/proof", openapi_extra=who("read"))
    async def prove(
        *,
        subject: Annotated[
            str, Query(pattern=TEXT, min_length=1, max_length=200, description="such as an id")
        ],
        caller: Annotated[Caller, Depends(callers.caller)],
    ) -> ProofShown:
        """That entries about a subject are in the ledger, provable without it (RFC 6962)."""
        proof = await ledger.prove(caller, subject)
        leaves = [LeafShown(**{**asdict(leaf), "proof": list(leaf.proof)}) for leaf in proof.leaves]
        return ProofShown(
            subject=proof.subject,
            public_key=proof.public_key,
            head=proof.head,
            size=proof.size,
            root=proof.root,
            leaves=leaves,
        )

    @router.get(
        "/export",
        response_class=StreamingResponse,
        responses=_JSON_LINES,
        openapi_extra=who("read"),
    )
    async def export(*, caller: Annotated[Caller, Depends(callers.caller)]) -> StreamingResponse:
        """The whole ledger as JSON Lines; without its last line, `end`, it is not whole."""
        pages = ledger.export(caller)
        # The first page now: what goes wrong before it can still be answered as an error.
        first = await anext(pages, b"")
        return StreamingResponse(_after(first, pages), media_type="application/jsonl")

    return router


async def _after(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for page in rest:
        yield page
