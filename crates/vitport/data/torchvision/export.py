"""Writes torchvision's registry: architectures.tsv and weights.tsv. Made with torchvision 0.29.2; no weight file is opened."""

import json
import math
from pathlib import Path
from unittest import mock

import torch
import torchvision
from torchvision import models
from torchvision.models import ConvNeXt, RegNet, ResNet, SwinTransformer, VisionTransformer
from torchvision.models.swin_transformer import SwinTransformerBlockV2

HERE = Path(__file__).parent


def resnet(net):
    """The fields that timm's ResNet has, whose networks these are."""
    stages = [net.layer1, net.layer2, net.layer3, net.layer4]
    block = stages[0][0]
    outputs = [(stage[0].conv3 if hasattr(block, "conv3") else stage[0].conv2).out_channels for stage in stages]
    planes = [width // block.expansion for width in outputs]
    assert net.conv1.kernel_size == (7, 7) and net.conv1.stride == (2, 2)
    assert isinstance(net.maxpool, torch.nn.MaxPool2d) and net.avgpool.output_size == (1, 1)
    return "resnet/ResNet", {
        "block": type(block).__name__,
        "layers": [len(stage) for stage in stages],
        "channels": planes,
        "num_chs": [net.conv1.out_channels, *outputs],
        "cardinality": net.groups,
        "base_width": net.base_width,
        "block_reduce_first": 1,
        "down_kernel_size": stages[1][0].downsample[0].kernel_size[0],
        "stem_type": "",
        "stem_width": net.conv1.out_channels,
        "avg_down": False,
        "replace_stem_pool": False,
        "block_args": None,
        "aa_layer": None,
        "output_stride": 32,
        "global_pool": "avg",
        "act_layer": type(block.relu).__name__,
        "norm_layer": type(net.bn1).__name__,
        "norm_eps": net.bn1.eps,
    }


def regnet(net):
    """The fields that timm's RegNet has."""
    stages = list(net.trunk_output.children())
    first = stages[0][0]
    widths = [stage[0].proj[0].out_channels for stage in stages]
    return "regnet/RegNet", {
        "depths": [len(stage) for stage in stages],
        "num_chs": [net.stem[0].out_channels, *widths],
        "group_size": max(stage[0].f.b[0].in_channels // stage[0].f.b[0].groups for stage in stages),
        "bottle_ratio": first.f.a[0].out_channels / widths[0],
        "se_ratio": 0.25 if hasattr(first.f, "se") else 0.0,
        "preact": False,
        "linear_out": False,
        "output_stride": 32,
        "global_pool": "avg",
        "act_layer": type(first.activation).__name__.lower(),
        "norm_layer": "batchnorm",
        "norm_eps": net.stem[1].eps,
    }


def convnext(net):
    """The fields that timm's ConvNeXt has."""
    stages = [net.features[i] for i in (1, 3, 5, 7)]
    block = stages[0][0].block
    assert isinstance(block[4], torch.nn.GELU) and block[4].approximate == "none"
    assert all(block.layer_scale is not None for stage in stages for block in stage)
    assert {norm.eps for norm in net.modules() if isinstance(norm, torch.nn.LayerNorm)} == {block[2].eps}
    return "convnext/ConvNeXt", {
        "depths": [len(stage) for stage in stages],
        "dims": [stage[0].block[0].out_channels for stage in stages],
        "kernel_sizes": block[0].kernel_size[0],
        "patch_size": net.features[0][0].kernel_size[0],
        "ls_init_value": 1e-6,
        "stem_type": "patch",
        "conv_mlp": False,
        "conv_bias": block[0].bias is not None,
        "use_grn": False,
        "head_norm_first": False,
        "head_hidden_size": None,
        "norm_layer": "layernorm",
        "output_stride": 32,
        "global_pool": "avg",
        "act_layer": "gelu",
        "norm_eps": block[2].eps,
    }


def vision_transformer(net):
    """The fields that timm's VisionTransformer has."""
    layer = net.encoder.layers[0]
    assert {type(norm).__name__ for norm in (layer.ln_1, layer.ln_2, net.encoder.ln)} == {"LayerNorm"}
    assert {norm.eps for norm in (layer.ln_1, layer.ln_2, net.encoder.ln)} == {layer.ln_1.eps}
    assert isinstance(layer.mlp[1], torch.nn.GELU) and layer.mlp[1].approximate == "none"
    yes = dict.fromkeys(["qkv_bias", "proj_bias", "mlp_bias", "patch_bias", "class_token", "pos_embed", "final_norm"], True)
    no = dict.fromkeys(
        ["qk_norm", "scale_attn_norm", "scale_mlp_norm", "no_embed_class", "pre_norm", "fc_norm", "pool_include_prefix"]
        + ["dist_token", "layer_scale", "patch_norm"],
        False,
    )
    return "vision_transformer/VisionTransformer", {
        "patch_size": [net.patch_size, net.patch_size],
        "embed_dim": net.hidden_dim,
        "depth": len(net.encoder.layers),
        "num_heads": layer.num_heads,
        "mlp_ratio": net.mlp_dim / net.hidden_dim,
        "mlp_dim": net.mlp_dim,
        "global_pool": "token",
        "reg_tokens": 0,
        "embed_layer": "PatchEmbed",
        "act_layer": "GELU",
        "block_fn": "Block",
        "mlp_layer": "Mlp",
        "attn_layer": "Attention",
        "norm": "LayerNorm",
        "block_norm": "LayerNorm",
        "norm_eps": layer.ln_1.eps,
        **yes,
        **no,
    }


def swin_transformer(net):
    """The fields that timm's SwinTransformer has, or SwinTransformerV2."""
    stages = [net.features[i] for i in (1, 3, 5, 7)]
    block, first = stages[0][0], net.features[0][0]
    is_second = isinstance(block, SwinTransformerBlockV2)
    norms = {module.eps for module in net.modules() if isinstance(module, torch.nn.LayerNorm)}
    assert isinstance(block.mlp[1], torch.nn.GELU) and block.mlp[1].approximate == "none"
    [eps], [window] = norms, {size for stage in stages for each in stage for size in each.attn.window_size}
    fields = {
        "embed_dim": first.out_channels,
        "depths": [len(stage) for stage in stages],
        "num_heads": [stage[0].attn.num_heads for stage in stages],
        "window_size": window,
        "patch_size": list(first.kernel_size),
        "mlp_ratio": block.mlp[0].out_features / first.out_channels,
        "qkv_bias": block.attn.qkv.bias is not None,
        "head_dim": None,
        "always_partition": False,
        "norm_layer": type(block.norm1).__name__,
        "norm_eps": eps,
        "global_pool": "avg",
    }
    if not is_second:
        return "swin_transformer/SwinTransformer", fields
    del fields["head_dim"]
    fields |= {"pretrained_window_sizes": [0] * len(stages), "act_layer": "gelu"}
    return "swin_transformer_v2/SwinTransformerV2", fields


FAMILIES = {
    ResNet: resnet,
    RegNet: regnet,
    ConvNeXt: convnext,
    VisionTransformer: vision_transformer,
    SwinTransformer: swin_transformer,
}

# By name's beginning: the class, how much of it, and what has to be done or why there is none.
TARGETS = [
    (("wide_resnet",), "ResNetForImageClassification", "exact", "zero channels, parameters ×1.4"),
    (("resnext",), "ResNetForImageClassification", "exact", "zeros between the groups, parameters ×3.9 to ×8.2"),
    (("resnet",), "ResNetForImageClassification", "exact", None),
    (("regnet",), "RegNetForImageClassification", "exact", None),
    (("vit_",), "ViTForImageClassification", "exact", None),
    (("convnext",), "ConvNextForImageClassification", "exact", None),
    (("swin_v2",), "Swinv2ForImageClassification", "exact", None),
    (("swin_",), "SwinForImageClassification", "exact", None),
    (("mobilenet_v2",), "MobileNetV2ForImageClassification", "exact", None),
    (("efficientnet_b",), "EfficientNetForImageClassification", "exact",
     "padding on both sides, where the class pads the stem right and below only, with outputs 4.3 standard deviations off: the stem has to be rewritten into two blocks"),
    (("mnasnet",), None, "not examined", None),
    (("",), None, "none", "no class in transformers has this structure"),
]


def crop_pct(size, resized):
    """The share by which `floor(size / share)` is the resized edge, with as many digits as that needs."""
    share = math.floor(size / resized * 10_000) / 10_000
    assert math.floor(size / share) == resized
    return share


def weights_row(name, weights):
    """The fields of one member of a weights enum."""
    meta, transform = weights.meta, weights.transforms()
    assert transform.antialias, (name, "antialias only says what tensors are resized by; images always are so")
    [size], [resized] = transform.crop_size, transform.resize_size
    _, target, exactness, note = next(row for row in TARGETS if name.startswith(row[0]))
    return {
        "url": weights.url,
        "has_weights": True,
        "num_classes": len(meta["categories"] or []),
        "parameters": meta["num_params"],
        "input_size": [3, size, size],
        "fixed_input_size": name.startswith("vit_"),
        "mean": transform.mean,
        "std": transform.std,
        "interpolation": transform.interpolation.value,
        "crop_pct": crop_pct(size, resized),
        "crop_mode": "center",
        "license": "cc-by-nc-4.0" if "SWAG" in weights.name else None,
        "custom_load": False,
        "exactness": exactness,
        "target": target,
        "note": note,
    }


def build(name):
    """The network without memory for its weights."""
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    sizes = models.regnet.BlockParams.from_init_params

    def on_cpu(*args, **kwargs):
        with torch.device("cpu"):
            return sizes(*args, **kwargs)

    with torch.device("meta"), mock.patch.object(models.regnet.BlockParams, "from_init_params", on_cpu):
        return models.get_model(name, **options)


def main():
    architectures, tags = [], []
    for name in models.list_models(module=models):
        enum = models.get_model_weights(name)
        members = sorted(enum, key=lambda weights: weights is not enum.DEFAULT)
        net = build(name)
        describe = FAMILIES.get(type(net), lambda _: None)
        # What is no network of another framework's definition stands under torchvision's own module.
        module = type(net).__module__.removeprefix("torchvision.models.")
        class_, fields = describe(net) or (f"torchvision.{module}/{type(net).__name__}", {})
        full = f"torchvision/{name}"
        architectures.append([full, class_, members[0].name, json.dumps(fields, separators=(",", ":"))])
        for weights in members:
            assert weights.meta.get("license") is None or "SWAG" in weights.name
            row = weights_row(name, weights)
            tags.append([full, class_, weights.name, json.dumps(row, separators=(",", ":"))])
    for file, rows in {"architectures.tsv": architectures, "weights.tsv": tags}.items():
        (HERE / file).write_text("".join("\t".join(row) + "\n" for row in rows))
    print(torchvision.__version__, len(architectures), len(tags))


main()
