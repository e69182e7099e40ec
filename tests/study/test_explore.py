"""The explorer: the graph and its numbers, the page as text, and, where there is a browser, the page at work."""

import json
import re
import shutil

import numpy as np
import pytest

from minicnn import functions, layers, zoo
from minicnn.model import Model
from minicnn.study import Settings, explore, record
from minicnn.study.digits import digits, seeded
from minicnn.study.flow import Flow, rounded, words

LOSS = "sparse_categorical_crossentropy"


def network():
    """A residual block, an inception module, arithmetic, and a model inside the model."""
    with seeded(0):
        start = layers.Input((8, 8, 1), name="start")
        inside = layers.Input((8, 8, 4))
        inner = Model(inside, layers.ReLU(name="deep")(inside), name="inner")
        x = layers.Conv2D(4, 3, padding="same", name="stem")(start)
        y = layers.Conv2D(4, 3, padding="same", name="branch")(layers.ReLU(name="act")(x))
        x = layers.Add(name="sum")([x, y])
        x = inner(x * 2.0)
        a, b = layers.Conv2D(2, 1, name="one")(x), layers.Conv2D(3, 3, padding="same", name="three")(x)
        x = layers.GlobalAveragePooling2D(name="mean")(layers.Concatenate(name="joined")([a, b]))
        return Model(start, layers.Dense(10, activation="softmax", name="end")(x), name="small")


def batch(count=6):
    return digits().x_train[:count], digits().y_train[:count]


@pytest.fixture(scope="module")
def flow():
    found = Flow("small")
    model = network()
    for step in range(2):
        found.add(model, *batch(), {"step": step, "epoch": 0.0}, loss=LOSS)
    return found


def named(flow):
    names = [n.name for n in flow.nodes]
    return {(names[e.start], names[e.to]): e for e in flow.edges}


# The graph -----------------------------------------------------------------------------------------------------------


def test_every_layer_is_a_node_and_every_way_an_edge(flow):
    edges = named(flow)
    arithmetic = next(n.name for n in flow.nodes if n.type == "Operation" or n.name.startswith("multiply"))
    assert set(edges) == {
        ("start", "stem"), ("stem", "act"), ("act", "branch"), ("branch", "sum"), ("stem", "sum"),
        ("sum", arithmetic), (arithmetic, "inner/deep"), ("inner/deep", "one"), ("inner/deep", "three"),
        ("one", "joined"), ("three", "joined"), ("joined", "mean"), ("mean", "end"), ("end", "loss"),
    }  # fmt: skip
    kinds = {n.name: n.kind for n in flow.nodes}
    assert (kinds["start"], kinds["sum"], kinds["joined"], kinds["loss"]) == ("input", "merge", "merge", "loss")
    assert {n.name: n.parameters for n in flow.nodes}["stem"] == 40


def test_roles_and_blocks(flow):
    edges = named(flow)
    assert edges["stem", "sum"].role == "skip"
    assert [edges[pair].role for pair in (("stem", "act"), ("act", "branch"), ("branch", "sum"))] == ["branch"] * 3
    assert edges["inner/deep", "one"].role == "branch"
    assert edges["start", "stem"].role == edges["end", "loss"].role == "trunk"
    assert [b.name for b in flow.blocks] == ["sum", "joined"]
    assert edges["branch", "sum"].block == 0
    assert edges["one", "joined"].block == 1


def test_the_numbers_are_those_of_a_record(flow):
    edges, found = named(flow), record(network(), *batch(), loss=LOSS)
    block = found.block("sum")
    assert edges["stem", "sum"].norm == pytest.approx([np.linalg.norm(block.skip_gradient)] * 2)
    assert edges["stem", "act"].norm[0] == pytest.approx(np.linalg.norm(block.branch_gradient))
    assert flow.blocks[0].skip[0] == edges["stem", "sum"].norm[0]
    assert edges["stem", "sum"].share[0] + edges["stem", "act"].share[0] == pytest.approx(1, rel=1e-5)
    assert (edges["mean", "end"].share[0], edges["mean", "end"].cosine[0]) == pytest.approx((1, 1))
    assert edges["start", "stem"].norm[0] == pytest.approx(np.linalg.norm(found.input_gradients[0]))
    assert flow.snapshots[0]["loss"] == pytest.approx(found.loss)


