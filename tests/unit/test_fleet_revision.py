"""A revision is the content address of all that shapes an agent, and of nothing else."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.domain.fleets import Fleet
from quarterdeck.fleet import revision, template
from quarterdeck.fleet.load import load

AGENT, TOOL, CODE = "agents/assistant.yaml", "tools/find_article.yaml", "tools/find_article.py"
PROMPT = "prompts/assistant.md"
FOLDER = {
    path: text.encode()
    for path, text in template.contents().items()
    if not path.startswith("schemas/")
}
SHEETS = [path for path in FOLDER if path.endswith(".yaml")]


def revision_of(files: dict[str, bytes], name: str = "assistant") -> str:
    return load(files).agents[name].revision  # type: ignore[index]  # a literal name


def edited(path: str, edit: Callable[[Any], None]) -> dict[str, bytes]:
    """One file after a change made on its values."""
    document = yaml.safe_load(FOLDER[path])
    edit(document)
    return {path: yaml.safe_dump(document, sort_keys=False).encode()}


def shuffled(value: Any, dice: random.Random) -> Any:
    """The same value with the keys of every mapping in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(part, dice)) for key, part in value.items()]
        dice.shuffle(items)
        return dict(items)
    return [shuffled(part, dice) for part in value] if isinstance(value, list) else value


BEFORE = load(FOLDER)
REVISION = revision_of(FOLDER)

SHAPING: dict[str, Callable[[], dict[str, bytes]]] = {
    "the model": lambda: (
        edited(
            "fleet.yaml",
            lambda f: f["vendors"]["standin"]["prices"].update(
                {"standin-2": {"input": 1, "output": 1}}
            ),
        )
        | edited(AGENT, lambda a: a["models"]["main"].update(model="standin-2"))
    ),
    "a second model": lambda: edited(
        AGENT, lambda a: a["models"].update(judge={"vendor": "standin", "model": "standin-1"})
    ),
    "a parameter": lambda: edited(
        AGENT, lambda a: a["models"]["main"]["parameters"].update(top_p=1)
    ),
    "a parameter's value": lambda: edited(
        AGENT, lambda a: a["models"]["main"]["parameters"].update(temperature=0.1)
    ),
    "the vendor's URL": lambda: edited(
        "fleet.yaml", lambda f: f["vendors"]["standin"].update(base_url="http://127.0.0.1:1/v1")
    ),
    "what the vendor may do": lambda: edited(
        "fleet.yaml", lambda f: f["vendors"]["standin"].update(allow=["web-search"])
    ),
    "the prompt": lambda: {PROMPT: FOLDER[PROMPT] + b"Be brief.\n"},
    "a tool lost": lambda: edited(AGENT, lambda a: a["tools"].remove("escalate")),
    "the autonomy": lambda: edited(AGENT, lambda a: a.update(autonomy="L2")),
    "a cap": lambda: edited(AGENT, lambda a: a["budgets"][0].update(amount="6")),
    "a quota": lambda: edited(AGENT, lambda a: a.update(quotas={"calls_per_day": 9})),
    "the turns": lambda: edited(AGENT, lambda a: a.update(turns_max=11)),
    "the time": lambda: edited(AGENT, lambda a: a.update(run_seconds_max=601)),
    "a tool's description": lambda: edited(TOOL, lambda t: t.update(description="Other words.")),
    "a tool's arguments": lambda: edited(
        TOOL, lambda t: t["arguments"]["properties"]["word"].update(maxLength=65)
    ),
    "a tool's results": lambda: edited(TOOL, lambda t: t.pop("results")),
    "a tool's effect": lambda: edited(TOOL, lambda t: t.update(effect="egress")),
    "a tool's trust": lambda: edited(TOOL, lambda t: t.update(trust="untrusted")),
    "whether a tool is idempotent": lambda: edited(TOOL, lambda t: t.update(idempotent=False)),
    "how a tool is undone": lambda: edited(TOOL, lambda t: t.update(reversible="compensation")),
    "whether a tool may repeat": lambda: edited(TOOL, lambda t: t.update(repeatable=True)),
    "a tool's cost": lambda: edited(TOOL, lambda t: t.update(cost="0.01")),
    "a tool's time": lambda: edited(TOOL, lambda t: t.update(timeout_seconds=11)),
    "a tool's code": lambda: {CODE: FOLDER[CODE] + b"# A comment is code as well.\n"},
    "a tool without code": lambda: edited(TOOL, lambda t: t.pop("python")),
}

