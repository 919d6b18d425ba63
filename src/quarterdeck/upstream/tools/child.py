"""The program a tool's process runs: takes a function's source, then one call per line, until EOF.

Started as `python -I child.py`, never imported by the server; standard library only. Lines in: a
setup, then `{"arguments": {...}}`. Lines out: `{"ready": true}`, then `{"result": ...}` or
`{"error": "...", "at": "file:line"}` for each call. With `SETUP COMMAND…` behind it, it becomes
that command, which keeps the pipes.
INVARIANT: fleet code runs only after the descriptors are closed, the limits set, the fence up.
"""

import ctypes
import json
import os
import resource
import signal
import stat
import struct
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, NoReturn

ERROR_CHARACTERS_MAX: Final = 500
MODULE: Final = "fleet_tool"

# prctl(2)
_SET_DEATH_SIGNAL: Final = 1
_SET_NO_NEW_PRIVILEGES: Final = 38
# capabilities(7)
_CAPABILITIES_VERSION: Final = 0x20080522
_CAP_DAC_OVERRIDE: Final = 1 << 1
# landlock(7): the numbers are the same on every architecture but Alpha
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION_FLAG: Final = 1
_PATH_BENEATH: Final = 1
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_REMOVE_AND_MAKE: Final = sum(1 << bit for bit in range(4, 13))
_REFER: Final = 1 << 13  # since version 2
_TRUNCATE: Final = 1 << 14  # since version 3
_SCOPE_SIGNALS: Final = 1 << 1  # since version 6


def _main() -> None:
    if len(sys.argv) > 1:
        _become(json.loads(sys.argv[1]), sys.argv[2:])
    requests, answers = _take_pipes()
    setup = json.loads(requests.readline())
    _tie_to_parent(setup["parent"])
    _limit(setup["limits"])
    if sys.platform == "linux":
        _drop_privileges()
        _fence(setup["private"], os.getcwd())
    try:
        function = _load(setup["source"], setup["file"], setup["function"])
    except BaseException as error:  # noqa: BLE001  whatever the file's own lines raise is told
        _send(answers, _error(error, setup["file"]))
        return
    _send(answers, b'{"ready":true}')
    process = os.getpid()
    for line in requests:
        if not line.endswith(b"\n"):
            return  # cut off in the middle: this call was never fully asked
        answer = _call(function, line, setup)
        if os.getpid() != process:
            os._exit(0)  # a fork made by the tool came back here; its answer is not wanted
        _send(answers, answer)


def _become(setup: dict[str, Any], command: list[str]) -> NoReturn:
    """Another program in this one's place, tied to the server and fenced in as tools are."""
    _close_inherited()
    _tie_to_parent(setup["parent"])
    _limit(setup["limits"])
    if sys.platform == "linux":
        _drop_privileges()
        _fence(setup["private"], os.getcwd())
    try:
        os.execvp(command[0], command)  # noqa: S606  the command of an applied fleet file
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes under new numbers, so that neither `input()` nor `print()` touches them."""
    _close_inherited()
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def _close_inherited() -> None:
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            # Some event loops leave inheritable descriptors open across a start.
            try:
                os.close(int(name))
            except OSError:
                continue  # the one that listed the folder is gone already


def _tie_to_parent(parent: int) -> None:
    """End when the server ends, even in the middle of a call (elsewhere: at the next line)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it ended before the line above could ask to be told


def _limit(limits: dict[str, int]) -> None:
    """Set each limit, soft and hard, never above a hard limit that is already in force."""
    for name, wanted in limits.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        amount = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (amount, amount))


def _load(source: str, file: str, name: str) -> Callable[..., Any]:
    module = types.ModuleType(MODULE)
    module.__file__ = file
    sys.modules[MODULE] = module  # dataclasses and pickle look their module up by name
    exec(compile(source, file, "exec", dont_inherit=True), module.__dict__)  # noqa: S102  the purpose of this process
    function = getattr(module, name)
    assert callable(function), f"`{name}` in `{file}` is not a function"
    return function  # type: ignore[no-any-return]  # callable was checked, its type is the fleet's


