"""The instruments on blocks and by depth: their figures mean what they say."""

import html
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import minicnn
from minicnn import layers, study, zoo
from minicnn.model import Model
from minicnn.study import decompose, depth, paths
from minicnn.study.depth import by_depth, growth
from minicnn.study.output import as_data, png, write
from minicnn.study.states import LOSS
from tests.study.results import check


@pytest.fixture
def resnet20(rng):
    minicnn.set_random_seed(0)
    model = zoo.build("resnet20", input_shape=(8, 8, 1))
    return model, rng.normal(size=(16, 8, 8, 1)).astype("float32"), rng.integers(0, 10, 16)


def test_shares_add_up_and_identity_skips_return_all(resnet20):
    model, x, y = resnet20
    for one in decompose.decompose(study.record(model, x, y, loss=LOSS, precise=True)):
        assert sum(c["share"] for c in one["consumers"]) == pytest.approx(1, abs=1e-12)
        assert one["skip_share"] + one["branch_share"] == pytest.approx(1, abs=1e-12)
        assert one["gain"] == pytest.approx(one["fork_norm"] / one["merge_norm"])
        law_of_cosines = one["skip_norm"] ** 2 + one["branch_norm"] ** 2
        law_of_cosines += 2 * one["cosine"] * one["skip_norm"] * one["branch_norm"]
        assert law_of_cosines == pytest.approx(one["fork_norm"] ** 2, rel=1e-9)
        if one["skip"] == "identity":
            assert one["skip_norm"] == one["merge_norm"]


def test_the_growth_of_a_geometric_series():
    assert growth([8.0, 4.0, 2.0, 1.0]) == pytest.approx(2)
    assert growth([1.0, 3.0, 0.0, 27.0]) == pytest.approx(1 / 3)  # what is 0 has no logarithm, and is left out
    assert growth([5.0]) == 1


def test_the_figures_of_each_layer(rng):
    """Of two dense layers, by hand; the loss is a sum, so that its gradient is the direction."""
    inputs = layers.Input((6,))
    hidden = layers.Dense(5, use_bias=False, name="first")(inputs)
    model = Model(inputs, layers.Dense(4, use_bias=False, name="second")(hidden))
    x, direction = rng.normal(size=(3, 6)), rng.normal(size=(3, 4))
    found = by_depth(model, x, direction, loss=lambda t, p: (p * t).sum(), rate=0.1, precise=True)
    first, second = found["layers"]
    a, b = (model.get_layer(name).kernel.data.astype("float64") for name in ("first", "second"))
    assert (first["layer"], second["layer"]) == ("first", "second")
    assert first["activation"] == pytest.approx(np.sqrt(np.mean((x @ a) ** 2)), rel=1e-6)
    assert first["gradient"] == pytest.approx(np.sqrt(np.mean((direction @ b.T) ** 2)), rel=1e-6)
    assert first["weight_gradient"] == pytest.approx(np.linalg.norm(x.T @ direction @ b.T), rel=1e-6)
    assert second["weight_norm"] == pytest.approx(np.linalg.norm(b), rel=1e-6)
    assert second["update"] == pytest.approx(0.1 * second["weight_gradient"] / second["weight_norm"], rel=1e-6)


def test_a_stack_of_sigmoids_vanishes(rng):
    x = inputs = layers.Input((20,))
    for _ in range(8):
        x = layers.Dense(20, activation="sigmoid")(x)
    model = Model(inputs, layers.Dense(3, activation="softmax")(x))
    found = by_depth(model, rng.normal(size=(16, 20)), rng.integers(0, 3, 16), loss=LOSS)
    assert found["verdict"] == "vanishes" and found["per_layer"] < 0.6


def test_variances_are_those_of_what_enters(resnet20):
    model, x, y = resnet20
    found = by_depth(model, x, y, loss=LOSS)
    # The branch ends in a batch norm with gamma 1: each channel has variance 1 and mean 0.
    assert [b["branch_variance"] for b in found["blocks"]] == pytest.approx([1] * 9, rel=0.01)
    skips = [b["skip_variance"] for b in found["blocks"][:3]]
    assert skips == sorted(skips)


def test_the_plain_twin_explodes(rng):
    """Yang et al. 2019: with batch norm the gradient of a plain network grows from layer to layer backward."""
    found = {}
    for name in ("resnet44", "plain44"):
        minicnn.set_random_seed(0)
        model = zoo.build(name, input_shape=(8, 8, 1))
        x, y = rng.normal(size=(16, 8, 8, 1)), rng.integers(0, 10, 16)
        found[name] = by_depth(model, x, y, loss=LOSS, precise=True)
    assert found["plain44"]["per_layer"] > 1.08 > 1.05 > found["resnet44"]["per_layer"]
    assert found["plain44"]["verdict"] == "explodes" and found["resnet44"]["verdict"] == "keeps its size"


@pytest.mark.parametrize("module", [decompose, paths, depth])
def test_runs_from_end_to_end(module, few_images, capsys, tmp_path):
    settings = study.Settings("resnet20", epochs=1, batch_size=4)
    result = module.run(settings)
    check(result, capsys)
    lines = write(result, tmp_path)
    report = (tmp_path / "report.html").read_text()
    assert (
        report.count("data:image/png;base64,") == len(result.pictures)
        and html.escape(result.verdict.split(":")[1], quote=False) in report
    )
    assert "http" not in report.replace("http://www.w3.org", "")
    assert json.loads((tmp_path / f"{result.study}.json").read_text()) == as_data(result)
    assert len(lines) == len(list(tmp_path.iterdir())) and all(Path(line.split()[-1]).exists() for line in lines)


