"""Makes this folder: a timm hub folder as timm itself saves one, with a network small enough for a repository.

    pip install timm==1.0.31 && HF_HUB_OFFLINE=1 python make.py

The weights are random but not timm's initial ones, with which every image gets the same answer: they are drawn so that
attention is far from uniform and the logits have a spread of about one. Only then does a swapped query and key, or a
lost bias, change what the network says.
"""
from pathlib import Path

import timm
import torch
from timm.models._hub import save_for_hf

HERE = Path(__file__).resolve().parent
WORDS = {  # WordNet ids, as timm's label_names; two classes share a word, as two of ImageNet's do
    "n01440764": "tench, Tinca tinca",
    "n01531178": "goldfinch, Carduelis carduelis",
    "n01644373": "tree frog, tree-frog",
    "n02012849": "crane",
    "n02123045": "tabby, tabby cat",
    "n02391049": "zebra",
    "n03126707": "crane",
    "n03785016": "moped",
    "n04254777": "sock",
    "n07753592": "banana",
}


@torch.no_grad()
def enliven(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if "norm" in name:
            value.copy_(0.2 * noise + (1.0 if name.endswith("weight") else 0.0))
        elif name.endswith("bias"):
            value.copy_(0.2 * noise)
        elif name in ("cls_token", "pos_embed"):
            value.copy_(0.5 * noise)
        else:
            fan_in = value[0].numel()
            value.copy_((2.0 if "qkv" in name else 1.0) * noise / fan_in**0.5)


def main():
    model = timm.create_model(
        "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        img_size=80, embed_dim=48, depth=3, num_heads=3, num_classes=len(WORDS),
        # 84 pixels cut to 80, and 112 to 80: an even number on each side, where timm and transformers crop alike.
        pretrained_cfg_overlay={"crop_pct": 0.95},
    ).eval()
    enliven(model, seed=7)
    save_for_hf(
        model, HERE, safe_serialization=True,
        model_config={"label_names": list(WORDS), "label_descriptions": WORDS},
    )
    images = torch.randn(64, 3, 80, 80, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = model(images)
    print(f"logits: std {logits.std():.2f}, across images {logits.std(0).mean():.2f}")


if __name__ == "__main__":
    main()
