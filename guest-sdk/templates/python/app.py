"""A function: `handler` answers every call.

This module is imported once, when the function is deployed. Whatever it imports, loads or computes
outside of the handler is in the image that every call starts from.
"""

import faaslet


def handler(event: dict | None, context: faaslet.Context) -> dict:
    """Greets whom the event names."""
    name = (event or {}).get("name", "world")
    faaslet.log(f"greeting {name}", "debug")
    return {"greeting": f"Hello, {name}!"}
