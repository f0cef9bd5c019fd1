"""timm's EfficientNets with TensorFlow's padding: published sizes with random weights, at image sizes of which maps are even and odd,
through both versions; and what is refused."""
import pytest
import timm
import torch
from timm.data import create_transform, resolve_data_config
from timm.models._hub import save_for_hf

import environment
import through_both

# Architectures with the size of the image and the arguments.
TWINS = {
    "b0": ("tf_efficientnet_b0.ns_jft_in1k", 224, {"num_classes": 10}),
    "b0, odd maps": ("tf_efficientnet_b0.aa_in1k", 150, {"num_classes": 5}),
    "b1, no head": ("tf_efficientnet_b1.ns_jft_in1k", 100, {"num_classes": 0}),
    "b2, widths that are rounded": ("tf_efficientnet_b2.ns_jft_in1k", 130, {"num_classes": 7}),
    "lite0": ("tf_efficientnet_lite0.in1k", 96, {"num_classes": 10}),
}


@torch.no_grad()
def calm(model, size):
    """The model with a last layer by which logits spread by about one."""
    if model.num_classes:
        spread = model(torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))).std()
        model.classifier.weight /= spread
        model.classifier.bias /= spread
    return model


@pytest.fixture(scope="module")
def opened(tmp_path_factory, image_files):
    directory, networks = tmp_path_factory.mktemp("efficientnet"), {}
    for seed, (name, (tag, size, args)) in enumerate(TWINS.items()):
        overlay = {"input_size": (3, size, size)}
        model = calm(through_both.enliven(timm.create_model(tag, pretrained_cfg_overlay=overlay, **args), seed), size)
        save_for_hf(model, directory / f"{seed}.source", safe_serialization=True, model_args=args)
        transform = create_transform(**resolve_data_config({"input_size": (3, size, size)}, model=model))
        networks[name] = (model, size, directory / f"{seed}.source", [], transform, model.forward_features)
    return networks, through_both.open_all(directory, image_files, networks)


@pytest.mark.parametrize("name", TWINS)
def test_efficientnet(opened, name):
    networks, results = opened
    model, *_ = networks[name]
    wanted = "EfficientNetForImageClassification" if model.num_classes else "EfficientNetModel"
    through_both.check(results[name], wanted, model.pretrained_cfg["std"])


@pytest.mark.parametrize(
    "tag, size, words",
    [
        ("efficientnet_b0.ra_in1k", (224, 224), "as PyTorch does"),
        ("efficientnet_lite0.ra_in1k", (224, 224), "as PyTorch does"),
        ("tf_efficientnet_b0.ns_jft_in1k", (225, 225), "not multiples of 2"),
        ("tf_efficientnet_b0.ns_jft_in1k", (224, 256), "not square"),
        ("tf_efficientnet_es.in1k", (224, 224), "EfficientNetV2"),
        ("tf_efficientnetv2_b0.in1k", (224, 224), "EfficientNetV2"),
        ("tf_mixnet_s.in1k", (224, 224), "MixNet"),
        ("tf_efficientnet_cc_b0_4e.in1k", (224, 224), "CondConv"),
        ("efficientnet_b1_pruned.in1k", (240, 240), "pruned"),
    ],
)
def test_other_structures_are_refused(tmp_path, tag, size, words):
    model = timm.create_model(tag, pretrained_cfg_overlay={"input_size": (3, *size), "crop_mode": "squash"})
    save_for_hf(model, tmp_path / "source", safe_serialization=True)
    conversion = environment.convert(tmp_path / "source", tmp_path / "out")
    assert conversion.returncode == 7, conversion.stderr
    assert len(conversion.stderr.splitlines()) == 1 and words in conversion.stderr, conversion.stderr
    assert not (tmp_path / "out").exists()
