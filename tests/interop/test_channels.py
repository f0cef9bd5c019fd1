"""Networks for images of other than three channels, in both versions: one channel with an image processor, others without."""
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.models._hub import save_for_hf

import environment

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 5}
SWIN = {"img_size": 32, "embed_dim": 12, "depths": (2, 2), "num_heads": (2, 3), "window_size": 4, "num_classes": 5}
SAID = ("--mean", "0.4", "--std", "0.3", "--interpolation", "bicubic", "--crop-pct", "1", "--labels", "none")


def opened(folder, directory, **given):
    np.savez(directory / "given.npz", **given)
    found = {}
    for major in environment.MAJORS:
        python = environment.environments_home() / f"v{major}" / "bin" / "python"
        script = Path(__file__).with_name("channels.py")
        result = directory / f"v{major}.npz"
        command = [python, script, folder, directory / "given.npz", result]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        assert done.returncode == 0, done.stderr[-3000:]
        found[major] = np.load(result)
    return found


@pytest.mark.parametrize("architecture, sizes, said", [
    ("vit_tiny_patch16_224", VIT, ("--num-heads", "3")),
    ("convnext_atto", {"num_classes": 5}, ("--image-size", "32")),
    ("convnextv2_atto", {"num_classes": 5}, ("--image-size", "32")),
    ("resnet18", {"num_classes": 5}, ("--image-size", "32")),
    ("regnetx_002", {"num_classes": 5}, ("--image-size", "32")),
    ("beit_base_patch16_224", VIT, ("--num-heads", "3")),
    ("vit_base_patch16_siglip_224", {**VIT, "num_classes": 0}, ("--num-heads", "3")),
    ("swin_tiny_patch4_window7_224", SWIN, ("--image-size", "32")),
    ("swinv2_tiny_window8_256", SWIN, ()),
    ("vit_tiny_patch16_224", {**VIT, "class_token": False, "global_pool": "avg", "fc_norm": False}, ("--num-heads", "3")),
])
@pytest.mark.parametrize("channels", [1, 2, 4, 13])
def test_channels(tmp_path, architecture, sizes, said, channels):
    torch.manual_seed(channels)
    model = timm.create_model(architecture, in_chans=channels, **sizes).eval()
    source = tmp_path / "source.pth"
    if architecture.startswith("swinv2"):
        # The weights do not show its windows.
        source = tmp_path / "source"
        save_for_hf(model, source, safe_serialization=True, model_args={"in_chans": channels, **sizes})
    else:
        torch.save(model.state_dict(), source)
    folder = tmp_path / "out"
    if channels == 1:
        said += SAID
    else:
        refused = environment.convert(source, folder)
        assert refused.returncode == 7 and "--no-processor" in refused.stderr, refused.stderr
        said += ("--no-processor",)
    done = environment.convert(source, folder, *said)
    assert done.returncode == 0, done.stderr
    pixels = torch.randn(2, channels, 32, 32)
    with torch.no_grad():
        logits = model(pixels).numpy()
    given = {"pixels": pixels.numpy()}
    if channels == 1:
        given["grey"] = np.random.default_rng(1).integers(0, 256, (40, 56), dtype=np.uint8)
        transform = timm.data.create_transform((1, 32, 32), mean=(0.4,), std=(0.3,), interpolation="bicubic", crop_pct=1)
        wanted = transform(Image.fromarray(given["grey"])).numpy()
    else:
        assert not (folder / "preprocessor_config.json").exists()
        said = " ".join(done.stdout.split())
        assert "no image processor in the folder (--no-processor): both networks are compared on pixels made directly" in said, said
        assert "preparing images is left to you" in said and "prepared by the source's transform" not in said, said
    for major, found in opened(folder, tmp_path, **given).items():
        assert np.abs(found["logits"] - logits).max() < 1e-5 * max(1, np.abs(logits).max())
        for key in set(found) - {"logits"}:
            # Version 5 resizes with torchvision, which is up to two levels off Pillow.
            allowed = 1e-6 if major == 4 else 2 / 255 / 0.3 + 1e-6
            assert found[key].shape == (1, 1, 32, 32) and np.abs(found[key][0] - wanted).max() <= allowed, (major, key)
