"""Lines of the function's log."""

from __future__ import annotations

import logging

from ._host import give

_LEVELS = {"error": 0, "warn": 1, "info": 2, "debug": 3}
# What the host keeps of a line.
MAX_LINE_BYTES = 4096


def log(message: str, level: str = "info") -> None:
    """Writes a line into the function's log.

    Args:
        message: The line.
        level: `"error"`, `"warn"`, `"info"` or `"debug"`.
    """
    if level not in _LEVELS:
        raise ValueError(f"expected a level of {', '.join(_LEVELS)}; found {level!r}")
    give("log", message.encode("utf-8", "replace"), _LEVELS[level])


class Handler(logging.Handler):
    """Leads the standard library's `logging` into the function's log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record."""
        number = record.levelno
        names = ((logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"))
        level = next((name for least, name in names if number >= least), "debug")
        log(self.format(record), level)
