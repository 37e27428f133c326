"""Benchmarks: codecs (pytest-benchmark) and the load bench (``python -m bench``). See README.md in this folder."""
