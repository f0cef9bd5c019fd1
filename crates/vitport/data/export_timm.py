"""Writes timm.json, timm_architectures.jsonl, timm_tags.jsonl, timm_other.tsv and labels/imagenet.tsv from the
installed timm.

    pip install timm==1.0.31 && HF_HUB_OFFLINE=1 python export_timm.py

Structure is read off models built on the meta device, not off their names, so that a default that
timm changes shows up as a changed row. Running it twice gives the same bytes. README.md beside this
file says what each output holds.
"""
import json
import sys
from pathlib import Path

import timm
import torch
from timm.data.imagenet_info import ImageNetInfo
from timm.models import _registry, deit, vision_transformer

HERE = Path(__file__).resolve().parent
TIMM = "1.0.31"
FAMILIES = {"vision_transformer": vision_transformer, "deit": deit}

# One letter for each label set in labels/imagenet.tsv, and timm's name of the set.
LABEL_SETS = {
    "1": "imagenet-1k",
    "2": "imagenet-12k",
    "g": "imagenet-21k-goog",
    "m": "imagenet-21k-miil",
    "w": "imagenet-22k",
    "s": "imagenet-22k-ms",
}


def eps_of(module):
    return getattr(module, "eps", None)


def kind(module):
    return type(module).__name__


def structure(model):
    """What the network is made of; only facts that decide which class can hold the weights."""
    block = model.blocks[0]
    attn, mlp = getattr(block, "attn", None), getattr(block, "mlp", None)
    norm1 = getattr(block, "norm1", None) or getattr(block, "in_norm", None)
    final = model.fc_norm if eps_of(model.fc_norm) is not None else model.norm
    names = set(model.state_dict())
    first = {name.removeprefix("blocks.0.") for name in names if name.startswith("blocks.0.")}
    return {
        "block": kind(block),
        "attn": kind(attn) if attn is not None else None,
        "mlp": kind(mlp) if mlp is not None else None,
        "act": kind(mlp.act) if mlp is not None else None,
        "class_token": model.cls_token is not None,
        "reg_tokens": model.num_reg_tokens if hasattr(model, "num_reg_tokens") else 0,
        "dist_token": getattr(model, "dist_token", None) is not None,
        "no_embed_class": bool(model.no_embed_class),
        "pos_embed": model.pos_embed is not None,
        "norm_pre": "norm_pre.weight" in names,
        "norm": kind(model.norm),
        "block_norm": kind(norm1) if norm1 is not None else None,
        "eps": eps_of(norm1) if norm1 is not None else eps_of(final),
        "fc_norm": "fc_norm.weight" in names,
        "attn_pool": kind(model.attn_pool) if model.attn_pool is not None else None,
        "layer_scale": any(n.endswith(".gamma") for n in first),
        "patch_embed": kind(model.patch_embed),
        "patch_bias": "patch_embed.proj.bias" in names,
        "patch_norm": "patch_embed.norm.weight" in names,
        "qkv_bias": bool(first & {"attn.qkv.bias", "in_proj.bias", "qkv_bias"}) or "attns.0.attn.qkv.bias" in first,
        "qk_norm": any("q_norm" in n for n in first),
        "proj_bias": bool(first & {"attn.proj.bias", "out_proj.bias", "attn_out_proj.bias", "attns.0.attn.proj.bias"}),
        "mlp_bias": any(n.endswith(".bias") and "mlp.fc" in n for n in first),
        "scale_attn_norm": "attn.norm.weight" in first,
        "scale_mlp_norm": "mlp.norm.weight" in first,
        "pool_include_prefix": bool(model.pool_include_prefix),
    }


def sizes(model):
    """Widths and counts in the units of the network: pixels, tokens, channels."""
    block = model.blocks[0]
    attn = getattr(block, "attn", None) or getattr(block, "attns", [block])[0]
    attn = getattr(attn, "attn", attn)
    # The MLP's width is what its second projection reads; a block that projects attention and MLP
    # together (DiffParallelScalingBlock) has both side by side in one matrix.
    for name, beside in (("fc2", 0), ("mlp_out_proj", 0), ("out_proj", model.embed_dim)):
        widths = [w.shape[1] - beside for n, w in block.named_parameters() if n.split(".")[-2:] == [name, "weight"]]
        if widths:
            break
    return {
        "img_size": list(model.patch_embed.img_size),
        "patch_size": list(model.patch_embed.patch_size),
        "embed_dim": model.embed_dim,
        "depth": len(model.blocks),
        "heads": attn.num_heads,
        "mlp_dim": widths[0],
        "global_pool": model.global_pool,
    }


