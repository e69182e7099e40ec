"""How models are put together: Sequential, sub-models, names, errors, configs."""

import json

import numpy as np
import pytest

from minicnn import Input, Model, Sequential, layers
from minicnn.layers.naming import clear_session
from minicnn.model import model_from_config
from tests.checks import assert_close


@pytest.fixture(autouse=True)
def names_from_the_beginning():
    clear_session()


# Sequential -----------------------------------------------------------------------------------------------------------


def stages():
    return [layers.Conv2D(3, 3, name="conv"), layers.Flatten(name="flat"), layers.Dense(2, name="dense")]


@pytest.fixture
def images(rng):
    return rng.normal(size=(2, 5, 4, 1)).astype("float32")


def test_sequential_in_all_its_ways_is_one_network(images):
    first = layers.Conv2D(3, 3, name="conv", input_shape=(5, 4, 1))
    by_adding = Sequential(name="net")
    by_adding.add(Input((5, 4, 1)))
    for layer in stages():
        by_adding.add(layer)
    built = Sequential(stages())
    built.build((None, 5, 4, 1))
    on_data = Sequential(stages())
    on_data(images)
    made = [Sequential([Input((5, 4, 1)), *stages()]), Sequential([first, *stages()[1:]]), by_adding, built, on_data]
    weights = made[0].get_weights()
    for model in made:
        assert [layer.name for layer in model.layers] == ["conv", "flat", "dense"]
        assert model.input_shape == (None, 5, 4, 1) and model.output.shape == (None, 2)
        model.set_weights(weights)
        np.testing.assert_array_equal(model(images).data, made[0](images).data)
        inner = Model(model.input, model.get_layer("flat").output)  # each layer was called once, however it was added
        assert inner(images).shape == (2, 18)
        assert [node.call for node in model.nodes] == [0, 0, 0, 0]


def test_pop_and_add(images):
    model = Sequential([Input((5, 4, 1)), *stages()])
    dense = model.pop()
    assert dense.name == "dense" and dense.calls == [] and model.output.shape == (None, 18)
    model.add(layers.Dense(7, name="other"))
    assert model(images).shape == (2, 7) and len(model.weights) == 4
    for _ in range(3):
        model.pop()
    with pytest.raises(ValueError, match="there is no layer to take off"):
        model.pop()


def test_a_model_at_the_front_gives_the_shape(images):
    base = Sequential([Input((5, 4, 1)), *stages()[:2]])
    model = Sequential([base, layers.Dense(3)])
    assert model.built and model(images).shape == (2, 3)


def test_sequential_before_it_is_built():
    model = Sequential(stages())
    for use in (model.summary, model.get_config, lambda: model.output, lambda: model.save_weights("x.safetensors")):
        with pytest.raises(
            ValueError, match="is not built yet: give its first layer an input_shape, or call it on data"
        ):
            use()


def test_sequential_refuses():
    with pytest.raises(ValueError, match="layer names must be unique, but 'conv' is there already"):
        Sequential([layers.Conv2D(1, 1, name="conv"), layers.Conv2D(1, 1, name="conv")])
    layer = layers.ReLU()
    with pytest.raises(ValueError, match="layer names must be unique"):
        Sequential([layer, layer])
    with pytest.raises(ValueError, match="an Input can only stand at the front"):
        Sequential([layers.ReLU(), Input((3,))])
    with pytest.raises(ValueError, match="expected a layer, got 'relu'"):
        Sequential(["relu"])


# Functional -----------------------------------------------------------------------------------------------------------


def test_get_layer():
    x = Input((3,), name="x")
    model = Model(x, layers.Dense(2, name="dense")(x), name="net")
    assert model.get_layer("dense") is model.get_layer(index=1) is model.layers[-1]
    with pytest.raises(ValueError, match="^net: unknown layer 'denes': did you mean 'dense'"):
        model.get_layer("denes")
    with pytest.raises(ValueError, match="net: there are 2 layers, got the index 2"):
        model.get_layer(index=2)
    with pytest.raises(ValueError, match="get_layer takes a name or an index"):
        model.get_layer()


def test_graphs_that_cannot_be():
    x, y = Input((3,), name="x"), Input((3,), name="y")
    with pytest.raises(
        ValueError, match="net: the outputs depend on the input 'y', which is not among the model's inputs"
    ):
        Model(x, layers.Add()([x, y]), name="net")
    with pytest.raises(ValueError, match="layer names must be unique, but 'a' stands for several layers"):
        Model(x, layers.ReLU(name="a")(layers.ReLU(name="a")(x)))
    with pytest.raises(ValueError, match="outputs must be symbols, as Input and layers give them, got 3"):
        Model(x, [x, 3])
    with pytest.raises(ValueError, match="inputs must be symbols, .* got None"):
        Model(outputs=x)
    with pytest.raises(ValueError, match="outputs must be symbols"):
        Model(x, [])


