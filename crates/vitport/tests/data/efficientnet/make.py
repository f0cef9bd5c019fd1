"""Makes the golden files of this folder: tiny EfficientNets with random weights, run by timm and by transformers.

    HF_HUB_OFFLINE=1 python make.py

Written with torch 2.15.0, timm 1.0.31 and transformers 4.57.6, on one thread. For each network NAME it writes NAME/, a hub
folder as timm exports it; NAME.expected.safetensors: `pixels` [3, height, width], every hidden state [positions, channels]
under the name that vitport's definition of timm's network gives it, and its outputs; NAME.transformers.safetensors and .json,
what transformers saves of the same network; and NAME.transformers.expected.safetensors, what transformers computes of the same
pixels.
"""

import functools
import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from timm.layers import get_act_layer
from timm.models._builder import build_model_with_cfg
from timm.models._efficientnet_builder import decode_arch_def
from timm.models._hub import save_for_hf
from timm.models.efficientnet import EfficientNet

HERE = Path(__file__).parent
INVERTED = {
    "conv_pw.weight": "expansion.expand_conv.weight",
    "bn1": "expansion.expand_bn",
    "conv_dw.weight": "depthwise_conv.depthwise_conv.weight",
    "bn2": "depthwise_conv.depthwise_norm",
    "conv_pwl.weight": "projection.project_conv.weight",
    "bn3": "projection.project_bn",
}
SEPARABLE = {
    "conv_dw.weight": "depthwise_conv.depthwise_conv.weight",
    "bn1": "depthwise_conv.depthwise_norm",
    "conv_pw.weight": "projection.project_conv.weight",
    "bn2": "projection.project_bn",
}
EXCITATION = {"se.conv_reduce": "squeeze_excite.reduce", "se.conv_expand": "squeeze_excite.expand"}
ENDS = {"conv_stem": "embeddings.convolution", "bn1": "embeddings.batchnorm", "conv_head": "encoder.top_conv", "bn2": "encoder.top_bn"}
torch.set_num_threads(1)


@torch.no_grad()
def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.fill_(seed)
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.copy_(0.5 + noise.abs())
        elif tensor.ndim == 1 and name.endswith("weight"):
            tensor.copy_(0.9 + 0.3 * noise)
        elif tensor.ndim == 1:
            tensor.copy_(0.4 * noise)
        else:
            tensor.copy_(noise * (1.6 if tensor.ndim == 4 else 1.4) / tensor[0].numel() ** 0.5)
    return model.eval()


def watch(module, seen, name):
    # Cloned, since the activations after it work in place.
    module.register_forward_hook(lambda _, __, out: seen.__setitem__(name, out.flatten(2).transpose(1, 2).clone()))


def write(file, tensors):
    save_file({name: value.detach().clone().contiguous() for name, value in tensors.items()}, HERE / f"{file}.safetensors")


@torch.no_grad()
def run_timm(model, pixels):
    seen = {"pixels": pixels}
    watch(model.bn1, seen, "bn1")
    watch(model.bn2, seen, "bn2")
    for s, stage in enumerate(model.blocks):
        for b, block in enumerate(stage):
            watch(block, seen, f"blocks.{s}.{b}")
    out = model(pixels)
    seen["pre_logits"] = model.forward_head(model.forward_features(pixels), pre_logits=True)
    return {name: value[0] for name, value in (seen | ({"logits": out} if model.num_classes else {})).items()}


def names_of(model):
    """Names of timm's tensors, and what transformers calls them."""
    blocks = [(s, b, block) for s, stage in enumerate(model.blocks) for b, block in enumerate(stage)]
    for n, (s, b, block) in enumerate(blocks):
        names = EXCITATION | (INVERTED if hasattr(block, "conv_pwl") else SEPARABLE)
        for name in block.state_dict():
            [(ours, theirs)] = [(ours, theirs) for ours, theirs in names.items() if name.startswith(ours)]
            yield f"blocks.{s}.{b}.{name}", f"encoder.blocks.{n}.{name.replace(ours, theirs)}"
    for ours, theirs in ENDS.items():
        for name in getattr(model, ours).state_dict():
            yield f"{ours}.{name}", f"{theirs}.{name}"


