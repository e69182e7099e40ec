import pytest

from minicnn.training.schedules import Cosine


def test_cosine_begins_at_the_rate_and_ends_at_the_low():
    rate = Cosine(0.3, steps=8, low=0.1)
    assert rate(0) == 0.3
    assert rate(4) == pytest.approx(0.2)
    assert rate(2) == pytest.approx(0.2 + 0.1 * 2**-0.5)
    assert rate(8) == pytest.approx(0.1) and rate(100) == pytest.approx(0.1)
    assert Cosine(0.3, steps=0)(0) == 0.3