def target(row, tag, num_classes):
    """(class, level, note): the transformers class that holds this structure, and how much of it.

    level: logits = the whole forward pass; features+ = the logits too, if the head's bias can be absorbed;
    features = up to the last hidden state or the pooled vector; none = no class. Each line was proved on small
    models by comparing outputs; a structure that no line names has no target.
    """
    s, head = row["structure"], num_classes > 0
    pool, norm = row["global_pool"], s["norm"]
    swiglu = "use_swiglu_ffn" if s["mlp"] == "GluMlp" else ""
    if s["block"] != "Block" or s["attn"] != "Attention" or s["scale_mlp_norm"] or s["scale_attn_norm"]:
        return None, "none", "block or attention type has no transformers twin"
    if s["block_norm"] == "RmsNorm":
        if s["mlp"] == "SwiGLU":
            return "Aimv2VisionModel", "features", "use_head=False; timm's output is last_hidden_state.mean(1)"
        return None, "none", "RMS norm with a register and mean pooling has no transformers twin"
    if s["dist_token"]:
        return "DeiTForImageClassificationWithTeacher", "logits", ""
    if s["norm_pre"]:
        if "_ft_" not in tag:
            return "CLIPVisionModelWithProjection", "logits", "head.bias must be all zero; features otherwise"
        if num_classes <= row["embed_dim"]:
            return "CLIPVisionModel", "features+", "logits only by absorbing head.bias in post_layernorm.bias"
        return "CLIPVisionModel", "features", "no class puts a head with bias on the normalised class token"
    if s["attn_pool"]:
        if s["reg_tokens"] == 1:
            return "ViTModel", "features", "register as class token; layer scale folded"
        if s["reg_tokens"] > 1:
            return "RadioModel/Dinov2WithRegistersModel", "features", ""
        if head:
            return "SiglipVisionModel", "features", "pooler_output exact; no class has attention pooling and a head"
        return "SiglipVisionModel", "logits", "pooler_output"
    if pool == "avg":
        if s["fc_norm"]:
            if s["class_token"] + s["reg_tokens"] == 1:
                return "BeitForImageClassification", "logits", "use_mean_pooling"
            return "RadioModel", "features", "transformers 5 only; timm's mean, fc_norm and head are left out"
        if s["reg_tokens"]:
            note = "classifier [0 | W]; MLP width zero-padded to a whole ratio"
            return "Dinov2WithRegistersForImageClassification", "logits", note
        if head:
            return "IJepaForImageClassification/SiglipForImageClassification", "logits", ""
        return "IJepaModel/SiglipVisionModel", "features", "without head; timm's output is last_hidden_state.mean(1)"
    if norm == "Identity":
        if s["reg_tokens"]:
            return "RadioModel", "logits", "transformers 5 only; patch bias added to the positions"
        return "InternVLVisionModel", "logits", "use_mean_pooling=True; timm's output is last_hidden_state[:, 0]"
    if s["reg_tokens"] == 1:
        return "Tipsv2VisionModel", "logits", "; ".join(filter(None, [swiglu, "transformers 5 only"]))
    if s["reg_tokens"]:
        return "Dinov2WithRegistersModel", "logits", swiglu
    if swiglu:
        return "Dinov2Model", "logits", swiglu
    folded = "layer scale folded into attn.proj and mlp.fc2" if s["layer_scale"] else ""
    return "ViTForImageClassification" if head else "ViTModel", "logits", folded


def parameters(model, arch_classes, num_classes):
    """Parameter count with `num_classes` classes, from a model built with `arch_classes`."""
    head_tensors = 2 if getattr(model, "dist_token", None) is not None else 1
    count = sum(p.numel() for p in model.parameters())
    return count + head_tensors * (num_classes - arch_classes) * (model.embed_dim + 1)


