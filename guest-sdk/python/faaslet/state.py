"""Values of the tenant, shared by its functions and, when pushed, by all hosts.

    counter = state.Counter("visits")
    counter.add(1)
    counter.push()

    value = state.open("model")
    with value.lock():
        value.write(data)
        value.push()

A value lies in memory on this host; `push` sends what changed to its owner and `pull` brings what
others pushed. `array` maps a value as a NumPy array without a copy.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

from ._errors import Conflict, LockLost, StateError, StateLost, Status
from ._host import At, HEAD_BYTES, call, frame_of, give, take

if TYPE_CHECKING:
    import numpy

Version = tuple[int, int]
Kind = Literal["read", "write"]
Scope = Literal["local", "global"]
Rule = Literal["replace", "sum", "min", "max", "and", "or", "xor"]

_ELEMENTS: Final = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8")
_RULES: Final = ("replace", "sum", "min", "max", "and", "or", "xor")
_LOCKS: Final = {
    ("local", "read"): 0,
    ("local", "write"): 1,
    ("global", "read"): 2,
    ("global", "write"): 3,
}
_KINDS: Final = {
    Status.STATE_LOST: StateLost,
    Status.CONFLICT: Conflict,
    Status.LOCK_LOST: LockLost,
}
_SPEC: Final = struct.Struct("<QBBBBIII")
_STAT: Final = struct.Struct("<QQQ24s")
_VERSION: Final = struct.Struct("<QQ")
_DEFAULT_QUOTA_BYTES: Final = 1 << 28
_FOREVER: Final = -1
_TO_THE_END: Final = -1


def _checked(result: int, key: str) -> int:
    if result >= 0:
        return result
    length, text = take("state_error", 1024)
    words = bytes(text[: min(max(length, 0), 1024)]).decode("utf-8", "replace")
    raise _KINDS.get(Status(result), StateError)(result, f"value {key!r}", words)


def open(  # noqa: A001 (as a value is opened everywhere)
    key: str,
    *,
    create: bool = True,
    element: str = "u1",
    rule: Rule = "replace",
    durable: bool = False,
    renew: bool = False,
    quota: int = _DEFAULT_QUOTA_BYTES,
    keep_versions: int = 0,
) -> Value:
    """Opens a value, and makes it if there is none.

    Args:
        key: Its name.
        create: Whether it is made; without, one that is not there is an error.
        element: What it is an array of, as NumPy writes it: `"u1"`, `"i8"`, `"f4"` and so on.
        rule: How changes of two hosts are merged, element by element.
        durable: Whether a push returns once it would survive the loss of power.
        renew: Whether a value that was lost is made anew, empty.
        quota: The most bytes that it may ever have.
        keep_versions: The newest versions that are kept; the host's own number when 0.
    """
    if element not in _ELEMENTS:
        raise ValueError(f"expected an element of {', '.join(_ELEMENTS)}; found {element!r}")
    spec = _SPEC.pack(
        quota,
        _ELEMENTS.index(element) + 1,
        _RULES.index(rule),
        int(durable),
        int(renew),
        keep_versions,
        0,
        0,
    )
    name = key.encode()
    # The spec is read as the host lays it out, so it begins where 8 divides its place.
    frame = frame_of(spec, name)
    where = At(0) if create else 0
    handle = call("state_open", At(len(spec)), len(name), where, frame=frame)
    return Value(key, _checked(handle, key), element)


def delete(key: str) -> None:
    """Deletes a value for all."""
    _checked(give("state_delete", key.encode()), key)


def keys(prefix: str = "") -> Iterator[str]:
    """Keys that begin with a prefix, in order."""
    start, after, room = prefix.encode(), b"", 16 << 10
    while True:
        frame = frame_of(start, after, bytes(room))
        ends = len(start), len(start) + len(after)
        count = _checked(
            call("state_list", At(0), len(start), At(ends[0]), len(after), At(ends[1]), room, frame=frame),
            prefix,
        )
        if count == 0:
            return
        at = HEAD_BYTES + ends[1]
        end = at + count
        while at < end:
            length = int.from_bytes(frame[at : at + 2], "little")
            after = bytes(frame[at + 2 : at + 2 + length])
            at += 2 + length
            yield after.decode()


class Value:
    """An open value."""

    def __init__(self, key: str, handle: int, element: str) -> None:
        self.key, self._handle, self._element = key, handle, element

    def _stat(self) -> tuple[int, Version]:
        frame = bytearray(HEAD_BYTES + _STAT.size)
        _checked(call("state_stat", self._handle, At(0), frame=frame), self.key)
        length, epoch, n, _ = _STAT.unpack_from(frame, HEAD_BYTES)
        return length, (epoch, n)

    def __len__(self) -> int:
        """Its length on this host, in bytes."""
        return self._stat()[0]

    @property
    def version(self) -> Version:
        """The newest version that this host has seen."""
        return self._stat()[1]

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """Copies bytes out, all of them from `offset` on unless a length is given."""
        wanted = len(self) - offset if length is None else length
        parts = []
        while wanted > 0:
            done, data = take("state_read", wanted, self._handle, offset)
            if _checked(done, self.key) == 0:
                break
            parts.append(bytes(data[:done]))
            offset, wanted = offset + done, wanted - done
        return b"".join(parts)

    def write(self, data: bytes | bytearray | memoryview, offset: int = 0) -> None:
        """Copies bytes in, on this host; the value grows to hold them."""
        _checked(give("state_write", memoryview(data).cast("B"), self._handle, offset), self.key)

    def merge(self, data: bytes | bytearray | memoryview, offset: int = 0) -> None:
        """Merges whole elements in, on this host, by the value's rule, each at once."""
        _checked(give("state_merge", memoryview(data).cast("B"), self._handle, offset), self.key)

    def append(self, data: bytes | bytearray | memoryview) -> int:
        """Appends bytes for all hosts; returns where they begin."""
        place = bytes(8)
        frame = frame_of(place, data)
        _checked(call("state_append", self._handle, At(8), len(data), At(0), frame=frame), self.key)
        return int.from_bytes(frame[HEAD_BYTES : HEAD_BYTES + 8], "little")

    def resize(self, length: int) -> None:
        """Sets its length in bytes, for all hosts."""
        _checked(call("state_resize", self._handle, length), self.key)

    def push(self, expected: Version | None = None) -> Version:
        """Sends what changed on this host; returns the new version.

        Args:
            expected: The version that must still be the newest.

        Raises:
            Conflict: It is not.
        """
        frame = frame_of(bytes(_VERSION.size), _VERSION.pack(*(expected or (0, 0))))
        where = At(_VERSION.size) if expected else 0
        done = call("state_push", self._handle, 0, _TO_THE_END, where, At(0), frame=frame)
        _checked(done, self.key)
        return _VERSION.unpack_from(frame, HEAD_BYTES)

    def pull(self) -> None:
        """Brings what others pushed."""
        _checked(call("state_pull", self._handle, 0, _TO_THE_END), self.key)

    @contextmanager
    def lock(
        self, kind: Kind = "write", scope: Scope = "global", timeout: float | None = None
    ) -> Iterator[bool]:
        """Holds a lock while a `with` block runs; yields whether the last holder abandoned it.

        What was written under a global write lock and not pushed is taken back at the end, so end
        with `push`.

        Args:
            kind: `"read"` is shared, `"write"` is exclusive.
            scope: Among functions of this host, or of all hosts.
            timeout: Seconds to wait; until the call's deadline when `None`.
        """
        number = _LOCKS[scope, kind]
        wait = _FOREVER if timeout is None else int(timeout * 1000)
        abandoned = _checked(call("state_lock", self._handle, number, wait), self.key)
        try:
            yield abandoned == 1
        except BaseException:
            call("state_unlock", self._handle, number)
            raise
        _checked(call("state_unlock", self._handle, number), self.key)

    def array(
        self, dtype: Any = None, shape: Any = None, offset: int = 0, writable: bool = False
    ) -> numpy.ndarray:
        """Maps the value as a NumPy array, without a copy.

        The array may be used until the call ends or `unmap` is called with it.

        Args:
            dtype: Type of the elements; the value's own unless it is given.
            shape: Shape; one dimension over all bytes from `offset` on unless it is given.
            offset: Where it begins, in bytes.
            writable: Whether stores go to the value itself; else they stay in this call.
        """
        import numpy

        dtype = numpy.dtype(self._element if dtype is None else dtype)
        if shape is None:
            shape = ((len(self) - offset) // dtype.itemsize,)
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        length = dtype.itemsize
        for n in shape:
            length *= n
        frame = bytearray(HEAD_BYTES + 4)
        mode = int(writable)
        done = call("state_map", self._handle, offset, length, mode, At(0), frame=frame)
        _checked(done, self.key)
        address = int.from_bytes(frame[HEAD_BYTES:], "little")
        return numpy.asarray(_Mapped(address, shape, dtype))

    def unmap(self, array: numpy.ndarray) -> None:
        """Gives a mapped array back; it must not be used afterwards."""
        address, _ = array.__array_interface__["data"]
        _checked(call("state_unmap", address), self.key)

    def versions(self) -> list[Version]:
        """The versions that can be opened, oldest first."""
        room = 256 * _VERSION.size
        count, data = take("state_versions", room, self._handle)
        _checked(count, self.key)
        return [_VERSION.unpack_from(data, n * _VERSION.size) for n in range(min(count, 256))]

    def at(self, version: Version) -> Value:
        """A version as it was, for reading and mapping."""
        frame = frame_of(_VERSION.pack(*version))
        handle = call("state_open_version", self._handle, At(0), frame=frame)
        return Value(self.key, _checked(handle, self.key), self._element)

    def close(self) -> None:
        """Forgets the value; the end of the call does so as well."""
        call("state_close", self._handle)

    def __enter__(self) -> Value:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Mapped:
    """Memory at an address, as NumPy asks for it."""

    def __init__(self, address: int, shape: tuple[int, ...], dtype: numpy.dtype) -> None:
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (address, False),
        }


class Counter:
    """A number that functions of all hosts add to; no addition is lost, and no lock is needed."""

    def __init__(self, key: str, durable: bool = False) -> None:
        self._value = open(key, element="i8", rule="sum", durable=durable, quota=8)
        if len(self._value) < 8:
            self._value.resize(8)

    def add(self, amount: int = 1) -> None:
        """Adds to it, on this host."""
        self._value.merge(amount.to_bytes(8, "little", signed=True))

    def get(self) -> int:
        """What it is, as far as this host knows."""
        return int.from_bytes(self._value.read(0, 8), "little", signed=True)

    def push(self) -> None:
        """Sends what this host added."""
        self._value.push()

    def pull(self) -> int:
        """Brings what other hosts added, and says what it is."""
        self._value.pull()
        return self.get()
