"""The way back to torchvision: folders that vitport made of torchvision's networks and folders that transformers wrote, as torchvision
loads them."""
import json
import subprocess

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision  # noqa: F401  the Python that vitport writes names it

import environment
import through_both
from test_back import made  # noqa: F401  a fixture
from test_torchvision import FULL, SMALL, calm, weights_name


def back(folder, out, *options):
    return environment.run("convert", folder, "--to", "torchvision", "-o", out, *options)


def load(out, strict=True):
    """torchvision's network, made and filled as the folder says."""
    config = json.loads((out / "config.json").read_text())
    model = eval(config["python"])
    model.load_state_dict(safetensors.torch.load_file(out / "model.safetensors"), strict=strict)
    return model.eval(), config


@torch.no_grad()
def output(model, size):
    return model(torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("name", SMALL | FULL)
def test_there_and_back(name, tmp_path):
    make, weights, size, _ = (SMALL | FULL)[name]
    model = calm(through_both.enliven(make(), 3), size)
    source = tmp_path / "source.pth"
    torch.save(model.state_dict(), source)
    flags = ["--like", f"torchvision/{weights_name(weights)}", "--image-size", str(size)]
    flags += ["--num-heads", "3"] if name == "vit" else []
    assert environment.convert(source, tmp_path / "folder", *flags).returncode == 0
    run = back(tmp_path / "folder", tmp_path / "out")
    assert run.returncode == 0, run.stderr
    # Makes its own tables of windows.
    is_strict = not name.startswith("swin v2")
    again, config = load(tmp_path / "out", is_strict)
    wanted = output(model, size)
    assert wanted.std() > 0.3
    assert torch.equal(output(again, size), wanted)
    one, other = model.state_dict(), safetensors.torch.load_file(tmp_path / "out" / "model.safetensors")
    if is_strict:
        assert one.keys() == other.keys()
    for key in other:
        if name.startswith("swin v2") and key.endswith("qkv.bias"):
            queries, keys, values = other[key].chunk(3)
            assert not keys.any()
            assert torch.equal(queries, one[key].chunk(3)[0]) and torch.equal(values, one[key].chunk(3)[2])
        else:
            assert torch.equal(one[key], other[key]), key
    preset = weights.transforms()
    stated = config["pretrained_cfg"]
    assert (stated["mean"], stated["std"]) == (list(preset.mean), list(preset.std))
    assert stated["interpolation"] == preset.interpolation.value
    assert name not in FULL or config["architecture"] == f"torchvision/{name}"
    # vitport takes it as a source again, without being told anything.
    assert environment.convert(tmp_path / "out", tmp_path / "again").returncode == 0
    first, second = ((tmp_path / folder / "model.safetensors").read_bytes() for folder in ("folder", "again"))
    assert first == second


@pytest.mark.parametrize("name", ["vit", "vit, eps 1e-12", "convnext", "convnext, eps 1e-12", "swin", "swinv2", "regnet"])
def test_what_transformers_wrote(made, name, tmp_path):  # noqa: F811
    run = back(made / name, tmp_path / "out")
    assert run.returncode == 0, run.stderr
    assert ("torchvision-eps" in run.stdout) == ("1e-12" in name)
    model, _ = load(tmp_path / "out", strict=name != "swinv2")
    truth = np.load(made / f"{name}.npz")
    with torch.no_grad():
        found = model(torch.from_numpy(truth["input"])).numpy()
    wanted = truth["logits"]
    assert wanted.std() > 0.05
    assert np.abs(found - wanted).max() <= 2e-5 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("vit, no qkv bias", "`qkv_bias=False`"),
        ("resnet, other widths", "`num_chs=["),
        ("beit, eps 1e-12", "it goes back with --to timm"),
    ],
)
def test_what_torchvision_has_not(made, name, why, tmp_path):  # noqa: F811
    run = back(made / name, tmp_path / "out")
    assert run.returncode == 7 and why in run.stderr, run.stderr
    assert not (tmp_path / "out").exists()
