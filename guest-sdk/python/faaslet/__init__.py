"""What a function on faaslet can ask of its host.

    import faaslet

    def handler(event, context):
        return {"greeting": f"Hello, {event['name']}!"}

A handler takes an event and a `Context` and returns a result: bytes as they are, anything else as
JSON. The module is imported once, when the function is deployed; every call runs in a fork of the
image that was taken then. `faaslet.state` has the tenant's values.
"""

from . import state
from ._chain import Pending, call, start
from ._context import Context
from ._errors import CallError, Conflict, HostError, LockLost, StateError, StateLost, Status
from ._layer import read, take
from ._log import Handler, log
from ._restore import after_restore

__all__ = [
    "CallError",
    "Conflict",
    "Context",
    "Handler",
    "HostError",
    "LockLost",
    "Pending",
    "StateError",
    "StateLost",
    "Status",
    "after_restore",
    "call",
    "log",
    "read",
    "start",
    "state",
    "take",
]
