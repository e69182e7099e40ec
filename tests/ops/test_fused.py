"""Fused ops against the ops that they stand for, and against finite differences; the values lie on both sides of 0."""

import pytest

from minicnn import ops
from minicnn.gradcheck import check_grad
from minicnn.ops import Window
from tests.checks import assert_close

IMAGES = (2, 5, 4, 6)


def compare(fused, separate, arrays, dy):
    """Outputs, and the gradients of all inputs. separate(*arrays) -> y, a function from dy to the gradients"""
    y, backward = separate(*arrays)
    assert_close(fused(*arrays), y)
    for found, expected in zip(fused.backward(dy), backward(dy), strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize("relu", [True, False], ids=["relu", "linear"])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution(xp, rng, relu, groups):
    window = Window((2, 1), "same", groups=groups)
    shapes = [IMAGES, (3, 2, 6 // groups, 8), (8,), (2, 3, 4, 8)]
    arrays = [xp.asarray(rng.normal(size=shape)) for shape in shapes]

    def separate(x, w, b, residual):
        conv, act = ops.Conv2D(window), ops.ReLU() if relu else ops.Identity()
        y = act(conv(x, w, b) + residual)

        def backward(dy):
            (dz,) = act.backward(dy)
            return *conv.backward(dz), dz

        return y, backward

    compare(ops.Conv2DAct(window, relu), separate, arrays, xp.asarray(rng.normal(size=shapes[-1])))


@pytest.mark.parametrize("relu", [True, False], ids=["relu", "linear"])
@pytest.mark.parametrize("shape", [(2, 8, 12, 3), (2, 7, 6, 5)], ids=["at once", "one by one"])
def test_pooled_convolution(xp, rng, relu, shape):
    window = Window(pads="same")
    arrays = [xp.asarray(rng.normal(size=s)) for s in [shape, (5, 5, shape[3], 4), (4,)]]

    def separate(x, w, b):
        conv, act, pool = (
            ops.Conv2D(window),
            ops.ReLU() if relu else ops.Identity(),
            ops.MaxPool2D((2, 2), Window((2, 2))),
        )
        y = pool(act(conv(x, w, b)))

        def backward(dy):
            return conv.backward(*act.backward(*pool.backward(dy)))

        return y, backward

    compare(
        ops.Conv2DPool(window, relu),
        separate,
        arrays,
        xp.asarray(rng.normal(size=(2, shape[1] // 2, shape[2] // 2, 4))),
    )
    check_grad(ops.Conv2DPool(window, relu), *arrays)


@pytest.mark.parametrize("relu", [True, False], ids=["relu", "linear"])
def test_dense(xp, rng, relu):
    arrays = [xp.asarray(rng.normal(size=shape)) for shape in [(3, 4), (4, 5), (5,)]]

    def separate(x, w, b):
        product, act = ops.MatMul(), ops.ReLU() if relu else ops.Identity()
        y = act(product(x, w) + b)

        def backward(dy):
            (dz,) = act.backward(dy)
            return *product.backward(dz), dz.sum(axis=0)

        return y, backward

    compare(ops.DenseAct(relu), separate, arrays, xp.asarray(rng.normal(size=(3, 5))))


@pytest.mark.parametrize("size", [(2, 5, 4, 6), (8, 16, 16, 24)], ids=["small", "in pieces"])
@pytest.mark.parametrize("given", [True, False], ids=["given moments", "batch moments"])
@pytest.mark.parametrize("relu", [True, False], ids=["relu", "linear"])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_batch_norm(xp, rng, size, given, relu, scale):
    c = size[-1]
    moments = (xp.asarray(rng.normal(size=c)), xp.asarray(rng.uniform(0.5, 2, size=c))) if given else None
    arrays = [xp.asarray(rng.normal(size=shape)) for shape in (size, (c,), (c,), size)]

    def separate(x, gamma, beta, residual):
        norm = ops.BatchNormInference(*moments, 1e-3) if given else ops.BatchNorm(1e-3)
        act = ops.ReLU() if relu else ops.Identity()
        y = act(norm(x, gamma, beta) * scale + residual)

        def backward(dy):
            (dz,) = act.backward(dy)
            return *norm.backward(dz * scale), dz

        return y, backward

    fused = ops.BatchNormAct(1e-3, relu, scale, moments)
    compare(fused, separate, arrays, xp.asarray(rng.normal(size=size)))


@pytest.mark.parametrize("op", [ops.BatchNormAct(1e-3, relu=False), ops.BatchNormAct(1e-3, relu=False, scale=0.3)])
def test_batch_norm_against_finite_differences(xp, rng, op):
    check_grad(op, *(xp.asarray(rng.normal(size=shape)) for shape in ((3, 2, 2, 3), (3,), (3,), (3, 2, 2, 3))))


def test_batch_norm_without_gamma_and_beta(xp, rng):
    x = xp.asarray(rng.normal(size=IMAGES))
    plain, scaled = ops.BatchNormAct(1e-3, relu=False), ops.BatchNormAct(1e-3, relu=False, scale=0.5)
    assert_close(scaled(x, None, None), plain(x, None, None) * 0.5)
    dy = xp.asarray(rng.normal(size=IMAGES))
    assert_close(scaled.backward(dy)[0], plain.backward(dy)[0] * 0.5)


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_sum(xp, rng, scale):
    arrays = [xp.asarray(rng.normal(size=(3, 4))) for _ in range(2)]

    def separate(x, r):
        act = ops.ReLU()
        y = act(x + scale * r)
        return y, lambda dy: (act.backward(dy)[0], act.backward(dy)[0] * scale)

    compare(ops.AddReLU(scale), separate, arrays, xp.asarray(rng.normal(size=(3, 4))))


@pytest.mark.parametrize("zeros", [True, False])
def test_batch_norm_before_pooling(xp, rng, zeros):
    size, window = (3, 2), Window((2, 1), ((1, 1), (0, 1)))
    arrays = [xp.asarray(rng.normal(size=shape)) for shape in ((3, 6, 5, 4), (4,), (4,))]

    def separate(x, gamma, beta):
        norm, act, pool = ops.BatchNorm(1e-3), ops.ReLU(), ops.MaxPool2D(size, window, zeros)
        y = pool(act(norm(x, gamma, beta)))

        def backward(dy):
            return norm.backward(*act.backward(*pool.backward(dy)))

        return y, backward

    fused = ops.BatchNormPool(1e-3, size, window, zeros)
    compare(fused, separate, arrays, xp.asarray(rng.normal(size=(3, 3, 5, 4))))
    check_grad(ops.BatchNormPool(1e-3, size, window, zeros), *arrays)
