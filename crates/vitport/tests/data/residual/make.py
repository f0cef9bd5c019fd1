"""Makes the golden files of this folder: tiny ResNets and RegNets with random weights, run by timm and by transformers.

    HF_HUB_OFFLINE=1 python make.py

Written with torch 2.15.0, timm 1.0.31 and transformers 4.57.6, on one thread. For each network NAME it writes NAME/, a hub
folder as timm exports it; NAME.expected.safetensors: `pixels` [3, height, width], every hidden state [positions, channels]
under the name that vitport's definition of timm's network gives it, and its outputs; NAME.transformers.safetensors and .json,
what transformers saves of the same network; and NAME.transformers.expected.safetensors, what transformers computes of the same
pixels. Weights and running statistics are drawn so that the outputs depend on the input and the logits have a standard
deviation near 1.
"""

import json
import re
from pathlib import Path

import timm
import torch
import transformers
from safetensors.torch import save_file
from timm.models._hub import save_for_hf

HERE = Path(__file__).parent


def one_less(text):
    return lambda match: text.format(int(match[1]) - 1)


RESNET = [
    (r"^conv1", "embedder.embedder.convolution"),
    (r"^bn1", "embedder.embedder.normalization"),
    (r"^layer(\d)", one_less("encoder.stages.{}.layers")),
    (r"\.conv(\d)", one_less(".layer.{}.convolution")),
    (r"\.bn(\d)", one_less(".layer.{}.normalization")),
    (r"\.downsample\.0", ".shortcut.convolution"),
    (r"\.downsample\.1", ".shortcut.normalization"),
    (r"^fc", "classifier.1"),
]
REGNET = [
    (r"^stem", "embedder.embedder"),
    (r"^s(\d)", one_less("encoder.stages.{}.layers")),
    (r"\.b(\d+)\.", one_less(".{}.")),
    (r"\.conv([12])\.", one_less(".layer.{}.")),
    (r"\.se\.fc1", ".layer.2.attention.0"),
    (r"\.se\.fc2", ".layer.2.attention.2"),
    (r"\.downsample\.", ".shortcut."),
    (r"\.conv\.", ".convolution."),
    (r"\.bn\.", ".normalization."),
    (r"^head\.fc", "classifier.1"),
]
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
            tensor.copy_(0.8 + 0.3 * noise)
        elif tensor.ndim == 1:
            tensor.copy_(0.3 * noise)
        else:
            tensor.copy_(noise * (1.4 if tensor.ndim == 4 else 0.7) / tensor[0].numel() ** 0.5)
    return model.eval()


def tokens(map):
    return map.flatten(2).transpose(1, 2)


def watch(module, seen, name, form=tokens):
    # Cloned, since the activations after it work in place.
    module.register_forward_hook(lambda _, __, out: seen.__setitem__(name, form(out).clone()))


def write(file, tensors):
    save_file({name: value.detach().clone().contiguous() for name, value in tensors.items()}, HERE / f"{file}.safetensors")


def stages(model):
    """The four stages with their names, and their blocks."""
    prefix = "layer" if hasattr(model, "layer1") else "s"
    for s in range(1, 5):
        stage = getattr(model, f"{prefix}{s}")
        yield f"{prefix}{s}", list(stage.named_children())


@torch.no_grad()
def run_timm(model, pixels):
    seen = {"pixels": pixels}
    stem = "maxpool" if hasattr(model, "maxpool") else "stem"
    watch(getattr(model, stem), seen, stem)
    for name, blocks in stages(model):
        for number, block in blocks:
            watch(block, seen, f"{name}.{number}")
    out = model(pixels)
    seen["pre_logits"] = model.forward_head(model.forward_features(pixels), pre_logits=True)
    return {name: value[0] for name, value in (seen | ({"logits": out} if model.num_classes else {})).items()}


def to_transformers(model):
    blocks = [[block for _, block in blocks] for _, blocks in stages(model)]
    channels = [info["num_chs"] for info in model.feature_info]
    common = dict(embedding_size=channels[0], hidden_sizes=channels[1:], depths=list(map(len, blocks)), num_labels=model.num_classes)
    first = blocks[0][0]
    if hasattr(model, "layer1"):
        family, names = "ResNet", RESNET
        config = transformers.ResNetConfig(layer_type="bottleneck" if hasattr(first, "conv3") else "basic", **common)
    else:
        family, names = "RegNet", REGNET
        has_se = hasattr(first.se, "fc1")
        names = [*names, (r"\.conv3\.", f".layer.{3 if has_se else 2}.")]
        config = transformers.RegNetConfig(
            layer_type="y" if has_se else "x",
            groups_width=max(stage[0].conv2.conv.weight.shape[1] for stage in blocks),
            **common,
        )
    kind = "ForImageClassification" if model.num_classes else "Model"
    target = getattr(transformers, family + kind)(config)
    state = {}
    for name, value in model.state_dict().items():
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        has_prefix = model.num_classes and not name.startswith("classifier")
        state[(family.lower() + "." if has_prefix else "") + name] = value
    target.load_state_dict(state)
    config.architectures = [type(target).__name__]
    return target.eval()


@torch.no_grad()
def run_transformers(model, pixels):
    seen, base = {"pixels": pixels}, getattr(model, model.base_model_prefix, model)
    watch(base.embedder, seen, "embedder")
    for s, stage in enumerate(base.encoder.stages):
        for b, layer in enumerate(stage.layers):
            watch(layer, seen, f"encoder.stages.{s}.layers.{b}")
    watch(base, seen, "pooler_output", lambda out: out.pooler_output.flatten(1))
    out = model(pixels)
    return {name: value[0] for name, value in (seen | ({"logits": out.logits} if "logits" in out else {})).items()}


def make(name, seed, architecture, size, **arguments):
    cfg = dict(input_size=(3, size, size), tag="a1_in1k", crop_pct=0.875)
    model = randomise(timm.create_model(architecture, pretrained_cfg_overlay=cfg, **arguments), seed)
    save_for_hf(model, HERE / name, safe_serialization=True, model_args=arguments)
    pixels = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed + 1))
    expected = run_timm(model, pixels)
    write(f"{name}.expected", expected)
    target = to_transformers(model)
    write(f"{name}.transformers", target.state_dict())
    config = json.loads(target.config.to_json_string())
    (HERE / f"{name}.transformers.json").write_text(json.dumps(config, indent=1) + "\n")
    found = run_transformers(target, pixels)
    write(f"{name}.transformers.expected", found)
    ours, theirs = ("logits", "logits") if model.num_classes else ("pre_logits", "pooler_output")
    print(name, "std", float(found[theirs].std()), "difference", float((found[theirs] - expected[ours]).abs().max()))


make("resnet_bottleneck", 1, "resnet50", 64, layers=[2, 1, 3, 1], channels=[8, 12, 16, 20], num_classes=10)
make("resnet_basic_base", 3, "resnet18", 72, layers=[1, 2, 1, 1], channels=[64, 16, 24, 32], num_classes=0)
make("regnet_y", 5, "regnety_002", 72, depth=8, w0=8, wa=12.0, wm=1.8, group_size=8, num_classes=10)
make("regnet_x_base", 7, "regnetx_002", 64, depth=6, w0=16, wa=12.0, wm=1.8, group_size=24, num_classes=0)
