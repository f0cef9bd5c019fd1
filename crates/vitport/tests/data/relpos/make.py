"""Makes the golden files of this folder: tiny ViTs with relative positions of timm's with random weights, and what they compute.

    HF_HUB_OFFLINE=1 python make.py

Written with torch 2.15.0 and timm 1.0.31, on one thread. Each NAME/ is a hub folder of timm's. NAME.expected.safetensors has `pixels`
[3, height, width], hidden states [tokens, width] and outputs, called as in tests/it/golden.rs. Weights are drawn so that the outputs
depend on the input and have a standard deviation near 1, and that biases of positions are as large as scores.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from timm.models.vision_transformer_relpos import VisionTransformerRelPos

HERE = Path(__file__).parent
torch.set_num_threads(1)
SIZES = dict(img_size=20, patch_size=5, embed_dim=24, depth=2, num_heads=3, mlp_ratio=2)
CASES = {
    "patches": ("vit_relpos_small_patch16_224", dict(qkv_bias=False, fc_norm=True, init_values=0.1, rel_pos_dim=10)),
    "token": ("vit_relpos_medium_patch16_cls_224", dict(
        qkv_bias=True, fc_norm=False, class_token=True, global_pool="token", init_values=0.1, rel_pos_dim=8,
    )),
    "shared": ("vit_srelpos_small_patch16_224", dict(
        qkv_bias=False, fc_norm=False, init_values=None, rel_pos_dim=12, shared_rel_pos=True,
    )),
    "shared_mean": ("vit_srelpos_medium_patch16_224", dict(
        qkv_bias=False, fc_norm=True, init_values=0.1, rel_pos_dim=9, shared_rel_pos=True,
    )),
    "token_mean": ("vit_relpos_medium_patch16_cls_224", dict(
        qkv_bias=True, fc_norm=False, class_token=True, global_pool="avg", init_values=0.1, rel_pos_dim=11,
    )),
    "learned": ("vit_relpos_base_patch16_clsgap_224", dict(
        num_classes=0, qkv_bias=False, fc_norm=True, class_token=True, init_values=0.1, rel_pos_type="bias",
    )),
    "learned_shared": ("vit_relpos_base_patch16_cls_224", dict(
        num_classes=0, qkv_bias=True, fc_norm=False, class_token=True, global_pool="token", init_values=0.1,
        rel_pos_type="bias", shared_rel_pos=True,
    )),
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
def make(name, seed, architecture, arguments):
    arguments = SIZES | {"num_classes": 7} | arguments
    model = randomise(VisionTransformerRelPos(**arguments), seed)
    (HERE / name).mkdir(exist_ok=True)
    state = {key: value.contiguous().clone() for key, value in model.state_dict().items()}
    save_file(state, HERE / name / "model.safetensors")
    classes = arguments.pop("num_classes")
    config = {
        "architecture": architecture,
        "num_classes": classes,
        "num_features": 24,
        "global_pool": arguments.get("global_pool", "avg"),
        "model_args": arguments,
        "pretrained_cfg": {
            "tag": "tiny",
            "input_size": [3, 20, 20],
            "fixed_input_size": True,
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

    model.blocks[0].register_forward_pre_hook(lambda module, inputs: seen.update({"embeddings": inputs[0][0].clone()}))
    for index, block in enumerate(model.blocks):
        block.register_forward_hook(see(f"layer {index}"))
    if not arguments["fc_norm"]:
        model.norm.register_forward_hook(see("norm"))
    features = model.forward_features(x)
    seen["pooled"] = model.forward_head(features, pre_logits=True)[0]
    if classes:
        seen["logits"] = model.head(seen["pooled"])
    save_file({key: value.contiguous().clone() for key, value in seen.items()}, HERE / f"{name}.expected.safetensors")
    table = model.shared_rel_pos or model.blocks[0].attn.rel_pos
    print(name, float(seen.get("logits", seen["pooled"]).std()), "biases", float(table.get_bias().std()))


if __name__ == "__main__":
    for seed, (name, (architecture, arguments)) in enumerate(CASES.items(), 1):
        make(name, seed, architecture, arguments)
