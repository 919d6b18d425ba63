"""`quarterdeck blast-radius` in a real process, and `check` by the rule it rests on."""

from pathlib import Path

from tests.cli.commands import command, write_fleet


def test_a_radius_is_read_by_people_and_by_programs(tmp_path: Path) -> None:
    fleet = write_fleet(tmp_path)
    assert command("apply", fleet, folder=tmp_path).status == 0
    said = command("blast-radius", "clerk", folder=tmp_path)
    assert said.status == 0, said.err
    lines = [line.split("  ") for line in said.out.splitlines()]
    words = {line[0]: [cell.strip() for cell in line[1:] if cell.strip()] for line in lines}
    assert "within what it declares" in said.out.splitlines()[0]
    assert words["records written"] == ["41666", "10000000"]
    assert words["records deleted"] == ["1000", "1000"]
    assert "its rate of 1000 calls per hour; each call asks a person" in said.out
    told = command("blast-radius", "clerk", "--json", folder=tmp_path).json
    assert told["judgement"] == "within"
    everyone = command("blast-radius", folder=tmp_path)
    assert everyone.out.splitlines()[1].split()[:3] == ["clerk", "0", "41666"]
    assert command("blast-radius", "nobody", folder=tmp_path).status == 5


def test_a_tool_that_nothing_bounds_is_called_unbounded_with_what_would_bound_it(
    tmp_path: Path,
) -> None:
    fleet = write_fleet(tmp_path)
    look_up = fleet / "tools" / "look_up.yaml"
    look_up.write_text(look_up.read_text().replace('cost: "0.001"', "messages: 1"))
    refused = command("check", fleet, folder=tmp_path)
    assert refused.status == 1
    assert "nothing bounds the messages sent of `look_up` in one hour" in refused.out
    assert "write `rates: [{calls: 30, per: hour}]` in tools/look_up.yaml" in refused.out


def test_check_warns_of_a_card_that_nobody_would_read(tmp_path: Path) -> None:
    fleet = write_fleet(tmp_path)
    look_up = (fleet / "tools" / "look_up.yaml").read_text()
    names = [f"look_up_{n}" for n in range(120)]
    for name in names:
        text = look_up.replace("name: look_up", f"name: {name}")
        (fleet / "tools" / f"{name}.yaml").write_text(text)
    agent = fleet / "agents" / "clerk.yaml"
    agent.write_text(agent.read_text().replace("look_up,", f"{', '.join(names)},"))
    checked = command("check", fleet, folder=tmp_path)
    assert checked.status == 0, checked.out
    assert "warning: agents/clerk.yaml: this card has" in checked.err
    told = command("check", fleet, "--json", folder=tmp_path).json
    assert len(told["warnings"]) == 1
