"""Typed ids: one per noun, so that a run is never passed where an agent is meant."""

from typing import NewType

ActionId = NewType("ActionId", str)
AgentName = NewType("AgentName", str)
ApprovalId = NewType("ApprovalId", str)
BudgetId = NewType("BudgetId", str)
KeyId = NewType("KeyId", str)
PayloadHash = NewType("PayloadHash", str)
PlanId = NewType("PlanId", str)
ProcessId = NewType("ProcessId", str)
RevisionHash = NewType("RevisionHash", str)
RunId = NewType("RunId", str)
ServerName = NewType("ServerName", str)
TeamName = NewType("TeamName", str)
ToolName = NewType("ToolName", str)
VendorName = NewType("VendorName", str)
