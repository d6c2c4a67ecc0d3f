#!/usr/bin/env python3
"""Packs a Python function: its files and the packages it requires, as one archive.

This is what `faaslet deploy app.py`, or of a folder, runs. The archive is the same, byte for byte,
for the same files and packages, so that a deployment of what was deployed before bakes nothing.

Usage: python_pack.py PROJECT OUT.zip

PROJECT is a Python file, or a folder with `app.py`, or one whose `faaslet.toml` names another
handler, as in `handler = "module.function"`. Packages of `requirements.txt` are installed by pip,
in wheels of pure Python; what the runtime has, NumPy among it, is taken from there.
Exit status: 0 packed, 1 a package cannot be had, 2 no such project.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from python_runtime import fail as failed
from python_runtime import home, stamp

PYTHON = "3.15"
MANIFEST = "faaslet-python.json"
ENTRY, HANDLER = "app.py", "handler"
REQUIREMENTS = "requirements.txt"
# Folders and files that are no part of a function.
LEFT_OUT = {"__pycache__", "venv", "node_modules", "faaslet.toml", REQUIREMENTS}
EPOCH = (1980, 1, 1, 0, 0, 0)
NO_PROJECT = 2


def no_project(what: str) -> None:
    """Ends the program: the path is no project."""
    print(f"python: error: {what}", file=sys.stderr)
    sys.exit(NO_PROJECT)


def files_of(root: Path) -> dict[str, bytes]:
    """The files of a folder, by their paths in it; links are followed within the folder alone."""
    found: dict[str, bytes] = {}
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        hidden = any(part in LEFT_OUT or part.startswith(".") for part in parts)
        if hidden or path.suffix == ".pyc" or not path.is_file():
            continue
        if root.resolve() not in path.resolve().parents:
            no_project(f"{path} is a link that leads out of the project; copy the file instead.")
        found["/".join(parts)] = path.read_bytes()
    return found


def project(path: Path) -> tuple[dict[str, bytes], str, Path]:
    """Files, handler and folder of a project."""
    if path.is_file():
        if not path.stem.isidentifier():
            no_project(f"{path.name} is no name of a module: letters, digits and _ were expected.")
        return {path.name: path.read_bytes()}, f"{path.stem}.{HANDLER}", path.parent
    if not path.is_dir():
        no_project(f"there is no {path}.")
    handler = f"{Path(ENTRY).stem}.{HANDLER}"
    manifest = path / "faaslet.toml"
    if manifest.is_file():
        named = re.search(r'^handler\s*=\s*"([^"]*)"', manifest.read_text(), re.MULTILINE)
        handler = named.group(1) if named else handler
    module, _, function = handler.rpartition(".")
    if not module or not all(part.isidentifier() for part in handler.split(".")):
        no_project(f'expected handler = "module.function" in {manifest}; found {handler!r}.')
    found = files_of(path)
    base = module.replace(".", "/")
    if f"{base}.py" not in found and f"{base}/__init__.py" not in found:
        no_project(f"expected {base}.py in {path}, which the handler {handler!r} is in.")
    return found, handler, path


def provided() -> list[tuple[str, str]]:
    """Packages of the runtime, with their versions."""
    manifest = home() / stamp() / "MANIFEST"
    if not manifest.is_file():
        failed("the Python runtime is missing.", "Type:  python_runtime.py")
    lines = (line.split() for line in manifest.read_text().splitlines())
    return [(words[1], words[2]) for words in lines if len(words) > 2 and words[0] == "package"]


def stand_ins(folder: Path, packages: list[tuple[str, str]]) -> None:
    """Writes a wheel without files for each package that the runtime has, so that pip counts it."""
    for name, version in packages:
        plain = re.sub(r"[-_.]+", "_", name)
        info = f"{plain}-{version}.dist-info"
        with zipfile.ZipFile(folder / f"{plain}-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")


def install(requirements: Path) -> dict[str, bytes]:
    """The files of the packages that are required."""
    with tempfile.TemporaryDirectory() as scratch:
        links, target = Path(scratch) / "links", Path(scratch) / "target"
        links.mkdir()
        packages = provided()
        stand_ins(links, packages)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
        command += ["--disable-pip-version-check", "--root-user-action", "ignore", "--target", str(target)]
        command += ["--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "py"]
        command += ["--abi", "none", "--platform", "any", "--find-links", str(links)]
        done = subprocess.run([*command, "-r", str(requirements)], capture_output=True, text=True)
        if done.returncode != 0:
            refuse(done.stderr, requirements.read_text().splitlines())
        ours = {re.sub(r"[-_.]+", "_", name).lower() for name, _ in packages}
        return {
            path: data
            for path, data in files_of(target).items()
            if path.split("/")[0].partition("-")[0].lower() not in ours and not path.startswith("bin/")
        }


def unmet(message: str, lines: list[str]) -> str | None:
    """The package that pip could not install, by its message or the line that it names."""
    missing = re.search(r"No matching distribution found for ([^\s(;]+)", message)
    if missing:
        return missing.group(1)
    at = re.search(r"Cannot install .*\(line (\d+)\)", message)
    if at and 0 < int(at.group(1)) <= len(lines):
        return re.split(r"[^\w.-]", lines[int(at.group(1)) - 1].strip())[0]
    return None


def refuse(message: str, lines: list[str]) -> None:
    """Tells what pip could not install, by name."""
    name = unmet(message, lines)
    if not name:
        print(message, file=sys.stderr)
        failed(f"pip could not install what {REQUIREMENTS} names (its message is above).")
    failed(
        f"the package {name} cannot be had as a wheel of pure Python for Python {PYTHON}.",
        "A function cannot load native code; the runtime has the packages that need it, such as",
        "numpy, scipy, pandas and scikit-learn, in one version each.",
        f"Take {name} out of {REQUIREMENTS}, or a package that needs no native code.",
    )


def main() -> None:
    """See the module's documentation."""
    if len(sys.argv) != 3:
        no_project("expected PROJECT and OUT.zip.")
    files, handler, folder = project(Path(sys.argv[1]))
    requirements = folder / REQUIREMENTS
    if Path(sys.argv[1]).is_dir() and requirements.is_file():
        files = install(requirements) | files
    files[MANIFEST] = json.dumps({"handler": handler}).encode()
    with zipfile.ZipFile(sys.argv[2], "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            archive.writestr(zipfile.ZipInfo(path, EPOCH), files[path])


if __name__ == "__main__":
    main()
