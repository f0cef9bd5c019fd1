"""Every pretrained tag of timm's ViTs, as a small twin: what it becomes, and that both versions compute what timm does with it."""
import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

import environment

SCRIPT = Path(__file__).with_name("every_vit.py")
MODULES = ("vision_transformer", "deit")
# Classes, how much of timm's forward pass they compute, and how many tags become them.
BECOME = {
    ("Aimv2VisionModel", "features"): 14,
    ("BeitForImageClassification", "whole"): 14,
    ("CLIPVisionModel", "features"): 29,
    ("CLIPVisionModelWithProjection", "whole"): 58,
    ("DeiTForImageClassificationWithTeacher", "whole"): 4,
    ("Dinov2Model", "whole"): 1,
    ("Dinov2WithRegistersForImageClassification", "whole"): 3,
    ("Dinov2WithRegistersModel", "whole"): 8,
    ("IJepaForImageClassification", "whole"): 4,
    ("IJepaModel", "features"): 47,
    ("InternVLVisionModel", "features"): 2,
    ("RadioModel", "features"): 15,
    ("RadioModel", "whole"): 6,
    ("SiglipVisionModel", "features"): 1,
    ("SiglipVisionModel", "whole"): 26,
    ("ViTForImageClassification", "whole"): 70,
    ("ViTModel", "features"): 1,
    ("ViTModel", "whole"): 15,
}
ONLY_IN_5 = {"RadioModel"}
REFUSED = 15
# Of how many the class gives timm's output, of how many more the line of Python does, and of how many it gives features of a network
# with further steps.
COMPUTE = {
    4: {"exact": 203, "output": 63, "features": 31},
    5: {"exact": 209, "output": 63, "features": 46},
}


def run(directory, *modules):
    """What twins of the tags of these modules became, and what each version computes with it."""
    python = {major: environment.environments_home() / f"v{major}" / "bin" / "python" for major in environment.MAJORS}
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([python[4], SCRIPT, "make", directory, *modules], check=True, env=offline)
    opening = [subprocess.Popen([python[major], SCRIPT, "open", directory], env=offline) for major in environment.MAJORS]
    assert [process.wait() for process in opening] == [0, 0]
    read = lambda name: json.loads((directory / name).read_text())
    return read("made.json"), {major: read(f"opened.v{major}.json") for major in environment.MAJORS}


@pytest.fixture(scope="module")
def tallies(tmp_path_factory):
    return run(tmp_path_factory.mktemp("every_vit"), *MODULES)


def test_each_becomes_the_class_that_holds_most_of_it(tallies):
    made, _ = tallies
    targets = [row["target"] for row in made.values() if row["code"] == 0]
    assert Counter((target["class"], target["level"]) for target in targets) == BECOME
    assert {target["class"] for target in targets if target["since"]} == ONLY_IN_5
    refused = {name: row for name, row in made.items() if row["code"]}
    assert {row["code"] for row in refused.values()} == {7} and len(refused) == REFUSED
    for name, row in refused.items():
        assert f'AutoModel.from_pretrained("timm/{name}")' in row["refusal"], row["refusal"]


@pytest.mark.parametrize("major", environment.MAJORS)
def test_each_computes_what_timm_does(tallies, major):
    made, opened = tallies
    wanted = {"whole": ("exact",), "features": ("output", "features")}
    counts = Counter(found for found in opened[major].values() if not found.startswith("AttributeError"))
    assert counts == COMPUTE[major]
    for name, found in opened[major].items():
        target = made[name]["target"]
        if major == 4 and target["since"]:
            assert found.startswith("AttributeError"), f"{name}: {found}"
        else:
            assert found in wanted[target["level"]], f"{name}: {found}"
