"""socket.io-client in a real browser, over WebTransport."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from peers.harness import HERE, LOOPS, chromium, run_node, serve

pytestmark = pytest.mark.peer

pytest.importorskip("aioquic", reason="WebTransport needs aioquic")

from webtransport_net import make_certificate  # noqa: E402


@pytest.mark.parametrize("loop", LOOPS)
def test_a_page_connects_over_webtransport_alone(loop: str, tmp_path: Path) -> None:
    browser = chromium()
    if browser is None:
        pytest.skip("chromium was not found: `make chromium` installs it where root may (Debian)")
    if not (HERE / "node_modules" / "playwright-core").is_dir():
        pytest.skip("playwright-core is not installed: `make peers` does it (npm ci in tests/peers)")
    if shutil.which("node") is None:
        pytest.skip("node was not found")
    files, digest = make_certificate(tmp_path)
    certificates = ("--webtransport-cert", str(files.certificate), "--webtransport-key", str(files.private_key))
    with serve("serve", "webtransport_app:io", "--loop", loop, *certificates) as server:
        result = run_node("webtransport.js", server.url, browser, str(tmp_path / "profile"), digest)["webtransport"]
        server.wait_for_line("gone: client namespace disconnect")
    assert result == {
        "welcome": "webtransport",
        "news": 3,
        "transport": "webtransport",
        "text": "é😀",
        "binary": [1, 2, 255],
        "large": 300_000,
    }
