"""timm's ResNet and RegNet: small networks as timm exports them, with and without a head, through both versions."""
import pytest
import timm
from timm.data import create_transform, resolve_data_config
from timm.models._hub import save_for_hf

import through_both

# Architectures with a small twin's arguments, and what they become.
TWINS = {
    "bottlenecks": ("resnet50.a1_in1k", {"layers": [2, 1, 3, 1], "channels": [8, 12, 16, 20], "num_classes": 10}, 64, "ResNet"),
    "basic blocks": ("resnet18.tv_in1k", {"layers": [1, 2, 1, 1], "channels": [64, 16, 24, 32], "num_classes": 7}, 96, "ResNet"),
    "no head": ("resnet34.a1_in1k", {"layers": [1, 1, 2, 1], "channels": [16, 24, 32, 40], "num_classes": 0}, 65, "ResNet"),
    "X": ("regnetx_002.pycls_in1k", {"depth": 6, "w0": 16, "wa": 12.0, "wm": 1.8, "group_size": 8, "num_classes": 5}, 64, "RegNet"),
    "Y": ("regnety_002.pycls_in1k", {"depth": 8, "w0": 8, "wa": 12.0, "wm": 1.8, "group_size": 8, "num_classes": 10}, 72, "RegNet"),
    "Y without a head": ("regnety_320.seer", {"depth": 6, "w0": 16, "wa": 12.0, "wm": 1.8, "group_size": 8}, 64, "RegNet"),
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory, image_files):
    directory, networks = tmp_path_factory.mktemp("residual"), {}
    for seed, (name, (tag, args, size, _)) in enumerate(TWINS.items()):
        overlay = {"input_size": (3, size, size), "fixed_input_size": False}
        model = through_both.enliven(timm.create_model(tag, pretrained_cfg_overlay=overlay, **args), seed)
        save_for_hf(model, directory / f"{seed}.source", safe_serialization=True, model_args=args)
        transform = create_transform(**resolve_data_config({"input_size": (3, size, size)}, model=model))
        networks[name] = (model, size, directory / f"{seed}.source", [], transform, model.forward_features)
    return networks, through_both.open_all(directory, image_files, networks)


@pytest.mark.parametrize("name", TWINS)
def test_residual(opened, name):
    networks, results = opened
    model, *_ = networks[name]
    family = TWINS[name][3]
    wanted = f"{family}ForImageClassification" if model.num_classes else f"{family}Model"
    through_both.check(results[name], wanted, model.pretrained_cfg["std"])
