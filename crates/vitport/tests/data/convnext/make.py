"""Makes the golden files of this folder: tiny ConvNeXts with random weights, run by timm and by transformers.

    HF_HUB_OFFLINE=1 python make.py

Written with torch 2.15.0, timm 1.0.31 and transformers 4.57.6, on one thread. For each network NAME it writes NAME/, a hub
folder as timm exports it; NAME.expected.safetensors: `pixels` [3, height, width], every hidden state [positions, channels]
under the name that vitport's definition of timm's network gives it, and its outputs; NAME.transformers.safetensors and .json,
what transformers saves of the same network; and NAME.transformers.expected.safetensors, what transformers computes of the same
pixels. Weights are drawn so that the outputs depend on the input and the logits have a standard deviation near 1.
"""

import json
import math
import re
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from timm.models._hub import save_for_hf
from transformers import (
    ConvNextConfig, ConvNextForImageClassification, ConvNextModel,
    ConvNextV2Config, ConvNextV2ForImageClassification, ConvNextV2Model, DINOv3ConvNextConfig, DINOv3ConvNextModel,
)

HERE = Path(__file__).parent
NAMES = [
    (r"^stem\.0", "embeddings.patch_embeddings"),
    (r"^stem\.1", "embeddings.layernorm"),
    (r"^stages\.(\d+)\.downsample", r"encoder.stages.\1.downsampling_layer"),
    (r"^stages\.(\d+)\.blocks", r"encoder.stages.\1.layers"),
    (r"\.conv_dw", ".dwconv"),
    (r"\.norm\.", ".layernorm."),
    (r"\.mlp\.fc", ".pwconv"),
    (r"\.gamma$", ".layer_scale_parameter"),
    (r"^head\.layernorm", "layernorm"),
]
DINOV3_NAMES = [
    (r"^stages\.(\d+)\.downsample", r"stages.\1.downsample_layers"),
    (r"^stem\.", "stages.0.downsample_layers."),
    (r"^stages\.(\d+)\.blocks", r"stages.\1.layers"),
    (r"\.conv_dw", ".depthwise_conv"),
    (r"\.norm\.", ".layer_norm."),
    (r"\.mlp\.fc", ".pointwise_conv"),
    (r"^head\.layer_norm", "layer_norm"),
]
# What adds to the stream of hidden states, and the biases of what is computed of the stream before a norm.
SCALED = re.compile(r"^stem\.|\.downsample\.1\.|\.conv_dw\.bias$|\.gamma$")
torch.set_num_threads(1)


@torch.no_grad()
def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if ".grn." in name:
            parameter.copy_(0.5 * noise)
        elif name.endswith("gamma"):
            parameter.copy_(0.9 + 0.4 * noise)
        elif parameter.ndim == 1 and name.endswith("weight"):
            parameter.copy_(1 + 0.2 * noise)
        elif parameter.ndim == 1:
            parameter.copy_(0.3 * noise)
        else:
            parameter.copy_(noise / parameter[0].numel() ** 0.5)
    return model.eval()


def tokens(map):
    return map.flatten(2).transpose(1, 2)


def watch(module, seen, name, form=lambda out: out):
    module.register_forward_hook(lambda _, __, out: seen.__setitem__(name, form(out)))


def write(file, tensors):
    tensors = {name: value.detach().squeeze(0).clone().contiguous() for name, value in tensors.items()}
    save_file(tensors, HERE / f"{file}.safetensors")


@torch.no_grad()
def run_timm(model, pixels):
    seen = {"pixels": pixels}
    for s, stage in enumerate(model.stages):
        watch(stage.downsample, seen, f"stages.{s}.downsample", tokens)
        for b, block in enumerate(stage.blocks):
            watch(block, seen, f"stages.{s}.blocks.{b}", tokens)
    out = model(pixels)
    pooled = model.forward_head(model.forward_features(pixels), pre_logits=True)
    seen |= {"head.norm": pooled, "pre_logits": pooled}
    return seen | ({"logits": out} if model.num_classes else {})


def to_transformers(model, image_size, act):
    is_v2 = hasattr(model.stages[0].blocks[0].mlp, "grn")
    scale = {} if is_v2 else dict(layer_scale_init_value=1e-6 if model.stages[0].blocks[0].gamma is not None else 0.0)
    config = (ConvNextV2Config if is_v2 else ConvNextConfig)(
        hidden_sizes=[stage.blocks[0].conv_dw.out_channels for stage in model.stages],
        depths=[len(stage.blocks) for stage in model.stages],
        hidden_act=act,
        layer_norm_eps=1e-6,
        image_size=image_size,
        num_labels=model.num_classes,
        **scale,
    )
    classes = (ConvNextV2ForImageClassification, ConvNextV2Model) if is_v2 else (ConvNextForImageClassification, ConvNextModel)
    target = classes[0 if model.num_classes else 1](config)
    state = {}
    # All norms of the class have an epsilon of 1e-6: that of timm times the square of this.
    times = math.sqrt(1e-6 / model.head.norm.eps)
    for name, value in model.state_dict().items():
        if times != 1 and SCALED.search(name):
            value = (value.double() * times).float()
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)
        name = name.replace("head.fc", "classifier")
        prefix = target.base_model_prefix + "." if model.num_classes and not name.startswith("classifier") else ""
        name = name.replace(".mlp.grn.", ".grn.")
        value = value.reshape(1, 1, 1, -1) if ".grn." in name else value
        state[prefix + name] = value.flatten(1) if "pwconv" in name and value.ndim == 4 else value
    target.load_state_dict(state)
    config.architectures = [type(target).__name__]
    return target.eval()


