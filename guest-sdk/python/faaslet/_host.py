"""Host calls, over the carrier: the one import that the interpreter has of its host.

A frame names a call by number and holds its arguments; what they point to lies behind them. The
layout is that of `guest-sdk/abi/src/carrier.rs`.
"""

from __future__ import annotations

import struct
from typing import Final

import _host

_CALLS: Final = (
    "input_len input_read output_append output_set error_set call call_export call_table await "
    "result_len result_read release identity tenant function log request_len request_read "
    "response_status response_header"
).split()
_STATE_CALLS: Final = (
    "state_open state_close state_stat state_read state_write state_merge state_map state_unmap "
    "state_pull state_push state_resize state_append state_lock state_unlock state_delete "
    "state_list state_open_version state_versions state_wait state_notify state_error "
    "state_grow"
).split()
_STATE_NUMBERS: Final = 256
NUMBERS: Final = {name: number for number, name in enumerate(_CALLS)} | {
    name: _STATE_NUMBERS + number for number, name in enumerate(_STATE_CALLS)
}

HEAD_BYTES: Final = 64
_MAX_ARGUMENTS: Final = 6
_HEAD: Final = struct.Struct("<IIiI6q")
_RESULT: Final = struct.Struct("<i")
_RESULT_AT: Final = 8
_ZEROS: Final = (0,) * _MAX_ARGUMENTS


class At(int):
    """An argument that points to a place in the frame, counted from behind its head."""


def call(name: str, *arguments: int, frame: bytearray | None = None) -> int:
    """Makes a host call and returns its result: a value, or a negative status.

    Args:
        name: The call, as the ABI names it.
        arguments: Its arguments; an `At` points into the frame.
        frame: `HEAD_BYTES` of room for the head, and behind it what arguments point to. What the
            call writes there is there afterwards.
    """
    frame = bytearray(HEAD_BYTES) if frame is None else frame
    relative, values = 0, list(_ZEROS)
    for n, argument in enumerate(arguments):
        if type(argument) is At:
            relative |= 1 << n
            values[n] = argument + HEAD_BYTES
        else:
            values[n] = argument
    _HEAD.pack_into(frame, 0, NUMBERS[name], relative, 0, 0, *values)
    _host.call(frame)
    return _RESULT.unpack_from(frame, _RESULT_AT)[0]


def frame_of(*parts: bytes | bytearray | memoryview) -> bytearray:
    """A frame that holds these bytes one after the other."""
    return bytearray().join((bytes(HEAD_BYTES), *parts))


def give(name: str, data: bytes | bytearray | memoryview, *before: int) -> int:
    """Makes a call whose last two arguments are bytes and their length."""
    return call(name, *before, At(0), len(data), frame=frame_of(data))


def take(name: str, length: int, *before: int) -> tuple[int, memoryview]:
    """Makes a call that fills `length` bytes; returns its result and the bytes."""
    frame = bytearray(HEAD_BYTES + length)
    result = call(name, *before, At(0), length, frame=frame)
    return result, memoryview(frame)[HEAD_BYTES:]


def text(name: str, most: int = 256) -> str:
    """Makes a call that copies a text out, such as a name."""
    length, data = take(name, most)
    if length > most:
        return text(name, length)
    return bytes(data[: max(length, 0)]).decode("utf-8", "replace")
