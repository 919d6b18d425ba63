"""The command `quarterdeck-standin`: `classify`, `scripted`, `evaluate`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from quarterdeck.domain.errors import QuarterdeckError

# scikit-learn takes a second to import and a scripted stand-in needs none of it, so each
# command imports what it runs.


def run() -> None:
    """Run the command line and exit with its status."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run a command: 0 when it went well, 2 when it could not be understood or done."""
    chosen = _parser().parse_args(arguments)
    try:
        match chosen.command:
            case "classify":
                _classify(chosen)
            case "scripted":
                _scripted(chosen)
            case "evaluate":
                _evaluate(chosen)
    except QuarterdeckError as error:
        print(f"quarterdeck-standin: {error.message}; {error.hint}", file=sys.stderr)
        return 2
    return 0


def _classify(chosen: argparse.Namespace) -> None:
    from quarterdeck_standin.app import StandIn
    from quarterdeck_standin.server import serve
    from quarterdeck_standin.tokens import text_tokens
    from quarterdeck_standin.triage import MODEL, Triage

    triage = Triage(chosen.examples, tuple(chosen.model or (MODEL,)))
    text_tokens("warm")  # loads the encoding, a third of a second
    if chosen.warm is not None:
        triage.warm(chosen.warm)
    serve(StandIn(triage, keep_requests=chosen.keep_requests), host=chosen.host, port=chosen.port)


def _scripted(chosen: argparse.Namespace) -> None:
    from quarterdeck_standin.app import StandIn
    from quarterdeck_standin.script import load_script
    from quarterdeck_standin.server import serve

    serve(
        StandIn(load_script(chosen.script), keep_requests=True), host=chosen.host, port=chosen.port
    )


def _evaluate(chosen: argparse.Namespace) -> None:
    from quarterdeck_standin.evaluate import evaluate_folder, report, summary, write_matrix

    measured = evaluate_folder(chosen.examples, chosen.target / 100, chosen.test)
    if chosen.out is not None:
        chosen.out.mkdir(parents=True, exist_ok=True)
        write_matrix(measured, chosen.out / "confusion.csv")
        (chosen.out / "confusion.md").write_text(report(measured), encoding="utf-8")
    print(json.dumps(summary(measured)) if chosen.json else report(measured))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quarterdeck-standin",
        description="A stand-in for a model vendor: honest triage, or a script played to the byte.",
        epilog="example: quarterdeck-standin classify --examples sample --warm train.csv --port 0",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    classify = commands.add_parser("classify", help="answer tickets by a trained classifier")
    _add_address(classify)
    classify.add_argument(
        "--examples", type=Path, required=True, metavar="DIR", help="folder of labelled examples"
    )
    classify.add_argument(
        "--warm", metavar="FILE", help="train on this file of the folder before saying ready"
    )
    classify.add_argument(
        "--model", action="append", metavar="NAME", help="a model name to list (may be repeated)"
    )
    classify.add_argument(
        "--keep-requests", action="store_true", help="keep requests for /standin/requests"
    )
    scripted = commands.add_parser("scripted", help="play a script of rules")
    _add_address(scripted)
    scripted.add_argument(
        "--script", type=Path, required=True, metavar="FILE", help="rules, as YAML or JSON"
    )
    evaluate = commands.add_parser("evaluate", help="measure the classifier on a held-out split")
    evaluate.add_argument("--examples", type=Path, required=True, metavar="DIR")
    evaluate.add_argument("--test", default="test.csv", metavar="FILE", help="the held-out split")
    evaluate.add_argument(
        "--target", type=float, default=97.5, metavar="N", help="right answers wanted in 100 routed"
    )
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="where to write the confusions")
    evaluate.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 picks a free one")


if __name__ == "__main__":
    run()