def to_dinov3(model, image_size, act):
    config = DINOv3ConvNextConfig(
        hidden_sizes=[stage.blocks[0].conv_dw.out_channels for stage in model.stages],
        depths=[len(stage.blocks) for stage in model.stages],
        hidden_act=act,
        layer_norm_eps=model.head.norm.eps,
        image_size=image_size,
    )
    target, state = DINOv3ConvNextModel(config), {}
    for name, value in model.state_dict().items():
        for pattern, replacement in DINOV3_NAMES:
            name = re.sub(pattern, replacement, name)
        state[name] = value.flatten(1) if "pointwise" in name and value.ndim == 4 else value
    target.load_state_dict(state)
    config.architectures = [type(target).__name__]
    return target.eval()


@torch.no_grad()
def run_dinov3(model, pixels):
    seen = {"pixels": pixels}
    for s, stage in enumerate(model.stages):
        watch(stage.downsample_layers[1], seen, f"stages.{s}.downsample_layers", tokens)
        for b, layer in enumerate(stage.layers):
            watch(layer, seen, f"stages.{s}.layers.{b}", tokens)
    seen["layer_norm"] = seen["pooler_output"] = model(pixels).pooler_output
    return seen


@torch.no_grad()
def run_transformers(model, pixels):
    seen, base = {"pixels": pixels}, getattr(model, model.base_model_prefix, model)
    watch(base.embeddings, seen, "encoder.stages.0.downsampling_layer", tokens)
    for s, stage in enumerate(base.encoder.stages):
        if s:
            watch(stage.downsampling_layer[1], seen, f"encoder.stages.{s}.downsampling_layer", tokens)
        for b, layer in enumerate(stage.layers):
            watch(layer, seen, f"encoder.stages.{s}.layers.{b}", tokens)
    watch(base, seen, "pooler_output", lambda out: out.pooler_output)
    out = model(pixels)
    seen["layernorm"] = seen["pooler_output"]
    return seen | ({"logits": out.logits} if "logits" in out else {})


def make(name, seed, size, act="gelu", **arguments):
    cfg = dict(input_size=(3, size, size), tag="fb_in1k", crop_pct=0.875)
    model = timm.create_model("convnext_tiny", pretrained_cfg_overlay=cfg, **arguments)
    if arguments.get("ls_init_value", 0) is None:  # create_model leaves out arguments that are None
        for block in (block for stage in model.stages for block in stage.blocks):
            block.gamma = None
    randomise(model, seed)
    save_for_hf(model, HERE / name, safe_serialization=True, model_args=arguments)
    pixels = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed + 1))
    expected = run_timm(model, pixels)
    write(f"{name}.expected", expected)
    is_dinov3 = name.startswith("dinov3")
    target = (to_dinov3 if is_dinov3 else to_transformers)(model, size, act)
    write(f"{name}.transformers", {key: value.unsqueeze(0) for key, value in target.state_dict().items()})
    config = json.loads(target.config.to_json_string())
    (HERE / f"{name}.transformers.json").write_text(json.dumps(config, indent=1) + "\n")
    found = (run_dinov3 if is_dinov3 else run_transformers)(target, pixels)
    write(f"{name}.transformers.expected", found)
    last = "logits" if model.num_classes else "pooler_output"
    wanted = expected["logits" if model.num_classes else "pre_logits"]
    print(name, "std", float(found[last].std()), "difference", float((found[last] - wanted).abs().max()))


make("plain", 1, 64, dims=[16, 32, 48, 64], depths=[2, 1, 3, 1], num_classes=10)
make(
    "conv_mlp_base", 3, 32, "gelu_pytorch_tanh", dims=[8, 12, 16, 20], depths=[1, 1, 2, 1], num_classes=0,
    conv_mlp=True, ls_init_value=None, act_layer="gelu_tanh",
)
make(
    "v2", 5, 64, dims=[16, 24, 32, 48], depths=[1, 2, 2, 1], num_classes=10, use_grn=True, ls_init_value=None,
)
make(
    "v2_conv_mlp_base", 7, 32, dims=[8, 12, 16, 20], depths=[1, 1, 2, 1], num_classes=0, use_grn=True,
    ls_init_value=None, conv_mlp=True,
)
# Without a head, with other epsilons than ConvNextModel has.
make("dinov3", 9, 64, dims=[16, 24, 32, 48], depths=[2, 1, 2, 1], num_classes=0, norm_eps=1e-5)
make(
    "dinov3_conv_mlp", 11, 32, "silu", dims=[8, 12, 16, 20], depths=[1, 1, 2, 1], num_classes=0, norm_eps=1e-4,
    conv_mlp=True, act_layer="silu",
)
# With another epsilon and a head, which only the class with another epsilon holds: its weights are scaled.
make("scaled", 13, 64, dims=[8, 16, 24, 32], depths=[1, 2, 2, 1], num_classes=10, norm_eps=1e-5)
make(
    "scaled_conv_mlp", 15, 32, "gelu_pytorch_tanh", dims=[8, 12, 16, 20], depths=[1, 1, 2, 1], num_classes=7,
    norm_eps=1e-4, conv_mlp=True, act_layer="gelu_tanh",
)
