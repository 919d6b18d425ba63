"""Fleets for tests of wires: vendors of every dialect at one address, models spread over agents."""

from collections.abc import Iterable, Mapping

ROLES = ("main", "router", "extractor", "judge")
#: What a vendor's base URL ends with, as its SDK has it.
ROOTS = {"openai": "/v1"}


def fleet_of(
    url: str, models: Mapping[str, Iterable[str]], *, allow: Iterable[str] = ("fetched-content",)
) -> tuple[dict[str, bytes], dict[tuple[str, str], str]]:
    """The folder's files, and which agent may use a model of a dialect."""
    vendors, files, agents = "", dict[str, bytes](), dict[tuple[str, str], str]()
    for dialect, names in models.items():
        known = sorted(names)
        prices = "".join(f'      "{n}": {{input: "0.15", output: "0.60"}}\n' for n in known)
        vendors += (
            f"  {dialect}:\n    dialect: {dialect}\n    base_url: {url}{ROOTS.get(dialect, '')}\n"
            f"    allow: [{', '.join(allow)}]\n    prices:\n{prices}"
        )
        for at in range(0, len(known), len(ROLES)):
            some = known[at : at + len(ROLES)]
            agent = f"agent-{len(files)}"
            bound = "".join(
                f'  {role}: {{vendor: {dialect}, model: "{name}"}}\n'
                for role, name in zip(ROLES, some, strict=False)
            )
            agents |= {(dialect, name): agent for name in some}
            files[f"agents/{agent}.yaml"] = (
                f"name: {agent}\nowner: ann\nteam: desk\npurpose: Asks.\nautonomy: L2\n"
                f"models:\n{bound}prompt: prompts/p.md\nturns_max: 1000\n"
                'budgets: [{unit: usd, per: day, amount: "50"}]\n'
            ).encode()
    fleet = (
        "name: wires\npeople:\n  ann: {name: Ann, role: owner}\n"
        "teams:\n  desk: {owner: ann}\n"
        f"vendors:\n{vendors}"
    )
    files |= {"fleet.yaml": fleet.encode(), "prompts/p.md": b"You answer."}
    return files, agents
