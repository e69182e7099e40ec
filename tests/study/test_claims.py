"""The claims' bounds and their command, on networks of 8 layers and one epoch."""

import math

import pytest

from minicnn.study import claims
from minicnn.study.instruments import Settings, find
from tests.study.results import check


def test_a_claim_holds_where_every_seed_keeps_the_bound():
    above, below = claims.Claim("", "", "", "", above=2), claims.Claim("", "", "", "", below=2)
    assert above.holds([3, 4]) and not above.holds([3, 1]) and not above.holds([3, math.nan])
    assert below.holds([1, -4]) and not below.holds([1, 3]) and not below.holds([math.nan])
    assert (above.bound, below.bound) == ("> 2", "< 2")


def test_every_claim_has_one_bound_a_paper_and_a_key_of_its_own():
    assert len({claim.key for claim in claims.CLAIMS}) == len(claims.CLAIMS)
    assert all((c.above is None) != (c.below is None) and c.paper and c.source for c in claims.CLAIMS)


def test_a_run(monkeypatch, capsys, tmp_path, few_images):
    monkeypatch.setattr(claims, "DEEP", 8)
    monkeypatch.setattr(claims, "SHALLOW", 8)
    monkeypatch.setattr(claims, "SEEDS", 2)
    settings = Settings(epochs=1, cache=tmp_path)
    result = find("claims").run(settings)
    assert result.figures["seeds"] == [0, 1]
    values = result.figures["values"]
    assert all(len(values[claim.key]) == 2 for claim in claims.CLAIMS)
    assert all(0 <= v <= 3 for v in values["paths at the start"])  # three blocks
    assert result.figures["holds"] == {c.key: c.holds(values[c.key]) for c in claims.CLAIMS}
    failing = [c.text for c in claims.CLAIMS if not result.figures["holds"][c.key]]
    assert failing and all(text in result.verdict for text in failing)
    check(result, capsys)
    monkeypatch.setattr("minicnn.study.digits.train", None)  # all is kept: nothing is trained again
    assert find("claims").run(settings).figures["values"] == values


def test_the_claims_have_networks_of_their_own():
    with pytest.raises(ValueError, match="networks of their own: MODEL resnet20 has no meaning here"):
        claims.run(Settings(model="resnet20"))