def test_an_inner_block_s_ways_are_its_own():
    """Inception-ResNet: a concatenation inside of the residual branch."""
    with seeded(0):
        start = layers.Input((4, 4, 2))
        x = layers.Conv2D(4, 1, name="stem")(start)
        a, b = layers.Conv2D(2, 1, name="a")(x), layers.Conv2D(2, 1, name="b")(x)
        y = layers.Conv2D(4, 1, name="up")(layers.Concatenate(name="cat")([a, b]))
        x = layers.Flatten()(layers.ScaledAdd(0.2, name="sum")([x, y]))
        model = Model(start, layers.Dense(10, activation="softmax")(x))
    flow = Flow("nested")
    rng = np.random.default_rng(0)
    flow.add(model, rng.normal(size=(3, 4, 4, 2)), np.array([1, 2, 3]), {}, loss=LOSS)
    edges = named(flow)
    names = [b.name for b in flow.blocks]
    assert names[edges["a", "cat"].block] == "cat"
    assert names[edges["up", "sum"].block] == "sum"
    assert edges["stem", "sum"].role == "skip"


def test_another_graph_is_refused(flow):
    with pytest.raises(ValueError, match="small: its graph is not the one of the first snapshot"):
        other = zoo.build("lenet5", input_shape=(8, 8, 1))
        flow.add(other, *batch(), {}, loss=LOSS)


def test_a_model_of_one_s_own():
    class Mine(Model):
        def __init__(self):
            super().__init__(name="mine")
            self.first, self.last = layers.Dense(8, name="first"), layers.Dense(10, name="last")

        def call(self, x):
            x = self.first(x)
            return functions.softmax(self.last(x + functions.relu(x)))

    flow = Flow("mine")
    rng = np.random.default_rng(0)
    flow.add(Mine(), rng.normal(size=(4, 5)), np.array([1, 2, 3, 4]), {}, loss=LOSS)
    assert {"first", "last", "loss"} <= {n.name for n in flow.nodes}


@pytest.mark.parametrize(
    "layer, expected",
    [
        (layers.Conv2D(16, 3, strides=2, activation="relu"), "3×3 conv 16 /2 · relu"),
        (layers.Conv2D(8, (1, 7)), "1×7 conv 8"), (layers.Dense(5), "dense 5"), (layers.Activation("tanh"), "tanh"),
        (layers.MaxPooling2D(3, strides=(2, 1)), "3×3 max pool /2×1"), (layers.ScaledAdd(0.17), "+ 0.17 ×"),
        (layers.BatchNormalization(), "batch norm"), (layers.Dropout(0.5), "dropout"),
    ],
)  # fmt: skip
def test_layers_in_words(layer, expected):
    assert words(layer) == expected


def test_four_digits_and_nothing_that_is_not_finite():
    found = rounded({"a": [np.float64(1.23456), float("nan")], "b": (float("inf"), 3, "x"), "c": np.int64(2)})
    assert found == {"a": [1.235, None], "b": [None, 3, "x"], "c": 2}


# The page ------------------------------------------------------------------------------------------------------------


def data_of(text):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)[1])


