"""The packaged sample is what its README says, and the tool does what its contract says."""

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from quarterdeck_standin.examples import OFF_TOPIC, read_examples
from tests.standin.served import FLEET

KINDS = {"clear", "ambiguous", "multi", "off_topic"}


def plain(text: str) -> str:
    """A sentence without case, punctuation and spacing."""
    return re.sub(r"\W+", " ", text.lower()).strip()


def test_every_queue_has_at_least_25_examples(sample: Path) -> None:
    counts = Counter(example.category for example in read_examples(sample / "train.csv"))
    assert len(counts) >= 12
    assert min(counts.values()) >= 25
    assert OFF_TOPIC not in counts


def test_the_test_split_is_large_and_hard_enough(sample: Path) -> None:
    test = read_examples(sample / "test.csv")
    kinds = Counter(example.kind for example in test)
    assert len(test) >= 240
    assert set(kinds) == KINDS
    assert (len(test) - kinds["clear"]) / len(test) >= 0.15


def test_off_topic_questions_and_no_others_have_no_queue(sample: Path) -> None:
    for example in read_examples(sample / "test.csv"):
        assert (example.category == OFF_TOPIC) == (example.kind == "off_topic"), example


def test_the_splits_name_the_same_queues(sample: Path) -> None:
    train = {example.category for example in read_examples(sample / "train.csv")}
    test = {example.category for example in read_examples(sample / "test.csv")}
    assert test == train | {OFF_TOPIC}


def test_the_splits_share_no_question(sample: Path) -> None:
    train = {plain(example.text) for example in read_examples(sample / "train.csv")}
    test = [plain(example.text) for example in read_examples(sample / "test.csv")]
    assert not train.intersection(test)
    assert len(set(test)) == len(test)


def test_no_training_question_comes_twice(sample: Path) -> None:
    train = [plain(example.text) for example in read_examples(sample / "train.csv")]
    assert [text for text, count in Counter(train).items() if count > 1] == []


def test_the_readme_counts_what_is_there(sample: Path) -> None:
    readme = (sample / "README.md").read_text(encoding="utf-8")
    train = read_examples(sample / "train.csv")
    test = read_examples(sample / "test.csv")
    assert f"| `train.csv` | {len(train)}: 14 queues with 62 each |" in readme
    assert f"| `test.csv` | {len(test)}, held out |" in readme
    for kind, count in Counter(example.kind for example in test).items():
        assert f"| `{kind}` | {count} |" in readme
    for queue in {example.category for example in train}:
        assert f"`{queue}`" in readme


def test_routing_writes_one_line_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("tool", FLEET / "tools" / "route_ticket.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.chdir(tmp_path)
    for ticket in ("T-1", "T-2\n"):
        answer = tool.route_ticket(ticket, "invoice_copy", 0.93)
        assert answer == {"ticket": ticket, "queue": "invoice_copy", "routed": True}
    lines = (tmp_path / "tickets.jsonl").read_text().splitlines()
    assert [json.loads(line)["ticket"] for line in lines] == ["T-1", "T-2\n"]
    assert json.loads(lines[0]) == {"ticket": "T-1", "queue": "invoice_copy", "confidence": 0.93}
