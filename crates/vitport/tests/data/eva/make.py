"""Makes the golden files of this folder: tiny networks of timm's Eva with random weights, and what they compute.

    HF_HUB_OFFLINE=1 python make.py

Written with torch 2.15.0 and timm 1.0.31, on one thread. Each folder is a hub folder of timm's. NAME.expected.safetensors has `pixels`
[3, height, width], hidden states [tokens, width] and outputs, called as in tests/it/golden.rs. Weights are drawn so that the outputs
depend on the input and have a standard deviation near 1.
"""

import json
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
torch.set_num_threads(1)
SIZES = dict(img_size=20, patch_size=5, embed_dim=24, depth=2, num_heads=3)
CASES = {
    # A DINOv3 with biases of queries and values, and the mean over the patches.
    "dinov3": ("vit_small_patch16_dinov3_qkvb", dict(mlp_ratio=2)),
    # A gated one whose MLP is rounded up, of which the class token is taken, with other angles and fewer registers.
    "gated": ("vit_giant_patch16_lingbot", dict(embed_dim=20, num_heads=5, num_reg_tokens=2, rope_temperature=50.0)),
    # EVA-01 with its norm after the mean, and as it comes from a CLIP.
    "eva01": ("eva_giant_patch14_224", dict(num_classes=7, mlp_ratio=2)),
    "eva01_clip": ("eva_giant_patch14_clip_224", dict(num_classes=5, mlp_ratio=2)),
}


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            if "gamma" in name or parameter.ndim == 1 and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim == 1 or parameter.shape[:1] == (1,):
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(noise * 1.2 / parameter[0].numel() ** 0.5)
    return model.eval()


@torch.no_grad()
def make(name, seed, architecture, arguments):
    arguments = SIZES | arguments
    model = randomise(timm.create_model(architecture, pretrained=False, **arguments), seed)
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    state = {key: value.contiguous().clone() for key, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    cfg = model.pretrained_cfg
    config = {
        "architecture": architecture,
        "num_classes": model.num_classes,
        "num_features": model.num_features,
        "global_pool": model.global_pool,
        "model_args": {key: value for key, value in arguments.items() if key != "num_classes"},
        "pretrained_cfg": {
            "tag": "tiny",
            "input_size": [3, 20, 20],
            "interpolation": cfg["interpolation"],
            "crop_pct": cfg["crop_pct"],
            "crop_mode": cfg.get("crop_mode", "center"),
            "mean": list(cfg["mean"]),
            "std": list(cfg["std"]),
            "num_classes": model.num_classes,
        },
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    x = torch.randn(1, 3, 20, 20, generator=torch.Generator().manual_seed(99 + seed))
    seen = {"pixels": x[0]}

    def see(place):
        return lambda module, inputs, output: seen.update({place: output[0].clone()})

    model.pos_drop.register_forward_hook(see("embeddings"))
    for index, block in enumerate(model.blocks):
        block.register_forward_hook(see(f"layer {index}"))
    if not isinstance(model.norm, torch.nn.Identity):
        model.norm.register_forward_hook(see("norm"))
    seen["pooled"] = model.forward_head(model.forward_features(x), pre_logits=True)[0]
    if model.num_classes:
        seen["logits"] = model.head(seen["pooled"])
    assert torch.equal(seen.get("logits", seen["pooled"]), model(x)[0])
    save_file({key: value.contiguous().clone() for key, value in seen.items()}, HERE / f"{name}.expected.safetensors")
    print(name, f"{float(seen.get('logits', seen['pooled']).std()):.2f}", sorted(state)[:9])


@torch.no_grad()
def of_meta(name, masked):
    """The same network under the names of DINOv3's own repository, with what its files have beyond it."""
    from safetensors.torch import load_file

    swaps = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma", "fc1_g": "w1", "fc1_x": "w2"}
    timm_state = load_file(HERE / name / "model.safetensors")
    state, width = {}, timm_state["cls_token"].shape[-1]
    for key, value in timm_state.items():
        for own, meta in (swaps | ({"fc2": "w3"} if "blocks.0.mlp.fc1_g.weight" in timm_state else {})).items():
            key = key.replace(own, meta)
        state[key] = value
    for index in range(2):
        if masked:
            query, value = state.pop(f"blocks.{index}.attn.q_bias"), state.pop(f"blocks.{index}.attn.v_bias")
            state[f"blocks.{index}.attn.qkv.bias"] = torch.cat([query, torch.full_like(query, 0.5), value])
            state[f"blocks.{index}.attn.qkv.bias_mask"] = torch.cat([torch.ones(width), torch.zeros(width), torch.ones(width)])
    state |= {"mask_token": torch.full((1, width), 0.25), "rope_embed.periods": torch.tensor([1.0, 10.0]).bfloat16()}
    if not masked:
        state |= {f"local_cls_norm.{end}": torch.ones(width) for end in ("weight", "bias")}
    torch.save(state, HERE / f"{name}_of_meta.pth")


if __name__ == "__main__":
    for seed, (name, (architecture, arguments)) in enumerate(CASES.items(), 1):
        make(name, seed, architecture, arguments)
    of_meta("dinov3", masked=True)
    of_meta("gated", masked=False)
