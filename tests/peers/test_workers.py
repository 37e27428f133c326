"""Several workers on one port, with npm's clients, whose requests come to any of them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from peers.harness import HERE, LOOPS, ServerProcess, run_node

pytestmark = [pytest.mark.peer, pytest.mark.slow]

EXPECTED = {
    "pids": 3,
    "news": True,
    "room": True,
    "question": True,
    "fetch": True,
    "others": 2,
    "kept": 0,
    "back": False,
    "drops": True,
}


def serve_workers(*arguments: str, folder: Path = HERE) -> ServerProcess:
    return ServerProcess(["serve", "workers_app:io", "--port", "0", *arguments], folder)


@pytest.mark.parametrize("loop", LOOPS)
def test_clients_reach_their_sessions_and_each_other_whichever_worker_gets_their_requests(loop: str) -> None:
    with serve_workers("--workers", "3", "--loop", loop) as server:
        results = run_node("workers.js", server.url, str(server.process.pid))
        assert server.wait() == 0
    assert results["pids"] in (2, 3)
    assert results == EXPECTED | {"pids": results["pids"]}
    output = "\n".join(server.lines)
    assert output.count("was killed by signal 9; starting another one") == 1, output
    assert "Traceback" not in output


def test_the_same_through_tls(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("127.0.0.1")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.private_key_pem.write_to_path(str(key))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    with serve_workers("--workers", "3", "--tls-cert", str(certificate), "--tls-key", str(key)) as server:
        results = run_node("workers.js", server.url, str(server.process.pid))
        assert server.wait() == 0
    # What the worker that died has relayed for others ends with it: which that is depends on the system.
    assert results == EXPECTED | {"pids": results["pids"], "kept": results["kept"]}


def test_a_second_signal_stops_them_at_once() -> None:
    with serve_workers("--workers", "2", "--grace", "100") as server:
        server.process.send_signal(signal.SIGINT)
        server.process.send_signal(signal.SIGINT)
        assert server.wait() in (0, 1)


def test_workers_end_with_their_parent() -> None:
    with serve_workers("--workers", "2") as server:
        server.process.kill()
        # Until nobody holds its output any more.
        server.wait()
        assert not _listens(server.port)


def test_an_application_that_can_not_be_loaded_is_one_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "siocore", "serve", "workers_app:io", "--port", "0", "--workers", "3"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("there is no module 'workers_app'") == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False