def test_modules_of_an_inception_network(few_images, capsys):
    result = decompose.run(study.Settings("inception_v1", batch_size=2))
    check(result, capsys)
    (table,) = result.tables
    assert len(table.rows) == 9 * 4
    first = {c["way"]: c["layer"] for c in result.figures["states"]["start"][0]["consumers"]}
    assert set(first) == {"1x1", "1x1, 3x3", "1x1, 5x5", "1x1, pool"}  # the notebook's order


def test_a_network_without_merges():
    with pytest.raises(ValueError, match="plain20: there is no merge"):
        decompose.run(study.Settings("plain20", batch_size=2))


def test_a_merge_in_words(resnet20):
    model, x, y = resnet20
    record = study.record(model, x, y, loss=LOSS)
    text = study.explain_merge(record.block("conv2_block1_add"))
    assert text.startswith("conv2_block1_add (add) joins identity, conv2_block1_2_bn. A gradient of length ")
    assert "neither divides nor averages" in text
    assert "  conv2_block1_add (skip): length " in text and "  conv2_block1_1_conv (branch): length " in text
    assert f"{np.linalg.norm(record.block('conv2_block1_add').skip_gradient):.4g}" in text


def test_with_the_weights_of_a_file(resnet20, tmp_path, few_images):
    model, *_ = resnet20
    model.save_weights(tmp_path / "w.safetensors")
    result = decompose.run(study.Settings("resnet20", batch_size=4, weights=str(tmp_path / "w.safetensors"), seed=3))
    assert list(result.figures["states"]) == ["weights"] and "w.safetensors" in result.tables[0].title


def test_many_images_are_cut_short_unless_all_are_wanted(monkeypatch):
    from dataclasses import replace

    from minicnn import data
    from minicnn.study.instruments import MOST
    from minicnn.study.states import states

    few = data.load("digits")
    many = replace(few, x_train=np.tile(few.x_train, (3, 1, 1, 1)), y_train=np.tile(few.y_train, 3))
    monkeypatch.setattr(data, "load", lambda name, data_dir: many)
    for full, images, count in ((False, None, MOST), (True, None, 4311), (False, 3000, 3000), (True, 9, 9)):
        settings = study.Settings("resnet20", full=full, images=images)
        _, _, split = next(states(settings))
        assert len(split.x_train) == len(split.y_train) == count
        assert settings.data_words == ("digits" if count == 4311 else f"digits ({count:,} images for training)")
        assert settings.load().name == ("digits" if count == 4311 else f"digits-{count}")


def test_a_branch_that_returns_nothing(rng, capsys):
    """Scaled by 0, as with SkipInit at the start: there is no angle between the skip and nothing."""
    x = inputs = layers.Input((4, 4, 1))
    for i in range(3):
        x = layers.ScaledAdd(0.0, name=f"sum{i}")([x, layers.Conv2D(1, 3, padding="same")(x)])
    model = Model(inputs, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))
    record = study.record(model, rng.normal(size=(2, 4, 4, 1)), np.array([0, 2]), loss=LOSS, precise=True)
    found = {"start": decompose.decompose(record)}
    total = decompose.summary(found["start"])
    assert np.isnan(total["median_abs_cosine"]) and total["median_ratio"] == 0 and total["median_gain"] == 1
    assert decompose.verdict(found, {"start": []}, {"start": "at the start"}).startswith("does not hold: ")
    assert png(decompose.residual_picture(found, {"start": "at the start"})).startswith(b"\x89PNG")


def test_a_gradient_that_is_not_finite(rng):
    inputs = layers.Input((4,))
    x = layers.Dense(4, name="a")(inputs)
    model = Model(inputs, layers.Dense(3, activation="softmax")(layers.Dense(4)(x)))
    model.get_layer("a").set_weights([np.full((4, 4), np.inf), np.zeros(4)])
    with np.errstate(all="ignore"):
        found = by_depth(model, rng.normal(size=(2, 4)), np.array([0, 1]), loss=LOSS)
    assert found["verdict"] == "is not finite"
    assert growth([1e300, 1e-300, 1e300]) == pytest.approx(1) and np.isfinite(growth([1e300, 1e-308]))


def test_words_beside_marks_do_not_lie_upon_each_other():
    shares = {"1x1": 0.01, "1x1, 3x3": 0.012, "1x1, 3x3, 3x3": 0.014, "pool": 0.4, "past": 0.99}
    readers = [{"layer": w, "way": w, "role": "branch", "share": s} for w, s in shares.items()]
    figure = Figure(figsize=(7, 1.9), dpi=100, layout="constrained")
    decompose.module_picture({"start": [{"merge": "mixed", "consumers": readers}]}, {"start": "new"}).draw(figure)
    figure.canvas.draw()
    words = [t for t in figure.axes[0].texts if t.get_text()]
    assert {"1x1", "pool", "past"} <= {t.get_text() for t in words} < set(shares)
    boxes = [t.get_window_extent() for t in words]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
