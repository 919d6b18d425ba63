"""A small fleet folder for tests: one agent with a model, tools of several kinds, and caps."""

from collections.abc import Mapping

FLEET = """
name: small
people:
  ann: {name: Ann, role: owner}
teams:
  desk:
    owner: ann
    budgets: [{unit: usd, per: day, amount: "TEAM_CAP"}]
vendors:
  local:
    dialect: openai
    base_url: BASE_URL/v1
    prices: {small-1: {input: "0.15", output: "0.60"}}
  other:
    dialect: anthropic
    base_url: BASE_URL
    prices: {other-1: {input: "3", output: "15", cache_read: "0.3", cache_write: "3.75"}}
"""
AGENT = """
name: clerk
owner: ann
team: desk
purpose: Answers and files.
autonomy: L2
models:
  main: {vendor: local, model: small-1}
  judge: {vendor: other, model: other-1}
prompt: prompts/clerk.md
tools: [look_up, file_note, pay, wipe, escalate]
budgets: [{unit: usd, per: day, amount: "AGENT_CAP"}]
radius: {written: 10000000, deleted: 1000}
"""
TOOL = """
name: {name}
description: A tool of the tests.
arguments:
  type: object
  properties: {{n: {{type: integer}}, text: {{type: string}}}}
effect: {effect}
trust: {trust}
idempotent: {idempotent}
reversible: compensation
cost: "{cost}"
timeout_seconds: 5
{does}
python: {{file: tools/tools.py, function: {name}}}
"""
WIPES = """records: {deleted: 1}
rates: [{calls: 1000, per: hour}]"""
SOURCE = """
def look_up(n: int = 0, text: str = "") -> dict:
    return {"n": n, "text": text}

def file_note(n: int = 0, text: str = "") -> dict:
    with open("notes.txt", "a") as file:
        file.write(f"{n}\\n")
    return {"filed": n}

def pay(n: int = 0, text: str = "") -> dict:
    return {"paid": n}

def wipe(n: int = 0, text: str = "") -> dict:
    return {"wiped": n}
"""


def files(
    *, base_url: str = "http://127.0.0.1:9", agent_cap: str = "50", team_cap: str = "500"
) -> Mapping[str, bytes]:
    """The folder's files by path."""
    tools = {
        "look_up": ("read", "untrusted", "true", "0.001", ""),
        "file_note": ("write", "trusted", "true", "0.002", "records: {written: 1}"),
        "pay": ("write", "trusted", "false", "0.003", "records: {written: 1}"),
        "wipe": ("privileged", "trusted", "false", "0", WIPES),
    }
    found = {
        "fleet.yaml": FLEET.replace("BASE_URL", base_url).replace("TEAM_CAP", team_cap),
        "agents/clerk.yaml": AGENT.replace("AGENT_CAP", agent_cap),
        "prompts/clerk.md": "You are a clerk.",
        "tools/tools.py": SOURCE,
    }
    for name, (effect, trust, idempotent, cost, does) in tools.items():
        found[f"tools/{name}.yaml"] = TOOL.format(
            name=name, effect=effect, trust=trust, idempotent=idempotent, cost=cost, does=does
        )
    return {path: text.encode() for path, text in found.items()}
