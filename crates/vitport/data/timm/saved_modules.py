"""Lists the modules and attributes of timm's networks as `torch.save(model)` writes them, for saved_modules.tsv:

    for v in 0.5.4 0.6.13 0.9.16 1.0.9 1.0.31; do pip install timm==$v; python saved_modules.py; done

Each run adds the installed version of timm to the table: definition, path (`*` for a number), class, and one attribute a row.
Networks that a version cannot build are passed over. Weights are random; nothing is fetched. The table is not part of the program:
its tests read it, so that every attribute of every version is one that the definition declares.
"""

import re
import warnings
from functools import partial
from pathlib import Path

import timm
import torch

TABLE = Path(__file__).parent / "saved_modules.tsv"
VIT, CONVNEXT = "timm/vision_transformer", "timm/convnext"
RESNET, REGNET = "timm/resnet", "timm/regnet"
BEIT, SWIN = "timm/beit", "timm/swin_transformer"
SWINV2 = "timm/swin_transformer_v2"
EFFICIENTNET, EVA, RELPOS = "timm/efficientnet", "timm/eva", "timm/vision_transformer_relpos"
# In `blocks.0`, `s1.b2`, `layer1.0`.
NUMBER = r"(?:(?<=\.)|(?<=^s)|(?<=\.b)|(?<=^layer))\d+(?=\.|$)"
# What every module has, but whether it is in training.
OF_ALL = set(vars(torch.nn.Module())) - {"training"}
SMALL = {
    RESNET: {},
    REGNET: {},
    BEIT: dict(embed_dim=48, depth=1, num_heads=3),
    SWIN: dict(embed_dim=24, depths=(2, 2), num_heads=(2, 4)),
    SWINV2: dict(embed_dim=24, depths=(2, 2), num_heads=(2, 4)),
    VIT: dict(embed_dim=48, depth=1, num_heads=3),
    EFFICIENTNET: {},
    EVA: dict(embed_dim=48, depth=1, num_heads=3),
    RELPOS: dict(embed_dim=48, depth=1, num_heads=3),
    CONVNEXT: dict(depths=(1, 1, 1, 1), dims=(8, 8, 8, 8)),
}
NETWORKS = [
    (VIT, "vit_tiny_patch16_224", {}),
    (VIT, "vit_tiny_patch16_224", dict(num_classes=0)),
    (VIT, "vit_tiny_patch16_224", dict(drop_rate=0.1, drop_path_rate=0.1)),
    (VIT, "vit_tiny_patch16_224", dict(init_values=1e-5)),
    (VIT, "vit_tiny_patch16_224", dict(patch_drop_rate=0.1, proj_drop_rate=0.1)),
    (VIT, "vit_tiny_patch16_224", dict(act_layer=torch.nn.ReLU, norm_layer=partial(torch.nn.LayerNorm, eps=1e-5))),
    (VIT, "vit_tiny_patch16_224", dict(act_layer=torch.nn.SiLU)),
    (VIT, "vit_tiny_patch16_224", dict(act_layer="gelu_tanh")),
    (VIT, "vit_tiny_patch16_224", dict(dynamic_img_size=True)),
    (VIT, "deit_tiny_patch16_224", {}),
    (VIT, "deit3_small_patch16_224", {}),
    (VIT, "vit_base_patch32_clip_224", {}),
    (VIT, "vit_base_patch32_clip_quickgelu_224", {}),
    (VIT, "deit_tiny_distilled_patch16_224", {}),
    (VIT, "eva_large_patch14_196", {}),
    (VIT, "vit_little_patch16_reg1_gap_256", {}),
    (VIT, "vit_base_patch16_siglip_224", {}),
    (VIT, "vit_base_patch16_siglip_gap_224", {}),
    (VIT, "vit_small_patch14_reg4_dinov2", {}),
    (VIT, "vit_giant_patch14_dinov2", {}),
    (VIT, "aimv2_large_patch14_224", {}),
    (CONVNEXT, "convnext_tiny", {}),
    (CONVNEXT, "convnext_tiny", dict(num_classes=0)),
    (CONVNEXT, "convnext_tiny", dict(drop_rate=0.1, drop_path_rate=0.1)),
    (CONVNEXT, "convnext_tiny", dict(conv_mlp=True)),
    (CONVNEXT, "convnext_tiny", dict(act_layer="gelu_tanh")),
    (CONVNEXT, "convnext_atto", {}),
    (CONVNEXT, "convnextv2_atto", {}),
    (CONVNEXT, "convnextv2_tiny", {}),
    (RESNET, "resnet18", {}),
    (RESNET, "resnet50", dict(num_classes=0, drop_path_rate=0.1)),
    (REGNET, "regnetx_002", {}),
    (REGNET, "regnety_002", dict(num_classes=0, drop_rate=0.1, drop_path_rate=0.1)),
    (BEIT, "beit_base_patch16_224", {}),
    (BEIT, "beit_base_patch16_224", dict(num_classes=0)),
    (BEIT, "beit_base_patch16_224", dict(drop_rate=0.1, drop_path_rate=0.1)),
    (BEIT, "beit_base_patch16_224", dict(use_rel_pos_bias=False, use_shared_rel_pos_bias=True, use_abs_pos_emb=True)),
    (BEIT, "beitv2_large_patch16_224", {}),
    (SWIN, "swin_tiny_patch4_window7_224", {}),
    (SWIN, "swin_tiny_patch4_window7_224", dict(num_classes=0)),
    (SWIN, "swin_tiny_patch4_window7_224", dict(drop_rate=0.1, drop_path_rate=0.1)),
    (SWINV2, "swinv2_tiny_window8_256", {}),
    (SWINV2, "swinv2_base_window12to16_192to256", {}),
    (SWINV2, "swinv2_tiny_window8_256", dict(num_classes=0, qkv_bias=False)),
    (SWINV2, "swinv2_tiny_window8_256", dict(drop_rate=0.1, drop_path_rate=0.1)),
    (EFFICIENTNET, "tf_efficientnet_b0", {}),
    (EFFICIENTNET, "tf_efficientnet_lite0", dict(num_classes=0)),
    (EFFICIENTNET, "tf_efficientnet_b0", dict(drop_rate=0.1, drop_path_rate=0.1)),
    (EVA, "vit_small_patch16_dinov3", {}),
    (EVA, "vit_small_patch16_dinov3_qkvb", dict(num_classes=3)),
    (EVA, "vit_small_plus_patch16_dinov3", {}),
    (EVA, "eva_giant_patch14_224", {}),
    (EVA, "eva_giant_patch14_clip_224", dict(drop_rate=0.1, drop_path_rate=0.1)),
    (RELPOS, "vit_relpos_medium_patch16_224", {}),
    (RELPOS, "vit_relpos_medium_patch16_cls_224", dict(num_classes=0)),
    (RELPOS, "vit_srelpos_medium_patch16_224", dict(drop_rate=0.1, drop_path_rate=0.1)),
    (RELPOS, "vit_relpos_medium_patch16_cls_224", dict(rel_pos_type="bias")),
]

warnings.filterwarnings("ignore")
rows = {}
if TABLE.exists():
    for line in TABLE.read_text().splitlines():
        *key, attribute = line.split("\t")
        rows.setdefault(tuple(key), set()).update([attribute] if attribute else [])
for definition, name, arguments in NETWORKS:
    for sizes in SMALL[definition], {}:
        try:
            model = timm.create_model(name, **sizes | arguments)
            break
        except (RuntimeError, TypeError, AssertionError, KeyError):
            # The version has no such architecture or argument, or gives those sizes itself.
            model = torch.nn.Module()
    if not list(model.children()):
        print("not in timm", timm.__version__, name, arguments)
        continue
    for path, module in model.named_modules():
        key = (definition, re.sub(NUMBER, "*", path), f"{type(module).__module__}.{type(module).__qualname__}")
        own = set(vars(module)) - OF_ALL
        rows.setdefault(key, set()).update(own)
TABLE.write_text("".join("\t".join([*key, attribute]) + "\n" for key in sorted(rows) for attribute in sorted(rows[key])))
