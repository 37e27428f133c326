"""The browser bundle: npm's socket.io-client, fetched when the package is built, checked, and carried as data.

``client/package-lock.json`` pins the version and the sha512 of the package. Its ``dist`` files and its licence land in
``src/siocore/_client/``, which is not in git but is in the sdist and in the wheel: whoever builds from an sdist needs
no npm. Beside each file lies its gzip form, and its Brotli form if the ``brotli`` module is there, so that no server
compresses them. Run directly (``python build_client.py``) it only does this step.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import importlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType

__all__ = ["BUNDLE", "provide_bundle"]

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "client" / "package-lock.json"
BUNDLE = ROOT / "src" / "siocore" / "_client"
PACKAGE = "socket.io-client"
NAMES = ("socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js")
MEMBERS = {f"package/dist/{name}{suffix}" for name in NAMES for suffix in ("", ".map")} | {"package/LICENSE"}
#: Says which package the folder holds, so that it is fetched once and fetched anew when the lock changes.
STAMP = "integrity.txt"
TIMEOUT = 120.0


def provide_bundle() -> bool:
    """Make sure that the bundle is there; returns whether it is.

    What keeps npm from delivering (not installed, no network) costs one warning line, and the build goes on without.
    A package that arrives and is not the pinned one raises :exc:`RuntimeError`.
    """
    version, integrity = _pinned()
    stamp = BUNDLE / STAMP
    if stamp.is_file() and stamp.read_text(encoding="ascii").strip() == f"{version} {integrity}":
        _compress()
        return True
    npm = shutil.which("npm")
    if npm is None:
        return _without("npm was not found")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{PACKAGE}@{version}", "--silent", "--pack-destination", folder]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired) as exc:
            return _without(f"npm pack failed: {exc}")
        archives = sorted(Path(folder).glob("*.tgz"))
        if done.returncode != 0 or len(archives) != 1:
            lines = done.stderr.strip().splitlines()
            return _without(f"npm pack failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
        archive = archives[0].read_bytes()
    _check(archive, integrity)
    _unpack(archive)
    _compress()
    stamp.write_text(f"{version} {integrity}\n", encoding="ascii")
    return True


def _pinned() -> tuple[str, str]:
    entry = json.loads(LOCK.read_text(encoding="utf-8"))["packages"][f"node_modules/{PACKAGE}"]
    return entry["version"], entry["integrity"]


def _check(archive: bytes, integrity: str) -> None:
    algorithm, _, expected = integrity.partition("-")
    found = base64.b64encode(hashlib.new(algorithm, archive).digest()).decode("ascii")
    if algorithm != "sha512" or found != expected:
        raise RuntimeError(f"{PACKAGE}: npm delivered {algorithm}-{found}, {LOCK.name} pins {integrity}")


def _unpack(archive: bytes) -> None:
    shutil.rmtree(BUNDLE, ignore_errors=True)
    BUNDLE.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in sorted(MEMBERS):
            stream = tar.extractfile(member)
            if stream is None:
                raise RuntimeError(f"{PACKAGE}: {member} is not a file")
            (BUNDLE / member.rpartition("/")[2]).write_bytes(stream.read())


def _compress() -> None:
    """Make the compressed forms that are missing, without a date in them: two builds give the same files."""
    brotli: ModuleType | None = None
    with contextlib.suppress(ImportError):
        brotli = importlib.import_module("brotli")
    for name in sorted(f"{name}{suffix}" for name in NAMES for suffix in ("", ".map")):
        source = BUNDLE / name
        zipped, brotlied = source.with_name(f"{name}.gz"), source.with_name(f"{name}.br")
        if not zipped.is_file():
            zipped.write_bytes(gzip.compress(source.read_bytes(), 9, mtime=0))
        if brotli is not None and not brotlied.is_file():
            brotlied.write_bytes(brotli.compress(source.read_bytes()))


def _without(reason: str) -> bool:
    print(f"warning: siocore is built without the browser bundle ({reason})", file=sys.stderr, flush=True)
    return False


if __name__ == "__main__":
    raise SystemExit(0 if provide_bundle() else 1)
