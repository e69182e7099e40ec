"""The units and shortcuts of He et al. 2016: their formulas, parameters, and a small run."""

import numpy as np
import pytest

from minicnn import layers
from minicnn.model import Model
from minicnn.study import variants
from minicnn.study.families import twin
from minicnn.study.instruments import Settings
from minicnn.zoo import resnet_cifar
from tests.checks import assert_close
from tests.study.results import check


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def merged(shortcut, x, y, filters, strides, **numbers):
    """The sum that a shortcut gives for arrays x and y, and the model that gave it, its weights drawn at random."""
    a, b = layers.Input(x.shape[1:]), layers.Input(y.shape[1:])
    model = Model([a, b], variants.SHORTCUTS[shortcut](a, b, filters, strides, name="block", **numbers))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.2, 1, weight.shape))
    return model.predict([x, y], verbose=0), model


@pytest.mark.parametrize(("channels", "strides"), [(6, 1), (4, 2)])
@pytest.mark.parametrize("shortcut", variants.SHORTCUTS)
def test_shortcuts_by_their_formulas(rng, shortcut, channels, strides):
    x = rng.normal(size=(3, 4, 4, channels)).astype(np.float32)
    y = rng.normal(size=(3, 4 // strides, 4 // strides, 6)).astype(np.float32)
    found, model = merged(shortcut, x, y, 6, strides)
    seen = x[:, ::strides, ::strides]
    padded = np.pad(seen, ((0, 0), (0, 0), (0, 0), (0, 6 - channels)))
    w = {weight.name.rpartition("/")[2]: weight.numpy() for weight in model.weights}
    if "gate" in shortcut:
        g = sigmoid(seen @ w["kernel"][0, 0] + w["bias"])
    if shortcut == "conv1x1":
        z = (seen @ w["kernel"][0, 0] - w["moving_mean"]) / np.sqrt(w["moving_variance"] + 1e-5)
        padded = z * w["gamma"] + w["beta"]
    expected = {
        "identity": lambda: padded + y,
        "scale": lambda: 0.5 * padded + 0.5 * y,
        "exclusive_gate": lambda: (1 - g) * padded + g * y,
        "shortcut_gate": lambda: (1 - g) * padded + y,
        "conv1x1": lambda: padded + y,
        "dropout": lambda: padded + y,
    }[shortcut]()
    assert_close(found, expected)


def test_scales_and_gates_take_their_numbers(rng):
    x, y = (rng.normal(size=(2, 3, 3, 5)).astype(np.float32) for _ in range(2))
    assert_close(merged("scale", x, y, 5, 1, a=0.25, b=2.0)[0], 0.25 * x + 2 * y)
    model = variants.build(1, shortcut="shortcut_gate", b=-7.0)
    assert (model.get_layer("conv2_block1_gate").bias.numpy() == -7).all()
    assert variants.build(1, shortcut="dropout", p=0.3).get_layer("conv3_block1_dropout").rate == 0.3


def test_dropout_stands_on_the_shortcut_alone(rng):
    x, y = (np.full((2, 3, 3, 5), value, np.float32) for value in (1.0, 10.0))
    _, model = merged("dropout", x, y, 5, 1)
    assert set(np.unique(model([x, y], training=True).numpy())) == {10.0, 12.0}


ORDERS = {  # of the second block, by the ends of the layers' names
    "original": "1_conv 1_bn 1_relu 2_conv 2_bn add out_relu",
    "bn_after_add": "1_conv 1_bn 1_relu 2_conv add out_bn out_relu",
    "relu_before_add": "1_conv 1_bn 1_relu 2_conv 2_bn 2_relu add",
    "relu_only_preact": "preact_relu 1_conv 1_bn 1_relu 2_conv 2_bn add",
    "full_preact": "preact_bn preact_relu 1_conv 1_bn 1_relu 2_conv add",
}


@pytest.mark.parametrize("unit", variants.UNITS)
def test_units_in_the_paper_s_order(unit):
    names = [layer.name for layer in variants.build(2, unit).layers]
    prefix = "conv2_block2_"
    assert [n.removeprefix(prefix) for n in names if n.startswith(prefix)] == ORDERS[unit].split()
    first = [n for n in names if n.startswith("conv2_block1_")]
    assert not any("preact" in n for n in first)  # it stands on what conv1's ReLU gave
    assert [n for n in names if n.startswith("post")] == {
        "full_preact": ["post_bn", "post_relu"], "relu_only_preact": ["post_relu"]
    }.get(unit, [])  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "other"),
    [
        ("original", lambda: twin("resnet", 14)),
        (
            "full_preact",
            lambda: resnet_cifar.preactivated("p", 2, resnet_cifar.unit_basic, 1, "A", (8, 8, 1), 10, True, None),
        ),
    ],
)
def test_two_units_are_networks_of_the_zoo(rng, unit, other):
    ours, theirs = variants.build(2, unit), other()
    weights = [rng.uniform(0.1, 1, w.shape) / np.sqrt(np.prod(w.shape[:-1])) for w in theirs.weights]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    x = rng.normal(size=(4, 8, 8, 1))
    assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))


