"""Where the host enters: `enter` is called with what is to be done.

The numbers are those of `guest-sdk/setup/python_link.py`. Nothing leaves `enter` but a status: an
exception becomes the message of the call's failure, with its traceback, and a line of the log.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

from . import _codec, _layer
from ._context import Context, read_input, write_output
from ._host import give
from ._log import MAX_LINE_BYTES, log
from ._restore import restored

CALL, FORKED, EXTEND = 0, 1, 2
_RETURNED, _FAILED = 0, 1
# Frames of a traceback that are told.
_MAX_FRAMES = 32
# What an image has free, so that calls seldom have to grow their memory.
_HEADROOM_BYTES = 4 << 20
# Names the handler in an archive.
MANIFEST = "faaslet-python.json"

_handler: Callable[[Any, Context], Any] | None = None
_takes_bytes = False


class DeployError(Exception):
    """The function is not one; told without a traceback."""


class InputError(ValueError):
    """The input is not what the handler takes; told without a traceback."""


def enter(what: int) -> int:
    """Does what the host wants; 0 when it went well."""
    try:
        if what == EXTEND:
            _extend()
        else:
            if what == FORKED:
                restored()
            _call()
        status = _RETURNED
    except BaseException as error:
        status = _refuse(error)
    if what != EXTEND:
        _flush()
    return status


def _call() -> None:
    if _handler is None:
        raise DeployError("this is the runtime alone; deploy a function on it")
    data = read_input()
    if _takes_bytes:
        event: Any = data
    else:
        try:
            event = _codec.decode(data)
        except ValueError as error:
            hint = "annotate the handler's event as bytes to take any input"
            raise InputError(f"expected an input of JSON: {error}; {hint}") from None
    result = _handler(event, Context())
    write_output(_codec.encode(result))


def _extend() -> None:
    """Takes an archive, imports the function's module, and leaves the interpreter tidy."""
    global _handler, _takes_bytes
    _layer.add(read_input())
    handler = json.loads(_layer.read(MANIFEST))["handler"]
    module_name, _, name = handler.rpartition(".")
    _handler = _find(module_name, name)
    _takes_bytes = _annotated_bytes(_handler)
    _flush()
    bytearray(_HEADROOM_BYTES)
    gc.collect()
    gc.freeze()


def _find(module_name: str, name: str) -> Callable[[Any, Context], Any]:
    module = importlib.import_module(module_name)
    found = getattr(module, name, None)
    if not callable(found):
        what = "no such name" if found is None else f"a {type(found).__name__}"
        raise DeployError(
            f"expected a function {name}(event, context) in {module_name}; found {what}"
        )
    try:
        inspect.signature(found).bind(None, None)
    except TypeError:
        raise DeployError(
            f"expected {module_name}.{name} to take (event, context); "
            f"it takes {inspect.signature(found)}"
        ) from None
    return found


def _annotated_bytes(handler: Callable[..., Any]) -> bool:
    first = next(iter(inspect.signature(handler).parameters.values()), None)
    return first is not None and first.annotation in (bytes, "bytes")


def _refuse(error: BaseException) -> int:
    """Tells a failure; the rarest of them leave no room for words."""
    try:
        message = _words(error)
    except (MemoryError, RecursionError):
        message = type(error).__name__
    give("error_set", message.encode("utf-8", "replace"))
    for part in _pieces(message):
        log(part, "error")
    return _FAILED


def _words(error: BaseException) -> str:
    if isinstance(error, (DeployError, InputError)):
        return str(error)
    if isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(error)).rstrip()
    # What lies between the host and the function says nothing to its author.
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _between(frame.filename)]
    shown = traceback.TracebackException.from_exception(error, limit=_MAX_FRAMES)
    last = "".join(shown.format_exception_only()).rstrip()
    if shown.__cause__ is not None or shown.__context__ is not None:
        return "".join(shown.format()).rstrip()
    if not own:
        return last
    listed = "".join(traceback.StackSummary.from_list(own[-_MAX_FRAMES:]).format())
    return f"Traceback (most recent call last):\n{listed}{last}"


def _between(file: str) -> bool:
    return "/site/faaslet/" in file or "importlib" in file


def _pieces(message: str) -> list[str]:
    """Cuts a long message at ends of lines, so that the log has all of it."""
    pieces, piece = [], ""
    for line in message.splitlines(keepends=True):
        if piece and len(piece) + len(line) > MAX_LINE_BYTES // 4:
            pieces.append(piece.rstrip("\n"))
            piece = ""
        piece += line
    return [*pieces, piece.rstrip("\n")]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            # A function may close or replace them.
            pass


_layer.install()
