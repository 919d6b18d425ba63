"""Every vendor entry and every program of the page on connecting vendors works as it stands."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.terminals import ROOT, blocks
from tests.serving import running
from tests.unit.wires import RESPONSE
from tests.wire.recordings import serving
from tests.wire.test_azure_sdk import CHATTED, EMBEDDED
from tests.wire.test_bedrock_sdk import CONVERSED, MESSAGE
from tests.wire.test_gemini_sdk import CALL
from tests.wire.vendors import Vendor, said

PAGE = (ROOT / "docs/how-to/connect-vendors.md").read_text(encoding="utf-8")
ENTRIES = [block.text for block in blocks(PAGE) if block.language == "yaml"]
PROGRAMS = [block.text for block in blocks(PAGE) if block.language == "python"]
REPLIES = {
    "/chat/completions": said(CHATTED),
    "/responses": said(RESPONSE),
    "/embeddings": said(EMBEDDED),
    "/count_tokens": said({"input_tokens": 3}),
    "/messages": said(MESSAGE),
    "/invoke": said(MESSAGE),
    ":generateContent": said(CALL),
    "/converse": said(CONVERSED),
}


def fleet(url: str) -> dict[str, bytes]:
    """A fleet of the page's own vendors at a test's address, with an agent for each."""
    vendors, files = {}, {"prompts/p.md": b"You answer."}
    for name, entry in (pair for text in ENTRIES for pair in yaml.safe_load(text).items()):
        root = "/v1" if entry["dialect"] == "openai" else ""
        kept = {k: v for k, v in entry.items() if k not in ("secret", "region")}
        vendors[name] = kept | {"base_url": f"{url}{root}"}
        roles = zip(("main", "router"), entry["prices"], strict=False)
        models = {role: {"vendor": name, "model": model} for role, model in roles}
        agent = {"name": f"at-{name}", "owner": "ann", "team": "desk", "purpose": "Asks."}
        agent |= {"autonomy": "L1", "models": models, "prompt": "prompts/p.md"}
        files[f"agents/at-{name}.yaml"] = yaml.safe_dump(agent).encode()
    people = {"ann": {"name": "Ann", "role": "owner"}}
    held = {"name": "x", "people": people, "teams": {"desk": {"owner": "ann"}}, "vendors": vendors}
    files["fleet.yaml"] = yaml.safe_dump(held, sort_keys=False).encode()
    return files


def vendor_of(program: str) -> str:
    """Whose section a program stands in."""
    before = PAGE[: PAGE.index(program)]
    return re.findall(r"dialect: (\w+)", before)[-1]


def test_the_page_has_an_entry_for_every_dialect() -> None:
    entries = {k: v for text in ENTRIES for k, v in yaml.safe_load(text).items()}
    assert set(entries) == {"openai", "azure", "anthropic", "gemini", "bedrock"}
    assert all(name == entry["dialect"] for name, entry in entries.items())
    assert len(PROGRAMS) == 7


def test_the_entries_load_as_they_stand() -> None:
    from quarterdeck.fleet.load import load

    files = fleet("http://127.0.0.1:9")
    whole = yaml.safe_load(files["fleet.yaml"])
    for text in ENTRIES:
        whole["vendors"] |= yaml.safe_load(text)
    loaded = load(files | {"fleet.yaml": yaml.safe_dump(whole, sort_keys=False).encode()})
    assert {vendor.dialect for vendor in loaded.vendors.values()} == set(loaded.vendors)


@pytest.mark.parametrize("place", range(len(PROGRAMS)))
async def test_a_program_of_the_page_works(tmp_path: Path, place: int) -> None:
    program = PROGRAMS[place]
    vendor = Vendor(REPLIES)
    async with serving(vendor) as url, running(tmp_path, fleet(url)) as server:
        run = await server.start_run(f"at-{vendor_of(program)}")
        text = program.replace("http://127.0.0.1:7700", server.url)
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", f"credential = {run.credential!r}\n{text}", env=env
        )
        assert await process.wait() == 0
        actions = await server.actions(run.id)
    assert actions
    assert len(actions) == len(vendor.asked)
    assert {action["state"] for action in actions} == {"done"}
    assert {action["usage_source"] for action in actions} <= {"reported", "none"}
