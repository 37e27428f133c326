"""The demo page in a real browser: two tabs, one room, a message and an image."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from peers.harness import HERE, LOOPS, chromium, run_node, serve

pytestmark = pytest.mark.peer

ARTIFACTS = HERE.parent.parent / "test-artifacts"


@pytest.mark.parametrize("loop", LOOPS)
def test_a_message_and_an_image_cross_between_two_tabs_of_the_demo_page(loop: str, tmp_path: Path) -> None:
    browser = chromium()
    if browser is None:
        pytest.skip("chromium was not found: `make chromium` installs it where root may (Debian)")
    if not (HERE / "node_modules" / "playwright-core").is_dir():
        pytest.skip("playwright-core is not installed: `make peers` does it (npm ci in tests/peers)")
    if shutil.which("node") is None:
        pytest.skip("node was not found")
    ARTIFACTS.mkdir(exist_ok=True)
    screenshot = ARTIFACTS / f"demo-{loop}.png"
    with serve("demo", "--loop", loop) as server:
        result = run_node("browser.js", server.url, browser, str(tmp_path / "profile"), str(screenshot))["browser"]
        server.wait_for_line("Ada joined gallery (1 there)")
        server.wait_for_line("Bob <b> joined gallery (2 there)")
        server.wait_for_line("Bob <b> left gallery (1 there)")
    assert result == {
        "refused": "A name has 1 to 24 printable characters.",
        "people": ["Ada (you)", "Bob <b>"],
        "transports": ["websocket", "websocket"],
        "order": ["polling", "websocket"],
        "message": "Hello <i>Bob</i>, from the other tab",
        "from": "Ada",
        "image": [64, 48],
        "sameBytes": True,
        "notAnImage": "Only PNG, JPEG, GIF and WebP images can be sent.",
        "afterLeave": ["Ada (you)"],
        "notes": ["Bob <b> joined", "Bob <b> left"],
        "lost": "reconnecting…",
        "back": "# gallery",
        "problems": [],
    }
    assert screenshot.read_bytes().startswith(b"\x89PNG")
