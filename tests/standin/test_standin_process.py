"""The command: it says where it is, stops when told, and never opens a test split while serving."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from quarterdeck_standin.triage import MODEL
from tests.standin.served import FLEET

# Ends the process the moment any file of that name is opened, by whatever part of it.
WATCHED = """
import os, sys
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        if os.path.basename(os.fsdecode(arguments[0])) == "test.csv":
            os._exit(86)
sys.addaudithook(watch)
from quarterdeck_standin.main import main
sys.exit(main(sys.argv[1:]))
"""
COMMAND = [sys.executable, "-m", "quarterdeck_standin.main"]
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("route_ticket", "escalate")
]


@contextmanager
def started(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A running stand-in and what it said when it was ready."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        try:
            assert it.stdout is not None
            line = it.stdout.readline()
            assert line, it.communicate()[1]
            yield it, json.loads(line)
        finally:
            it.kill()


def script(folder: Path) -> Path:
    """A script of one rule."""
    path = folder / "script.yaml"
    path.write_text("rules: [{answer: {text: hello}}]")
    return path


def test_it_says_where_it_is_and_answers_there(tmp_path: Path) -> None:
    with started([*COMMAND, "scripted", "--script", str(script(tmp_path))]) as (process, ready):
        assert set(ready) == {"url", "mode", "pid"}
        assert (ready["mode"], ready["pid"]) == ("scripted", process.pid)
        assert httpx2.get(f"{ready['url']}/standin/usage").json()["requests"] == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told_without_a_word(tmp_path: Path, how: signal.Signals) -> None:
    with started([*COMMAND, "scripted", "--script", str(script(tmp_path))]) as (process, _):
        process.send_signal(how)
        out, err = process.communicate(timeout=10)
        assert (out, err) == ("", "")
        assert process.returncode == 0


def test_a_used_port_is_explained(tmp_path: Path) -> None:
    command = [*COMMAND, "scripted", "--script", str(script(tmp_path)), "--port"]
    with started([*command, "0"]) as (_, ready):
        port = ready["url"].rsplit(":", 1)[1]
        second = subprocess.run([*command, port], capture_output=True, text=True, timeout=20)
    assert second.returncode == 2
    assert f"port `{port}` cannot be used" in second.stderr
    assert "--port" in second.stderr


def test_absent_examples_are_explained_before_it_says_ready(tmp_path: Path) -> None:
    command = [*COMMAND, "classify", "--examples", str(tmp_path), "--warm", "train.csv"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "no labelled examples `train.csv`" in ended.stderr


def test_serving_never_opens_the_test_split(tmp_path: Path) -> None:
    """Serve under a watch that ends the process if the test split is opened, then make it bite."""
    examples = tmp_path / "sample"
    shutil.copytree(FLEET / "sample", examples)
    prompt = (FLEET / "prompts" / "triage.md").read_text(encoding="utf-8")
    watched = [sys.executable, "-c", WATCHED]
    arguments = ["--examples", str(examples), "--warm", "train.csv"]
    with started([*watched, "classify", *arguments]) as (process, ready):
        with openai.OpenAI(base_url=f"{ready['url']}/v1", api_key="k", max_retries=0) as client:

            def ask(instructions: str) -> Any:
                return client.chat.completions.create(
                    model=MODEL,
                    messages=[
                        {"role": "system", "content": instructions},
                        {"role": "user", "content": "The teapot arrived in pieces."},
                    ],
                    tools=TOOLS,
                )

            assert "damaged_item" in str(ask(prompt))
            with pytest.raises(openai.BadRequestError):
                ask(prompt.replace("train.csv", "test.csv"))
            assert "damaged_item" in str(ask(prompt))
        assert process.poll() is None
    evaluated = subprocess.run(
        [*watched, "evaluate", "--examples", str(examples)], capture_output=True, timeout=60
    )
    assert evaluated.returncode == 86


def test_serving_works_where_there_is_no_test_split(tmp_path: Path) -> None:
    shutil.copy(FLEET / "sample" / "train.csv", tmp_path)
    with started([*COMMAND, "classify", "--examples", str(tmp_path), "--model", "a"]) as (_, ready):
        assert ready["mode"] == "classify"
        listed = httpx2.get(f"{ready['url']}/v1/models").json()["data"]
    assert [model["id"] for model in listed] == ["a"]


def test_evaluating_prints_figures_and_writes_the_confusions(tmp_path: Path) -> None:
    command = [*COMMAND, "evaluate", "--examples", str(FLEET / "sample"), "--out", str(tmp_path)]
    ended = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60)
    figures = json.loads(ended.stdout)
    assert figures["questions"] == 279
    assert 0.8 < figures["top1"] < 1
    assert (tmp_path / "confusion.csv").read_text().startswith("right queue,account_deletion,")
    assert "| kind |" in (tmp_path / "confusion.md").read_text()
