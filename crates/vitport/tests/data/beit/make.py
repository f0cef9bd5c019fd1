"""Makes the golden files of this folder: tiny BEiTs of timm's with random weights, and what they compute.

    HF_HUB_OFFLINE=1 python make.py

Written with torch 2.15.0 and timm 1.0.31, on one thread. `plain/` and `shared/` are hub folders of timm's. NAME.expected.safetensors
has `pixels` [3, height, width], hidden states [tokens, width] and outputs, called as in tests/it/golden.rs. Weights are drawn so that
the outputs depend on the input and have a standard deviation near 1.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from timm.models.beit import Beit

HERE = Path(__file__).parent
torch.set_num_threads(1)
SIZES = dict(img_size=20, patch_size=5, embed_dim=24, depth=2, num_heads=3)
CASES = {
    # As all of timm's are.
    "plain": dict(num_classes=7, mlp_ratio=2, init_values=0.1, use_abs_pos_emb=False, use_rel_pos_bias=True),
    # All else that the class has, and what old files hold beyond it.
    "shared": dict(num_classes=0, mlp_ratio=4, init_values=None, global_pool="token", use_fc_norm=False,
                   use_abs_pos_emb=True, use_rel_pos_bias=False, use_shared_rel_pos_bias=True),
}


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            if "gamma" in name or parameter.ndim == 1 and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim == 1 or parameter.shape[:1] == (1,) or "table" in name:
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(noise * 1.2 / parameter[0].numel() ** 0.5)
    return model.eval()


@torch.no_grad()
def make(name, seed, arguments):
    arguments = SIZES | arguments
    model = randomise(Beit(**arguments), seed)
    state = dict(model.state_dict())
    if name == "shared":
        state |= {"mask_token": torch.zeros(1, 1, 24)}
        state |= {key: value for key, value in model.named_buffers() if key.endswith("relative_position_index")}
        state |= {f"blocks.{i}.attn.relative_position_index": torch.zeros(17, 17, dtype=torch.long) for i in range(2)}
    (HERE / name).mkdir(exist_ok=True)
    save_file({key: value.contiguous().clone() for key, value in state.items()}, HERE / name / "model.safetensors")
    classes = arguments.pop("num_classes")
    config = {
        "architecture": "beit_base_patch16_224",
        "num_classes": classes,
        "num_features": 24,
        "global_pool": arguments.get("global_pool", "avg"),
        "model_args": arguments,
        "pretrained_cfg": {
            "tag": "tiny",
            "input_size": [3, 20, 20],
            "interpolation": "bicubic",
            "crop_pct": 0.9,
            "crop_mode": "center",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "num_classes": classes,
        },
    }
    (HERE / name / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    x = torch.randn(1, 3, 20, 20, generator=torch.Generator().manual_seed(99))
    seen = {"pixels": x[0]}

    def see(place):
        return lambda module, inputs, output: seen.update({place: output[0].clone()})

    model.pos_drop.register_forward_hook(see("embeddings"))
    for index, block in enumerate(model.blocks):
        block.register_forward_hook(see(f"layer {index}"))
    if name == "shared":
        model.norm.register_forward_hook(see("norm"))
    features = model.forward_features(x)
    seen["pooled"] = model.forward_head(features, pre_logits=True)[0]
    if classes:
        seen["logits"] = model.head(seen["pooled"])
    save_file({key: value.contiguous().clone() for key, value in seen.items()}, HERE / f"{name}.expected.safetensors")
    print(name, float(seen.get("logits", seen["pooled"]).std()), sorted(state)[:4])


if __name__ == "__main__":
    for seed, (name, arguments) in enumerate(CASES.items(), 1):
        make(name, seed, arguments)
