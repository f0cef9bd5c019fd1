"""Folders that transformers itself writes from random configs, and what each computes.

    python make_folders.py DIRECTORY    # with the transformers of this Python

For each folder it writes NAME/ by `save_pretrained` and NAME.npz with an input, the output and the number of its classes.
"""
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import transformers
from transformers import (
    BeitConfig,
    BeitForImageClassification,
    BeitImageProcessor,
    ConvNextConfig,
    ConvNextForImageClassification,
    ConvNextImageProcessor,
    Dinov2Config,
    Dinov2Model,
    EfficientNetConfig,
    EfficientNetForImageClassification,
    EfficientNetImageProcessor,
    RegNetConfig,
    RegNetForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
    SiglipImageProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
    SwinConfig,
    SwinForImageClassification,
    Swinv2Config,
    Swinv2ForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96, "image_size": 32, "patch_size": 8}
NAMES = "ant bee cat dog elk".split()
LABELS = {"id2label": dict(enumerate(NAMES)), "label2id": {name: i for i, name in enumerate(NAMES)}}

WINDOWS = {"image_size": 64, "patch_size": 2, "embed_dim": 16, "depths": [1, 2, 1], "num_heads": [1, 2, 4], "window_size": 8}

# Name: class, config, image processor. transformers' own epsilon of a ViT is 1e-12, which timm has no argument for.
FOLDERS = {
    "vit": (ViTForImageClassification, ViTConfig(**SMALL, **LABELS, layer_norm_eps=1e-6), ViTImageProcessor(size={"height": 32, "width": 32})),
    "vit, eps 1e-12": (ViTForImageClassification, ViTConfig(**SMALL, **LABELS), ViTImageProcessor(size={"height": 32, "width": 32})),
    "vit, no qkv bias": (
        ViTForImageClassification,
        ViTConfig(**SMALL, num_labels=3, layer_norm_eps=1e-6, qkv_bias=False, hidden_act="gelu_pytorch_tanh"),
        ViTImageProcessor(size={"height": 32, "width": 32}, resample=3),
    ),
    "convnext": (
        ConvNextForImageClassification,
        ConvNextConfig(hidden_sizes=[16, 24, 32, 40], depths=[1, 2, 1, 1], **LABELS, layer_norm_eps=1e-6),
        ConvNextImageProcessor(size={"shortest_edge": 64}),
    ),
    # The class reads the epsilon in its last norm only, which timm cannot.
    "convnext, eps 1e-12": (
        ConvNextForImageClassification,
        ConvNextConfig(hidden_sizes=[16, 24, 32, 40], depths=[1, 1, 2, 1], **LABELS),
        ConvNextImageProcessor(size={"shortest_edge": 64}),
    ),
    "beit, eps 1e-12": (
        BeitForImageClassification,
        BeitConfig(**SMALL, **LABELS, use_relative_position_bias=True, use_mask_token=False),
        BeitImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False),
    ),
    "swin": (SwinForImageClassification, SwinConfig(**WINDOWS, **LABELS), ViTImageProcessor(size={"height": 64, "width": 64})),
    "swinv2": (Swinv2ForImageClassification, Swinv2Config(**WINDOWS, **LABELS), ViTImageProcessor(size={"height": 64, "width": 64})),
    "resnet, other widths": (
        ResNetForImageClassification,
        ResNetConfig(hidden_sizes=[32, 48, 64, 96], depths=[1, 2, 1, 1], **LABELS),
        ConvNextImageProcessor(size={"shortest_edge": 64}),
    ),
    "resnet": (ResNetForImageClassification, ResNetConfig(hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic", **LABELS), ConvNextImageProcessor(size={"shortest_edge": 64})),
    # In the words of the published ones: an activation's other name, and blocks counted by a factor.
    "efficientnet, b1": (
        EfficientNetForImageClassification,
        EfficientNetConfig(image_size=64, width_coefficient=1.0, depth_coefficient=1.1, hidden_dim=1280, hidden_act="swish", **LABELS),
        ViTImageProcessor(size={"height": 64, "width": 64}),
    ),
    "regnet": (
        RegNetForImageClassification,
        RegNetConfig(embedding_size=32, hidden_sizes=[24, 56, 152, 368], depths=[1, 1, 4, 7], groups_width=8, layer_type="y", **LABELS),
        ConvNextImageProcessor(size={"shortest_edge": 64}),
    ),
    # What decides nothing of the network: the kind of problem, and the activation next to a gated MLP.
    "vit, several labels": (
        ViTForImageClassification,
        ViTConfig(**SMALL, **LABELS, layer_norm_eps=1e-6, problem_type="multi_label_classification"),
        ViTImageProcessor(size={"height": 32, "width": 32}, do_normalize=False),
    ),
    "dinov2, gated": (
        Dinov2Model,
        Dinov2Config(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, image_size=56, patch_size=14, use_swiglu_ffn=True),
        ViTImageProcessor(size={"height": 56, "width": 56}),
    ),
    # Version 5.6 and later leave `vision_model.` out of its names.
    "siglip": (SiglipVisionModel, SiglipVisionConfig(**SMALL), SiglipImageProcessor(size={"height": 32, "width": 32})),
    # int(16 * 3.3), int(32 * 3.3) and int(64 * 3.3) have no ratio in common.
    "swinv2, rounded ratio": (
        Swinv2ForImageClassification,
        Swinv2Config(**WINDOWS, **LABELS, mlp_ratio=3.3),
        ViTImageProcessor(size={"height": 64, "width": 64}),
    ),
    "resnet, grey": (
        ResNetForImageClassification,
        ResNetConfig(num_channels=1, hidden_sizes=[64, 128, 256, 512], depths=[1, 2, 1, 1], **LABELS),
        ConvNextImageProcessor(size={"shortest_edge": 64}, image_mean=[0.2], image_std=[0.3], do_convert_rgb=False),
    ),
    # Its processor divides by the standard deviation twice.
    "efficientnet, own processor": (
        EfficientNetForImageClassification,
        EfficientNetConfig(image_size=64, width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, **LABELS),
        EfficientNetImageProcessor(size={"height": 64, "width": 64}, resample=3),
    ),
}


@torch.no_grad()
def enliven(model, seed):
    """Random weights, BatchNorm statistics and gammas with which every tensor matters."""
    generator = torch.Generator().manual_seed(seed)
    # Buffers that are not saved are computed, as SwinV2's table of distances is.
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            value.copy_(noise.abs() + 0.5)
        elif value.ndim == 1:
            value.copy_(0.3 * noise + (0.0 if name.endswith(("bias", "running_mean")) else 1.0))
        else:
            value.copy_(noise / max(value[0].numel(), 1) ** 0.5)


def main(directory):
    for seed, (name, (kind, config, processor)) in enumerate(FOLDERS.items()):
        model = kind(config).eval()
        enliven(model, seed)
        model.save_pretrained(directory / name)
        processor.save_pretrained(directory / name)
        is_convolutional = config.model_type in ("convnext", "resnet", "regnet")
        size = 64 if is_convolutional else config.image_size
        batch = torch.randn(2, config.num_channels, size, size, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            outputs = model(batch)
        logits = outputs.logits if "logits" in outputs else outputs.pooler_output
        np.savez(directory / f"{name}.npz", input=batch.numpy(), logits=logits.numpy())


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main(Path(sys.argv[1]))
