"""Makes the files of this folder: a tiny ViT of timm's with adapters of peft, whose state dict was saved as a whole.

    pip install timm==1.0.31 peft==0.21.2 accelerate && python make.py

NAME/weights.pth is the state dict, NAME/adapter_config.json what peft wrote next to it. `truths.json` has of those that are merged the
SHA-256 of each tensor under transformers' name, computed in float64 here; that they are peft's own sums up to its rounding is checked
while they are written. Written with torch 2.15.0, timm 1.0.31 and peft 0.21.2.
"""

import json
import math
import shutil
import sys
from pathlib import Path

import timm
import torch
from peft import LoHaConfig, LoraConfig, get_peft_model

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "field"))
from make import of_timm, sha256  # noqa: E402

ALL = ["qkv", "attn.proj", "fc1", "fc2"]
# name: config, and alpha / sqrt(rank) or alpha / rank; none for those that are refused
CASES = {
    "lora": (LoraConfig(r=3, lora_alpha=5, target_modules=[*ALL, "patch_embed.proj"], modules_to_save=["head"]), lambda a, r: a / r),
    "rslora": (LoraConfig(r=2, lora_alpha=5, target_modules=ALL, use_rslora=True, rank_pattern={"fc1": 5}), lambda a, r: a / math.sqrt(r)),
    "dora": (LoraConfig(r=2, lora_alpha=5, target_modules=["qkv"], use_dora=True), None),
    "with_bias": (LoraConfig(r=2, lora_alpha=5, target_modules=["qkv"], lora_bias=True), None),
    "alpha_pattern": (LoraConfig(r=2, lora_alpha=5, target_modules=ALL, alpha_pattern={"fc1": 3}), None),
    "loha": (LoHaConfig(r=2, alpha=5, target_modules=["qkv"]), None),
}


def network():
    torch.manual_seed(1)
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=8, patch_size=4, embed_dim=12, depth=1, num_heads=3, num_classes=5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def with_adapters(config, names=("default",)):
    model = get_peft_model(network(), config, adapter_name=names[0])
    for name in names[1:]:
        model.add_adapter(name, config)
    for name, parameter in model.named_parameters():
        if "lora_" in name or "hada_" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def merged(state, factor, alpha):
    state = {name.removeprefix("base_model.model."): tensor for name, tensor in state.items()}
    out = {}
    for name, tensor in state.items():
        if ".lora_" in name or ".original_module." in name:
            continue
        layer = name.removesuffix(".weight").removesuffix(".base_layer")
        if name.endswith(".weight") and f"{layer}.lora_A.default.weight" in state:
            down, up = (state[f"{layer}.lora_{half}.default.weight"].double() for half in "AB")
            product = up.flatten(1) @ down.flatten(1)
            tensor = (tensor.double() + factor(alpha, down.shape[0]) * product.reshape(tensor.shape)).float()
        out[name.replace(".base_layer.", ".").replace(".modules_to_save.default.", ".")] = tensor
    return out


def save(folder, model):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    torch.save(model.state_dict(), folder / "weights.pth")
    config = next(iter(model.peft_config.values()))
    config.save_pretrained(folder)


if __name__ == "__main__":
    truths = {}
    for name, (config, factor) in CASES.items():
        model = with_adapters(config)
        save(HERE / name, model)
        if factor:
            found = merged(model.state_dict(), factor, config.lora_alpha)
            for tensor, expected in model.merge_and_unload().state_dict().items():
                assert (found[tensor] - expected).abs().max() < 1e-6, (name, tensor)
            truths[name] = {tensor: sha256(value) for tensor, value in sorted(of_timm(found).items())}
    save(HERE / "two_adapters", with_adapters(LoraConfig(r=2, lora_alpha=5, target_modules=["qkv"]), ("default", "other")))
    # What peft itself saves: the adapter alone.
    model = with_adapters(LoraConfig(r=2, lora_alpha=5, target_modules=["qkv"]))
    shutil.rmtree(HERE / "alone", ignore_errors=True)
    model.save_pretrained(HERE / "alone")
    (HERE / "alone" / "README.md").unlink(missing_ok=True)
    (HERE / "truths.json").write_text(json.dumps(truths, indent=0) + "\n")
