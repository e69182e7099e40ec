"""Recipes: each network has one that fits the embedded digits, and takes a step; and its paper's."""

import re

import numpy as np
import pytest

from minicnn import data, zoo
from minicnn.commands import UsageError, building
from minicnn.commands.arguments import resolve, to_table
from minicnn.commands.recipes import PAPERS, in_words, paper, recipe
from minicnn.commands.train import main
from minicnn.layers.initializers import placeholders

# one of each family in the default run; large and deep ones are slow to build
QUICK = ("lenet5", "alexnet", "inception_v1", "resnet18", "resnet20", "plain20", "resnet50v2")
NETWORKS = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in zoo.names()]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_small_recipe_takes_a_step(name):
    settings = resolve([name, "-b", "4"])
    assert settings.recipe == "small" and settings.dataset == "digits"
    parts = building.split(data.load("digits"), settings.val_split)
    model = building.build(settings, 10)
    prepare = building.preprocessing(settings, model.input_shape[1:], parts)
    loader = building.batches(settings, parts, prepare)
    building.compile_model(model, settings, len(loader))
    x, y = next(iter(loader))
    weights = [w for w in model.trainable_weights if not w.name.endswith("/bias")]  # a batch norm may take these away
    before = [w.numpy().copy() for w in weights]
    loss = model.train_on_batch(x, y)[0]
    assert np.isfinite(loss)
    moved = [not np.array_equal(a, w.numpy()) for a, w in zip(before, weights, strict=True)]
    assert np.mean(moved) > 0.9


@pytest.mark.parametrize("name", zoo.names())
def test_the_papers_recipe_can_be_used(name):
    """With the network's own size, and everything that it names: the schedule, the chain, the optimizer."""
    if zoo.FAMILIES[name] not in PAPERS:
        with pytest.raises(UsageError, match="has no paper with a recipe: --recipe small"):
            resolve([name, "--recipe", "paper"])
        return
    settings = resolve([name, "--recipe", "paper"])
    assert settings.img_size is None and settings.recipe == "paper"
    rate = building.schedule(settings, 100)
    rates = [rate(step) if callable(rate) else rate for step in range(0, settings.epochs * 100, 100)]
    assert 0 <= min(rates) and 0 < max(rates) <= 0.1
    if settings.sched != "plateau":
        assert rates[-1] < 0.3 * max(rates)  # GoogLeNet falls by 4 % every 8 epochs
    building.optimizer(settings, 100)
    source, given = paper(name)
    assert re.search(r"section|appendix", source) and given["epochs"] == settings.epochs
    shape = zoo.entry(name).input_shape
    with placeholders():
        prepare = building.Preprocessing(shape, settings.preprocessing)
    images = np.random.default_rng(0).integers(0, 256, (6, 40, 44, shape[2])).astype(np.uint8)
    chain = building.augmentation(settings.augment, prepare.fitted(images, 255), images, 255)
    assert len(chain) == 1 + len((settings.augment or "").split(",")) * bool(settings.augment)


def test_which_recipe_is_taken():
    assert recipe("resnet20", "digits")["recipe"] == "small" == recipe("lenet5", "mnist")["recipe"]
    assert recipe("resnet20", "cifar10")["recipe"] == "paper"
    assert recipe("vgg16_inception_resnet", "cifar10")["recipe"] == "small"
    assert "img_size" in recipe("resnet18", "digits") and "img_size" not in recipe("resnet18", "cifar10", "small")
    settings = resolve(["resnet20", "--dataset", "cifar10", "--lr", "0.2", "--epochs", "3"])
    assert (settings.lr, settings.epochs, settings.opt, settings.decay_milestones) == (0.2, 3, "sgd", "91,136")


def test_a_schedule_that_is_given_leaves_the_recipes_own_out():
    settings = resolve(["resnet20", "--recipe", "paper", "--sched", "cosine"])
    assert settings.decay_milestones is None and "decay_milestones" not in {
        key for key, value in to_table(settings).items() if value is not None
    }


def test_in_words():
    lines = in_words(resolve(["resnet110", "--dataset", "cifar10"]))
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert text.startswith("Recipe: paper (He et al. 2015, arXiv:1512.03385, section 4.2): epochs 182, batch-size 128")
    assert "warmup-epochs 1" in text and "augment crop:4,flip" in text


def test_the_start_of_a_run_and_the_summary_say_the_recipe(capsys):
    assert main(["lenet5", "--summary"]) == 0
    assert "Recipe: small (for a quick run): epochs 15" in capsys.readouterr().out
    from minicnn.commands.summary import main as summary

    assert summary(["lenet5"]) == 0
    out = capsys.readouterr().out
    assert "Recipe: small" in out and "Recipe: paper (LeCun et al. 1998, section III.B)" in out
    assert summary(["vgg16_inception_resnet"]) == 0
    assert "Recipe: paper: there is none" in capsys.readouterr().out
