"""From files to a fleet: what a good folder gives, and what a bad one is told."""

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.domain.fleets import Cap, Fleet
from quarterdeck.domain.limits import AGENT_DAY_NANOUSD_DEFAULT, FLEET_FILES_MAX
from quarterdeck.fleet import template
from quarterdeck.fleet.load import FleetInvalid, Problem, load

AGENT, TOOL, CODE = "agents/assistant.yaml", "tools/find_article.yaml", "tools/find_article.py"
FOLDER = {
    path: text.encode()
    for path, text in template.contents().items()
    if not path.startswith("schemas/")
}
DOCUMENTS = {path: yaml.safe_load(FOLDER[path]) for path in ("fleet.yaml", AGENT, TOOL)}


def edited(path: str, old: str, new: str) -> dict[str, bytes]:
    """The folder of the template with one edit."""
    text = FOLDER[path].decode()
    assert old in text
    return {**FOLDER, path: text.replace(old, new, 1).encode()}


def problems(files: dict[str, bytes]) -> list[str]:
    """What is said of a folder that must not load."""
    with pytest.raises(FleetInvalid) as refused:
        load(files)
    return [str(problem) for problem in refused.value.problems]


def loaded(path: str, old: str, new: str) -> Fleet:
    return load(edited(path, old, new))


def test_a_good_folder_becomes_a_fleet_in_which_every_name_resolves() -> None:
    fleet = load(FOLDER)
    agent = fleet.agents["assistant"]  # type: ignore[index]  # a literal name
    assert (agent.team, agent.owner, agent.autonomy) == ("everyone", "me", "L1")
    assert [model.role for model in agent.models] == ["main"]
    assert agent.caps == (Cap(unit="nanousd", period="day", amount=5_000_000_000),)
    assert agent.prompt.startswith("You answer questions")
    assert set(agent.tools) == set(fleet.tools)
    assert fleet.tools[agent.tools[0]].backend is not None
    assert fleet.vendors[agent.models[0].vendor].prices["standin-1"].input == 150_000_000
    assert fleet.teams[agent.team][0].amount == 20_000_000_000
    assert [(person.id, person.role) for person in fleet.people] == [("me", "owner")]


def test_escalate_exists_without_a_file_and_takes_any_context() -> None:
    tool = load(FOLDER).tools["escalate"]  # type: ignore[index]  # a literal name
    assert (tool.effect, tool.backend) == ("draft", None)
    assert tool.arguments["additionalProperties"] is True


def test_an_agent_without_a_budget_gets_fifty_usd_a_day() -> None:
    fleet = loaded(AGENT, 'budgets:\n  - {unit: usd, per: day, amount: "5"}', "")
    (agent,) = fleet.agents.values()
    assert agent.caps == (Cap(unit="nanousd", period="day", amount=AGENT_DAY_NANOUSD_DEFAULT),)


def test_a_cap_on_tokens_alone_does_not_take_the_cap_on_money_away() -> None:
    fleet = loaded(AGENT, "unit: usd", "unit: tokens")
    (agent,) = fleet.agents.values()
    assert {cap.unit for cap in agent.caps} == {"nanousd", "tokens"}


def test_defaults_stand_in_for_what_an_agent_does_not_say() -> None:
    files = edited(
        "fleet.yaml",
        "  team: everyone",
        "  team: everyone\n  turns_max: 3\n"
        "  run_seconds_max: 7\n  budgets: [{unit: usd, per: week, amount: 0.5}]",
    )
    text = files[AGENT].decode()
    files[AGENT] = text[: text.index("# The most it may spend")].encode()
    (agent,) = load(files).agents.values()
    assert (agent.turns_max, agent.run_seconds_max) == (3, 7)
    assert agent.caps == (Cap(unit="nanousd", period="week", amount=500_000_000),)


def test_arguments_a_contract_does_not_name_are_refused_unless_it_says_otherwise() -> None:
    closed = load(FOLDER).tools["find_article"]  # type: ignore[index]  # a literal name
    fleet = loaded(TOOL, "  required: [word]", "  required: [word]\n  additionalProperties: true")
    opened = fleet.tools["find_article"]  # type: ignore[index]  # a literal name
    assert closed.arguments["additionalProperties"] is False
    assert opened.arguments["additionalProperties"] is True


