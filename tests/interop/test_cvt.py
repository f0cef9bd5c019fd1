"""Microsoft's CvT: the fixture's own outputs in every container, and other sizes, through both versions."""
import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision import transforms

import checks
import cvt
import environment
import pixels

EXAMPLE = environment.ROOT / "examples/cvt_tiny/tiny.pth"
DATA = Path(__file__).with_name("data")
TINY = ("--num-heads", "1,2,4", "--image-size", "64")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def tagged_cuda(state, path):
    """Storages say `cuda:0`, as in a file saved from a GPU model."""
    original = torch.serialization.location_tag
    torch.serialization.location_tag = lambda storage: "cuda:0"
    try:
        torch.save(state, path)
    finally:
        torch.serialization.location_tag = original


def training_run(state, path):
    """As Microsoft's save_checkpoint_on_master writes it, and a Namespace that it does not."""
    weight = torch.nn.Parameter(state["head.weight"].clone())
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    run = {"epoch": 3, "model": "cls_cvt", "state_dict": state, "perf": 81.6, "optimizer": optimizer.state_dict()}
    torch.save({**run, "args": argparse.Namespace(lr=1e-3)}, path)


CONTAINERS = {
    "as released": None,
    "legacy": lambda s, p: torch.save(s, p, _use_new_zipfile_serialization=False),
    "cuda": tagged_cuda,
    "module prefix": lambda s, p: torch.save({f"module.{name}": value for name, value in s.items()}, p),
    "channels last": lambda s, p: torch.save(
        {n: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for n, v in s.items()}, p
    ),
    "safetensors": save_file,
    "training run": training_run,
}
# Other sizes have no fixture of Microsoft's: what transformers computes with the weights before they took Microsoft's names.
SIZES = {
    "CvT-13, 224": ({}, 224, ("--image-size", "224")),
    "CvT-13, 384": ({}, 384, ("--image-size", "384")),
    "uneven": (
        {"embed_dim": [24, 40, 60], "depth": [2, 3, 3], "num_heads": [3, 2, 5], "num_labels": 7},
        64,
        ("--num-heads", "3,2,5", "--image-size", "64"),
    ),
}


def microsoft_transform(size):
    """Resize the short edge, then crop; at 384 and above Microsoft squashes instead."""
    bicubic = transforms.InterpolationMode.BICUBIC
    if size >= 384:
        resize = [transforms.Resize((size, size), bicubic)]
    else:
        resize = [transforms.Resize(int(size / 0.875), bicubic), transforms.CenterCrop(size)]
    return transforms.Compose([*resize, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


@pytest.fixture(scope="module")
def opened(tmp_path_factory, image_files):
    directory = tmp_path_factory.mktemp("cvt")
    images = [Image.open(path).convert("RGB") for path in image_files]
    results, jobs = {}, []

    def add(name, source, size, flags, values):
        folder, truth = directory / f"{len(results)}", directory / f"{len(results)}.npz"
        transform = microsoft_transform(size)
        values |= {f"pixels_{i}": pixels.reference(transform, image) for i, image in enumerate(images)}
        np.savez(truth, **values)
        results[name] = [environment.convert(source, folder, *flags), values]
        if results[name][0].returncode == 0:
            jobs.append({"name": name, "folder": str(folder), "truth": str(truth)})

    expected = load_file(DATA / "cvt_tiny.expected_gelu.safetensors")
    batch = load_file(DATA / "cvt_tiny.input.safetensors")["input"].numpy()
    state = torch.load(EXAMPLE, weights_only=True)
    for name, write in CONTAINERS.items():
        source = EXAMPLE
        if write:
            source = directory / f"{name}{'.safetensors' if name == 'safetensors' else '.pth'}"
            write(state, source)
        add(name, source, 64, TINY, {"input": batch, "output": expected["logits"].numpy()})
    for seed, (name, (config, size, flags)) in enumerate(SIZES.items()):
        model, renamed = cvt.random_model(seed, **config)
        torch.save(renamed, directory / f"{name}.pth")
        batch = torch.randn(1 if size > 224 else 2, 3, size, size, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            logits = model(batch).logits
        add(name, directory / f"{name}.pth", size, flags, {"input": batch.numpy(), "output": logits.numpy()})
    reports = environment.open_folders(jobs, image_files, directory)
    for name, result in results.items():
        result.append({major: reports[major].get(name) for major in environment.MAJORS})
    return results


@pytest.mark.parametrize("name", [*CONTAINERS, *SIZES])
def test_cvt(opened, name):
    conversion, truth, reports = opened[name]
    assert conversion.returncode == 0, conversion.stderr
    for major in environment.MAJORS:
        report = reports[major]
        checks.check_opens(report)
        checks.check_loading(report)
        assert report["architectures"] == ["CvtForImageClassification"]
        arrays = dict(np.load(report["arrays"]))
        checks.close("logits", arrays["logits"], truth["output"])
        checks.check_pixels(arrays, truth, STD, major)
        checks.check_labels(report, report["labels"])
        assert len(report["labels"]) == truth["output"].shape[1]
        checks.check_pipeline(report, arrays)


def test_a_tiny_cvt_is_asked_for_its_heads(tmp_path):
    """Nothing in the weights tells them, and width / 64, right for the released models, is not even one here."""
    conversion = environment.convert(EXAMPLE, tmp_path / "out", "--image-size", "64")
    assert conversion.returncode == 4
    assert conversion.stderr.splitlines()[-1].endswith("--num-heads 'N,N,N'")
    assert not (tmp_path / "out").exists()


def test_depths_that_transformers_cannot_build_are_refused(tmp_path):
    """transformers asks stage s for layer s: a last stage of two layers has none."""
    state = torch.load(EXAMPLE, weights_only=True)
    shallow = {name: value for name, value in state.items() if not name.startswith("stage2.blocks.2.")}
    torch.save(shallow, tmp_path / "shallow.pth")
    conversion = environment.convert(tmp_path / "shallow.pth", tmp_path / "out", *TINY)
    assert conversion.returncode == 7
    assert len(conversion.stderr.splitlines()) == 1, conversion.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shallow.pth"]
