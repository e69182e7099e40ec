import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.commands import toml

TEXT = st.text(st.characters(codec="utf-8"))
VALUES = TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)


@given(st.dictionaries(TEXT, VALUES))
def test_tomllib_reads_back_what_was_written(table):
    assert tomllib.loads(toml.dumps(table)) == table


def test_types_survive():
    table = {"one": 1, "one.": 1.0, "yes": True, "path": 'C:\\a "b"\n'}
    assert [type(v) for v in tomllib.loads(toml.dumps(table)).values()] == [int, float, bool, str]


def test_none_is_left_out():
    assert toml.dumps({"variant": None, "epochs": 3}) == "epochs = 3\n"


def test_what_is_not_flat_is_refused():
    with pytest.raises(TypeError, match="pads: list has no place in a flat TOML table"):
        toml.dumps({"pads": [1, 2]})


def test_load_says_where_a_file_is_wrong(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("epochs = 3\nlr = = 2\n")
    with pytest.raises(ValueError, match=r"config\.toml is not TOML: .*line 2"):
        toml.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is not TOML"):
        toml.load(path)