INDIFFERENT: dict[str, Callable[[], dict[str, bytes]]] = {
    "comments": lambda: {
        path: text + (b"\n# more\n" if path in SHEETS else b"") for path, text in FOLDER.items()
    },
    "the owner": lambda: (
        edited("fleet.yaml", lambda f: f["people"].update(you={"name": "You", "role": "owner"}))
        | edited(AGENT, lambda a: a.update(owner="you"))
    ),
    "the purpose": lambda: edited(AGENT, lambda a: a.update(purpose="Something else.")),
    "a price": lambda: edited(
        "fleet.yaml",
        lambda f: f["vendors"]["standin"]["prices"].update(
            {"standin-1": {"input": 9, "output": 9}}
        ),
    ),
    "the name of a secret": lambda: edited(
        "fleet.yaml", lambda f: f["vendors"]["standin"].update(secret="OTHER_KEY")
    ),
    "a team's budget": lambda: edited(
        "fleet.yaml", lambda f: f["teams"]["everyone"].update(budgets=[])
    ),
    "another agent": lambda: {
        "agents/second.yaml": FOLDER[AGENT]
        .replace(b"name: assistant", b"name: second")
        .replace(b"autonomy: L1", b"autonomy: L3")
    },
    "a tool it is not granted": lambda: {
        "tools/other.yaml": FOLDER[TOOL].replace(b"name: find_article", b"name: other")
    },
    "another prompt": lambda: {"prompts/other.md": b"Something else."},
    "a default it does not use": lambda: edited(
        "fleet.yaml", lambda f: f["defaults"].update(turns_max=3)
    ),
    "an amount written otherwise": lambda: edited(
        AGENT, lambda a: a["budgets"][0].update(amount=5.0)
    ),
}


@pytest.mark.parametrize("what", SHAPING)
def test_a_change_to_what_shapes_the_agent_is_a_new_revision(what: str) -> None:
    assert revision_of(FOLDER | SHAPING[what]()) != REVISION


def test_no_two_changes_give_the_same_revision() -> None:
    assert len({revision_of(FOLDER | change()) for change in SHAPING.values()}) == len(SHAPING)


@pytest.mark.parametrize("what", INDIFFERENT)
def test_a_change_to_anything_else_leaves_the_revision_as_it_is(what: str) -> None:
    files = FOLDER | INDIFFERENT[what]()
    assert revision_of(files) == REVISION
    assert load(files).version != BEFORE.version


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_order_of_keys_changes_the_version_of_the_folder_and_no_revision(seed: int) -> None:
    dice = random.Random(seed)
    files = dict(FOLDER)
    for path in SHEETS:
        document = shuffled(yaml.safe_load(FOLDER[path]), dice)
        files[path] = yaml.safe_dump(document, sort_keys=False).encode()
    after = load(files)
    assert _without_version(after) == _without_version(BEFORE)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip))
@settings(max_examples=40, deadline=None)
def test_two_prompts_share_a_revision_only_if_they_are_the_same(prompt: str) -> None:
    after = revision_of({**FOLDER, PROMPT: prompt.encode()})
    assert (after == REVISION) == (prompt == FOLDER[PROMPT].decode())


def test_an_agent_of_another_name_is_another_revision() -> None:
    files = FOLDER | INDIFFERENT["another agent"]()
    files["agents/second.yaml"] = files["agents/second.yaml"].replace(b"L3", b"L1")
    assert revision_of(files, "second") != REVISION


def test_addresses_are_short_lower_case_and_say_what_they_address() -> None:
    (agent,) = BEFORE.agents.values()
    for prefix, text in (
        ("rev_", agent.revision),
        ("flt_", BEFORE.version),
        ("tool_", BEFORE.tools[agent.tools[0]].digest),
    ):
        assert text.startswith(prefix)
        assert len(text) == len(prefix) + revision.ADDRESS_CHARACTERS
        assert text == text.lower()


def test_an_address_can_be_computed_by_anyone() -> None:
    """Goal: the format is RFC 8785, SHA-256 and base32, nothing private. Method: a known value.

    `printf '{"a":1,"b":"x"}' | sha256sum`, its bytes in base32.
    """
    assert revision.address("t_", {"b": "x", "a": 1.0}) == "t_5t46tdwamqpcgej76phixxdy2d"


def test_the_same_files_always_give_the_same_fleet() -> None:
    assert load(dict(reversed(FOLDER.items()))) == BEFORE


def _without_version(fleet: Fleet) -> tuple[Any, ...]:
    return fleet.agents, fleet.tools, fleet.vendors, fleet.people, fleet.teams, fleet.caps