def test_the_page_holds_every_edge_and_needs_nothing_else(flow):
    text = explore.page(flow.data(), "small")
    found = data_of(text)
    assert len(found["edges"]) == len(flow.edges) == 14
    assert all(len(e["norm"]) == len(found["snapshots"]) == 2 for e in found["edges"])
    assert {(e["from"], e["to"]) for e in found["edges"]} == {(e.start, e.to) for e in flow.edges}
    assert [v for v in re.findall(r"\b(?:src|href)\s*=\s*[\"']?([^\s\"'>]*)", text) if not v.startswith("data:")] == []
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|sourceMappingURL", text)
    addresses = set(re.findall(r"https?://[^\"'\s]*", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of a namespace, which nobody loads
    assert "default-src 'none'" in text
    assert not re.search(r"\{\{[A-Z]+\}\}", text)
    assert "dagre 3.1.3" in text
    assert "Permission is hereby granted" in text


def test_names_cannot_break_out_of_the_page(flow):
    wild = "</script><script>alert(1)</script><!-- {{PROGRAM}} \u2028 & é"
    data = flow.data()
    data["model"] = data["nodes"][0]["name"] = wild
    text = explore.page(data, wild)
    assert data_of(text)["model"] == wild
    assert "<script>alert" not in text
    assert text.count("</script>") == 3
    assert "<title>&lt;/script&gt;" in text


def test_the_study_on_a_small_network():
    lines = []
    result = explore.run(Settings(model="resnet20", epochs=1, batch_size=128, say=lines.append))
    found = data_of(result.files["explore.html"])
    assert found["about"]["parameters"] == 270_810
    assert found["snapshots"][0]["step"] == 0
    assert found["snapshots"][-1]["step"] == 12
    assert len(found["blocks"]) == 9
    assert result.verdict.startswith("holds: before training")
    assert lines[0].startswith("resnet20: training for an epoch of 1437 images")


def test_snapshots_are_closest_at_the_start():
    assert explore.snapshot_steps(0) == [0]
    steps = explore.snapshot_steps(276)
    assert (steps[0], steps[1], steps[-1]) == (0, 1, 276)
    assert steps == sorted(set(steps))


def test_a_large_network_sees_fewer_images():
    small, epochs = explore.affordable(network(), digits(), None)
    assert (epochs, len(small.x_train)) == (12, 1437)
    model = network()
    model.multiply_adds = lambda: 10**9
    some, epochs = explore.affordable(model, digits(), None)
    assert (epochs, len(some.x_train)) == (1, 400)
    asked, epochs = explore.affordable(model, digits(), 3)
    assert (epochs, len(asked.x_train)) == (3, 1437)


# In a browser --------------------------------------------------------------------------------------------------------


@pytest.fixture
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        try:
            own = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
            started = playwright.chromium.launch(executable_path=own, args=["--no-sandbox"])
        except api.Error as error:
            pytest.skip(f"no Chromium starts: {str(error).splitlines()[0]}")
        yield started
        started.close()


@pytest.mark.slow
@pytest.mark.parametrize("width, height", [(1360, 860), (400, 820)])
def test_the_page_at_work(browser, tmp_path, width, height):
    path = tmp_path / "explore.html"
    result = explore.run(Settings(model="resnet20", epochs=1))
    path.write_text(result.files["explore.html"], encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": height})
    said, loaded = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: loaded.append(request.url))
    page.goto(path.as_uri())
    wires = "() => [...document.querySelectorAll('.wire path.edge')].map(e => e.style.strokeWidth)"
    before = page.evaluate(wires)
    assert len(before) == 31  # a stem, 9 blocks with a skip and two pieces of a branch, two paddings, the end
    page.locator("#slider").fill(str(len(data_of(result.files["explore.html"])["snapshots"]) - 1))
    assert sum(a != b for a, b in zip(before, page.evaluate(wires), strict=True)) > 20
    place = "e => { const q = e.getPointAtLength(e.getTotalLength() / 2), m = e.getScreenCTM();" \
        " return [q.x * m.a + m.e, q.y * m.d + m.f] }"  # fmt: skip
    page.mouse.move(*page.locator(".wire:has(.skip) .hit").first.evaluate(place))
    assert page.locator("#tip").inner_text().startswith("skip: gradient ")
    assert "cosine of the two" in page.locator("#details").inner_text()
    page.mouse.move(2, height - 2)
    page.locator(".box.layer").nth(1).click()
    assert page.locator(".wire").count() > len(before)  # the box opened
    page.locator("#layers").click()
    assert page.locator(".wire").count() == 82
    page.locator("#width").select_option("share")
    assert said == []
    assert loaded == [path.as_uri()]
