import importlib

import pytest

from minicnn import zoo


@pytest.mark.parametrize("name", zoo.names())
def test_every_entry_is_complete(name):
    entry = zoo.entry(name)
    assert entry.name == name and entry.paper and entry.classes > 0 and len(entry.input_shape) == 3
    module = importlib.import_module(f"minicnn.zoo.{zoo.FAMILIES[name]}")
    assert entry.builder is getattr(module, name)


def test_unknown_names_bring_the_nearest():
    with pytest.raises(ValueError, match="unknown model 'LeNet': did you mean 'lenet5'"):
        zoo.build("LeNet")
    with pytest.raises(ValueError, match="unknown variant of lenet5 '1989': did you mean '1998'"):
        zoo.build("lenet5", variant="1989")