def _call(function: Callable[..., Any], line: bytes, setup: dict[str, Any]) -> bytes:
    """The answer to one call, whatever the function does short of ending the process."""
    try:
        result = function(**json.loads(line)["arguments"])
        if hasattr(result, "__await__"):
            result = _finished(result)
    except BaseException as error:  # noqa: BLE001  sys.exit() in a tool is an outcome as well
        return _error(error, setup["file"])
    finally:
        _flush()
    try:
        text = json.dumps(result, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        encoded = text.encode()
    except Exception as error:  # noqa: BLE001  objects can fail in any way while they are written
        return _said(f"the result is not JSON: {_words(error)}")
    if len(encoded) > setup["result_bytes_max"]:
        return _said(f"the result is larger than {setup['result_bytes_max']} bytes")
    if _is_deeper(result, setup["depth_max"]):
        return _said(f"the result is nested deeper than {setup['depth_max']} levels")
    return b'{"result":%b}' % encoded


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether containers are nested deeper; by now the value is known to be a small tree."""
    parts = [value]
    for _ in range(levels + 1):
        wholes = [part for part in parts if isinstance(part, (dict, list, tuple))]
        if not wholes:
            return False
        parts = [p for w in wholes for p in (w.values() if isinstance(w, dict) else w)]
    return True


def _finished(awaitable: Any) -> Any:
    """Await in a loop of its own: a task left over must not go on during somebody else's call."""
    import asyncio  # noqa: PLC0415  costs 20 ms at each start, and few tools need it

    async def outcome() -> Any:
        return await awaitable

    return asyncio.run(outcome())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue  # the tool closed or replaced it


def _error(error: BaseException, file: str) -> bytes:
    """What went wrong, and the last line of the tool's own file that was on the way to it."""
    at, step = "", error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == file:
            at = f"{file}:{step.tb_lineno}"
        step = step.tb_next
    return _said(_words(error), at)


def _words(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  a broken __str__ must not end the process
        return type(error).__name__


def _said(message: str, at: str = "") -> bytes:
    clean = message[:ERROR_CHARACTERS_MAX].encode("utf-8", "replace").decode()
    return json.dumps({"error": clean, "at": at}).encode()


def _send(answers: BinaryIO, line: bytes) -> None:
    try:
        answers.write(line + b"\n")
        answers.flush()
    except OSError:
        os._exit(1)  # nobody is left to answer


def _drop_privileges() -> None:
    """Gain nothing by starting programs, and keep none of root's powers but one.

    With all of them a tool of a server that runs as root could still read the server's memory,
    behind any fence. The one that stays lets a root's tool import from a folder of another user.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITIES_VERSION, 0), 8)
    held = ctypes.create_string_buffer(24)
    _checked(libc.capget(header, held))
    effective, permitted = (word & _CAP_DAC_OVERRIDE for word in struct.unpack("=6I", held)[:2])
    kept = struct.pack("=6I", effective, permitted, 0, 0, 0, 0)
    _checked(libc.capset(header, ctypes.create_string_buffer(kept, 24)))


def _fence(private: list[str], own: str) -> None:
    """Keep this process and all it starts from the server's files, memory and signals.

    Running as the same user, a tool could otherwise open the data folder, or read the server's
    environment under /proc. Landlock closes both without any privilege; where the kernel lacks
    it there is no fence, and docs/explanation/tools-in-child-processes.md says what then remains.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return
    on_files = _WRITE_FILE | _READ_FILE | (_TRUNCATE if version >= 3 else 0)
    on_all = on_files | _REMOVE_AND_MAKE | (_REFER if version >= 2 else 0)
    scope = _SCOPE_SIGNALS if version >= 6 else 0
    attributes = struct.pack("=QQQ", on_all, 0, scope)
    rules = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    _checked(rules)
    for path in (*_visible("/", private), own):
        _allow(libc, rules, path, (on_files, on_all))
    for path in {sys.prefix, sys.base_prefix, *sys.path}:
        _allow(libc, rules, path, (_READ_FILE, _READ_FILE))
    _checked(libc.syscall(_RESTRICT_SELF, rules, 0))
    os.close(rules)


def _visible(at: str, private: list[str]) -> Iterator[str]:
    """The fewest paths that together hold everything but the private ones.

    Landlock can only allow, so keeping one folder back means allowing all that stand beside it
    and beside its parents. Links are passed over: where they lead is judged by its own path.
    """
    below = [path for path in private if path == at or path.startswith(f"{at.rstrip('/')}/")]
    if not below:
        yield at
    elif at not in below:
        try:
            entries = [entry.path for entry in os.scandir(at) if not entry.is_symlink()]
        except OSError:
            return  # what cannot be listed cannot be read either
        for entry in entries:
            yield from _visible(entry, below)


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: tuple[int, int]) -> None:
    """Allow a path: the first rights if it is a file, the second if it is a folder."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # gone meanwhile, or never there
    try:
        is_folder = stat.S_ISDIR(os.fstat(place).st_mode)
        rule = struct.pack("=Qi", rights[is_folder], place)
        libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0)  # refused for odd file systems
    finally:
        os.close(place)


def _checked(outcome: int) -> None:
    """A kernel that has Landlock and refuses it is a reason not to run."""
    if outcome < 0:
        raise OSError(ctypes.get_errno(), "the tool could not be fenced in")


if __name__ == "__main__":
    _main()