def test_an_input_that_no_output_needs():
    x, y = Input((3,), name="x"), Input((2,), name="y")
    model = Model([x, y], layers.Dense(2, name="dense")(x))
    assert [layer.name for layer in model.layers] == ["x", "y", "dense"]
    assert model([np.ones((4, 3)), np.ones((4, 2))]).shape == (4, 2)


def test_an_input_that_is_an_output():
    x = Input((3,))
    model = Model(x, [x, layers.ReLU()(x)])
    a = np.array([[-1.0, 2.0, 3.0]], "float32")
    same, positive = model(a)
    np.testing.assert_array_equal(same.data, a)
    np.testing.assert_array_equal(positive.data, np.maximum(a, 0))


def test_parts_share_weights(rng):
    x = Input((3,))
    model = Model(x, layers.Dense(2, name="c")(layers.ReLU(name="b")(layers.Dense(4, name="a")(x))))
    front = Model(model.input, model.get_layer("b").output)
    back = Model(model.get_layer("b").output, model.output)
    a = rng.normal(size=(5, 3)).astype("float32")
    assert_close(back(front(a)).data, model(a).data)
    assert [layer.name for layer in back.layers] == ["b_input", "c"]
    assert back.weights == model.get_layer("c").weights and len(back.get_weights()) == 2
    model.get_layer("a").kernel.assign(np.zeros((3, 4)))
    assert not front(a).data.any()


def test_a_part_behind_one_call_of_a_shared_layer(rng):
    shared, x = layers.Dense(3, name="shared"), Input((3,))
    first = shared(x)
    model = Model(x, shared(first))
    back = Model(first, model.output)
    a = rng.normal(size=(5, 3)).astype("float32")
    assert_close(back(shared(a)).data, model(a).data)


def test_names_of_outputs():
    x = Input((3,), name="x")
    twice = layers.Dense(3, name="twice")
    model = Model(x, [twice(x), twice(twice(x)), layers.ReLU(name="relu")(x)])
    assert model.output_names == ["twice_0", "twice_1", "relu"]


def test_freezing_a_model_freezes_what_is_inside():
    x = Input((3,))
    inner = Sequential([Input((3,)), layers.Dense(3), layers.BatchNormalization()])
    model = Model(x, layers.Dense(2)(inner(x)), trainable=False)
    assert model.trainable_weights == [] and not inner.layers[0].trainable
    inner.trainable = True
    assert len(model.trainable_weights) == 4 and len(model.non_trainable_weights) == 4


# Configs --------------------------------------------------------------------------------------------------------------


def nested():
    """Shared layers, a model called twice, several inputs and outputs, a call in inference mode."""
    a, b = Input((4, 4, 2), name="a"), Input((4, 4, 2), name="b")
    inner = Sequential(
        [Input((4, 4, 2)), layers.Conv2D(2, 3, padding="same"), layers.BatchNormalization()], name="inner"
    )
    i = Input((4, 4, 2))
    outer = Model(i, layers.Add()([inner(i), i]), name="outer")
    shared = layers.DepthwiseConv2D(3, padding="same", name="shared")
    x = shared(outer(a))
    y = shared(layers.Concatenate(axis=1)([outer(b), x]))
    drop = layers.Dropout(0.5)(y, training=False)
    return Model([a, b], [layers.GlobalAveragePooling2D(name="mean")(x), layers.Flatten()(drop)], name="net")


def test_a_config_makes_the_model_again(rng):
    model = nested()
    text = json.dumps(model.get_config())
    xs = [rng.normal(size=(2, 4, 4, 2)).astype("float32") for _ in range(2)]
    for again in (model_from_config(json.loads(text)), Model.from_config(json.loads(text))):
        assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
        assert [w.name for w in again.weights] == [w.name for w in model.weights]
        again.set_weights(model.get_weights())
        for training in (False, True):
            for a, b in zip(again(xs, training=training), model(xs, training=training), strict=True):
                np.testing.assert_array_equal(a.data, b.data)
        assert json.dumps(again.get_config()) == text


def test_the_config_of_a_sequential(images):
    model = Sequential([Input((5, 4, 1)), *stages()], name="chain")
    again = Sequential.from_config(json.loads(json.dumps(model.get_config())))
    assert isinstance(again, Sequential) and again.name == "chain"
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(images).data, model(images).data)


def test_a_layer_of_ones_own_in_a_config():
    class Twice(layers.Layer):
        def call(self, x):
            return x * 2.0

    x = Input((3,))
    settings = Model(x, Twice(name="twice")(x)).get_config()
    with pytest.raises(ValueError, match="Twice"):
        model_from_config(settings)
    again = model_from_config(settings, {"Twice": Twice})
    np.testing.assert_array_equal(again(np.ones((1, 3))).data, 2 * np.ones((1, 3), "float32"))


def test_operators_have_no_config():
    x = Input((3,))
    with pytest.raises(ValueError, match="the operation 'multiply' on symbols has no config; use a layer"):
        Model(x, x * 2.0).get_config()
