"""Every tag that transformers' ViT can hold exactly: a small twin, converted, opened in both versions, compared."""
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

import checks
import environment
import twins

TWINS = twins.tag_twins() + twins.own_twins()


def test_no_exact_tag_is_left_out():
    assert len(twins.exact_tags()) == 85
    assert len({twin.name for twin in TWINS}) == len(TWINS)


@dataclass
class Case:
    conversion: object
    facts: dict
    truth: dict
    std: tuple
    reports: dict


@pytest.fixture(scope="module")
def cases(tmp_path_factory, image_files):
    """All twins at once: starting Python and importing torch costs more than opening a hundred small folders."""
    directory = tmp_path_factory.mktemp("twins")
    opened = [Image.open(path).convert("RGB") for path in image_files]
    found, jobs = {}, []
    for i, twin in enumerate(TWINS):
        model = twins.build(twin, seed=i)
        source, folder, truth = directory / f"{i}.timm", directory / f"{i}.hf", directory / f"{i}.npz"
        twins.save(model, twin, source)
        values = twins.truth(model, opened, seed=i)
        np.savez(truth, **values)
        conversion = environment.convert(source, folder)
        std = model.pretrained_cfg["std"]
        found[twin.name] = Case(conversion, twins.facts(model, twin), values, std, {})
        if conversion.returncode == 0:
            jobs.append({"name": twin.name, "folder": str(folder), "truth": str(truth)})
    reports = environment.open_folders(jobs, image_files, directory)
    for name, case in found.items():
        case.reports = {major: reports[major].get(name) for major in environment.MAJORS}
    return found


@pytest.mark.parametrize("name", [twin.name for twin in TWINS])
def test_twin(cases, name):
    case = cases[name]
    assert case.conversion.returncode == 0, case.conversion.stderr
    # A twin that answers every image alike would prove nothing.
    assert np.abs(case.truth["output"][0] - case.truth["output"][1]).max() > 0.05
    for major in environment.MAJORS:
        checks.check_all(case.reports[major], case.facts, case.truth, case.std, major)