@pytest.mark.parametrize("n", [1, 2])
def test_parameters(n):
    plain = variants.build(n).count_params()
    assert {variants.build(n, unit).count_params() for unit in variants.UNITS} == {plain}
    entering = [16] * n + [16] + [32] * (n - 1) + [32] + [64] * (n - 1)
    leaving = [16] * n + [32] * n + [64] * n
    kernels = sum(a * b for a, b in zip(entering, leaving, strict=True))
    extra = {"identity": 0, "scale": 0, "dropout": 0}
    extra |= dict.fromkeys(("exclusive_gate", "shortcut_gate"), kernels + sum(leaving))
    extra["conv1x1"] = kernels + 4 * sum(leaving)
    for shortcut, more in extra.items():
        assert variants.build(n, shortcut=shortcut).count_params() == plain + more


def test_unknown_words():
    with pytest.raises(ValueError, match="unknown unit 'full_preakt': did you mean 'full_preact'"):
        variants.build(1, "full_preakt")
    with pytest.raises(ValueError, match="unknown shortcut 'gate'"):
        variants.build(1, shortcut="gate")
    with pytest.raises(TypeError, match="unexpected keyword argument 'p'"):
        variants.build(1, shortcut="scale", p=1.0)


def test_the_names_tell_variants_apart():
    members = [variants.member(v, 8, Settings()) for v in variants.VARIANTS]
    assert len({m.name for m in members}) == len({m.label for m in members}) == len(members)
    assert members[0].name == "resnet8"


def figures(**errors):
    """Of variants with these errors here."""
    rows = {v.label: v.paper for v in variants.VARIANTS}
    return {name: {"paper": rows[name], "test error": error} for name, error in errors.items()}


def test_the_verdict_follows_the_figures():
    good = figures(original=2.0, **{"BN after addition": 20.0, "dropout 0.5": float("nan"), "full pre-activation": 9.0})
    assert variants.verdict(good).startswith("holds: ") and "dropout 0.5 diverged" in variants.verdict(good)
    bad = good | figures(**{"1x1 convolution": 2.5})
    assert variants.verdict(bad).startswith("does not hold for 1x1 convolution: ")


def test_a_run(monkeypatch, capsys, tmp_path, few_images):
    kept = tuple(v for v in variants.VARIANTS if v.label in ("original", "BN after addition"))
    monkeypatch.setattr(variants, "VARIANTS", kept)
    monkeypatch.setattr(variants, "wanted_depth", lambda settings, default: 8)
    result = variants.run(Settings(epochs=1, cache=tmp_path))
    assert list(result.figures["variants"]) == ["original", "BN after addition"]
    check(result, capsys)


def test_the_paper_s_errors_stand_as_they_are_printed_there():
    same = {"parameters": 1, "train loss": 0.1, "test error": 1.0}
    found = {v.label: same | {"paper": v.paper} for v in variants.VARIANTS}
    shown = {row[0]: row[-1] for row in variants.table(found).rows}
    assert (shown["0.5 x + 0.5 F"], shown["1x1 convolution"], shown["dropout 0.5"]) == ("12.35", "12.22", "fail")
