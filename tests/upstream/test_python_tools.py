"""Python tools, carried out by real processes: what they get, what they can break, what is left.

Every test runs under both event loops, since the server uses one and other programs the other.
"""

import asyncio
import ctypes
import inspect
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from quarterdeck.domain import labels
from quarterdeck.domain.actions import Action, Cleared, Receipt
from quarterdeck.domain.budgets import Bound, Reservation
from quarterdeck.domain.ids import ActionId, AgentName, RevisionHash, RunId, TeamName, ToolName
from quarterdeck.domain.limits import TOOL_PROCESSES_MAX, TOOL_RESULT_BYTES_MAX
from quarterdeck.domain.tools import PythonBackend, Tool
from quarterdeck.domain.verdicts import allow
from quarterdeck.fleet.revision import tool_digest
from quarterdeck.sources import SystemClock
from quarterdeck.upstream.tools.python import PythonTools

CLOCK = SystemClock()
LANDLOCK_VERSION = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)
OTHERS: set[int] = set()
READS = "def f(path):\n    return open(path, 'rb').read().decode('latin-1')"


@asynccontextmanager
async def opened(home: Path, **changes: Any) -> AsyncIterator[PythonTools]:
    """Tools of a data folder, closed whatever happens; they leave no process behind."""
    made = PythonTools(folder=home / "data" / "tools", clock=CLOCK, **changes)
    OTHERS.clear()
    OTHERS.update(children())  # such as a database that another test has started
    try:
        yield made
    finally:
        await made.close()
    assert processes() == []


