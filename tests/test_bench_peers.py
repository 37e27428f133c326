"""The load bench finds its peers, builds those that are programs, and says in one line why it skips one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

if sys.platform != "linux":
    pytest.skip("the load bench needs Linux", allow_module_level=True)

from bench import servers
from bench.chart.canvas import COLOURS
from bench.servers import PEERS, Build, Peer
from bench.workloads import WORKLOADS

#: Seconds after which an answer is taken to be missing.
TIMEOUT = 20.0
WITH_ROOMS = [peer for peer in PEERS if "room" not in peer.without]
COMPILED = [peer for peer in PEERS if peer.build is not None]

#: A compiler: it counts its runs, and its program says how often it was built.
COMPILER = """\
import pathlib, sys
if (text := pathlib.Path("source").read_text()) == "wrong":
    sys.exit(f"warning: look closely\\nerror: no sense in {pathlib.Path.cwd()}/source\\n\\nmore about it")
runs = pathlib.Path("runs")
runs.write_text(runs.read_text() + "I" if runs.exists() else "I")
program = pathlib.Path("out/program")
program.parent.mkdir(exist_ok=True)
program.write_text(f"#!/bin/sh\\necho {text} $(cat made/runs)\\n")
program.chmod(0o755)
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a peer that is yet to be built."""
    folder = tmp_path / "bench" / "made"
    folder.mkdir(parents=True)
    monkeypatch.setattr(servers, "HERE", folder.parent)
    change(folder, "first")
    return folder


def change(folder: Path, text: str) -> None:
    """Write the source anew. The times are set, as a clock may be too coarse to tell which of two came first."""
    source, stamp = folder / "source", folder / "out" / "program.built"
    source.write_text(text, encoding="utf-8")
    os.utime(source, (2, 2))
    if stamp.exists():
        os.utime(stamp, (1, 1))


def peer(*command: str) -> Peer:
    return Peer(
        name="made",
        title="Made",
        command=("made/out/program",),
        probe=("made/out/program", "--version"),
        hint="needs a toolchain",
        build=Build("made", command or (sys.executable, "-c", COMPILER)),
    )


def test_a_peer_is_built_once_with_a_line_that_says_so(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert servers.probe(peer()) == ("first I", None)
    assert capsys.readouterr().out == "building the made peer, a few minutes the first time\n"
    assert servers.probe(peer()) == ("first I", None)
    assert capsys.readouterr().out == ""


def test_a_peer_is_built_again_when_its_sources_are_newer(made: Path) -> None:
    servers.probe(peer())
    change(made, "second")
    assert servers.probe(peer()) == ("second II", None)


def test_half_a_program_is_built_again(made: Path) -> None:
    servers.probe(peer())
    (made / "out" / "program.built").unlink()
    assert servers.probe(peer()) == ("first II", None)


def test_a_build_that_fails_is_the_reason_in_one_line(made: Path) -> None:
    change(made, "wrong")
    assert servers.probe(peer()) == (
        None,
        f"needs a toolchain ({sys.executable}: error: no sense in bench/made/source)",
    )


def test_an_older_program_does_not_stand_in_for_one_that_fails_to_build(made: Path) -> None:
    servers.probe(peer())
    change(made, "wrong")
    versions, reason = servers.probe(peer())
    assert versions is None
    assert reason is not None


def test_a_build_that_fails_without_an_error_line_gives_its_last_one(made: Path) -> None:
    script = "import sys; sys.exit('go: reading the lock\\ngo: no network\\n')"
    assert servers.probe(peer(sys.executable, "-c", script)) == (
        None,
        f"needs a toolchain ({sys.executable}: go: no network)",
    )


def test_a_build_that_fails_silently_gives_its_status(made: Path) -> None:
    assert servers.probe(peer(sys.executable, "-c", "raise SystemExit(3)")) == (
        None,
        f"needs a toolchain ({sys.executable}: status 3)",
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            'go: peer@v1.0.0: Get "https://me@mirror.test/v1.zip": dial tcp: lookup mirror.test on 192.0.2.1:53: none',
            "go: peer@v1.0.0: Get …",
        ),
        ("error: failed to download from `sparse+http://mirror.test:8080/index`", "error: failed to download from …"),
        ("error: failed to connect to 192.0.2.1: refused", "error: failed to connect to …: refused"),
        ("dial tcp [2001:db8::1]:443: refused", "dial tcp …: refused"),
        ("error: could not write '/home/somebody/a.o' (in /mnt/b): full", "error: could not write '…' (in …): full"),
        ("src/main.go:3:1: v1.2.3 of a.test/b/c and/or ./d", "src/main.go:3:1: v1.2.3 of a.test/b/c and/or ./d"),
    ],
)
def test_the_reason_names_no_host_and_no_folder_of_the_machine(made: Path, said: str, told: str) -> None:
    script = "import sys; sys.exit(sys.argv[1])"
    versions, reason = servers.probe(peer(sys.executable, "-c", script, said))
    assert (versions, reason) == (None, f"needs a toolchain ({sys.executable}: {told})")


@pytest.mark.parametrize("real", COMPILED, ids=[peer.name for peer in COMPILED])
def test_a_missing_toolchain_is_the_reason_in_one_line(
    real: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert real.build is not None
    (tmp_path / real.build.folder).mkdir(parents=True)
    monkeypatch.setattr(servers, "HERE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert servers.probe(real) == (None, f"{real.hint} ({real.build.command[0]} was not found)")
    assert capsys.readouterr().out == ""


class Client:
    """A client that is in the namespace ``/``."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.send = websocket.send
        self._receive = websocket.recv
        assert str(self.next()).startswith("0{")
        self.send("40")
        assert str(self.next()).startswith("40{")

    def next(self) -> str | bytes:
        """What it gets next, other than heartbeats: one of the servers sends the first of them at once."""
        while (message := self._receive(TIMEOUT)) == "2":
            self.send("3")
        return message

    def ask(self, event: str, text: str) -> None:
        """Sends an event that is to be acknowledged with its text, which must be the next that comes."""
        self.send(f'427["{event}","{text}"]')
        assert self.next() == f'437["{text}"]'


