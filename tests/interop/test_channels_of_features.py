"""Networks for images of other than three channels of which no class computes everything: features, compared in both versions."""
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import environment
import twins

SCRIPT = Path(__file__).with_name("every_vit.py")
# By architecture: what a bare state dict does not say of it, and the class that it becomes.
MODELS = {
    "aimv2_large_patch14_224": ("Aimv2VisionModel", {}),
    "vit_intern300m_patch14_448": ("InternVLVisionModel", {}),
    "vit_base_patch14_reg1_tipsv2": ("Dinov2WithRegistersModel", {}),
    "vit_base_patch16_clip_224": ("CLIPVisionModel", {"num_classes": 7}),
    "vit_base_patch16_siglip_gap_224": ("IJepaModel", {"num_classes": 0}),
}
CHANNELS = (1, 2, 4, 13)


@torch.no_grad()
def make(directory, index, name, channels):
    """Writes a twin, what it computes and its conversion as `every_vit.py` has them; returns its row."""
    _, change = MODELS[name]
    args = {"embed_dim": 48, "num_heads": 3, "depth": 2, "img_size": 28, "patch_size": 14, "in_chans": channels, **change}
    model = timm.create_model(name, **args).eval()
    twins.enliven(model, index)
    source, folder = directory / f"{index}", directory / f"{index}.out"
    source.mkdir()
    torch.save(model.state_dict(), source / "pytorch_model.bin")
    arguments = {key: value for key, value in args.items() if key != "num_classes"}
    config = {"architecture": name, "num_classes": model.num_classes, "num_features": 48, "model_args": arguments, "pretrained_cfg": {}}
    (source / "config.json").write_text(json.dumps(config | {"global_pool": model.global_pool}))
    batch = torch.randn(2, channels, 28, 28, generator=torch.Generator().manual_seed(index))
    features = model.forward_features(batch)
    truth = {"input": batch, "output": model.forward_head(features), "pooled": model.pool(features), "tokens": features}
    np.savez(directory / f"{index}.npz", **{key: value.numpy() for key, value in truth.items()})
    report = directory / f"{index}.report.json"
    done = environment.convert(source, folder, "--no-processor", "--report", report)
    assert done.returncode == 0, (name, channels, done.stderr)
    assert not (folder / "preprocessor_config.json").exists()
    return {"index": index, "code": 0, "target": json.loads(report.read_text())["target"]}


def test_features_of_other_channels(tmp_path):
    cases = [(name, channels) for name in MODELS for channels in CHANNELS]
    made = {f"{name} {channels}": make(tmp_path, index, name, channels) for index, (name, channels) in enumerate(cases)}
    assert {name.split()[0]: row["target"]["class"] for name, row in made.items()} == {name: model[0] for name, model in MODELS.items()}
    (tmp_path / "made.json").write_text(json.dumps(made))
    for major in environment.MAJORS:
        python = environment.environments_home() / f"v{major}" / "bin" / "python"
        subprocess.run([python, SCRIPT, "open", tmp_path], check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        opened = json.loads((tmp_path / f"opened.v{major}.json").read_text())
        # transformers 4.57.6 cannot run its own InternVLVisionModel.
        opened = {name: found for name, found in opened.items() if (major, "intern" in name) != (4, True)}
        wrong = {name: found for name, found in opened.items() if found not in ("exact", "output", "features")}
        assert not wrong, (major, wrong)


@pytest.mark.parametrize("name", MODELS)
def test_without_the_option_it_is_said(tmp_path, name):
    """Four channels have no processor, and that is what is said before anything is written."""
    torch.save(timm.create_model(name, in_chans=4, embed_dim=48, num_heads=3, depth=2, img_size=28, patch_size=14).state_dict(),
               tmp_path / "source.pth")
    done = environment.convert(tmp_path / "source.pth", tmp_path / "out")
    assert done.returncode == 7 and "--no-processor" in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()