def test_a_model_without_a_date_loads_where_its_vendor_promises_not_to_change_it() -> None:
    vendor = "https://api.openai.com/v1\n    pinned: [standin-1]"
    fleet = loaded("fleet.yaml", "http://127.0.0.1:8099/v1", vendor)
    (agent,) = fleet.agents.values()
    assert agent.models[0].model == "standin-1"


# Each row: file, what is replaced, by what, and all that must be said.
MISTAKES = {
    "an unknown tool": (
        AGENT,
        "- find_article",
        "- find_articel",
        [f"{AGENT}:25: tools[0]: no tool named `find_articel`; write `find_article`"],
    ),
    "an unknown field": (
        AGENT,
        "turns_max:",
        "turn_max:",
        [f"{AGENT}:32: unknown field `turn_max`; write `turns_max`"],
    ),
    "a missing field": (AGENT, "owner: me", "", [f"{AGENT}:4: owner: missing; add `owner: mara`"]),
    "a word nobody knows": (
        AGENT,
        "autonomy: L1",
        "autonomy: L9",
        [
            f"{AGENT}:10: autonomy: `L9` is not one of the words known here; "
            "write one of `L0`, `L1`, `L2`, `L3`, `L4`"
        ],
    ),
    "an unknown vendor": (
        AGENT,
        "vendor: standin",
        "vendor: standing",
        [f"{AGENT}:14: models.main.vendor: no vendor named `standing`; write `standin`"],
    ),
    "a missing field deep inside": (
        "fleet.yaml",
        'input: "0.15", ',
        "",
        ["fleet.yaml:28: vendors.standin.prices.standin-1.input: missing; add `input: 0.15`"],
    ),
    "an unknown price": (
        AGENT,
        "model: standin-1",
        "model: other-1",
        [
            f"{AGENT}:17: models.main.model: the price of `other-1` is not known; add "
            "`prices: {other-1: {input: …, output: …}}`, in USD per million tokens, to vendor "
            "`standin` (fleet.yaml:24); or write `standin-1`"
        ],
    ),
    "a floating alias": (
        AGENT,
        "model: standin-1",
        "model: llama:latest",
        [
            f"{AGENT}:17: models.main.model: `llama:latest` is a floating alias: it may mean "
            "another model tomorrow; write the id of one version, such as `name-1.2` or `name:1.2`"
        ],
    ),
    "a yes-or-no word": (
        AGENT,
        "turns_max: 10",
        "criticality: no",
        [
            f"{AGENT}:32: criticality: `no` can mean a word or true or false; "
            'write `false`, or put it in quotes: "no"'
        ],
    ),
    "a number for a name": (
        AGENT,
        "name: assistant",
        "name: 12",
        [f'{AGENT}:4: name: `12` is not text; put it in quotes: "12"'],
    ),
    "a boolean for a name": (
        AGENT,
        "owner: me",
        "owner: true",
        [f'{AGENT}:5: owner: `true` is not text; put it in quotes: "true"'],
    ),
    "a name that is not the file's": (
        AGENT,
        "name: assistant",
        "name: helper",
        [
            f"{AGENT}:4: name: `helper` is not the name of the file; "
            "write `name: assistant`, or rename the file to `helper.yaml`"
        ],
    ),
    "words for a number": (
        AGENT,
        "turns_max: 10",
        "turns_max: ten",
        [f"{AGENT}:32: turns_max: `ten` is not a whole number; write digits only, such as `20`"],
    ),
    "a number out of bounds": (
        AGENT,
        "turns_max: 10",
        "turns_max: 0",
        [f"{AGENT}:32: turns_max: `0` is out of bounds; write at least 1"],
    ),
    "half a token": (
        AGENT,
        'unit: usd, per: day, amount: "5"',
        "unit: tokens, per: day, amount: 1.5",
        [f"{AGENT}:30: budgets[0].amount: not a whole number of tokens; write `1`"],
    ),
    "two budgets for one period": (
        AGENT,
        "budgets:",
        "budgets:\n  - {unit: usd, per: day, amount: 1}",
        [f"{AGENT}:31: budgets[1]: a second budget in usd per day; keep one"],
    ),
    "more money than there is": (
        AGENT,
        '"5"',
        "2000000000",
        [f"{AGENT}:30: budgets[0].amount: too large an amount; write at most 1000000000"],
    ),
    "a parameter that is the platform's": (
        AGENT,
        "temperature: 0",
        "model: x",
        [
            f"{AGENT}:19: models.main.parameters.model: `model` is set by the platform, "
            "not by a parameter; remove it"
        ],
    ),
    "a prompt that is not there": (
        AGENT,
        "prompts/assistant.md",
        "prompts/asistant.md",
        [
            f"{AGENT}:21: prompt: no file `prompts/asistant.md` in the folder; "
            "write `prompts/assistant.md`"
        ],
    ),
    "a prompt outside the folder": (
        AGENT,
        "prompts/assistant.md",
        "prompts/../../etc/passwd.md",
        [
            f"{AGENT}:21: prompt: a path with `..`, `.` or `//`; "
            "write the plain path from the folder's root"
        ],
    ),
    "a tool granted twice": (
        AGENT,
        "- escalate",
        "- find_article",
        [f"{AGENT}:26: tools[1]: `find_article` is granted twice; keep one"],
    ),
    "a quota on a tool it has not": (
        AGENT,
        "turns_max:",
        "quotas: {calls_per_tool: {x: 1}}\nturns_max:",
        [
            f"{AGENT}:32: quotas.calls_per_tool.x: no tool granted to this agent named `x`; "
            "write one of `escalate`, `find_article`"
        ],
    ),
    "an unknown person": (
        "fleet.yaml",
        "owner: me",
        "owner: you",
        ["fleet.yaml:18: teams.everyone.owner: no person named `you`; write `me`"],
    ),
    "nobody who owns": (
        "fleet.yaml",
        "role: owner",
        "role: viewer",
        [
            "fleet.yaml:11: people: nobody is an owner; "
            "give one person `role: owner`: only an owner can approve changes and thaw"
        ],
    ),
    "no team": (
        "fleet.yaml",
        "defaults:\n  team: everyone",
        "",
        [
            f"{AGENT}:4: team: missing; add `team:` with `everyone`, "
            "or set `defaults.team` in fleet.yaml"
        ],
    ),
    "a variable in a URL": (
        "fleet.yaml",
        "127.0.0.1:8099/v1",
        "127.0.0.1/$PATH",
        [
            "fleet.yaml:26: vendors.standin.base_url: more than scheme, host and path; "
            "write scheme, host and path only; fleet files hold no variables"
        ],
    ),
    "a misspelt keyword of JSON Schema": (
        TOOL,
        "minLength",
        "minLenght",
        [
            f"{TOOL}:13: arguments.properties.word.minLenght: unknown keyword `minLenght`; "
            "write `minLength`"
        ],
    ),
    "a type of JSON Schema nobody knows": (
        TOOL,
        "type: string",
        "type: strng",
        [f"{TOOL}:12: arguments.properties.word.type: `strng` is no type; write `string`"],
    ),
    "a reference that leaves the file": (
        TOOL,
        "items: {type: string}",
        "items: {$ref: 'http://x/y'}",
        [
            f"{TOOL}:23: results.properties.articles.items.$ref: `http://x/y` is outside this "
            "file; copy the schema under `$defs` and refer to it as `#/$defs/NAME`"
        ],
    ),
    "a reference to nothing": (
        TOOL,
        "items: {type: string}",
        "items: {$ref: '#/$defs/a'}",
        [f"{TOOL}:19: results: a `$ref` that leads nowhere; add what it refers to under `$defs`"],
    ),
    "a pattern that can explode": (
        TOOL,
        "minLength: 2",
        "pattern: (?=a)b",
        [
            f"{TOOL}:13: arguments.properties.word.pattern: not a pattern that can be matched in "
            "linear time; check its brackets; look-around and back-references cannot be used"
        ],
    ),
    "arguments that are no object": (
        TOOL,
        "type: object",
        "type: array",
        [f"{TOOL}:9: arguments: the arguments of a tool are an object; write `type: object`"],
    ),
    "a function that is not there": (
        TOOL,
        "function: find_article",
        "function: find_articles",
        [
            f"{TOOL}:33: python.function: no function `find_articles` in `tools/find_article.py`; "
            "write `find_article`"
        ],
    ),
    "a Python file that is not there": (
        TOOL,
        "tools/find_article.py",
        "tools/find.py",
        [
            f"{TOOL}:32: python.file: no file `tools/find.py` in the folder; "
            "write `tools/find_article.py`"
        ],
    ),
    "a function that takes something else": (
        CODE,
        "word: str",
        "text: str",
        [
            f"{CODE}:10: `find_article` does not take `word`, which its contract names; "
            "add it to the function, or remove it from `tools/find_article.yaml`",
            f"{CODE}:10: `find_article` needs `text`, which its contract does not require; "
            "give it a default, or list it under `required` in `tools/find_article.yaml`",
        ],
    ),
    "a function that is async": (
        CODE,
        "def find_article(",
        "async def find_article(",
        [
            f"{TOOL}:33: python.function: no function `find_article` in `tools/find_article.py`; "
            "define it in `tools/find_article.py`",
            f"{CODE}:10: `find_article` is async; write `def find_article(…)`",
        ],
    ),
    "Python that does not parse": (
        CODE,
        "ARTICLES = (",
        "ARTICLES = ((",
        [f"{CODE}:3: not valid Python: '(' was never closed; correct it here"],
    ),
    "a tool that undoes itself": (
        TOOL,
        "idempotent:",
        "reversible: find_article\nidempotent:",
        [
            f"{TOOL}:27: reversible: a tool does not undo itself; "
            "name another tool, or write `compensation`"
        ],
    ),
    "an undoing tool that is not there": (
        TOOL,
        "idempotent:",
        "reversible: unfind\nidempotent:",
        [f"{TOOL}:27: reversible: no tool named `unfind`; write `compensation`"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_file_line_field_and_remedy(mistake: str) -> None:
    path, old, new, expected = MISTAKES[mistake]
    assert problems(edited(path, old, new)) == sorted(expected)


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        (
            "agents/x.yml",
            "a: b",
            "agents/x.yml: not a file that belongs here; end its name in `.yaml`, or move it out",
        ),
        (
            "agents/X.yaml",
            FOLDER[AGENT].decode(),
            "agents/X.yaml: a file name that is no name; "
            "rename it: lower-case letters, digits, `-` and `_`, directly in its folder",
        ),
        (
            "policies/refunds.yaml",
            "a: b",
            "policies/refunds.yaml: `policies/` is not read by this "
            "version; move it out: what it says would not be enforced",
        ),
        (
            "agnts/a.yaml",
            "a: b",
            "agnts/a.yaml: no such place in a fleet folder; see docs/reference/fleet-folder.md",
        ),
        (
            "prompts/assistant.md",
            " \n",
            "prompts/assistant.md:1: the prompt is empty; write what the agent is to do",
        ),
        (
            "tools/escalate.yaml",
            FOLDER[TOOL].decode().replace("name: find_article", "name: escalate"),
            "tools/escalate.yaml:4: name: `escalate` has a meaning of its own; "
            "rename the tool and its file",
        ),
    ],
)
def test_a_file_nobody_would_read_as_meant_is_a_mistake(
    path: str, content: str, expected: str
) -> None:
    assert expected in problems({**FOLDER, path: content.encode()})


@pytest.mark.parametrize("effect", ["write", "privileged"])
def test_an_agent_that_only_drafts_is_not_granted_a_tool_that_writes(effect: str) -> None:
    files = edited(TOOL, "effect: read", f"effect: {effect}")
    load(files)
    files[AGENT] = files[AGENT].replace(b"autonomy: L1", b"autonomy: L0")
    assert problems(files) == [
        f"{AGENT}:25: tools[0]: an L0 agent drafts only, and `find_article` has effect `{effect}`; "
        "remove it, or grant a tool with effect `draft`, or raise `autonomy`"
    ]


def test_all_mistakes_are_told_at_once_in_the_order_of_files_and_lines() -> None:
    files = edited(AGENT, "owner: me", "owner: you")
    files[AGENT] = files[AGENT].replace(b"- find_article", b"- search")
    files["fleet.yaml"] = files["fleet.yaml"].replace(b"owner: me", b"owner: him")
    files[TOOL] = files[TOOL].replace(b"effect: read", b"effect: reed")
    found = problems(files)
    assert [problem.split(": ")[0] for problem in found] == [
        f"{AGENT}:5",
        f"{AGENT}:25",
        "fleet.yaml:18",
        f"{TOOL}:6",
    ]


def test_a_tool_with_a_mistake_still_counts_as_there() -> None:
    assert problems(edited(TOOL, "effect: read", "effect: reed")) == [
        f"{TOOL}:6: effect: `reed` is not one of the words known here; write `read`"
    ]


@pytest.mark.parametrize(
    "key", ["sk-proj-Zx81bbqQ77aQ", "Bearer Zx81bbqQ77aQ", "Zx81bbqQ77aQZx81bbqQ77aQZx81bbqQ77aQ"]
)
def test_a_key_pasted_for_the_name_of_a_secret_is_refused_and_never_repeated(key: str) -> None:
    found = problems(edited("fleet.yaml", "    base_url", f"    secret: {key}\n    base_url"))
    assert len(found) == 1
    assert "this looks like a key itself" in found[0]
    assert "Zx81bbqQ77aQ" not in found[0]


def test_a_password_in_a_url_is_refused_and_never_repeated() -> None:
    found = problems(edited("fleet.yaml", "http://127", "http://user:hunter2@127"))
    assert "hunter2" not in found[0]


def test_a_folder_without_fleet_yaml_says_so() -> None:
    assert problems({}) == [
        "fleet.yaml: no such file in the folder; write it: it names people and vendors"
    ]


def test_a_folder_of_too_many_files_is_refused_before_any_is_read() -> None:
    files = dict.fromkeys((f"prompts/p{n}.md" for n in range(FLEET_FILES_MAX + 1)), b"\xff")
    assert problems(files) == [f": more than {FLEET_FILES_MAX} files; split the fleet"]


def test_the_error_itself_reads_as_a_list() -> None:
    with pytest.raises(FleetInvalid) as refused:
        load(edited(AGENT, "owner: me", "owner: you"))
    assert refused.value.code == "invalid"
    assert str(refused.value).splitlines() == [
        "the fleet folder has 1 problem",
        f"{AGENT}:5: owner: no person named `you`; write `me`",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(place for key, part in inner for place in places(part, (*path, key)))]


@given(data=st.data(), path=st.sampled_from(sorted(DOCUMENTS)), junk=JSON)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_written_anywhere_the_answer_is_a_fleet_or_a_list_of_problems(
    data: st.DataObject, path: str, junk: Any
) -> None:
    document = copy.deepcopy(DOCUMENTS[path])
    place = data.draw(st.sampled_from(places(document)))
    if not place:
        document = junk
    else:
        holder = document
        for step in place[:-1]:
            holder = holder[step]
        if isinstance(holder, dict) and data.draw(st.booleans()):
            holder[data.draw(st.text(max_size=5))] = junk
        else:
            holder[place[-1]] = junk
    # JSON is YAML; what JSON writes for floats that are not finite is not.
    text = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    told = _problems_or_none({**FOLDER, path: text})
    assert told is None or told
    assert all(problem.message and "\n" not in str(problem) for problem in told or ())


def _problems_or_none(files: dict[str, bytes]) -> tuple[Problem, ...] | None:
    try:
        load(files)
    except FleetInvalid as refused:
        return refused.problems
    return None


def test_an_allowance_nobody_knows_is_named_with_those_there_are() -> None:
    allowing = edited("fleet.yaml", "dialect: openai", "dialect: openai\n    allow: [websearch]")
    with pytest.raises(FleetInvalid) as caught:
        load(allowing)
    [problem] = caught.value.problems
    assert "`web-search`" in str(problem)
