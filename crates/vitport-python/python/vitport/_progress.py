"""Progress of what takes long: a callback of the caller's, or a bar on the terminal or in the notebook."""
from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple, Optional, Union


class Progress(NamedTuple):
    """How far a function has come with what it is doing now."""

    what: str
    """What it is doing, such as ``"writing"``."""
    done: int
    """How much is done."""
    total: Optional[int]
    """How much there is to do, where that is known."""
    is_bytes: bool
    """Whether both are bytes."""


Listener = Union[bool, Callable[[Progress], object], None]
"""A callback; ``True`` for a bar, ``False`` for nothing; ``None`` for a bar where somebody sees it."""


class Shown:
    """Shows progress while a function works."""

    def __init__(self, listener: Listener) -> None:
        self._callback = listener if callable(listener) else None
        self._bar = listener is True or (listener is None and _is_seen())
        self._width = 0

    @property
    def native(self) -> Optional[Callable[[str, int, Optional[int], bool], object]]:
        """What the native part calls, if anybody listens."""
        return self._step if self._callback or self._bar else None

    def _step(self, what: str, done: int, total: Optional[int], is_bytes: bool) -> None:
        progress = Progress(what, done, total, is_bytes)
        if self._callback:
            self._callback(progress)
        else:
            self._draw(_line(progress))

    def _draw(self, line: str) -> None:
        sys.stderr.write("\r" + line.ljust(self._width))
        sys.stderr.flush()
        self._width = len(line)

    def close(self) -> None:
        """Clears the bar away."""
        if self._width:
            self._draw("")
            sys.stderr.write("\r")
            sys.stderr.flush()


def _is_seen() -> bool:
    notebook = sys.modules.get("IPython")
    shell = notebook.get_ipython() if notebook else None
    return type(shell).__name__ == "ZMQInteractiveShell" or bool(sys.stderr and sys.stderr.isatty())


def _line(progress: Progress) -> str:
    what, done, total, is_bytes = progress
    if not total:
        return f"{what} …"
    scale, unit = (1e6, " MB") if is_bytes else (1.0, "")
    filled = 32 * min(done, total) // total
    return f"{what}  [{'━' * filled}{' ' * (32 - filled)}]  {done / scale:.0f}/{total / scale:.0f}{unit}"