def tag_row(arch, tag, cfg, model, row, base_classes):
    # Facts that no tag of these families sets today; a new timm that sets one must be looked at.
    unset = "file hf_hub_filename test_input_size min_input_size test_crop_pct label_offset label_names pool_size"
    for unused in unset.split():
        assert not getattr(cfg, unused), (arch, tag, unused)
    hub = (cfg.hf_hub_id or "").strip()
    if hub.endswith("/"):  # timm completes "timm/" to the model's own name when it loads the weights
        hub = f"{hub}{arch}.{tag}"
    name, level, note = target(row, tag, cfg.num_classes)
    out = {
        "arch": arch,
        "tag": tag,
        "hub_id": hub or None,
        "url": cfg.url or None,
        "has_weights": bool(hub or cfg.url or cfg.file),
        "num_classes": cfg.num_classes,
        "parameters": parameters(model, base_classes, cfg.num_classes),
        "input_size": list(cfg.input_size),
        "mean": list(cfg.mean),
        "std": list(cfg.std),
        "interpolation": cfg.interpolation,
        "crop_pct": cfg.crop_pct,
        "crop_mode": cfg.crop_mode,
        "license": cfg.license,
        "custom_load": cfg.custom_load,
        "origin_url": cfg.origin_url,
        "paper": cfg.paper_ids,
        "notes": "; ".join(cfg.notes) if cfg.notes else None,
        "target": name,
        "level": level,
        "note": note or None,
    }
    return {key: value for key, value in out.items() if value is not None}


def write_lines(file, rows):
    (HERE / file).write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_models():
    architectures, tags = [], []
    for module, source in FAMILIES.items():
        for arch, default in source.default_cfgs.items():
            with torch.device("meta"):
                model = timm.create_model(arch)
            row = {"arch": arch, "module": module, "default_tag": default.tags[0], **sizes(model)}
            row["structure"] = structure(model)
            for tag in default.tags:
                tags.append(tag_row(arch, tag, default.cfgs[tag], model, row, default.default.num_classes))
            architectures.append(row)
    usual = next(row for row in architectures if row["arch"] == "vit_base_patch16_224")["structure"]
    for row in architectures:  # what every plain ViT shares is written once
        row["structure"] = {key: value for key, value in row["structure"].items() if value != usual[key]}
    known = {row["arch"] for row in architectures}
    renamed = {
        old: new
        for old, new in sorted(_registry._deprecated_models.items())
        if new and new.split(".")[0] in known
    }
    write_lines("timm_architectures.jsonl", architectures)
    write_lines("timm_tags.jsonl", tags)
    pairs = ",\n".join(f"    {json.dumps(old)}: {json.dumps(new)}" for old, new in renamed.items())
    text = f'{{\n  "timm": {json.dumps(TIMM)},\n  "usual_structure": {json.dumps(usual)},\n'
    text += f'  "renamed": {{\n{pairs}\n  }}\n}}\n'
    (HERE / "timm.json").write_text(text)
    return known


def write_others(known):
    rows = [f"{name}\t{_registry._model_to_module[name]}" for name in sorted(timm.list_models()) if name not in known]
    (HERE / "timm_other.tsv").write_text("\n".join(rows) + "\n")


def write_labels():
    sets = {letter: ImageNetInfo(name).label_names() for letter, name in LABEL_SETS.items()}
    words = ImageNetInfo("imagenet-1k")._lemmas
    first = sets["1"]
    # The order of every set is known from the table alone: ascending synset ids, but 22k-ms, which has
    # the classes of 1k in front of its others.
    for letter, names in sets.items():
        front = first if letter == "s" else []
        assert names == front + sorted(set(names) - set(front)), letter
    member = {}
    for letter, names in sets.items():
        for name in names:
            member[name] = member.get(name, "") + letter
    # The 1k in front, so that who asks for them reads no further.
    rows = [f"{name}\t{member[name]}\t{words[name]}" for name in first + sorted(set(member) - set(first))]
    (HERE / "labels" / "imagenet.tsv").write_text("\n".join(rows) + "\n")


def main():
    if timm.__version__ != TIMM:
        sys.exit(f"timm {timm.__version__} is installed, these files are made from {TIMM}")
    write_others(write_models())
    write_labels()


if __name__ == "__main__":
    main()
