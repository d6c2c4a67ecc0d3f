"""A product of two matrices by NumPy.

The image holds NumPy, imported, and one matrix; a call multiplies it by what it is given.
"""

import numpy as np

SIZE = 64
# The same in every image: a Hilbert matrix, whose products are known.
LEFT = 1.0 / (np.arange(SIZE)[:, None] + np.arange(SIZE)[None, :] + 1.0)

# The first product makes the buffers of the linear algebra library: here, so that no call has to.
LEFT @ LEFT


def handler(event: dict | None, context: object) -> dict:
    """Multiplies; the event's `right` is a matrix, a list of rows, or absent for one of ones."""
    rows = (event or {}).get("right")
    right = np.ones((SIZE, SIZE)) if rows is None else np.asarray(rows, dtype=float)
    if right.ndim != 2 or right.shape[0] != SIZE:
        raise ValueError(f"expected a matrix of {SIZE} rows; found the shape {right.shape}")
    product = LEFT @ right
    return {"shape": product.shape, "trace": float(np.trace(product)), "sum": float(product.sum())}
