"""How the tests compare: "within", as the design defines it."""

import numpy as np


def to_numpy(x):
    """x on the host: a CuPy array is fetched, anything else goes through np.asarray."""
    return x.get() if hasattr(x, "get") else np.asarray(x)


def assert_close(actual, expected, tol=None):
    """max|actual - expected| <= tol * max|expected|, and the same shape.

    Without a tol: 1e-10 for float64, 1e-5 for float32, exact for integers and booleans. NaN equals
    nothing; an infinity equals itself.
    """
    actual, expected = to_numpy(actual), to_numpy(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    if tol is None:
        tol = {"float64": 1e-10, "float32": 1e-5}.get(actual.dtype.name, 0.0)
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    error = np.abs(actual - expected)[finite].max(initial=0.0)
    scale = np.abs(expected)[finite].max(initial=0.0)
    assert error <= tol * scale, f"off by {error:.3e}, allowed {tol:g} * {scale:.3e}"
