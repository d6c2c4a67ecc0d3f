"""Who a call is, and its input and output."""

from __future__ import annotations

import struct
from functools import cached_property

from ._errors import checked
from ._host import At, HEAD_BYTES, call, frame_of, give, take, text

_IDENTITY = struct.Struct("<16sII")


class Context:
    """The call that runs now; what it tells is asked for when it is first read."""

    @cached_property
    def _identity(self) -> tuple[bytes, int, int]:
        frame = bytearray(HEAD_BYTES + _IDENTITY.size)
        checked(call("identity", At(0), frame=frame), "identity")
        return _IDENTITY.unpack_from(frame, HEAD_BYTES)

    @property
    def call_id(self) -> str:
        """The call's id, unique over all hosts, in hex."""
        return self._identity[0].hex()

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self._identity[1]

    @property
    def depth(self) -> int:
        """How many calls lie between this one and the one from outside."""
        return self._identity[2]

    @cached_property
    def function(self) -> str:
        """The function's name."""
        return text("function")

    @cached_property
    def tenant(self) -> str:
        """The tenant's name."""
        return text("tenant")

    @cached_property
    def request(self) -> str:
        """The head of the HTTP request behind this call, in HTTP/1.1 syntax; empty without one."""
        length = checked(call("request_len"), "request")
        return bytes(take("request_read", length, 0)[1]).decode("latin-1")

    def status(self, status: int) -> None:
        """Sets the HTTP status of the response, 200 to 599."""
        checked(call("response_status", status), f"HTTP status {status}")

    def header(self, name: str, value: str) -> None:
        """Adds a header to the response."""
        key, data = name.encode("latin-1"), value.encode("latin-1")
        frame = frame_of(key, data)
        done = call("response_header", At(0), len(key), At(len(key)), len(data), frame=frame)
        checked(done, f"response header {name}")


def read_input() -> bytes:
    """The input of the call that runs now."""
    length = checked(call("input_len"), "input")
    if length == 0:
        return b""
    return bytes(take("input_read", length, 0)[1])


def write_output(data: bytes | bytearray | memoryview) -> None:
    """Sets the output of the call that runs now; what was set before is replaced."""
    checked(give("output_set", data), f"an output of {len(data)} bytes")
