"""Makes the golden files of this folder: a tiny CLIP image tower with random weights, run by timm and by transformers.

    HF_HUB_OFFLINE=1 python make.py

Written with torch 2.15.0, timm 1.0.31 and transformers 4.57.6, on one thread. `tower/` is a hub folder of timm's: its
`model.safetensors` and `config.json`. The same network under transformers' names is transformers.safetensors with its
config, transformers.json. NAME.expected.safetensors holds `pixels` [3, height, width], hidden states [tokens, dim] under
the names of the places in each framework, and outputs. The bias of timm's head is zero, as CLIP's projection has none.
Weights are drawn so that the outputs depend on the input and have a standard deviation near 1.
"""

import json
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from timm.layers import QuickGELU
from timm.models.vision_transformer import VisionTransformer
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

HERE = Path(__file__).parent
torch.set_num_threads(1)
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
SIZES = dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4)


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            if parameter.ndim == 1 and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim == 1 or parameter.shape[:1] == (1,):
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(noise * 1.2 / parameter[0].numel() ** 0.5)
    return model.eval()


def renamed(state, depth):
    """timm's tensors under transformers' names, written down independently of the mapping that is tested with them."""
    def both(theirs, ours):
        return {f"{ours}.{kind}": state[f"{theirs}.{kind}"] for kind in ("weight", "bias")}

    root = "vision_model."
    out = {
        root + "embeddings.class_embedding": state["cls_token"][0, 0],
        root + "embeddings.position_embedding.weight": state["pos_embed"][0],
        root + "embeddings.patch_embedding.weight": state["patch_embed.proj.weight"],
        "visual_projection.weight": state["head.weight"],
        **both("norm_pre", root + "pre_layrnorm"),
        **both("norm", root + "post_layernorm"),
    }
    for i in range(depth):
        theirs, ours = f"blocks.{i}", f"{root}encoder.layers.{i}"
        out |= both(f"{theirs}.norm1", f"{ours}.layer_norm1") | both(f"{theirs}.norm2", f"{ours}.layer_norm2")
        out |= both(f"{theirs}.mlp.fc1", f"{ours}.mlp.fc1") | both(f"{theirs}.mlp.fc2", f"{ours}.mlp.fc2")
        out |= both(f"{theirs}.attn.proj", f"{ours}.self_attn.out_proj")
        for kind in ("weight", "bias"):
            for name, part in zip("qkv", state[f"{theirs}.attn.qkv.{kind}"].chunk(3)):
                out[f"{ours}.self_attn.{name}_proj.{kind}"] = part
    return out


def write(path, tensors):
    save_file({name: t.detach().clone().contiguous() for name, t in tensors.items()}, path)


@torch.no_grad()
def main():
    eps = partial(torch.nn.LayerNorm, eps=1e-5)
    model = VisionTransformer(**SIZES, num_classes=12, pre_norm=True, act_layer=QuickGELU, norm_layer=eps)
    state = randomise(model, 1).state_dict()
    model.head.bias.zero_()
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))

    (HERE / "tower").mkdir(exist_ok=True)
    write(HERE / "tower/model.safetensors", state)
    config = {
        "architecture": "vit_base_patch32_clip_quickgelu_224",
        "num_classes": 12,
        "num_features": 32,
        "global_pool": "token",
        "model_args": SIZES,
        "pretrained_cfg": {
            "tag": "tiny",
            "input_size": [3, 32, 32],
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": MEAN,
            "std": STD,
            "num_classes": 12,
        },
    }
    (HERE / "tower/config.json").write_text(json.dumps(config, indent=1) + "\n")

    hidden = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(x))))
    seen = {"pixels": x[0], "norm_pre": hidden[0]}
    for i, block in enumerate(model.blocks):
        hidden = block(hidden)
        seen[f"blocks.{i}"] = hidden[0]
    seen["pre_logits"] = model.forward_head(model.forward_features(x), pre_logits=True)[0]
    seen["logits"] = model(x)[0]
    write(HERE / "tower.expected.safetensors", seen)
    print("std of the logits", float(seen["logits"].std()))

    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=128, projection_dim=12, num_hidden_layers=2, num_attention_heads=4,
        image_size=32, patch_size=8, hidden_act="quick_gelu", layer_norm_eps=1e-5,
    )
    config.architectures = ["CLIPVisionModelWithProjection"]
    (HERE / "transformers.json").write_text(json.dumps(json.loads(config.to_json_string()), indent=1) + "\n")
    clip = CLIPVisionModelWithProjection(config).eval()
    clip.load_state_dict(renamed(state, 2))
    write(HERE / "transformers.safetensors", clip.state_dict())
    out = clip(x, output_hidden_states=True)
    seen = {"pixels": x[0], "pre_layrnorm": out.hidden_states[0][0], "image_embeds": out.image_embeds[0]}
    seen |= {f"encoder.layers.{i}": h[0] for i, h in enumerate(out.hidden_states[1:])}
    seen["pooler_output"] = clip.vision_model(x).pooler_output[0]
    write(HERE / "transformers.expected.safetensors", seen)
    print("apart by", float((out.image_embeds - model(x)).abs().max()))


main()
