"""The version of siocore. pyproject.toml states the same number; a test holds the two together."""

__version__ = "0.1.0"
