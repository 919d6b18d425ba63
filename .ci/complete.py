"""Fails unless every test ran: nothing skipped, and every store test on both databases."""

import sys
import xml.etree.ElementTree as ET
from collections import defaultdict

cases = list(ET.parse(sys.argv[1]).iter("testcase"))  # noqa: S314  written by the run before this
skipped = [c.get("name") for c in cases if c.find("skipped") is not None]
if skipped:
    sys.exit(f"{len(skipped)} tests were skipped: {', '.join(map(str, skipped[:10]))}")

seen: dict[str, set[str]] = defaultdict(set)
for case in cases:
    # Only the store's tests are written once and run on both; `[sqlite]`, `[postgresql-3]`, …
    name, where = str(case.get("name")), str(case.get("classname"))
    parameters = name.partition("[")[2].rstrip("]").split("-")
    for dialect in {"sqlite", "postgresql"} & set(parameters):
        if "store" in where.split("."):
            seen[f"{where}::{name.replace(dialect, '*')}"].add(dialect)
alone = [name for name, dialects in seen.items() if len(dialects) < 2]
if alone or not seen:
    sys.exit(f"store tests that ran on one database only: {alone[:10] or 'all of them'}")
print(f"{len(cases)} tests ran, {len(seen)} of them on both databases, none was skipped")
