"""Calls of other functions of the tenant."""

from __future__ import annotations

from . import _codec
from ._errors import CallError, checked
from ._host import At, call as host_call, frame_of, take

_OUTCOMES = ("returned", "failed", "trapped", "timed out", "refused", "lost")
_FOREVER = -1


class Pending:
    """A call that was made and may still run."""

    def __init__(self, function: str, handle: int) -> None:
        self.function, self._handle = function, handle

    def output(self, timeout: float | None = None) -> bytes:
        """Waits for the call and returns its output.

        Args:
            timeout: Seconds to wait; as long as this call's own deadline allows when `None`.

        Raises:
            CallError: It did not return.
            HostError: The time ran out.
        """
        wait = _FOREVER if timeout is None else max(0, int(timeout * 1000))
        what = f"call of {self.function}"
        outcome = checked(host_call("await", self._handle, wait), what)
        length = checked(host_call("result_len", self._handle), what)
        _, body = take("result_read", length, self._handle, 0)
        host_call("release", self._handle)
        if outcome != 0:
            message = bytes(body).decode("utf-8", "replace")
            raise CallError(self.function, _OUTCOMES[outcome], message)
        return bytes(body)

    def result(self, timeout: float | None = None) -> object:
        """As `output`, decoded from JSON."""
        return _codec.decode(self.output(timeout))


def start(function: str, event: object = None) -> Pending:
    """Calls another function and goes on; the answer is asked for later.

    Args:
        function: Its name.
        event: Its input: bytes as they are, anything else as JSON.
    """
    name, body = function.encode(), _codec.encode(event)
    frame = frame_of(name, body)
    handle = host_call("call", At(0), len(name), At(len(name)), len(body), frame=frame)
    return Pending(function, checked(handle, f"call of {function}"))


def call(function: str, event: object = None, timeout: float | None = None) -> object:
    """Calls another function and returns its result, decoded from JSON.

    Raises:
        CallError: It did not return.
    """
    return start(function, event).result(timeout)
