"""How the tests compare: "within", as the design defines it."""

import numpy as np

from minicnn.tensor import Tensor


def to_numpy(x):
    """x on the host: a CuPy array is fetched, anything else goes through np.asarray."""
    return x.get() if hasattr(x, "get") else np.asarray(x)


def assert_close(actual, expected, tol=None):
    """max|actual - expected| <= tol * max|expected|, and the same shape.

    Without a tol: 1e-10 for float64, 1e-5 for float32, exact for integers and booleans. An
    infinity or a NaN is matched by itself alone.
    """
    actual, expected = to_numpy(actual), to_numpy(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    if tol is None:
        tol = {"float64": 1e-10, "float32": 1e-5}.get(actual.dtype.name, 0.0)
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    error = np.abs(actual[finite] - expected[finite]).max(initial=0.0)
    scale = np.abs(expected[finite]).max(initial=0.0)
    assert error <= tol * scale, f"off by {error:.3e}, allowed {tol:g} * {scale:.3e}"


def away_from_zero(rng, *shape):
    """Random numbers of both signs, none nearer to 0 than 0.1: no finite difference crosses a kink there."""
    return rng.uniform(0.1, 2.0, size=shape) * rng.choice([-1.0, 1.0], size=shape)


def distinct(rng, *shape):
    """Random numbers of both signs, any two at least 0.1 apart: no finite difference meets a tie."""
    count = int(np.prod(shape))
    return (rng.permutation(count).reshape(shape) - count // 2) / 10 + 0.05


def leaf(xp, values, dtype="float64"):
    """A tensor that wants a gradient."""
    return Tensor(xp.asarray(values, dtype=dtype), requires_grad=True)
