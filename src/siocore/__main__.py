"""``python -m siocore`` is the command ``siocore``."""

from siocore.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
