"""Makes the hub folders of this folder: tiny twins of timm's ViTs that are not transformers' plain ViT, with random weights.

    python make.py

Written with torch 2.15.0 and timm 1.0.31, on one thread. Each folder is `model.safetensors` and `config.json` as timm's hub has
them, and expected.safetensors: `pixels` [3, height, width] and timm's `output`, of FEATURES what it pools. Weights are drawn so that
the outputs depend on the input.
"""

import json
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
torch.set_num_threads(1)
SIZES = dict(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3)
MODELS = {
    "siglip": ("vit_base_patch16_siglip_224", {}),
    "siglip_tanh": ("vit_base_patch32_siglip_256", {}),
    "siglip_gap": ("vit_base_patch16_siglip_gap_224", {}),
    "ijepa": ("vit_huge_patch14_gap_224", dict(mlp_ratio=3.0)),
    "gap_classifier": ("vit_medium_patch16_gap_256", dict(num_classes=7)),
    "siglip_gap_classifier": ("vit_so400m_patch14_siglip_gap_378", dict(num_classes=5, mlp_ratio=2.0)),
    "aimv2": ("aimv2_large_patch14_224", dict(mlp_ratio=2.0)),
    "intern": ("vit_intern300m_patch14_448", {}),
    "tipsv2": ("vit_base_patch14_reg1_tipsv2", {}),
    "tipsv2_so400m": ("vit_so400m_patch14_reg1_tipsv2", dict(mlp_ratio=3.7362)),
    "tipsv2_giant": ("vit_giant_patch14_reg1_tipsv2", dict(mlp_ratio=4.0)),
    "radio": ("vit_base_patch16_radio_v3", {}),
    "radio_huge": ("vit_huge_patch16_radio_v3", {}),
    "fc_norm": ("eva_large_patch14_196", dict(num_classes=7, mlp_ratio=2.0)),
    "register_fc_norm": ("vit_little_patch16_reg1_gap_256", dict(num_classes=5, mlp_ratio=2.0)),
    "register_no_qkv_bias": ("vit_so150m2_patch16_reg1_gap_256", dict(num_classes=0, mlp_ratio=2.0)),
    "distilled": ("deit_tiny_distilled_patch16_224", dict(num_classes=7, mlp_ratio=2.0)),
    "dinov2": ("vit_small_patch14_dinov2", dict(mlp_ratio=2.6)),
    "dinov2_giant": ("vit_giant_patch14_dinov2", {}),
    "dinov2_registers": ("vit_small_patch14_reg4_dinov2", {}),
    "dinov2_registers_giant": ("vit_giant_patch14_reg4_dinov2", {}),
    "registers_gap": ("vit_so150m_patch16_reg4_gap_256", dict(num_classes=7)),
    "registers_fc_norm": ("vit_medium_patch16_reg4_gap_256", dict(num_classes=7, mlp_ratio=2.0)),
    "siglip_classifier": ("vit_so400m_patch14_siglip_378", dict(num_classes=7, mlp_ratio=2.0)),
    "dinov2_registers_unscaled": ("vit_small_patch16_224", dict(num_classes=0, reg_tokens=4, no_embed_class=True)),
    "registers_gap_scaled": ("vit_so150m_patch16_reg4_gap_256", dict(num_classes=7, mlp_ratio=2.0, init_values=1.0)),
    "registers_fc_norm_unscaled": ("vit_base_patch16_reg4_gap_256", dict(num_classes=7, mlp_ratio=2.0)),
    "register_map": ("test_vit3", dict(num_classes=7)),
    "distilled_base": ("deit_tiny_distilled_patch16_224", dict(num_classes=0, mlp_ratio=2.0, qkv_bias=False)),
}
# No class of transformers computes the last steps of these, so what they pool, or their first token, is saved in place of their output.
FEATURES = ("registers_fc_norm", "registers_fc_norm_unscaled", "siglip_classifier")


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            if parameter.ndim == 1 and (name.endswith("weight") or name.endswith("gamma")):
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim == 1 or parameter.shape[:1] == (1,):
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(noise * 1.2 / parameter[0].numel() ** 0.5)
    return model.eval()


@torch.no_grad()
def main():
    for seed, (name, (arch, change)) in enumerate(MODELS.items()):
        args = SIZES | change
        model = randomise(timm.create_model(arch, pretrained=False, **args), seed)
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        state = {key: value.clone().contiguous() for key, value in model.state_dict().items()}
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        cfg = model.pretrained_cfg
        config = {
            "architecture": arch,
            "num_classes": model.num_classes,
            "num_features": model.num_features,
            "global_pool": model.global_pool,
            "model_args": {key: value for key, value in args.items() if key != "num_classes"},
            "pretrained_cfg": {
                "tag": "tiny",
                "input_size": [3, 16, 16],
                "interpolation": cfg["interpolation"],
                "crop_pct": cfg["crop_pct"],
                "crop_mode": cfg.get("crop_mode", "center"),
                "mean": list(cfg["mean"]),
                "std": list(cfg["std"]),
                "num_classes": model.num_classes,
            },
        }
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(100 + seed))
        tokens = model.forward_features(x)
        out = tokens[:, 0] if name == "register_map" else model.pool(tokens) if name in FEATURES else model(x)
        save_file({"pixels": x[0].clone(), "output": out[0].clone()}, folder / "expected.safetensors")
        print(name, tuple(out.shape), f"{float(out.std()):.2f}")


main()
