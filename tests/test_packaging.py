"""The sdist and the wheel: what is in them, and that the wheel works in an environment of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest
import websockets.sync.client

import build_client
import siocore
from siocore._speedups import IN_PLACE

ROOT = Path(__file__).resolve().parent.parent
BUNDLE = [
    f"siocore/_client/socket.io{variant}.js{suffix}"
    for variant in ("", ".min", ".esm.min", ".msgpack.min")
    for suffix in ("", ".map", ".gz", ".map.gz")
]

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command; its output is the failure's message if it fails."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    done = subprocess.run(
        command, cwd=cwd, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources without anything that was built, but with the browser bundle where there is one."""
    folder = tmp_path_factory.mktemp("checkout")
    ignore = shutil.ignore_patterns(
        ".git", ".venv*", "node_modules", "build", "dist", "*.egg-info", "__pycache__", "*.so", ".*_cache", "results"
    )
    shutil.copytree(ROOT, folder, ignore=ignore, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def built(checkout: Path) -> Path:
    """The folder with the sdist, and with the wheel that was built from it (and so without npm, if need be)."""
    # The tests' own environment has what pyproject.toml asks for, which spares the downloads of an isolated build.
    run(sys.executable, "-m", "build", "--no-isolation", cwd=checkout)
    return checkout / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [found] = built.glob("*.whl")
    return found


def test_the_package_and_its_metadata_state_the_same_version() -> None:
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert metadata["project"]["version"] == siocore.__version__


def test_the_environment_of_the_tests_has_what_a_build_requires() -> None:
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for requirement in metadata["build-system"]["requires"]:
        assert requirement in metadata["project"]["optional-dependencies"]["dev"]


def test_the_sdist_has_the_sources_of_the_compiled_modules_and_no_c(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "setup.py",
        "build_client.py",
        "client/package-lock.json",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "src/siocore/codec/engineio.py",
        "src/siocore/_speedups/_engineio.pxd",
        "src/siocore/_speedups/_frames.pyx",
        "src/siocore/_speedups/_frames.pyi",
        "src/siocore/_speedups/_heads.pyx",
        "src/siocore/_speedups/_transfer.pyx",
        "src/siocore/engineio/session.pxd",
        "src/siocore/demo/page/index.html",
        "tests/test_packaging.py",
        "tests/peers/package-lock.json",
    ):
        assert name in names
    assert [name for name in names if name.startswith("src/") and name.endswith(".c")] == []
    assert [name for name in names if name.endswith((".so", ".pyc")) or "node_modules" in name or ".venv" in name] == []
    assert names.isdisjoint({"bench/load/load", "bench/load/floor"})
    if (build_client.BUNDLE / build_client.STAMP).is_file():
        assert {f"src/{name}" for name in BUNDLE} <= names


def test_the_wheel_has_modules_data_and_licences_and_no_sources_of_compiled_modules(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata_name] = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(metadata_name).decode()
    for name in ("siocore/py.typed", "siocore/demo/page/app.js", "siocore/_speedups/_frames.pyi"):
        assert name in names
    assert "License-Expression: MIT\n" in metadata
    assert metadata_name.replace("METADATA", "licenses/LICENSE") in names
    assert "Requires-Python: >=3.11\n" in metadata
    assert [name for name in names if name.endswith((".pyx", ".pxd", ".c"))] == []
    assert {name.partition("/")[0] for name in names} <= {"siocore", metadata_name.partition("/")[0]}
    if os.environ.get("SIOCORE_NO_EXTENSIONS", "") in ("", "0") and siocore.IMPLEMENTATION == "cython":
        compiled = {Path(name).name.partition(".")[0] for name in names if name.endswith((".so", ".pyd"))}
        codecs = {"_engineio", "_json", "_socketio", "_frames", "_heads", "_steps"}
        assert compiled == codecs | {name.rpartition(".")[2] for name in IN_PLACE}
    if (build_client.BUNDLE / build_client.STAMP).is_file():
        assert {*BUNDLE, "siocore/_client/LICENSE"} <= names


def test_without_a_compiler_the_wheel_is_pure_unless_extensions_are_required(checkout: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    required = {"CC": "no-such-compiler", "SIOCORE_REQUIRE_EXTENSIONS": "1", "SIOCORE_NO_EXTENSIONS": ""}
    with pytest.raises(AssertionError, match="no-such-compiler"):
        run(*command, cwd=checkout, **required)
    printed = run(*command, cwd=checkout, **required | {"SIOCORE_REQUIRE_EXTENSIONS": ""})
    assert printed.count("warning: siocore is built without its compiled modules (") == 1
    [pure] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(pure) as archive:
        assert [name for name in archive.namelist() if name.endswith((".so", ".pyd"))] == []


def test_the_wheel_runs_the_demo_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=tmp_path)
    assert run(environment / "bin" / "siocore", "--version", cwd=tmp_path).startswith(
        f"siocore {siocore.__version__} ({siocore.IMPLEMENTATION}, "
    )
    process = subprocess.Popen(
        [environment / "bin" / "siocore", "demo", "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        announced = next(line for line in process.stdout if "listening on " in line)
        url = announced.partition("listening on ")[2].strip()
        assert b"<title>siocore demo</title>" in fetch(f"{url}/")
        assert b'"use strict"' in fetch(f"{url}/app.js")
        if (build_client.BUNDLE / build_client.STAMP).is_file():
            assert b"Socket.IO v" in fetch(f"{url}/socket.io/socket.io.js")[:200]
        target = f"{url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket"
        with websockets.sync.client.connect(target, proxy=None) as client:
            assert str(client.recv(timeout=10)).startswith('0{"sid":"')
            client.send('40{"name":"Ada"}')
            assert str(client.recv(timeout=10)).startswith('40{"sid":"')
            client.send('421["join","lobby"]')
            assert str(client.recv(timeout=10)).startswith('42["people","lobby",[[')
    finally:
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert printed == "Ada joined lobby (1 there)\nAda left lobby (0 there)\n"


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        body = response.read()
    assert isinstance(body, bytes)
    return body
