"""Reading a fleet folder from disk: all of it, within bounds, and nothing beyond it."""

import os
from pathlib import Path

import pytest

from quarterdeck.domain import limits
from quarterdeck.domain.errors import NotFound
from quarterdeck.fleet import template
from quarterdeck.fleet.load import FleetInvalid, load, read_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    template.write(tmp_path / "fleet")
    return tmp_path / "fleet"


def problems(folder: Path) -> list[str]:
    with pytest.raises(FleetInvalid) as refused:
        read_folder(folder)
    return [str(problem) for problem in refused.value.problems]


def test_the_files_of_a_fleet_are_read_and_its_surroundings_are_left_alone(folder: Path) -> None:
    (folder / "README.md").write_text("hello")
    (folder / "sample").mkdir()
    (folder / "sample" / "questions.csv").write_bytes(b"\xff")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref")
    (folder / "tools" / "__pycache__").mkdir()
    (folder / "tools" / "__pycache__" / "x.pyc").write_bytes(b"\0")
    (folder / "agents" / ".assistant.yaml.swp").write_bytes(b"\0")
    files = read_folder(folder)
    assert sorted(files) == sorted(template.FILES)
    assert all(files[path] == (folder / path).read_bytes() for path in files)


def test_what_is_read_is_enough_to_load_the_fleet_again_without_the_folder(folder: Path) -> None:
    files = read_folder(folder)
    version = load(files).version
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert load(files).version == version


def test_a_folder_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as refused:
        read_folder(tmp_path / "nowhere")
    assert "quarterdeck init" in refused.value.hint


def test_a_folder_without_fleet_yaml_names_the_file_that_was_meant(folder: Path) -> None:
    (folder / "fleet.yaml").rename(folder / "fleet.yml")
    assert problems(folder) == ["fleet.yaml: no such file in the folder; rename `fleet.yml`"]


@pytest.mark.parametrize("name", ["agent", "Agents", "tool", "promts", "policy", "polices"])
def test_a_folder_with_a_misspelt_name_is_a_mistake_and_not_passed_over(
    folder: Path, name: str
) -> None:
    (folder / name).mkdir()
    if name == "policy":
        assert read_folder(folder)  # far enough from every name of ours
    else:
        assert problems(folder)[0].startswith(f"{name}/: not a folder of a fleet; rename it to `")


def test_policies_are_not_passed_over_while_they_would_not_be_enforced(folder: Path) -> None:
    (folder / "policies").mkdir()
    (folder / "policies" / "refunds.yaml").write_text("deny: all")
    with pytest.raises(FleetInvalid, match="would not be enforced"):
        load(read_folder(folder))


def test_a_link_that_leads_out_of_the_folder_is_refused_and_not_read(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.md").write_text("the key")
    (folder / "prompts" / "a.md").symlink_to(tmp_path / "secret.md")
    (folder / "prompts" / "b.md").symlink_to("../../secret.md")
    (folder / "prompts" / "c").symlink_to(tmp_path)
    (folder / "prompts" / "d.md").symlink_to("nothing.md")
    assert problems(folder) == [
        "prompts/a.md: a link that leads out of the folder; put the file itself here",
        "prompts/b.md: a link that leads out of the folder; put the file itself here",
        "prompts/c: a link that leads out of the folder; put the file itself here",
        "prompts/d.md: a link that leads to no file; put the file itself here",
    ]


def test_a_link_to_another_file_of_the_folder_is_read(folder: Path) -> None:
    (folder / "prompts" / "same.md").symlink_to("assistant.md")
    files = read_folder(folder)
    assert files["prompts/same.md"] == files["prompts/assistant.md"]


def test_the_folder_itself_may_be_reached_through_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert read_folder(tmp_path / "current") == read_folder(folder)


def test_a_link_to_a_folder_that_holds_itself_does_not_go_round_for_ever(folder: Path) -> None:
    (folder / "prompts" / "loop").symlink_to(folder / "prompts")
    assert problems(folder) == [
        "prompts/loop: a link that leads to no file; put the file itself here"
    ]


def test_a_pipe_is_refused_without_waiting_for_somebody_to_write_to_it(folder: Path) -> None:
    os.mkfifo(folder / "prompts" / "pipe.md")
    assert problems(folder) == ["prompts/pipe.md: not a regular file; remove it"]


def test_a_file_of_any_size_costs_no_more_than_the_limit(folder: Path) -> None:
    with (folder / "prompts" / "huge.md").open("wb") as file:
        file.truncate(1 << 40)
    files = read_folder(folder)
    assert len(files["prompts/huge.md"]) == limits.FLEET_FILE_BYTES_MAX + 1
    (folder / "prompts" / "assistant.md").unlink()
    (folder / "prompts" / "huge.md").rename(folder / "prompts" / "assistant.md")
    with pytest.raises(FleetInvalid, match=r"prompts/assistant\.md: the file is larger than"):
        load(read_folder(folder))


def test_all_files_together_have_a_limit(folder: Path) -> None:
    for number in range(limits.FLEET_FOLDER_BYTES_MAX // limits.FLEET_FILE_BYTES_MAX + 1):
        with (folder / "prompts" / f"p{number}.md").open("wb") as file:
            file.truncate(limits.FLEET_FILE_BYTES_MAX)
    assert problems(folder) == [
        f": the folder holds more than {limits.FLEET_FOLDER_BYTES_MAX} bytes in all; "
        "keep only agents, tools and prompts here; split the fleet if it is that large"
    ]


def test_folders_inside_folders_have_a_limit(folder: Path) -> None:
    deep = folder / "prompts" / "/".join("abcdefghij")
    deep.mkdir(parents=True)
    (deep / "x.md").write_text("x")
    assert problems(folder) == [
        "prompts/a/b/c/d/e/f/g/h: folders are nested too deep; move the files up"
    ]


def test_a_file_name_that_is_not_text_is_told_without_breaking_the_terminal(folder: Path) -> None:
    try:
        (folder / "prompts" / os.fsdecode(b"\xff\x1b[31m.md")).write_text("x")
    except OSError:  # a file system that only takes UTF-8 has no such file to tell of
        return
    with pytest.raises(FleetInvalid) as refused:
        load(read_folder(folder))
    assert str(refused.value.problems[0]).startswith("prompts/??[31m.md: a file name with other")
