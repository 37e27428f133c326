"""Imports the modules that it is told, and prints the versions of what they belong to."""

from __future__ import annotations

import platform
import sys
from importlib import import_module

DISTRIBUTIONS = {"socketio": "python-socketio"}


def version(module: str) -> str | None:
    import_module(module)
    package = module.partition(".")[0]
    if package == "siocore":
        siocore, speedups = import_module(package), import_module("siocore._speedups")
        return f"siocore {siocore.__version__} {speedups.IMPLEMENTATION}"
    if package in sys.stdlib_module_names:
        return None
    name = DISTRIBUTIONS.get(package, package)
    return f"{name} {import_module('importlib.metadata').version(name)}"


versions = [found for module in sys.argv[1:] if (found := version(module))]
print(", ".join([*versions, f"{platform.python_implementation()} {platform.python_version()}"]))
