"""What the package says that it has."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import siocore
import siocore.asgi
import siocore.sync
import siocore.testing
from siocore._version import __version__

PUBLIC: list[ModuleType] = [siocore, siocore.asgi, siocore.testing, siocore.sync]


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_every_name_in_all_can_be_imported(module: ModuleType) -> None:
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_everything_public_is_in_all(module: ModuleType) -> None:
    public = {
        name for name, value in vars(module).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public <= set(module.__all__)


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_all_is_sorted_and_has_no_name_twice(module: ModuleType) -> None:
    names = list(module.__all__)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_every_public_class_and_function_is_documented(module: ModuleType) -> None:
    for name in module.__all__:
        value = getattr(module, name)
        if callable(value):
            assert value.__doc__, name


def test_importing_the_package_imports_no_event_loop_binding() -> None:
    program = "import sys, siocore, siocore.testing; print(sorted({'trio', 'asyncio', 'ssl'} & set(sys.modules)))"
    # In a process of its own: other tests have imported all of them here.
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_version_is_that_of_the_project() -> None:
    assert siocore.__version__ == __version__
    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    assert tomllib.loads(project.read_text())["project"]["version"] == __version__
