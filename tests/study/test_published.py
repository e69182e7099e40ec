"""The published effects on the digits, with three seeds: 11 minutes of one core, unless MINICNN_STUDY_CACHE names a
folder in which `minicnn study claims --cache` has left its networks."""

import os

import pytest

from minicnn.study import claims
from minicnn.study.instruments import Settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return claims.run(Settings(cache=os.environ.get("MINICNN_STUDY_CACHE") or tmp_path_factory.mktemp("networks")))


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.key)
def test_published(result, claim):
    values = result.figures["values"][claim.key]
    assert claim.holds(values), f"{claim.text}: {values}, wanted {claim.bound}"
