"""What can go wrong with the host, as exceptions."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Why a host call was refused."""

    FAULT = -1
    INVALID = -2
    BAD_HANDLE = -3
    TOO_LARGE = -4
    NOT_FOUND = -5
    DENIED = -6
    TIMED_OUT = -7
    BUSY = -8
    TOO_DEEP = -9
    PENDING = -10
    LOCKED = -11
    LOCK_LOST = -12
    STATE_LOST = -13
    CONFLICT = -14
    CHANGED = -15
    COLLECTED = -16
    NO_ROOM = -17
    UNAVAILABLE = -18
    UNKNOWN = -19


_WORDS = {
    Status.DENIED: "not allowed now: there are no calls and no state while an image is baked",
    Status.TOO_LARGE: "larger than the host allows",
    Status.NOT_FOUND: "there is none",
    Status.TIMED_OUT: "the time given ran out",
    Status.BUSY: "too many calls are under way; wait for some of them",
    Status.TOO_DEEP: "the chain of calls is deeper than the host allows",
}


class HostError(Exception):
    """A host call was refused; `status` says why."""

    def __init__(self, status: int, what: str, words: str = "") -> None:
        self.status = Status(status)
        super().__init__(f"{what}: {words or _WORDS.get(self.status, self.status.name.lower())}")


class StateError(HostError):
    """Something with state did not work. `StateLost`, `Conflict` and `LockLost` are kinds of it."""


class StateLost(StateError):
    """The value was kept in memory alone, and its owner has lost it."""


class Conflict(StateError):
    """The value is not at the version expected."""


class LockLost(StateError):
    """The lock was lost: what was written under it is taken back."""


class CallError(Exception):
    """A chained call did not return.

    Attributes:
        outcome: `"failed"`, `"trapped"`, `"timed out"`, `"refused"` or `"lost"`.
        message: What the other function, or its host, says.
    """

    def __init__(self, function: str, outcome: str, message: str) -> None:
        self.outcome, self.message = outcome, message
        super().__init__(f"{function} {outcome}: {message}")


def checked(result: int, what: str) -> int:
    """The result of a host call, or its refusal as an exception."""
    if result < 0:
        raise HostError(result, what)
    return result
