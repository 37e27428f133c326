"""Sphinx configuration."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from siocore._version import __version__

project = "siocore"
author = "The siocore authors"
copyright = author  # noqa: A001
release = __version__
extensions = [
    "sphinx.ext.autodoc",
    "advice_table",
    "bench_tables",
    "client_options_table",
    "deployment_pictures",
    "state_tables",
]
html_theme = "furo"
html_title = f"siocore {release}"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
exclude_patterns = ["_build"]
nitpicky = False
