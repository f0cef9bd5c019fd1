"""Makes the golden files of this folder: tiny SwinV2s with random weights, run by timm and by transformers.

    HF_HUB_OFFLINE=1 python make.py

Written with torch 2.15.0, timm 1.0.31 and transformers 4.57.6, on one thread. For each network NAME it writes NAME/, a hub
folder as timm exports it; NAME.expected.safetensors: `pixels` [3, height, width], every hidden state [positions, channels]
under the name that vitport's definition of timm's network gives it, and its outputs; NAME.transformers.safetensors and .json,
what transformers saves of the same network; and NAME.transformers.expected.safetensors, what transformers computes of the same
pixels.
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
NAMES = [
    (r"^patch_embed\.proj", "embeddings.patch_embeddings.projection"),
    (r"^patch_embed\.norm", "embeddings.norm"),
    (r"^layers\.(\d)\.downsample", lambda match: f"encoder.layers.{int(match[1]) - 1}.downsample"),
    (r"^layers", "encoder.layers"),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj", ".attention.output.dense"),
    (r"\.attn\.q_bias", ".attention.self.query.bias"),
    (r"\.attn\.v_bias", ".attention.self.value.bias"),
    (r"\.attn\.logit_scale", ".attention.self.logit_scale"),
    (r"\.attn\.cpb_mlp", ".attention.self.continuous_position_bias_mlp"),
    (r"\.mlp\.fc1", ".intermediate.dense"),
    (r"\.mlp\.fc2", ".output.dense"),
    (r"^norm\.", "layernorm."),
    (r"^head\.fc", "classifier"),
]
torch.set_num_threads(1)


@torch.no_grad()
def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("logit_scale"):
            tensor.copy_(2.0 + 0.5 * noise)
        elif tensor.ndim == 1 and name.endswith("weight"):
            tensor.copy_(0.8 + 0.3 * noise)
        elif tensor.ndim == 1:
            tensor.copy_(0.4 * noise)
        else:
            tensor.copy_(noise * (1.6 if "qkv" in name else 1.0) / tensor[0].numel() ** 0.5)
    return model.eval()


def watch(module, seen, name):
    def keep(_, __, out):
        out = out[0] if isinstance(out, tuple) else out
        seen[name] = out.reshape(1, -1, out.shape[-1]).clone()

    module.register_forward_hook(keep)


def write(file, tensors):
    save_file({name: value.detach().clone().contiguous() for name, value in tensors.items()}, HERE / f"{file}.safetensors")


@torch.no_grad()
def run_timm(model, pixels):
    seen = {"pixels": pixels}
    watch(model.patch_embed, seen, "patch_embed")
    for s, stage in enumerate(model.layers):
        for b, block in enumerate(stage.blocks):
            watch(block, seen, f"layers.{s}.blocks.{b}")
    watch(model.norm, seen, "norm")
    out = model(pixels)
    seen["pre_logits"] = model.forward_head(model.forward_features(pixels), pre_logits=True)
    return {name: value[0] for name, value in (seen | ({"logits": out} if model.num_classes else {})).items()}


def to_transformers(model, size, window, pretrained):
    first = model.layers[0].blocks[0]
    config = transformers.Swinv2Config(
        image_size=size, embed_dim=model.embed_dim, depths=[len(stage.blocks) for stage in model.layers],
        num_heads=[stage.blocks[0].attn.num_heads for stage in model.layers], window_size=window,
        mlp_ratio=first.mlp.fc1.out_features / model.embed_dim, qkv_bias=first.attn.q_bias is not None,
        pretrained_window_sizes=pretrained, drop_path_rate=0.0, num_labels=model.num_classes,
    )
    target = (transformers.Swinv2ForImageClassification if model.num_classes else transformers.Swinv2Model)(config)
    state = {}
    for name, value in model.state_dict().items():
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)
        if model.num_classes and not name.startswith("classifier"):
            name = f"swinv2.{name}"
        if ".attn.qkv." in name:
            parts = ("query", "key", "value")
            state |= {name.replace("attn.qkv", f"attention.self.{part}"): x for part, x in zip(parts, value.chunk(3))}
        else:
            state[name] = value
    target.load_state_dict(state)
    config.architectures = [type(target).__name__]
    return target.eval()


@torch.no_grad()
def run_transformers(model, pixels):
    seen, base = {"pixels": pixels}, getattr(model, "swinv2", model)
    watch(base.embeddings, seen, "embeddings")
    for s, stage in enumerate(base.encoder.layers):
        for b, block in enumerate(stage.blocks):
            watch(block, seen, f"encoder.layers.{s}.blocks.{b}")
    watch(base.layernorm, seen, "layernorm")
    base.register_forward_hook(lambda _, __, out: seen.__setitem__("pooler_output", out.pooler_output))
    out = model(pixels)
    return {name: value[0] for name, value in (seen | ({"logits": out.logits} if "logits" in out else {})).items()}


def make(name, seed, size, **arguments):
    cfg = dict(input_size=(3, size, size), tag="ms_in1k", crop_pct=0.875)
    sizes = dict(img_size=size, **arguments)
    model = randomise(timm.create_model("swinv2_tiny_window8_256", pretrained_cfg_overlay=cfg, **sizes), seed)
    save_for_hf(model, HERE / name, safe_serialization=True, model_args=sizes)
    pixels = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed + 1))
    expected = run_timm(model, pixels)
    write(f"{name}.expected", expected)
    pretrained = list(arguments.get("pretrained_window_sizes", [0] * len(arguments["depths"])))
    target = to_transformers(model, size, arguments["window_size"], pretrained)
    write(f"{name}.transformers", target.state_dict())
    config = json.loads(target.config.to_json_string())
    (HERE / f"{name}.transformers.json").write_text(json.dumps(config, indent=1) + "\n")
    found = run_transformers(target, pixels)
    write(f"{name}.transformers.expected", found)
    ours, theirs = ("logits", "logits") if model.num_classes else ("pre_logits", "pooler_output")
    print(name, "std", float(found[theirs].std()), "difference", float((found[theirs] - expected[ours]).abs().max()), len(expected) - 1)


make(
    "plain", 1, 64, embed_dim=12, depths=(2, 3, 2), num_heads=(2, 3, 4), window_size=4, pretrained_window_sizes=(3, 3, 2), num_classes=10,
)
make(
    "base", 3, 64, embed_dim=8, depths=(2, 2), num_heads=(2, 4), window_size=16, mlp_ratio=3.0, qkv_bias=False, num_classes=0,
    pretrained_window_sizes=(0, 0),
)
