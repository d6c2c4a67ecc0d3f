"""Modules of a function: an archive that lies in memory, and so in the image.

What it is: an importer over the files of a zip archive, which is given at the bake. What it is
not: a file system; `open` does not see these files, `read` does.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.metadata
import io
import posixpath
import sys
import zipfile
from collections.abc import Iterable
from types import ModuleType

# Where tracebacks say that a file is.
ROOT = "/function"

_files: dict[str, bytes] = {}


def add(archive: bytes) -> None:
    """Takes the files of an archive."""
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        for entry in source.infolist():
            if not entry.is_dir():
                _files[posixpath.normpath(entry.filename)] = source.read(entry)


def read(path: str) -> bytes:
    """A file that was deployed with the function, by its path in the project.

    Raises:
        FileNotFoundError: There is none.
    """
    try:
        return _files[posixpath.normpath(path)]
    except KeyError:
        raise FileNotFoundError(f"the function was deployed without a file {path!r}") from None


def take(path: str) -> bytes:
    """As `read`, and lets go of the file: used while the module is imported, it is not in the image."""
    data = read(path)
    del _files[posixpath.normpath(path)]
    return data


class Loader(importlib.abc.SourceLoader):
    """Loads one module."""

    def __init__(self, path: str) -> None:
        self.path = path

    def get_filename(self, fullname: str) -> str:
        """Where tracebacks say that the module is."""
        return f"{ROOT}/{self.path}"

    def get_data(self, path: str) -> bytes:
        """A file beside the modules; byte code is not kept in files."""
        return read(posixpath.relpath(path, ROOT))


class Finder(importlib.abc.MetaPathFinder):
    """Finds modules, and what packages say of themselves, in the archive."""

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module of this name, if the archive has it."""
        base = fullname.replace(".", "/")
        for file, package in ((f"{base}/__init__.py", True), (f"{base}.py", False)):
            if file in _files:
                loader = Loader(file)
                origin = loader.get_filename(fullname)
                spec = importlib.machinery.ModuleSpec(
                    fullname, loader, origin=origin, is_package=package
                )
                spec.has_location = True
                if package:
                    spec.submodule_search_locations = [posixpath.dirname(origin)]
                return spec
        if any(file.startswith(f"{base}/") and file.endswith(".py") for file in _files):
            spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [f"{ROOT}/{base}"]
            return spec
        return None

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context | None = None
    ) -> Iterable[importlib.metadata.Distribution]:
        """Packages of the archive, for `importlib.metadata`."""
        wanted = getattr(context, "name", None)
        for file in _files:
            folder, name = posixpath.split(file)
            if name == "METADATA" and folder.endswith(".dist-info"):
                found = Distribution(folder)
                if wanted is None or _same(found.name, wanted):
                    yield found


def _same(a: str, b: str) -> bool:
    return a.lower().replace("-", "_") == b.lower().replace("-", "_")


class Distribution(importlib.metadata.Distribution):
    """What a package says of itself."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def read_text(self, filename: str) -> str | None:
        """A file of the package's own folder."""
        data = _files.get(f"{self.folder}/{filename}")
        return None if data is None else data.decode()

    def locate_file(self, path: object) -> str:
        """Where a file of it is said to be."""
        return f"{ROOT}/{path}"


def install() -> None:
    """Makes the archive importable, before the standard library's files."""
    files = next(
        (n for n, finder in enumerate(sys.meta_path) if finder is importlib.machinery.PathFinder),
        len(sys.meta_path),
    )
    sys.meta_path.insert(files, Finder())
