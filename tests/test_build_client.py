"""The build step that provides the browser bundle."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

import build_client


def package(members: dict[str, bytes]) -> bytes:
    """An npm package with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


PACKAGE = package({name: f"content of {name}".encode() for name in build_client.MEMBERS} | {"package/../evil": b"evil"})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for the bundle, a lock that pins PACKAGE, and an npm that delivers it."""
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(PACKAGE).digest()).decode()
    lock = {"packages": {"node_modules/socket.io-client": {"version": "4.0.0", "integrity": integrity}}}
    (tmp_path / "package-lock.json").write_text(json.dumps(lock))
    monkeypatch.setattr(build_client, "LOCK", tmp_path / "package-lock.json")
    monkeypatch.setattr(build_client, "BUNDLE", tmp_path / "bundle")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    # Whether this machine has it must not matter.
    monkeypatch.setitem(sys.modules, "brotli", None)
    provide_npm(tmp_path, PACKAGE)
    return tmp_path


def provide_npm(folder: Path, delivered: bytes | None) -> None:
    """A program called npm that puts ``delivered`` where it is told to, or fails."""
    (folder / "delivered.tgz").write_bytes(delivered or b"")
    (folder / "bin").mkdir(exist_ok=True)
    npm = folder / "bin" / "npm"
    npm.write_text(
        f"#!{sys.executable}\n"
        "import shutil, sys\n"
        f"if {delivered is None}: sys.exit('npm error network is unreachable')\n"
        "assert sys.argv[1:3] == ['pack', 'socket.io-client@4.0.0'], sys.argv\n"
        f"shutil.copy({str(folder / 'delivered.tgz')!r}, sys.argv[sys.argv.index('--pack-destination') + 1])\n"
    )
    npm.chmod(0o755)


def test_the_lock_pins_a_version_by_its_sha512_and_names_no_registry() -> None:
    text = build_client.LOCK.read_text()
    entry = json.loads(text)["packages"]["node_modules/socket.io-client"]
    assert entry["version"].startswith("4.8.")
    assert len(base64.b64decode(entry["integrity"].removeprefix("sha512-"))) == 64
    assert "://" not in text


def test_the_eight_files_and_the_licence_are_unpacked_and_nothing_else(folder: Path) -> None:
    assert build_client.provide_bundle()
    names = {name.rpartition("/")[2] for name in build_client.MEMBERS}
    assert len(names) == 9
    zipped = {f"{name}.gz" for name in names - {"LICENSE"}}
    assert {path.name for path in (folder / "bundle").iterdir()} == names | zipped | {build_client.STAMP}
    assert (folder / "bundle" / "socket.io.js").read_text() == "content of package/dist/socket.io.js"
    assert not (folder / "evil").exists()


def test_each_file_has_its_gzip_form_without_a_date(folder: Path) -> None:
    assert build_client.provide_bundle()
    bundle = folder / "bundle"
    for zipped in bundle.glob("*.gz"):
        assert gzip.decompress(zipped.read_bytes()) == zipped.with_suffix("").read_bytes()
        assert zipped.read_bytes()[4:8] == bytes(4)


def test_compressed_forms_that_are_missing_are_made_without_fetching(folder: Path) -> None:
    assert build_client.provide_bundle()
    zipped = folder / "bundle" / "socket.io.js.gz"
    before = zipped.read_bytes()
    zipped.unlink()
    (folder / "bin" / "npm").unlink()
    assert build_client.provide_bundle()
    assert zipped.read_bytes() == before


def test_brotli_forms_are_made_where_the_module_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("brotli")
    monkeypatch.setattr(module, "compress", lambda data: b"brotli " + data, raising=False)
    monkeypatch.setitem(sys.modules, "brotli", module)
    assert build_client.provide_bundle()
    bundle = folder / "bundle"
    assert len(list(bundle.glob("*.br"))) == 8
    assert (bundle / "socket.io.js.br").read_bytes() == b"brotli " + (bundle / "socket.io.js").read_bytes()


def test_a_bundle_that_is_there_is_not_fetched_again(folder: Path) -> None:
    assert build_client.provide_bundle()
    (folder / "bin" / "npm").unlink()
    assert build_client.provide_bundle()


def test_a_changed_lock_fetches_anew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build_client.provide_bundle()
    lock = json.loads(build_client.LOCK.read_text())
    lock["packages"]["node_modules/socket.io-client"]["version"] = "4.0.1"
    build_client.LOCK.write_text(json.dumps(lock))
    assert not build_client.provide_bundle()
    assert "socket.io-client@4.0.1" in capsys.readouterr().err


def test_another_package_than_the_pinned_one_is_an_error(folder: Path) -> None:
    provide_npm(folder, package({"package/dist/socket.io.js": b"something else"}))
    with pytest.raises(RuntimeError, match="npm delivered sha512-"):
        build_client.provide_bundle()
    assert not (folder / "bundle").exists()


@pytest.mark.parametrize("present", [False, True], ids=["no npm", "npm without network"])
def test_without_npm_one_warning_line_and_the_build_goes_on(
    present: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if present:
        provide_npm(folder, None)
    else:
        (folder / "bin" / "npm").unlink()
    assert not build_client.provide_bundle()
    warning = capsys.readouterr().err
    assert warning.startswith("warning: siocore is built without the browser bundle (npm ")
    assert warning.count("\n") == 1
