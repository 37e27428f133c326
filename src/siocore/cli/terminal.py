"""The terminal of a session: lines are read while others are printed, without destroying what is being typed."""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

try:
    import readline
except ImportError:  # not every Python has it
    readline = None  # type: ignore[assignment]

__all__ = ["Terminal", "above", "complete", "save_history", "wrap"]

_HISTORY_LENGTH = 1000
#: The longest file of history that is read: somebody else may have written it.
_HISTORY_BYTES = 1_000_000
# What Style writes, which takes no room on the screen.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """Standard input and output. ``show`` may be called from any thread; ``lines`` belongs to one."""

    def __init__(self, prompt: Callable[[], str], candidates: Callable[[str], Sequence[str]]) -> None:
        #: Whether somebody types here, rather than a pipe.
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._prompt = prompt
        self._candidates = candidates
        self._lock = threading.Lock()
        self._reading = False
        self._matches: list[str] = []
        # What the terminal's encoding can't say must not end the program.
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        if self.interactive and readline is not None:
            _prepare(readline, self._complete)

    def show(self, text: str) -> None:
        """Print ``text`` above the line that is being typed."""
        with self._lock:
            if self._reading:
                size = shutil.get_terminal_size()
                sys.stdout.write(above(wrap(text, max(1, size.columns - 1)), max(1, size.lines - 1)))
            else:
                sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def read(self) -> str | None:
        """The next line; None at the end of the input. Raises KeyboardInterrupt, on a new row."""
        if not self.interactive:
            return sys.stdin.readline() or None
        prompt = self._prompt()
        try:
            with self._lock:
                self._reading = True
            return input(prompt)
        except EOFError:
            self._end_line()
            return None
        except KeyboardInterrupt:
            self._end_line()
            raise
        finally:
            with self._lock:
                self._reading = False

    def _end_line(self) -> None:
        with self._lock:
            self._reading = False
            sys.stdout.write("\n")
            sys.stdout.flush()

    def _complete(self, text: str, index: int) -> str | None:
        """readline's protocol: asked with 0, 1, 2, … until there is no more."""
        if index == 0:
            self._matches = complete(text, self._candidates(text))
        return self._matches[index] if index < len(self._matches) else None


def complete(text: str, candidates: Sequence[str]) -> list[str]:
    """The candidates that begin with ``text``, sorted, each once; a space follows one that is the only one."""
    matches = sorted({candidate for candidate in candidates if candidate.startswith(text)})
    return [matches[0] + " "] if len(matches) == 1 else matches


def wrap(text: str, columns: int) -> list[str]:
    """The rows that ``text``, one line without control characters but with colours, takes on a screen."""
    rows = []
    row: list[str] = []
    room = columns
    index = 0
    while index < len(text):
        colour = _COLOUR.match(text, index)
        if colour is not None:
            row.append(colour[0])
            index = colour.end()
            continue
        width = _width(text[index])
        if text[index] == "\n" or width > room:
            rows.append("".join(row))
            row, room = [], columns
            if text[index] == "\n":
                index += 1
                continue
        row.append(text[index])
        room -= width
        index += 1
    return [*rows, "".join(row)]


def above(rows: list[str], lines: int) -> str:
    """What prints ``rows`` above the cursor's row on a screen of ``lines``, and leaves that and the cursor's column.

    The row of the cursor is pushed down: the cursor is saved, newlines make room where the screen ends, blank lines are
    inserted in front, and the cursor goes back to where it was, as many rows further down.
    """
    parts = []
    for start in range(0, len(rows), lines):
        some = rows[start : start + lines]
        count = len(some)
        printed = "".join(f"{row}\r\n" for row in some)
        parts.append("\x1b7" + "\n" * count + f"\x1b[{count}A\r\x1b[{count}L" + printed + f"\x1b8\x1b[{count}B")
    return "".join(parts)


def _width(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _prepare(module: Any, completer: Callable[[str, int], str | None]) -> None:
    module.set_completer(completer)
    # The whole line is completed: names of events may have spaces.
    module.set_completer_delims("")
    if "libedit" in str(module.__doc__):
        module.parse_and_bind("bind ^I rl_complete")
    else:
        module.parse_and_bind("tab: complete")
        # One row, whatever its length: what is printed above needs to know where the line begins.
        module.parse_and_bind("set horizontal-scroll-mode on")
        # The candidates bring their own space, and a slash begins commands, not paths.
        module.parse_and_bind("set mark-directories off")
        module.parse_and_bind("set enable-bracketed-paste off")
    path = _history_path()
    try:
        if path.stat().st_size <= _HISTORY_BYTES:
            module.read_history_file(path)
    except OSError:
        pass
    module.set_history_length(_HISTORY_LENGTH)


def save_history() -> None:
    """Keep the lines for the next session, where they may be kept."""
    if not _keeps_history():
        return
    path = _history_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Lines may hold secrets, so nobody else reads them.
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        readline.write_history_file(path)
    except OSError:
        pass


def _keeps_history() -> bool:
    return "readline" in sys.modules and readline.get_current_history_length() > 0


def _history_path() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "siocore" / "history"
