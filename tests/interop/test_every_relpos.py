"""Every pretrained tag of timm's ViTs with relative positions, as a small twin: those without norms after their branches become BEiTs, and
both versions compute what timm does with them."""
from collections import Counter

import pytest

import environment
import test_every_vit

BECOME = {("BeitForImageClassification", "whole"): 5, ("BeitModel", "features"): 2}
COMPUTE = {"exact": 5, "features": 2}


@pytest.fixture(scope="module")
def tallies(tmp_path_factory):
    return test_every_vit.run(tmp_path_factory.mktemp("every_relpos"), "vision_transformer_relpos")


def test_each_becomes_the_class_that_holds_most_of_it(tallies):
    made, _ = tallies
    targets = [row["target"] for row in made.values() if row["code"] == 0]
    assert Counter((target["class"], target["level"]) for target in targets) == BECOME
    refused = {name: row for name, row in made.items() if row["code"]}
    assert [row["code"] for row in refused.values()] == [7, 7]
    for name, row in refused.items():
        assert "_rpn_" in name and f'AutoModel.from_pretrained("timm/{name}")' in row["refusal"], row["refusal"]


@pytest.mark.parametrize("major", environment.MAJORS)
def test_each_computes_what_timm_does(tallies, major):
    _, opened = tallies
    assert Counter(opened[major].values()) == COMPUTE
