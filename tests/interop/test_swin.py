"""timm's Swin and SwinV2: small networks as timm exports them, with and without a head, through both versions; and what is refused."""
import json

import pytest
import timm
import torch
from timm.data import create_transform, resolve_data_config
from timm.models._hub import save_for_hf
from transformers import AutoModelForImageClassification

import environment
import through_both

# Architectures with a small twin's arguments.
TWINS = {
    "classes": ("swin_tiny_patch4_window7_224.ms_in1k", {"img_size": 112, "window_size": 7, "depths": (2, 3, 2), "num_heads": (2, 3, 4), "embed_dim": 12, "num_classes": 10}),
    "four stages": ("swin_base_patch4_window12_384.ms_in22k_ft_in1k", {"img_size": 96, "window_size": 3, "depths": (1, 2, 2, 1), "num_heads": (1, 2, 4, 2), "embed_dim": 8, "num_classes": 5}),
    "second version": ("swinv2_tiny_window8_256.ms_in1k", {"img_size": 128, "window_size": 8, "depths": (1, 2, 3, 1), "num_heads": (1, 2, 2, 4), "embed_dim": 16, "num_classes": 10}),
    "second version, windows of another size before": ("swinv2_base_window12to16_192to256.ms_in22k_ft_in1k", {"img_size": 64, "window_size": 4, "depths": (2, 3), "num_heads": (2, 3), "embed_dim": 12, "pretrained_window_sizes": (3, 2), "num_classes": 5}),
    "second version, no head": ("swinv2_small_window16_256.ms_in1k", {"img_size": 64, "window_size": 16, "depths": (2, 2), "num_heads": (2, 4), "embed_dim": 8, "qkv_bias": False, "num_classes": 0}),
    "second version, ReLU": ("swinv2_tiny_window8_256.ms_in1k", {"img_size": 64, "window_size": ((4, 4), (4, 4)), "depths": (2, 2), "num_heads": (2, 4), "embed_dim": 8, "act_layer": "relu", "num_classes": 5}),
    "second version, SiLU": ("swinv2_tiny_window8_256.ms_in1k", {"img_size": 64, "window_size": (8, 8), "depths": (2, 2), "num_heads": (2, 4), "embed_dim": 8, "act_layer": "silu", "num_classes": 5}),
    "second version, tanh": ("swinv2_tiny_window8_256.ms_in1k", {"img_size": 64, "window_size": 8, "depths": (2, 2), "num_heads": (2, 4), "embed_dim": 8, "act_layer": "gelu_tanh", "num_classes": 5}),
    "windows by stage": ("swin_tiny_patch4_window7_224.ms_in1k", {"img_size": 64, "window_size": ((4, 4), (4, 4)), "depths": (2, 2), "num_heads": (2, 4), "embed_dim": 8, "num_classes": 5}),
    "no head": ("swin_small_patch4_window7_224.ms_in1k", {"img_size": 64, "window_size": 4, "depths": (2, 2, 2), "num_heads": (2, 2, 4), "embed_dim": 16, "mlp_ratio": 2.5, "qkv_bias": False, "num_classes": 0}),
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory, image_files):
    directory, networks = tmp_path_factory.mktemp("swin"), {}
    for seed, (name, (tag, args)) in enumerate(TWINS.items()):
        size = args["img_size"]
        overlay = {"input_size": (3, size, size), "fixed_input_size": True}
        model = through_both.enliven(timm.create_model(tag, pretrained_cfg_overlay=overlay, **args), seed)
        save_for_hf(model, directory / f"{seed}.source", safe_serialization=True, model_args=args)
        transform = create_transform(**resolve_data_config({"input_size": (3, size, size)}, model=model))

        def tokens(batch, model=model):
            return model.forward_features(batch).flatten(1, 2)

        networks[name] = (model, size, directory / f"{seed}.source", [], transform, tokens)
    return networks, through_both.open_all(directory, image_files, networks)


@pytest.mark.parametrize("name", TWINS)
def test_swin(opened, name):
    networks, results = opened
    model, *_ = networks[name]
    family = "Swinv2" if "second" in name else "Swin"
    wanted = f"{family}ForImageClassification" if model.num_classes else f"{family}Model"
    through_both.check(results[name], wanted, model.pretrained_cfg["std"])


@pytest.mark.parametrize(
    "tag, args, words",
    [
        ("swin_s3_tiny_224.ms_in1k", {}, "windows of several sizes"),
        ("swin_tiny_patch4_window7_224.ms_in1k", {"img_size": 256}, "not multiples of 224"),
        ("swin_tiny_patch4_window7_224.ms_in1k", {"img_size": 128}, "windows of several sizes"),
        ("swin_tiny_patch4_window7_224.ms_in1k", {"img_size": (224, 448)}, "not square"),
        ("swin_tiny_patch4_window7_224.ms_in1k", {"window_size": (4, 2)}, "not square"),
        ("swinv2_tiny_window8_256.ms_in1k", {"img_size": 256, "window_size": (8, 4)}, "not square"),
        ("swinv2_tiny_window8_256.ms_in1k", {"img_size": 256, "window_size": (8, 8, 8, 4)}, "windows of several sizes"),
        ("swinv2_tiny_window8_256.ms_in1k", {"img_size": 224}, "no whole number of windows"),
        ("swinv2_tiny_window8_256.ms_in1k", {"img_size": (256, 512)}, "not square"),
    ],
)
def test_other_structures_are_refused(tmp_path, tag, args, words):
    size = args.get("img_size", 224)
    height, width = size if isinstance(size, tuple) else (size, size)
    overlay = {"input_size": (3, height, width), "crop_mode": "squash"}
    model = timm.create_model(tag, pretrained_cfg_overlay=overlay, **args)
    save_for_hf(model, tmp_path / "source", safe_serialization=True, model_args=args)
    conversion = environment.convert(tmp_path / "source", tmp_path / "out")
    assert conversion.returncode == 7, conversion.stderr
    assert len(conversion.stderr.splitlines()) == 1 and words in conversion.stderr, conversion.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tag, size", [("swin_tiny_patch4_window7_224.ms_in1k", 448), ("swinv2_tiny_window8_256.ms_in1k", 512)])
def test_a_size_that_was_set_later(tmp_path, tag, size):
    """timm makes larger windows then, and writes them by stage."""
    model = timm.create_model(tag, num_classes=5, embed_dim=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))
    model.set_input_size(img_size=(size, size))
    model = through_both.enliven(model, 3)
    save_for_hf(model, tmp_path / "source", safe_serialization=True)
    torch.save(model, tmp_path / "whole.pt")
    window = {448: 14, 512: 16}[size]
    pixels = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = model(pixels)
    for number, source in enumerate(("source", "whole.pt")):
        folder = tmp_path / f"out{number}"
        done = environment.convert(tmp_path / source, folder)
        assert done.returncode == 0, done.stderr
        config = json.loads((folder / "config.json").read_text())
        assert (config["window_size"], config["image_size"]) == (window, size)
        with torch.no_grad():
            found = AutoModelForImageClassification.from_pretrained(folder).eval()(pixels).logits
        assert (found - wanted).abs().max() < 1e-4 * wanted.std()


def test_another_size_than_that_of_the_modules_contradicts_them(tmp_path):
    model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=5, embed_dim=8, depths=(2, 2), num_heads=(1, 2))
    torch.save(model, tmp_path / "whole.pt")
    done = environment.convert(tmp_path / "whole.pt", tmp_path / "out", "--image-size", "448")
    assert done.returncode == 4 and "224x224 pixels according to the saved module" in done.stderr, done.stderr