def to_transformers(model, size, act, strides, padding):
    firsts = [stage[0] for stage in model.blocks]
    last = model.conv_head.out_channels
    width = last / 1280

    def unrounded(wanted):
        """The least number of which the class makes the width."""
        config = transformers.EfficientNetConfig(width_coefficient=width)
        rounded = transformers.models.efficientnet.modeling_efficientnet.round_filters
        return next(number for number in range(1, 10_000) if rounded(config, number) == wanted)

    inputs = [(getattr(block, "conv_pw", None) if hasattr(block, "conv_pwl") else block.conv_dw).in_channels for block in firsts]
    outputs = [(block.conv_pwl if hasattr(block, "conv_pwl") else block.conv_pw).out_channels for block in firsts]
    has_excitation = hasattr(firsts[0].se, "conv_reduce")
    config = transformers.EfficientNetConfig(
        image_size=size, width_coefficient=width, depth_coefficient=1.0, hidden_dim=last, hidden_act=act,
        in_channels=[unrounded(number) for number in inputs], out_channels=[unrounded(number) for number in outputs],
        kernel_sizes=[block.conv_dw.kernel_size[0] for block in firsts], strides=strides, depthwise_padding=padding,
        num_block_repeats=[len(stage) for stage in model.blocks],
        expand_ratios=[block.conv_dw.in_channels // number for block, number in zip(firsts, inputs)],
        squeeze_expansion_ratio=0.25 if has_excitation else 0.001, batch_norm_eps=model.bn1.eps, batch_norm_momentum=0.01,
        dropout_rate=0.2, drop_connect_rate=0.2, num_labels=model.num_classes,
    )
    kind = transformers.EfficientNetForImageClassification if model.num_classes else transformers.EfficientNetModel
    target = kind(config)
    prefix = "efficientnet." if model.num_classes else ""
    own = model.state_dict()
    state = {prefix + theirs: own.pop(ours) for ours, theirs in names_of(model)}
    if not has_excitation:
        for name, value in target.state_dict().items():
            if ".squeeze_excite." in name:
                state[name] = torch.full_like(value, 100.0 if name.endswith("expand.bias") else 0.0)
    target.load_state_dict(state | own)
    config.architectures = [kind.__name__]
    return target.eval()


@torch.no_grad()
def run_transformers(model, pixels):
    seen, base = {"pixels": pixels}, getattr(model, "efficientnet", model)
    watch(base.embeddings, seen, "embeddings")
    watch(base.encoder.top_activation, seen, "encoder.top_bn")
    for b, block in enumerate(base.encoder.blocks):
        watch(block, seen, f"encoder.blocks.{b}")
    base.register_forward_hook(lambda _, __, out: seen.__setitem__("pooler_output", out.pooler_output))
    out = model(pixels)
    return {name: value[0] for name, value in (seen | ({"logits": out.logits} if "logits" in out else {})).items()}


def make(name, seed, architecture, size, act, strides, padding, block_args, **arguments):
    cfg = dict(input_size=(3, size, size), tag="in1k", crop_pct=0.875)
    norm = functools.partial(torch.nn.BatchNorm2d, eps=1e-3)
    model = build_model_with_cfg(
        EfficientNet, architecture, False, pretrained_cfg_overlay=cfg, block_args=decode_arch_def(block_args), pad_type="same",
        norm_layer=norm, act_layer=get_act_layer(act), **arguments,
    )
    model = randomise(model, seed)
    said = dict(block_args=block_args, pad_type="same", **arguments)
    save_for_hf(model, HERE / name, safe_serialization=True, model_args=said)
    pixels = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed + 1))
    expected = run_timm(model, pixels)
    write(f"{name}.expected", expected)
    target = to_transformers(model, size, act, strides, padding)
    write(f"{name}.transformers", target.state_dict())
    config = json.loads(target.config.to_json_string())
    (HERE / f"{name}.transformers.json").write_text(json.dumps(config, indent=1) + "\n")
    found = run_transformers(target, pixels)
    write(f"{name}.transformers.expected", found)
    ours, theirs = ("logits", "logits") if model.num_classes else ("pre_logits", "pooler_output")
    print(name, "std", float(found[theirs].std()), "difference", float((found[theirs] - expected[ours]).abs().max()), len(expected) - 1)


SAME = [
    ["ds_r1_k3_s1_e1_c16_se0.25"], ["ir_r2_k3_s2_e4_c24_se0.25"], ["ir_r3_k5_s2_e3_c32_se0.25"], ["ir_r1_k3_s2_e6_c40_se0.25"],
]
LITE = [["ds_r1_k3_s1_e1_c16"], ["ir_r1_k5_s2_e4_c24"], ["ir_r2_k3_s1_e2_c32"]]
# The third stage begins with block 3.
make("same", 1, "tf_efficientnet_b0", 60, "silu", [1, 2, 2, 2], [3], SAME, stem_size=8, num_features=64, num_classes=10)
make("lite_base", 3, "tf_efficientnet_lite0", 64, "relu6", [1, 2, 1], [], LITE, stem_size=8, num_features=56, num_classes=0)
