"""What agents ask for under `/v1`: actions of their own process, and plans."""

from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.gateways.actions import ActionsGateway
from quarterdeck.gateways.llm.routes import Endpoint
from quarterdeck.gateways.plans import CarryPlan, PlansGateway


def endpoints(checkpoint: Checkpoint, carry: CarryPlan) -> dict[tuple[str, str], Endpoint]:
    """By method and path. `described.py` says each of them in words."""
    actions = ActionsGateway(checkpoint=checkpoint)
    plans = PlansGateway(checkpoint=checkpoint, carry=carry)
    return {
        ("POST", "/v1/actions"): actions.admit,
        ("POST", "/v1/actions/{action}/receipt"): actions.receipt,
        ("POST", "/v1/plans"): plans.judge,
        ("POST", "/v1/plans/{plan}/carry-out"): plans.carry_out,
    }
