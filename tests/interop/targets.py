"""A small source of every class that a mapping writes, from the fixtures and from timm."""
import json
import re
import tomllib
from pathlib import Path

import environment

DATA = environment.ROOT / "crates/vitport/tests/data"
MAPPINGS = environment.ROOT / "crates/vitport/mappings"
CVT = ["--num-heads", "1,2,4", "--image-size", "64"]
# By name: the source and the options with which it becomes a class. The fixtures are hub folders as timm saves them.
SOURCES = {
    "vit": (environment.ROOT / "examples/vit_small_twin", []),
    "vit, squashed": (environment.ROOT / "examples/vit_small_twin", ["--crop-pct", "1.0", "--crop-mode", "squash"]),
    "vit, no head": (environment.ROOT / "examples/vit_small_twin", ["--no-head"]),
    "cvt": (environment.ROOT / "examples/cvt_tiny/tiny.pth", CVT),
    "clip": (DATA / "clip/tower", []),
    "clip, no head": (DATA / "clip/tower", ["--no-head"]),
    "clip, features": (DATA / "clip/tower", ["--target", "CLIPVisionModel"]),
    "convnext": (DATA / "convnext/plain", []),
    "convnext, scaled": (DATA / "convnext/scaled", ["--target", "ConvNextForImageClassification"]),
    "convnext, no head": (DATA / "convnext/conv_mlp_base", []),
    "convnext, DINOv3": (DATA / "convnext/dinov3", []),
    "convnextv2": (DATA / "convnext/v2", []),
    "convnextv2, no head": (DATA / "convnext/v2_conv_mlp_base", []),
    "resnet": (DATA / "residual/resnet_bottleneck", []),
    "resnet, no head": (DATA / "residual/resnet_basic_base", []),
    "regnet": (DATA / "residual/regnet_y", []),
    "regnet, no head": (DATA / "residual/regnet_x_base", []),
    "swin": (DATA / "swin/plain", []),
    "swin, no head": (DATA / "swin/base", []),
    "efficientnet": (DATA / "efficientnet/same", []),
    "efficientnet, no head": (DATA / "efficientnet/lite_base", []),
    "swinv2": (DATA / "swinv2/plain", []),
    "swinv2, no head": (DATA / "swinv2/base", []),
    "beit": (DATA / "beit/plain", []),
    "beit, shared biases, no head": (DATA / "beit/shared", ["--no-head"]),
    "beit, relative positions": (DATA / "relpos/patches", []),
    "beit, relative positions, features": (DATA / "relpos/shared", []),
    "dinov3": (DATA / "eva/dinov3", []),
    "dinov3, gated, class token": (DATA / "eva/gated", []),
    "beit, eva": (DATA / "eva/eva01", []),
    "vit, eva": (DATA / "eva/eva01_clip", []),
    "siglip": (DATA / "timm_encoders/siglip", []),
    "siglip, mean": (DATA / "timm_encoders/siglip_gap", ["--target", "SiglipVisionModel"]),
    "siglip, classifier": (DATA / "timm_encoders/siglip_gap_classifier", ["--target", "SiglipForImageClassification"]),
    "ijepa": (DATA / "timm_encoders/gap_classifier", []),
    "ijepa, no head": (DATA / "timm_encoders/ijepa", []),
    "aimv2": (DATA / "timm_encoders/aimv2", []),
    "internvl": (DATA / "timm_encoders/intern", []),
    "tipsv2": (DATA / "timm_encoders/tipsv2", ["--target", "Tipsv2VisionModel"]),
    "tipsv2, swiglu": (DATA / "timm_encoders/tipsv2_giant", ["--target", "Tipsv2VisionModel"]),
    "dinov2": (DATA / "timm_encoders/dinov2", ["--target", "Dinov2Model"]),
    "dinov2, registers": (DATA / "timm_encoders/dinov2_registers", []),
    "dinov2, registers, classifier": (DATA / "timm_encoders/registers_gap", []),
    "deit": (DATA / "timm_encoders/distilled", []),
    "deit, no head": (DATA / "timm_encoders/distilled_base", []),
    "radio": (DATA / "timm_encoders/radio", []),
}


def classes_of_mappings():
    """{class: the version it is known from on}, of every mapping that is built in."""
    found = {}
    for path in MAPPINGS.glob("*.toml"):
        mapping = tomllib.loads(path.read_text())
        for name in re.findall(r'"(\w+)"', json.dumps(mapping["config"]["architectures"])):
            if name[0].isupper():
                found[name] = mapping.get("since", 4)
    return found


def class_of(folder):
    return json.loads((Path(folder) / "config.json").read_text())["architectures"][0]
