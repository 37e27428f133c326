"""The servers that are compared: how each is built and found, started on its core, and stopped."""

from __future__ import annotations

import os
import re
import resource
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "PEERS",
    "BenchError",
    "Build",
    "Peer",
    "Process",
    "built",
    "environment",
    "probe",
    "running",
    "said",
    "select",
]

HERE = Path(__file__).resolve().parent
START_TIMEOUT = 20.0
#: Fetching and compiling everything that a peer is made of.
BUILD_TIMEOUT = 1800.0
#: Where a program that failed speaks of the machine: from a URL on, as the addresses that were tried follow it, and
#: else addresses and absolute paths.
PRIVATE = re.compile(
    r"""
    ["'`]? \b [\w+.-]+ :// .*
    | (?: \b \d+ (?: \. \d+ ){3} \b | \[ [\da-f:]* : [\da-f:]* \] ) (?: : \d+ )?
    | (?<! [\w.] ) / [^\s"'`:;,()]+
    """,
    re.VERBOSE,
)


class BenchError(Exception):
    """A server or the generator did not do what it should; the message says what, in one line."""


@dataclass(frozen=True, slots=True)
class Build:
    """A command that, run in ``folder``, compiles the program that the peer's own command starts with."""

    folder: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """A server program. ``probe`` is a command that prints its versions, and fails where the peer can't run."""

    name: str
    title: str
    command: tuple[str, ...]
    probe: tuple[str, ...]
    hint: str
    build: Build | None = None
    #: Modes of the generator that it can't be measured in, and why.
    without: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Process:
    """A server that listens on ``port`` of 127.0.0.1."""

    pid: int
    port: int

    def resident(self) -> int:
        """Its resident memory in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()


def _siocore(loop: str, hint: str = "install siocore") -> Peer:
    return Peer(
        name=f"siocore-{loop}",
        title=f"siocore ({loop})",
        command=(sys.executable, "peers/siocore_app.py", loop),
        probe=(sys.executable, "peers/versions.py", f"siocore.{'trio' if loop == 'trio' else 'asyncio'}", loop),
        hint=hint,
    )


PEERS = (
    _siocore("trio"),
    _siocore("asyncio"),
    _siocore("uvloop", "pip install siocore[uvloop]"),
    Peer(
        name="node",
        title="Node.js socket.io",
        command=("node", "peers/node_server.js"),
        probe=("node", "peers/versions.js"),
        hint="needs Node.js, and `npm ci` in bench/",
    ),
    Peer(
        name="python-socketio",
        title="python-socketio",
        command=(sys.executable, "peers/python_socketio_app.py"),
        probe=(sys.executable, "peers/versions.py", "socketio", "uvicorn", "uvloop", "httptools", "websockets"),
        hint="pip install python-socketio uvicorn httptools websockets uvloop",
    ),
    Peer(
        name="socketioxide",
        title="Rust socketioxide",
        command=("peers/socketioxide/target/release/peer",),
        probe=("peers/socketioxide/target/release/peer", "--version"),
        hint="needs Rust 1.94 or newer, and the network for its first build",
        build=Build(
            "peers/socketioxide",
            ("cargo", "build", "--release", "--locked", "--quiet", "--color", "never", "--target-dir", "target"),
        ),
    ),
    Peer(
        name="go",
        title="Go socket.io",
        command=("peers/go/build/peer",),
        probe=("peers/go/build/peer", "--version"),
        hint="needs Go 1.26 or newer, and the network for its first build",
        build=Build("peers/go", ("go", "build", "-trimpath", "-buildvcs=false", "-o", "build/peer", ".")),
        without={"connect": "leaves connections open after the closing handshake"},
    ),
    Peer(
        name="floor",
        title="C, epoll, no JSON",
        command=("load/floor",),
        probe=("load/floor", "--version"),
        hint="needs a C compiler",
        without={
            "pollecho": "has no sessions",
            "heartbeat": "sends none",
            "room": "has no rooms",
            "join": "has no rooms",
        },
    ),
)


def select(names: str | None) -> tuple[Peer, ...]:
    """The peers of a comma-separated list of names; all of them for ``None``. Raises ValueError for an unknown one."""
    if names is None:
        return PEERS
    known = {peer.name: peer for peer in PEERS}
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in known:
            raise ValueError(f"no peer is named {name!r}; there are {', '.join(known)}")
    return tuple(peer for peer in PEERS if peer.name in wanted)


def probe(peer: Peer) -> tuple[str, None] | tuple[None, str]:
    """``(versions, None)``, or ``(None, why it can't run)``, in one line. Builds a peer that is not built yet."""
    if peer.build is not None and (reason := _build(peer, peer.build)) is not None:
        return None, reason
    command = _resolved(peer.probe)
    try:
        done = subprocess.run(command, cwd=HERE, env=environment(), capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"{peer.hint} ({type(error).__name__})"
    if done.returncode == 0:
        return done.stdout.strip(), None
    lines = [line for line in done.stderr.splitlines() if "Error" in line]
    return None, f"{peer.hint} ({said(lines[0])})" if lines else peer.hint


def built(peer: Peer) -> bool:
    """Whether a peer's program is newer than its sources, or needs no build."""
    if peer.build is None:
        return True
    folder, program, stamp = HERE / peer.build.folder, HERE / peer.command[0], _stamp(peer)
    sources = [path.stat().st_mtime_ns for pattern in ("*", "src/*") for path in folder.glob(pattern) if path.is_file()]
    return program.exists() and stamp.exists() and stamp.stat().st_mtime_ns > max(sources)


def _stamp(peer: Peer) -> Path:
    """Written last: a build that was stopped may leave half a program."""
    program = HERE / peer.command[0]
    return program.with_name(f"{program.name}.built")


def _build(peer: Peer, build: Build) -> str | None:
    """Build a peer if its program is older than its sources; returns why that failed."""
    if built(peer):
        return None
    tool = build.command[0]
    if shutil.which(tool) is None:
        return f"{peer.hint} ({tool} was not found)"
    print(f"building the {peer.name} peer, a few minutes the first time", flush=True)
    try:
        done = subprocess.run(
            build.command,
            cwd=HERE / build.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{peer.hint} ({tool}: {type(error).__name__})"
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"status {done.returncode}"]
        return f"{peer.hint} ({tool}: {said(next((line for line in lines if line.startswith('error')), lines[-1]))})"
    _stamp(peer).touch()
    return None


def said(line: str) -> str:
    """What a program said, without what names the machine, its folders or the hosts that it fetches from."""
    return PRIVATE.sub("…", line.strip().replace(f"{HERE.parent}{os.sep}", ""))


def _resolved(command: tuple[str, ...]) -> list[str]:
    program = HERE / command[0]
    return [str(program) if program.is_file() else command[0], *command[1:]]


def environment() -> dict[str, str]:
    """The variables of a server or client that is measured."""
    # A source tree with its modules built in place is measured as it stands, as is an installed package.
    source = HERE.parent / "src"
    paths = [str(source), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path), "NODE_ENV": "production"}


@contextmanager
def running(peer: Peer, core: int) -> Iterator[Process]:
    """Run a peer on one core while the block runs. Raises BenchError if it does not start."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            _resolved(peer.command),
            cwd=HERE,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            yield Process(process.pid, _port(process))
        except BenchError as error:
            # A server that has failed may still be saying why.
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
            log.seek(0)
            lines = log.read().split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "")
            raise BenchError(f"{error} ({said(last)})" if last else str(error)) from None
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _port(process: subprocess.Popen[bytes]) -> int:
    """Waits for the line ``listening <port>``."""
    assert process.stdout is not None
    deadline = time.monotonic() + START_TIMEOUT
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if selector.select(left):
                words = process.stdout.readline().split()
                if not words:
                    raise BenchError("the server ended before it listened")
                if words[0] == b"listening":
                    return int(words[1])
    raise BenchError(f"the server did not listen within {START_TIMEOUT:g} seconds")