def under_both_loops(story: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The test under either event loop, with `tools` that leave no process behind."""
    asked = inspect.signature(story).parameters

    async def whole(home: Path, given: dict[str, Any]) -> None:
        async with opened(home) as tools:
            await story(**given, **({"tools": tools} if "tools" in asked else {}))

    @pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
    def test(loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path, **given: Any) -> None:
        given |= {"tmp_path": tmp_path} if "tmp_path" in asked else {}
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(whole(tmp_path, given))

    names = sorted({"loop", "tmp_path", *asked} - {"tools"})
    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    shown: Callable[..., None] = test
    vars(shown).update(__signature__=inspect.Signature(parameters), __doc__=story.__doc__)
    return shown


def tool(source: str, name: str = "f", **changes: Any) -> Tool:
    """A tool whose function is called `f`."""
    made = Tool(
        name=ToolName(name),
        description="A tool under test.",
        arguments={"type": "object"},
        results=None,
        effect="write",
        trust="trusted",
        idempotent=False,
        reversible=None,
        repeatable=False,
        timeout_seconds=10,
        cost_nanousd=7,
        backend=PythonBackend(
            file=f"tools/{name}.py", function="f", source=textwrap.dedent(source)
        ),
        digest="",
    )
    made = replace(made, **changes)
    return replace(made, digest=tool_digest(made))


def cleared(
    contract: Tool, arguments: bytes | dict[str, Any] = b"{}", *, seconds: float = 5
) -> Cleared:
    """A clearance for one call, good for some seconds from now."""
    now = CLOCK.micros()
    raw = arguments if isinstance(arguments, bytes) else json.dumps(arguments).encode()
    action = Action(
        id=ActionId("act_1"),
        run=RunId("run_1"),
        agent=AgentName("triage"),
        team=TeamName("support"),
        revision=RevisionHash("rev_1"),
        kind="tool",
        target=contract.name,
        arguments=raw,
        digest="",
        labels=labels.NONE,
        mark="enforced",
        idempotency_key=None,
        proposed_at=now,
    )
    return Cleared(
        action=action,
        verdict=allow("grant:tool:f", "granted"),
        reservation=Reservation(holds=(), owner="proc_1"),
        contract=contract,
        bound=Bound(nanousd=7, tokens=0),
        price=None,
        approval=None,
        epoch=0,
        incarnation="inc_1",
        not_after=now + int(seconds * 1_000_000),
    )


def value(receipt: Receipt) -> Any:
    """What the function returned."""
    assert receipt.status == "done", receipt
    return json.loads(receipt.result)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def children() -> list[int]:
    """The children of this process, those not reaped included."""
    mine = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in mine]


def processes() -> list[int]:
    """Those that came since the tools were opened."""
    return [pid for pid in children() if pid not in OTHERS]


async def asked_again(tools: PythonTools, contract: Tool) -> Receipt:
    """A call, made again where its process had died and so was not asked."""
    receipt = await tools.call(cleared(contract))
    for _ in range(3):
        if receipt.status != "not_attempted":
            break
        receipt = await tools.call(cleared(contract))
    return receipt


async def soon(is_so: Callable[[], bool]) -> None:
    """Wait until a fact holds."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be"
        await asyncio.sleep(0.01)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait, without an event loop, until a fact holds."""
    until = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.01)


# What a call gives.


@under_both_loops
async def test_a_call_returns_what_the_function_returned(tools: PythonTools) -> None:
    adds = tool(
        """
        import dataclasses
        @dataclasses.dataclass
        class Sum:
            sum: int
            words: str = "größer ✓"
        def f(a, b=2):
            return dataclasses.asdict(Sum(a + b))
        """
    )
    receipt = await tools.call(cleared(adds, {"a": 1}))
    assert value(receipt) == {"sum": 3, "words": "größer ✓"}
    assert receipt.content.rest == receipt.result
    assert (receipt.cost_nanousd, receipt.detail) == (7, {})


@under_both_loops
async def test_an_async_function_is_awaited_and_leaves_no_task_behind(tools: PythonTools) -> None:
    counts = tool(
        """
        import asyncio
        ticks = []
        async def tick():
            while True:
                ticks.append(1)
                await asyncio.sleep(0)
        async def f():
            asyncio.get_running_loop().create_task(tick())
            before = len(ticks)
            await asyncio.sleep(0)
            return [before, len(ticks)]
        """
    )
    first = value(await tools.call(cleared(counts)))
    assert first == [0, 1]
    second = value(await tools.call(cleared(counts)))
    assert second[0] < second[1] <= 4, "only the task of the second call may have gone on"


@under_both_loops
async def test_arguments_arrive_exactly_as_they_were_cleared(tools: PythonTools) -> None:
    echo = tool("def f(**given):\n    return {k: repr(v) for k, v in given.items()}")
    raw = b'{\r\n "a": 123456789012345678901234567890,\n "b": "line\\nbreak",\n\t"c": [1.0]}\n'
    got = value(await tools.call(cleared(echo, raw)))
    assert got == {"a": "123456789012345678901234567890", "b": "'line\\nbreak'", "c": "[1.0]"}


@pytest.mark.parametrize("arguments", [b"[]", b"", b'{"a": 1}, "b": {"c": 2}', b'{"a": NaN}'])
@under_both_loops
async def test_arguments_that_are_no_json_object_never_reach_the_function(
    tools: PythonTools, arguments: bytes
) -> None:
    receipt = await tools.call(cleared(tool("def f(**given):\n    return given"), arguments))
    assert (receipt.status, receipt.cost_nanousd) == ("not_attempted", 0)
    assert receipt.detail["error"] == "the arguments are not a JSON object"
    assert processes() == []


@under_both_loops
async def test_printing_and_reading_standard_streams_does_not_disturb_the_answers(
    tools: PythonTools,
) -> None:
    prints = tool(
        """
        import os, subprocess, sys
        def f(n):
            print('{"result": "forged"}')
            sys.stdout.write("no line end")
            os.write(1, b'{"error": "forged"}' + bytes([10]))
            subprocess.run(["echo", '{"result": "forged"}'], check=True)
            print("x" * 300_000, file=sys.stderr)
            return [n, sys.stdin.read()]
        """
    )
    for n in range(20):
        assert value(await tools.call(cleared(prints, {"n": n}))) == [n, ""]


# What fails, and is known to have failed.


@under_both_loops
async def test_an_exception_is_a_failed_receipt_and_the_process_survives_it(
    tools: PythonTools,
) -> None:
    fails = tool(
        """
        import os, sys
        def f(how):
            print("looking at", how, file=sys.stderr)
            if how == "exit":
                sys.exit("bye")
            if how == "mute":
                class Mute(Exception):
                    def __str__(self):
                        raise RuntimeError
                raise Mute
            if how == "raise":
                raise ValueError("no queue `x`" + 9_000 * "!")
            return os.getpid()
        """
    )
    pid = value(await tools.call(cleared(fails, {"how": "well"})))
    said = {}
    for how in ("raise", "exit", "mute"):
        receipt = await tools.call(cleared(fails, {"how": how}))
        assert receipt.status == "failed"
        assert receipt.cost_nanousd == 7
        assert receipt.content.rest == receipt.result
        assert len(receipt.detail["error"]) <= 500
        said[how] = json.loads(receipt.result)["error"]
    assert said["raise"].startswith("ValueError: no queue `x`!!!")
    assert len(said["raise"]) == 500
    assert (said["exit"], said["mute"]) == ("SystemExit: bye", "Mute")
    assert value(await tools.call(cleared(fails, {"how": "well"}))) == pid


@under_both_loops
async def test_what_a_failing_call_printed_is_noted_and_not_told_to_the_agent(
    tools: PythonTools,
) -> None:
    source = """
        import sys, time
        def f():
            print("early " * 1000, "the queue was full", file=sys.stderr, flush=True)
            time.sleep(0.2)
            raise OSError("no room")
        """
    receipt = await tools.call(cleared(tool(source)))
    assert json.loads(receipt.result) == {"error": "OSError: no room"}
    assert receipt.detail["error"].startswith("OSError: no room (at tools/f.py:6); it printed: ")
    assert receipt.detail["error"].endswith("the queue was full")
    assert len(receipt.detail["error"]) == 500


@pytest.mark.parametrize(
    "returned",
    ["object()", "float('nan')", "{1: {2}}", "chr(0xD800)", "(n for n in 'ab')", "deep(100_000)"],
)
@under_both_loops
async def test_a_result_that_is_not_json_is_a_failed_receipt(
    tools: PythonTools, returned: str
) -> None:
    source = f"""
        def deep(levels):
            nest = []
            for _ in range(levels):
                nest = [nest]
            return nest
        def f(bad):
            return {returned} if bad else "well"
        """
    contract = tool(source)
    receipt = await tools.call(cleared(contract, {"bad": True}))
    assert receipt.status == "failed"
    assert receipt.detail["error"].startswith("the result is not JSON")
    assert value(await tools.call(cleared(contract, {"bad": False}))) == "well"


@under_both_loops
async def test_a_result_of_the_largest_size_passes_and_one_byte_more_does_not(
    tools: PythonTools,
) -> None:
    repeats = tool("def f(n):\n    return 'x' * n")
    most = TOOL_RESULT_BYTES_MAX - len('""')
    assert len((await tools.call(cleared(repeats, {"n": most}))).result) == TOOL_RESULT_BYTES_MAX
    receipt = await tools.call(cleared(repeats, {"n": most + 1}))
    assert receipt.status == "failed"
    assert receipt.detail["error"] == f"the result is larger than {TOOL_RESULT_BYTES_MAX} bytes"
    assert len(receipt.result) < 100
    assert value(await tools.call(cleared(repeats, {"n": 1}))) == "x"


@under_both_loops
async def test_a_result_outside_its_contract_is_withheld(tools: PythonTools) -> None:
    results = {"type": "object", "properties": {"routed": {"type": "boolean"}}}
    echo = tool("def f(v):\n    return {'routed': v}", results=results)
    assert value(await tools.call(cleared(echo, {"v": True}))) == {"routed": True}
    receipt = await tools.call(cleared(echo, {"v": "card 4111"}))
    assert receipt.status == "failed"
    assert receipt.detail["error"].startswith("result does not fit the contract")
    assert "/properties/routed/type" in receipt.detail["error"]
    assert "4111" not in repr(receipt)


@under_both_loops
async def test_a_memory_bomb_hurts_only_its_own_call(tools: PythonTools) -> None:
    grows = tool(
        """
        def f(mebibytes):
            return len([bytes(64 << 20) for _ in range(mebibytes // 64)])  # never touched
        """
    )
    for _ in range(2):
        receipt = await tools.call(cleared(grows, {"mebibytes": 4096}))
        assert receipt.status == "failed"
        assert receipt.detail["error"].startswith("MemoryError")
        assert value(await tools.call(cleared(grows, {"mebibytes": 128}))) == 2


@under_both_loops
async def test_open_files_and_file_sizes_are_bounded(tools: PythonTools) -> None:
    greedy = tool(
        """
        def f(what):
            if what == "files":
                kept = [open("/dev/null") for _ in range(300)]
            else:
                with open("big", "wb") as big:
                    big.truncate(65 << 20)
        """
    )
    for what, said in (("files", "Too many open files"), ("size", "File too large")):
        receipt = await tools.call(cleared(greedy, {"what": what}))
        assert receipt.status == "failed"
        assert said in receipt.detail["error"]


@under_both_loops
async def test_results_at_the_edge_of_parsers_do_not_break_a_call(tools: PythonTools) -> None:
    big = tool("def f(n):\n    return 10 ** n", results={"type": "integer"})
    got = [(await tools.call(cleared(big, {"n": n}))).status for n in (18, 30, 400, 9_000, 2)]
    assert got == ["done", "done", "failed", "failed", "done"]
    deep = tool("def f(n):\n    x = 0\n    for _ in range(n):\n        x = [x]\n    return x")
    got = [(await tools.call(cleared(deep, {"n": n}))).status for n in (128, 129, 985, 1)]
    assert got == ["done", "failed", "failed", "done"]


# What never began.


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "import os\nprint('on the way')\nraise LookupError('no such table')\ndef f(): ...",
            "no s",
        ),
        ("import os, sys\nprint('gone', file=sys.stderr, flush=True)\nos._exit(3)", "gone"),
        ("def g(): ...", "`f`|'f'"),
    ],
)
@under_both_loops
async def test_a_file_that_does_not_load_is_not_an_attempt(
    tools: PythonTools, source: str, said: str
) -> None:
    for _ in range(2):
        receipt = await tools.call(cleared(tool(source)))
        assert (receipt.status, receipt.cost_nanousd) == ("not_attempted", 0)
        assert any(word in receipt.detail["error"] for word in said.split("|")), receipt
        assert processes() == []


@under_both_loops
async def test_a_missing_interpreter_is_not_an_attempt(tmp_path: Path) -> None:
    async with opened(tmp_path, python="/no/such/python") as broken:
        receipt = await broken.call(cleared(tool("def f(): ...")))
    assert receipt.status == "not_attempted"
    assert "could not be started" in receipt.detail["error"]


@under_both_loops
async def test_a_process_that_dies_before_it_has_read_the_request_was_not_asked(
    tools: PythonTools,
) -> None:
    contract = tool("import os\ndef f(text=''):\n    return os.getpid()")
    pid = value(await tools.call(cleared(contract)))
    os.kill(pid, signal.SIGSTOP)
    call = asyncio.create_task(tools.call(cleared(contract, {"text": "x" * 8_000_000})))
    await asyncio.sleep(0.3)
    assert not call.done()
    os.kill(pid, signal.SIGKILL)
    receipt = await call
    assert (receipt.status, receipt.cost_nanousd) == ("not_attempted", 0)
    assert value(await tools.call(cleared(contract))) != pid


@under_both_loops
async def test_an_idle_process_that_died_is_replaced_or_was_not_asked(tools: PythonTools) -> None:
    contract = tool("import os\ndef f():\n    return os.getpid()")
    pid = value(await tools.call(cleared(contract)))
    os.kill(pid, signal.SIGKILL)
    await soon(lambda: pid not in processes())
    second = value(await asked_again(tools, contract))
    assert second != pid
    os.kill(second, signal.SIGKILL)
    wait_until(lambda: not is_alive(second))  # the event loop has not heard of this one
    assert (await tools.call(cleared(contract))).status == "not_attempted"
    assert value(await asked_again(tools, contract)) not in (pid, second)


@under_both_loops
async def test_a_clearance_that_ran_out_is_not_used(tools: PythonTools) -> None:
    marks = tool("def f():\n    open('mark', 'w').close()")
    late = await tools.call(cleared(marks, seconds=-1))
    assert late.status == "not_attempted"
    assert not (tools.folder / "f" / "mark").exists()
    assert (await tools.call(cleared(marks))).status == "done"
    assert (tools.folder / "f" / "mark").exists()


@under_both_loops
async def test_a_call_does_not_wait_for_a_process_beyond_its_clearance(tools: PythonTools) -> None:
    sleeps = tool("import time\ndef f(s):\n    time.sleep(s)\n    return s")
    calls = [tools.call(cleared(sleeps, {"s": 1.5})) for _ in range(TOOL_PROCESSES_MAX)]
    busy = [asyncio.create_task(call) for call in calls]
    await soon(lambda: len(processes()) == TOOL_PROCESSES_MAX)
    receipt = await tools.call(cleared(sleeps, {"s": 0}, seconds=0.2))
    assert receipt.status == "not_attempted"
    assert not any(call.done() for call in busy)
    assert [value(await call) for call in busy] == [1.5] * TOOL_PROCESSES_MAX


# What nobody knows.


@under_both_loops
async def test_a_process_that_ends_during_a_call_leaves_it_in_doubt(tools: PythonTools) -> None:
    leaves = tool("import os\ndef f(n):\n    return n if n else os._exit(0)")
    with pytest.raises(TimeoutError, match="ended before it answered"):
        await tools.call(cleared(leaves, {"n": 0}))
    assert processes() == []
    assert value(await tools.call(cleared(leaves, {"n": 1}))) == 1


@pytest.mark.parametrize("ending", ["while True: pass", "time.sleep(60)"])
@under_both_loops
async def test_a_timeout_kills_the_process_and_all_it_started(
    tools: PythonTools, ending: str
) -> None:
    endless = tool(
        f"""
        import os, subprocess, time
        def f():
            inner = "import subprocess, time; p = subprocess.Popen(['sleep', '60']);"
            inner += "open('inner', 'w').write(str(p.pid)); time.sleep(60)"
            outer = subprocess.Popen(["python3", "-c", inner])
            while not os.path.exists("inner") or not open("inner").read():
                time.sleep(0.01)
            open("outer", "w").write(f"{{os.getpid()}} {{outer.pid}}")
            {ending}
        """,
        timeout_seconds=2,
    )
    before = time.monotonic()
    with pytest.raises(TimeoutError, match="within 2 seconds"):
        await tools.call(cleared(endless))
    assert 2 <= time.monotonic() - before < 4
    texts = [(tools.folder / "f" / name).read_text() for name in ("outer", "inner")]
    pids = [int(pid) for pid in " ".join(texts).split()]
    assert len(pids) == 3
    await soon(lambda: not any(is_alive(pid) for pid in pids))
    assert processes() == []


@under_both_loops
async def test_a_fork_that_outlives_the_function_does_not_delay_or_answer(
    tools: PythonTools,
) -> None:
    forks = tool(
        """
        import os, time
        def f(how):
            pid = os.fork()
            if pid == 0:
                if how == "return":
                    return "the fork"
                time.sleep(60)
            if how == "die":
                os._exit(1)
            return pid
        """
    )
    for _ in range(2):
        assert isinstance(value(await tools.call(cleared(forks, {"how": "return"}))), int)
    with pytest.raises(TimeoutError, match="ended before it answered"):
        await tools.call(cleared(forks, {"how": "die"}))  # not "within 10 seconds"


@pytest.mark.parametrize(
    "forged", [r'{"result": 1}\n{"result": 2}\n', r"no json\n", r"{}[]\n", r"\n\n", "x" * 5_000_000]
)
@under_both_loops
async def test_an_answer_that_nobody_can_read_leaves_the_call_in_doubt(
    tools: PythonTools, forged: str
) -> None:
    forges = tool(
        f"""
        import os, stat, time
        def f(forge):
            if not forge:
                return "well"
            for fd in range(3, 20):
                try:
                    os.write(fd, b'{forged}')
                except OSError:
                    pass
            time.sleep(60)
        """
    )
    with pytest.raises(TimeoutError):
        await tools.call(cleared(forges, {"forge": True}))
    assert processes() == []
    assert value(await tools.call(cleared(forges, {"forge": False}))) == "well"


@under_both_loops
async def test_a_cancelled_call_ends_its_process(tools: PythonTools) -> None:
    sleeps = tool("import time\ndef f():\n    time.sleep(60)")
    for wait in (0.0, 0.01, 0.5):
        call = asyncio.create_task(tools.call(cleared(sleeps)))
        await asyncio.sleep(wait)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await soon(lambda: processes() == [])


# What a tool gets, and what it cannot reach.


@under_both_loops
async def test_a_tool_sees_no_variable_of_the_server(
    tools: PythonTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERDECK_SECRET_OPENAI", "sk-not-for-tools")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    shows = tool("import os, sys\ndef f():\n    return [dict(os.environ), os.getcwd(), sys.path]")
    variables, folder, path = value(await tools.call(cleared(shows)))
    assert folder == str(tools.folder / "f")
    assert set(variables) <= {"PATH", "LANG", "TZ", "HOME", "LC_CTYPE"}
    assert (variables["TZ"], variables["HOME"]) == ("UTC", folder)
    assert "/somewhere" not in path
    assert "" not in path


@under_both_loops
async def test_a_tool_has_a_private_folder_of_its_own(tools: PythonTools) -> None:
    writes = "import os\ndef f():\n    open('mine', 'a').write('x')\n    return os.listdir()"
    for name in ("first", "second"):
        assert value(await tools.call(cleared(tool(writes, name)))) == ["mine"]
        assert (tools.folder / name).stat().st_mode & 0o777 == 0o700
    assert tools.folder.stat().st_mode & 0o777 == 0o700


@under_both_loops
async def test_a_tool_inherits_no_descriptor_but_its_pipes(
    tools: PythonTools, tmp_path: Path
) -> None:
    """Goal: even an inheritable descriptor of the server stays out of reach."""
    secret = tmp_path / "secret"
    secret.write_text("for the server only")
    leaky = os.open(secret, os.O_RDONLY)
    os.set_inheritable(leaky, True)
    shows = tool(
        """
        import os
        def f():
            fds = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
            return {fd[14:]: os.readlink(fd) for fd in fds if os.path.lexists(fd)}
        """
    )
    try:
        found = value(await tools.call(cleared(shows)))
    finally:
        os.close(leaky)
    assert found["0"] == "/dev/null"
    assert found["1"] == found["2"]
    others = [to for fd, to in found.items() if fd not in ("0", "1", "2")]
    assert len(others) == 2
    assert all(to.startswith(("pipe:", "socket:")) for to in others)


@under_both_loops
async def test_a_tool_runs_in_a_session_of_its_own_with_hard_limits(tools: PythonTools) -> None:
    source = """
        import os, resource as r
        def f():
            limits = [r.getrlimit(k) for k in (r.RLIMIT_CORE, r.RLIMIT_AS, r.RLIMIT_NOFILE)]
            return [os.getpid() == os.getsid(0) == os.getpgrp(), limits]
        """
    alone, limits = value(await tools.call(cleared(tool(source))))
    assert alone is True
    assert limits == [[0, 0], [1 << 30, 1 << 30], [256, 256]]


@under_both_loops
async def test_a_tool_cannot_open_the_data_folder_or_what_is_declared_private(
    tmp_path: Path,
) -> None:
    """Goal: the fence. Where the kernel has none, the same calls still work."""
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    (data / "tools" / "other").mkdir(parents=True)
    elsewhere.mkdir()
    hidden = [data / "master.key", data / "tools" / "other" / "file", elsewhere / "second.key"]
    for path in hidden:
        path.write_text("for the server only")
    (elsewhere / "notes").write_text("for everyone")
    reads, writes = tool(READS), tool("def f(path):\n    open(path, 'w').close()", "w")
    removes = tool("import os\ndef f(path):\n    os.replace(path, 'taken')", "r")
    async with opened(tmp_path, private=(elsewhere / "second.key",)) as fenced:
        for contract, path in itertools.product((reads, writes, removes), hidden):
            receipt = await fenced.call(cleared(contract, {"path": str(path)}))
            is_kept = receipt.status == "failed" and "PermissionError" in receipt.detail["error"]
            assert is_kept or LANDLOCK_VERSION < 1, receipt
        public = {"path": str(elsewhere / "notes")}
        assert value(await fenced.call(cleared(reads, public))) == "for everyone"
    assert LANDLOCK_VERSION < 1 or [p.read_text() for p in hidden] == ["for the server only"] * 3


@under_both_loops
async def test_a_tool_cannot_look_into_the_server_or_signal_it(tools: PythonTools) -> None:
    own = f"/proc/{os.getpid()}"
    for path in (f"{own}/environ", f"{own}/mem", f"{own}/maps"):
        receipt = await tools.call(cleared(tool(READS), {"path": path}))
        assert receipt.status == "failed" or LANDLOCK_VERSION < 1, path
    kill = tool("import os\ndef f(pid):\n    os.kill(pid, 0)", "k")
    receipt = await tools.call(cleared(kill, {"pid": os.getpid()}))
    assert receipt.status == "failed" or LANDLOCK_VERSION < 6


@under_both_loops
async def test_a_tool_can_work_in_its_folder_as_usual(tools: PythonTools) -> None:
    source = """
        import os, shutil, sqlite3, subprocess, tempfile
        def f():
            os.mkdir("a")
            open("a/x", "w").close()
            os.rename("a/x", "y")
            shutil.rmtree("a")
            tempfile.TemporaryFile().close()
            db = sqlite3.connect("books.db")
            db.execute("pragma journal_mode=wal")
            db.execute("create table books (title)")
            db.close()
            return [sorted(os.listdir()), subprocess.check_output(["echo", "hello"], text=True)]
        """
    assert value(await tools.call(cleared(tool(source)))) == [["books.db", "y"], "hello\n"]


# Many calls, and the end.


@under_both_loops
async def test_concurrent_calls_share_a_few_processes_and_are_never_mixed_up(
    tools: PythonTools,
) -> None:
    echo = tool("import os, time\ndef f(n):\n    time.sleep(0.02)\n    return [n, os.getpid()]")
    calls = [tools.call(cleared(echo, {"n": n})) for n in range(10)]
    answers = [value(receipt) for receipt in await asyncio.gather(*calls)]
    assert [n for n, _ in answers] == list(range(10))
    assert len({pid for _, pid in answers}) == TOOL_PROCESSES_MAX == len(processes())


@under_both_loops
async def test_a_process_keeps_its_state_and_another_digest_has_another_process(
    tools: PythonTools,
) -> None:
    source = "calls = []\ndef f():\n    calls.append(1)\n    return len(calls)"
    old, new = cleared(tool(source)), cleared(tool(source + "  # changed"))
    assert [value(await tools.call(c)) for c in (old, old, new, old)] == [1, 2, 1, 3]


@under_both_loops
async def test_an_idle_process_leaves_and_closes_what_it_has_open(tmp_path: Path) -> None:
    keeps = tool("kept = open('log', 'w')\ndef f():\n    kept.write('called')")
    async with opened(tmp_path, idle_seconds=0.2) as brief:
        for _ in range(2):
            assert (await brief.call(cleared(keeps))).status == "done"
            assert len(processes()) == 1
            await soon(lambda: processes() == [])
            assert (brief.folder / "f" / "log").read_text() == "called"


@under_both_loops
async def test_close_leaves_no_process_and_nothing_begins_after_it(tools: PythonTools) -> None:
    sleeps = tool("import time\ndef f(s):\n    time.sleep(s)\n    return s")
    starts = "import subprocess\ndef f():\n    return subprocess.Popen(['sleep', '60']).pid"
    started = value(await tools.call(cleared(tool(starts, "other"))))
    assert value(await tools.call(cleared(sleeps, {"s": 0}))) == 0
    busy = [asyncio.create_task(tools.call(cleared(sleeps, {"s": 60}))) for _ in range(4)]
    await soon(lambda: len(processes()) == 1 + TOOL_PROCESSES_MAX)
    await asyncio.sleep(0.3)
    before = time.monotonic()
    await tools.close()
    assert time.monotonic() - before < 4
    ended = await asyncio.gather(*busy, return_exceptions=True)
    assert processes() == []
    await soon(lambda: not is_alive(started))
    assert sum(isinstance(end, TimeoutError) for end in ended) == TOOL_PROCESSES_MAX
    assert sum(isinstance(e, Receipt) and e.status == "not_attempted" for e in ended) == 2
    assert (await tools.call(cleared(sleeps, {"s": 0}))).status == "not_attempted"
    assert processes() == []


@under_both_loops
async def test_close_during_a_start_leaves_no_process(tmp_path: Path) -> None:
    slow = tool("import time\ntime.sleep(60)\ndef f(): ...")
    for wait in (0.0, 0.3):
        async with opened(tmp_path) as tools:
            call = asyncio.create_task(tools.call(cleared(slow)))
            await asyncio.sleep(wait)
        assert (await call).status == "not_attempted"


@pytest.mark.parametrize("body", ["while True: pass", "time.sleep(60)"])
def test_the_death_of_the_server_ends_its_tools(tmp_path: Path, body: str) -> None:
    """Method: a server in a process of its own, killed while its tool is under way."""
    source = f"import os, time\ndef f():\n    open('pid', 'w').write(str(os.getpid()))\n    {body}"
    program = f"""
        import asyncio, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_python_tools import CLOCK, Path, PythonTools, cleared, tool
        tools = PythonTools(folder=Path({str(tmp_path / "data" / "tools")!r}), clock=CLOCK)
        asyncio.run(tools.call(cleared(tool({source!r}))))
        """
    server = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)])
    note = tmp_path / "data" / "tools" / "f" / "pid"
    try:
        wait_until(lambda: note.exists() and note.read_text() != "")
        pid = int(note.read_text())
        assert is_alive(pid)
    finally:
        server.kill()
        server.wait()
    wait_until(lambda: not is_alive(pid))