@contextmanager
def joined(port: int) -> Iterator[Client]:
    url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
    # One of the servers leaves connections open: nothing is waited for at their end.
    with connect(url, compression=None, close_timeout=0) as websocket:
        yield Client(websocket)


@pytest.mark.parametrize("real", WITH_ROOMS, ids=[peer.name for peer in WITH_ROOMS])
def test_every_program_handles_the_events_of_the_bench(real: Peer) -> None:
    if not servers.built(real):
        pytest.skip("not built: a run of the bench does that")
    versions, reason = servers.probe(real)
    if versions is None:
        pytest.skip(str(reason))
    core = min(os.sched_getaffinity(0))
    with servers.running(real, core) as server, joined(server.port) as member, joined(server.port) as other:
        member.ask("echo", "hello")
        attachment: list[str | bytes] = ['451-["bin",{"_placeholder":true,"num":0}]', b"\0\xff"]
        for part in attachment:
            member.send(part)
        assert [member.next() for _ in attachment] == attachment
        other.send('42["cast","everybody"]')
        assert [client.next() for client in (member, other)] == ['42["cast","everybody"]'] * 2

        member.ask("join", "inside")
        other.send('42["room","inside","one"]')
        assert member.next() == '42["room","one"]'
        other.ask("join", "inside")
        member.send('42["room","inside","both"]')
        assert [client.next() for client in (member, other)] == ['42["room","both"]'] * 2
        other.ask("leave", "inside")
        other.send('42["room","inside","one"]')
        assert member.next() == '42["room","one"]'
        # What went to the room would have come before this answer.
        other.ask("echo", "outside")


def test_modes_that_a_peer_lacks_exist_and_have_a_reason() -> None:
    lacking = {(peer.name, mode): reason for peer in PEERS for mode, reason in peer.without.items()}
    assert ("go", "connect") in lacking
    assert {mode for _, mode in lacking} <= {workload.mode for workload in WORKLOADS}
    assert all(lacking.values())


def test_every_peer_has_a_colour_of_its_own() -> None:
    assert set(COLOURS) == {peer.name for peer in PEERS}
    assert len(set(COLOURS.values())) == len(PEERS)
