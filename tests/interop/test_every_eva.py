"""Every pretrained tag of timm's module eva, as a small twin: what DINOv3s and EVA-01s become, that both versions compute what timm does
with it, and that all others are refused by name."""
from collections import Counter

import pytest

import environment
import test_every_vit

BECOME = {
    ("BeitForImageClassification", "whole"): 4,
    ("DINOv3ViTModel", "features"): 17,
    ("DINOv3ViTModel", "whole"): 4,
    ("ViTForImageClassification", "whole"): 2,
}
REFUSED = {"eva02_": 21, "vit_pe_": 14, "sapiens2": 5, "_rope_": 16}
COMPUTE = {"exact": 10, "output": 17}


@pytest.fixture(scope="module")
def tallies(tmp_path_factory):
    return test_every_vit.run(tmp_path_factory.mktemp("every_eva"), "eva")


def test_each_becomes_the_class_that_holds_most_of_it(tallies):
    made, _ = tallies
    targets = [row["target"] for row in made.values() if row["code"] == 0]
    assert Counter((target["class"], target["level"]) for target in targets) == BECOME
    refused = {name: row for name, row in made.items() if row["code"]}
    assert {row["code"] for row in refused.values()} == {7}
    kinds = Counter(next(kind for kind in REFUSED if kind in name) for name in refused)
    assert kinds == REFUSED
    for name, row in refused.items():
        assert f'AutoModel.from_pretrained("timm/{name}")' in row["refusal"], row["refusal"]


@pytest.mark.parametrize("major", environment.MAJORS)
def test_each_computes_what_timm_does(tallies, major):
    _, opened = tallies
    assert Counter(opened[major].values()) == COMPUTE
