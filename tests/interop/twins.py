"""Small models with the structure of timm's large ones, saved as timm saves them, and what they compute.

A twin is built by the tag's own architecture function with smaller sizes, so whatever that function decides (a missing
bias, layer scale, where the norm stands) is in it. Sizes vary from twin to twin and are mostly odd: a converter that takes a
size from a table instead of from the model is found out. Weights are drawn so that logits spread by about one and attention
is far from uniform; with timm's initial weights, swapped queries and keys would go unseen.
"""
import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import timm
import torch
from timm.data import create_transform, resolve_data_config
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from timm.models._hub import save_for_hf

import pixels

DATA = Path(__file__).resolve().parents[2] / "crates/vitport/data/timm"


def lines(table):
    return [line.split("\t", 3) for line in (DATA / f"{table}.tsv").read_text().splitlines()]


def registry(table, column):
    """The rows of a table of timm's registry; `column` of classes.tsv has what rows of a class share (data/timm/README.md)."""
    usual = {columns[0]: json.loads(columns[column]) for columns in lines("classes")}
    return [
        {"arch": arch, "module": kind.split("/")[0], "tag": tag, **usual[kind], **json.loads(departures)}
        for arch, kind, tag, departures in lines(table)
    ]


TAGS = registry("tags", 2)
PATCH_SIZE = {  # of the networks with one patch embedding: a number or stages' numbers are of other kinds
    row["arch"]: row["patch_size"][0]
    for row in registry("architectures", 1)
    if row["module"] in ("vision_transformer", "deit", "eva", "beit", "vision_transformer_relpos")
}


@dataclass
class Twin:
    """One small model: `tag` names the pretrained configuration, `args` what is built differently."""

    tag: str
    args: dict
    labels: dict = field(default_factory=dict)  # label_names and label_descriptions, as timm exports them
    pickled: bool = False  # pytorch_model.bin instead of model.safetensors
    name: str = ""

    def __post_init__(self):
        self.name = self.name or self.tag


def exact_tags():
    """The tags that ViTForImageClassification or ViTModel holds to the last logit, of the modules that build timm's ViT.

    Two of EVA's are such too; timm's EVA has other tensor names, which no mapping reads yet.
    """
    return [
        row
        for row in TAGS
        if row["has_weights"]
        and row.get("exactness") == "exact"
        and row["target"] in ("ViTForImageClassification", "ViTModel")
        and row["module"] in ("vision_transformer", "deit")
    ]


def tag_twins():
    """A twin of every exact tag. One in three keeps the tag's class count (and so timm's label set)."""
    heads, head_dims, depths = (3, 2, 5, 4), (12, 16, 20, 8, 28), (2, 3, 1)
    patches, classes = (3, 4, 2), (7, 2, 13, 101, 5)
    twins = []
    for i, row in enumerate(exact_tags()):
        patch = PATCH_SIZE[row["arch"]]
        args = {
            "embed_dim": heads[i % 4] * head_dims[i % 5],
            "num_heads": heads[i % 4],
            "depth": depths[i % 3],
            "img_size": patch * (patches[i % 3] * (2 if patch < 14 else 1)),
        }
        if row["num_classes"] == 1000 and i % 3:
            args["num_classes"] = classes[i % 5]
        twins.append(Twin(f"{row['arch']}.{row['tag']}", args, pickled=i % 4 == 3))
    return twins


def own_twins():
    """What people make of timm's architectures themselves."""
    small = {"embed_dim": 36, "depth": 2, "num_heads": 3, "img_size": 48}
    tag = "vit_base_patch16_224.augreg_in21k"
    names = ["left", "right", "left", "up"]
    return [
        Twin(tag, {**small, "num_classes": 3, "mlp_ratio": 2.5}, name="own mlp ratio"),
        Twin(tag, {**small, "num_classes": 3, "patch_size": 12}, name="own patch size"),
        Twin(tag, {**small, "num_classes": 3, "qkv_bias": False}, name="own without qkv bias"),
        Twin(tag, {**small, "num_classes": 3, "init_values": 1e-5}, name="own layer scale"),
        Twin(tag, {**small, "num_classes": 0}, name="own without head"),
        Twin(tag, {**small, "num_classes": 1}, name="own with one class"),
        Twin(tag, {**small, "num_classes": 4}, labels={"label_names": names}, name="own labels, one twice"),
        Twin(
            tag,
            {**small, "num_classes": 3},
            labels={"label_names": ["n1", "n2", "n3"], "label_descriptions": {"n1": "crane", "n3": "crane"}},
            name="own described labels",
        ),
    ]


@torch.no_grad()
def enliven(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if "norm" in name:
            value.copy_(0.2 * noise + (1.0 if name.endswith("weight") else 0.0))
        elif name.endswith("gamma"):
            value.copy_(0.8 + 0.3 * noise)
        elif name.endswith("bias"):
            value.copy_(0.2 * noise)
        elif value.ndim < 2 or name.endswith(("token", "pos_embed", "latent")):
            value.copy_(0.5 * noise)
        else:
            value.copy_((2.0 if "qkv" in name else 1.0) * noise / math.sqrt(value[0].numel()))


def build(twin, seed=0):
    model = timm.create_model(twin.tag, **twin.args).eval()
    enliven(model, seed)
    return model


def save(model, twin, folder):
    """A hub folder, by timm's own export."""
    save_for_hf(model, folder, safe_serialization=not twin.pickled, model_config=dict(twin.labels))


@torch.no_grad()
def truth(model, images, seed=3):
    """Random input and timm's outputs for it, and timm's pixels of real images."""
    size = model.patch_embed.img_size
    batch = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(seed))
    transform = create_transform(**resolve_data_config({"input_size": (3, *size)}, model=model))
    features = model.forward_features(batch)
    out = {"input": batch, "tokens": features, "output": model.forward_head(features)}
    arrays = {key: value.numpy() for key, value in out.items()}
    return arrays | {f"pixels_{i}": pixels.reference(transform, image) for i, image in enumerate(images)}


def distinct(words, marks):
    """Words, where those that repeat have the mark of their class."""
    count = Counter(words)
    return [f"{word} ({mark})" if count[word] > 1 else word for word, mark in zip(words, marks)]


def expected_labels(model, twin):
    """timm's own words for the classes, made distinct as the README says; LABEL_i where timm has none."""
    names = twin.labels.get("label_names")
    if names:
        words = [twin.labels.get("label_descriptions", {}).get(name, name) for name in names]
        # A repeated description is distinguished by the class's name, a repeated name by the class number.
        return distinct(words, [name if name != word else i for i, (name, word) in enumerate(zip(names, words))])
    subset = infer_imagenet_subset({"num_classes": model.num_classes})
    if subset:
        info = ImageNetInfo(subset)
        return distinct(info.label_descriptions(), info.label_names())
    return [f"LABEL_{i}" for i in range(model.num_classes)]


def facts(model, twin):
    """What config.json has to say."""
    return {
        "architecture": "ViTForImageClassification" if model.num_classes else "ViTModel",
        "hidden_size": model.embed_dim,
        "num_hidden_layers": len(model.blocks),
        "num_attention_heads": model.blocks[0].attn.num_heads,
        "intermediate_size": model.blocks[0].mlp.fc1.out_features,
        "image_size": model.patch_embed.img_size[0],
        "patch_size": model.patch_embed.patch_size[0],
        "qkv_bias": model.blocks[0].attn.qkv.bias is not None,
        "layer_norm_eps": model.norm.eps,
        "pooler_output_size": model.embed_dim,
        "labels": expected_labels(model, twin) if model.num_classes else None,
    }
