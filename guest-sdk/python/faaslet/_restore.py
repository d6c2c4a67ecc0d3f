"""What is made new in every fork, so that forks of one image do not repeat each other."""

from __future__ import annotations

import sys
from collections.abc import Callable

_hooks: list[Callable[[], object]] = []


def after_restore[F: Callable[[], object]](hook: F) -> F:
    """Runs a function without parameters first in every fork, before the handler.

    For what must not be the same in all forks, such as a generator of random numbers that a module
    made while it was imported. Use it as a decorator.
    """
    _hooks.append(hook)
    return hook


def restored() -> None:
    """Makes new what the standard library and NumPy have drawn while the image was baked.

    `os.urandom`, `secrets`, `time` and `uuid.uuid4` ask the host each time and need nothing.
    """
    modules = sys.modules
    random = modules.get("random")
    if random is not None:
        random.seed()
    numpy_random = modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    uuid = modules.get("uuid")
    if uuid is not None:
        uuid._node = uuid._last_timestamp = None
    tempfile = modules.get("tempfile")
    if tempfile is not None:
        tempfile._name_sequence = None
    for hook in _hooks:
        hook()
