"""Imports run downward only, and the core does no I/O, tells no time and knows no event loop."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import siocore

ROOT = Path(siocore.__file__).resolve().parent

#: From the bottom up. A package stands for all its modules; modules of one layer that are named in different entries
#: are siblings, which may not import each other where SEPARATE says so.
LAYERS: list[set[str]] = [
    {
        "advice",
        "browsers",
        "client_events",
        "client_options",
        "errors",
        "options",
        "packets",
        "request",
        "target",
        "timers",
        "events",
        "waiting",
        "driven",
        "link",
        "overflow",
        "steps",
        "_version",
    },
    {"codec", "_speedups"},
    {"http", "engineio", "socketio"},
    # Above what it makes a cluster of: an adapter is one of socketio's.
    {"cluster"},
    {"endpoint"},
    {"application", "_driver"},
    {"trio", "asyncio", "sync", "asgi", "cli", "demo", "redis", "testing", "__main__"},
]
SEPARATE = {"http", "engineio", "socketio", "trio", "asyncio", "sync", "_driver", "application", "redis"}
CORE = set().union(*LAYERS[:5])
#: What the core may not import. Ids are made from the operating system's randomness, in options alone.
FORBIDDEN = {"trio", "asyncio", "socket", "ssl", "time", "random", "select", "selectors", "threading", "subprocess"}
ALLOWED_THERE = {"options": {"secrets", "os"}, "client_options": {"random", "os", "time"}}
ONLY_THERE = {"secrets"}


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if "_client" not in path.parts)


def component(path: Path) -> str:
    """Which of the names in LAYERS a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def layer(name: str) -> int:
    return next(index for index, names in enumerate(LAYERS) if name in names)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Full names of what a file imports, and whether that is for type checkers only."""
    tree = ast.parse(path.read_text())
    for_types: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for statement in node.body:
                for_types.update(ast.walk(statement))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node in for_types
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            # "from siocore import x" may name a submodule.
            if node.module == "siocore":
                for alias in node.names:
                    yield f"siocore.{alias.name}", node in for_types
            else:
                yield node.module, node in for_types


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downward_and_siblings_stay_apart(path: Path) -> None:
    own = component(path)
    if own == "__init__":
        return
    for name, for_types in imports(path):
        top, _, rest = name.partition(".")
        if top != "siocore":
            continue
        other = rest.partition(".")[0]
        if not any(other in names for names in LAYERS):
            # A name of the package itself: for those above the core.
            assert layer(own) >= 5, f"imports {name} from the package itself"
            continue
        # What is below may name in annotations what is made of it above, as long as it works without.
        if for_types and layer(other) <= 4:
            continue
        assert layer(other) <= layer(own), f"{own} imports {name}, which is above it"
        if layer(other) == layer(own) and other != own:
            assert not (own in SEPARATE and other in SEPARATE), f"{own} imports its sibling {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_imports_no_clock_no_io_and_no_event_loop(path: Path) -> None:
    if component(path) not in CORE:
        return
    for name, _ in imports(path):
        top = name.partition(".")[0]
        if top in ALLOWED_THERE.get(component(path), set()):
            continue
        assert top not in FORBIDDEN, f"imports {name}"
        assert top not in ONLY_THERE, f"imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_has_no_coroutines(path: Path) -> None:
    if component(path) not in CORE:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)), node.lineno


def test_every_module_belongs_to_one_layer() -> None:
    known = [name for names in LAYERS for name in names]
    assert len(known) == len(set(known))
    assert {component(path) for path in modules()} - {"__init__"} <= set(known)


#: What makes programs of data.
RUNNING = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_what_it_has_received(path: Path) -> None:
    for name, _ in imports(path):
        assert name.partition(".")[0] not in RUNNING, f"imports {name}"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec", "compile", "__import__"}, node.lineno
