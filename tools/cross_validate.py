"""Errors of a recipe by cross-validation inside the training part: `python tools/cross_validate.py lenet5 --lr 0.002`.

Takes the flags of `minicnn train`. Recipes are chosen with this; the test part is never looked at.
"""

import sys

import numpy as np

from minicnn import config, data
from minicnn.commands import building
from minicnn.commands.arguments import resolve

FOLDS = 5


def folds(labels: np.ndarray) -> np.ndarray:
    """The fold of each sample: every class is dealt out evenly, in an order that is always the same."""
    random = np.random.default_rng(7)
    fold = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        fold[members] = np.arange(len(members)) % FOLDS
    return fold


def main(argv: list[str]) -> None:
    """Prints the wrong answers of every fold, and of all."""
    settings = resolve(argv)
    config.set_random_seed(settings.seed)
    whole = data.load(settings.dataset)
    fold = folds(whole.y_train)
    wrong = []
    for one in range(FOLDS):
        inside, outside = fold != one, fold == one
        part = data.Dataset(
            whole.name, whole.x_train[inside], whole.y_train[inside], whole.x_train[outside], whole.y_train[outside],
            whole.class_names, whole.top,
        )  # fmt: skip
        parts = building.split(part, 0)
        model = building.build(settings, part.classes)
        prepare = building.preprocessing(settings, model.input_shape[1:], parts)
        loader = building.batches(settings, parts, prepare)
        building.compile_model(model, settings, len(loader))
        model.fit(loader, epochs=settings.epochs, verbose=0)
        found = model.predict(prepare(part.x_test, part.top), verbose=0).argmax(-1)
        wrong.append(int((found != part.y_test).sum()))
    total = len(whole.y_train)
    print(f"{' '.join(argv)}: wrong {' + '.join(map(str, wrong))} = {sum(wrong)} of {total}, {sum(wrong) / total:.2%}")


if __name__ == "__main__":
    main(sys.argv[1:])
