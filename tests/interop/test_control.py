"""The suite checked: faults planted in a right folder must each be found by the checks that pass it unharmed."""
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import checks
import environment
import twins

TWIN = twins.Twin(
    "vit_small_patch16_224.augreg_in21k",
    {"embed_dim": 48, "depth": 3, "num_heads": 3, "img_size": 64, "num_classes": 1000},
)
LAYER = "vit.encoder.layer"


def edit_json(folder, file, change):
    path = folder / file
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def edit_tensors(folder, change):
    path = folder / "model.safetensors"
    content = load_file(path)
    change(content)
    save_file(content, path, metadata={"format": "pt"})


def swap(content, left, right):
    for name in [name for name in content if left in name]:
        other = name.replace(left, right)
        content[name], content[other] = content[other].copy(), content[name].copy()


def flip_one_bit(content):
    bits = content[f"{LAYER}.1.attention.output.dense.weight"].view(np.uint32)
    bits[5, 7] ^= 1 << 26


def zero(content, name):
    content[name] = np.zeros_like(content[name])


def swap_labels(content):
    labels = content["id2label"]
    labels["0"], labels["1"] = labels["1"], labels["0"]
    content["label2id"] = {label: int(i) for i, label in labels.items()}


def plain_words(content):
    """What a converter that forgets that words repeat would write."""
    content["id2label"] = {i: label.split(" (n")[0] for i, label in content["id2label"].items()}
    content["label2id"] = {label: int(i) for i, label in content["id2label"].items()}


def squash(content):
    """The processor that most hand-made folders have: both edges to the crop's size."""
    content.clear()
    content.update(
        image_processor_type="ViTImageProcessor", do_resize=True, size={"height": 64, "width": 64}, resample=3,
        do_rescale=True, rescale_factor=1 / 255, do_normalize=True, image_mean=[0.5] * 3, image_std=[0.5] * 3,
    )


def config(change):
    return lambda folder: edit_json(folder, "config.json", change)


def processor(change):
    return lambda folder: edit_json(folder, "preprocessor_config.json", change)


def tensors(change):
    return lambda folder: edit_tensors(folder, change)


BIAS = f"{LAYER}.1.output.dense.bias"
FAULTS = {
    "q and k swapped": tensors(lambda t: swap(t, "layer.0.attention.attention.query", "layer.0.attention.attention.key")),
    "two layers exchanged": tensors(lambda t: swap(t, "layer.0.", "layer.2.")),
    "a bias dropped": tensors(lambda t: zero(t, BIAS)),
    "a tensor missing": tensors(lambda t: t.pop(BIAS)),
    "a tensor too many": tensors(lambda t: t.update(extra=np.zeros(3, np.float32))),
    "one bit flipped": tensors(flip_one_bit),
    "eps of transformers' default": config(lambda c: c.update(layer_norm_eps=1e-12)),
    "two labels exchanged": config(swap_labels),
    "labels that repeat": config(plain_words),
    "pooler width of ViT-B": config(lambda c: c.update(pooler_output_size=768)),
    "another activation": config(lambda c: c.update(hidden_act="gelu_new")),
    "another mean": processor(lambda p: p.update(image_mean=[0.485, 0.456, 0.406])),
    "bilinear for bicubic": processor(lambda p: p.update(resample=2)),
    "squash for crop": processor(squash),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory, image_files):
    directory = tmp_path_factory.mktemp("control")
    model = twins.build(TWIN)
    twins.save(model, TWIN, directory / "source")
    values = twins.truth(model, [Image.open(path).convert("RGB") for path in image_files])
    conversion = environment.convert(directory / "source", directory / "right")
    assert conversion.returncode == 0, conversion.stderr
    jobs = []
    for i, (name, plant) in enumerate([("right", None), *FAULTS.items()]):
        folder, truth = directory / f"folder{i}", directory / f"{i}.npz"
        shutil.copytree(directory / "right", folder)
        if plant:
            plant(folder)
        np.savez(truth, **values)
        jobs.append({"name": name, "folder": str(folder), "truth": str(truth)})
    return twins.facts(model, TWIN), values, environment.open_folders(jobs, image_files, directory)


@pytest.mark.parametrize("major", environment.MAJORS)
def test_the_right_folder_passes(opened, major):
    facts, truth, reports = opened
    checks.check_all(reports[major]["right"], facts, truth, (0.5, 0.5, 0.5), major)


@pytest.mark.parametrize("major", environment.MAJORS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(opened, fault, major):
    facts, truth, reports = opened
    with pytest.raises(AssertionError):
        checks.check_all(reports[major][fault], facts, truth, (0.5, 0.5, 0.5), major)
