"""Events and results: bytes as they are, anything else as JSON."""

from __future__ import annotations

import json
import sys


def encode(value: object) -> bytes | bytearray | memoryview:
    """What is sent for a value: nothing for `None`."""
    if isinstance(value, (bytes, bytearray)):
        return value
    if isinstance(value, memoryview):
        return value.cast("B")
    if value is None:
        return b""
    return json.dumps(value, default=_plain, separators=(",", ":"), ensure_ascii=False).encode()


def decode(data: bytes) -> object:
    """The value that was sent: `None` for nothing."""
    return json.loads(data) if data else None


def _plain(value: object) -> object:
    """A NumPy array or number as JSON has it."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        return value.tolist()
    raise TypeError(f"expected bytes or what JSON can hold; found {type(value).__name__}")
