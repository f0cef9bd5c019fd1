"""Structures that no class which vitport writes can hold: refused in one line, by name, with nothing left behind."""
import re

import pytest
import timm
import torch

import environment
import twins

SMALL = {"embed_dim": 48, "depth": 2, "num_heads": 4, "num_classes": 5}
PLAIN = "vit_base_patch16_224.augreg_in21k"

# What it is, the tag, what is built differently, and what the refusal has to say (a regular expression).
REFUSED = [
    ("average pooling with a class token", PLAIN, {"global_pool": "avg", "fc_norm": False}, "average|pool"),
    ("CLIP with average pooling", "vit_base_patch32_clip_224.openai", {"global_pool": "avg"}, "CLIP.*fc_norm"),
    ("CLIP without its last norm", "vit_base_patch32_clip_224.openai", {"final_norm": False}, "CLIP.*final_norm"),
    ("CLIP with QK norm", "vit_base_patch32_clip_quickgelu_224.openai", {"qk_norm": True}, "CLIP.*qk_norm"),
    ("CLIP without qkv bias", "vit_base_patch32_clip_quickgelu_224.openai", {"qkv_bias": False}, "CLIP"),
    ("registers with positions of their own", PLAIN, {"reg_tokens": 2}, "reg"),
    ("QK norm", PLAIN, {"qk_norm": True}, "QK norm|q_norm"),
    ("scaled attention norm", PLAIN, {"scale_attn_norm": True}, "attn.norm"),
    ("sub-LN", "beit3_base_patch16_224.in22k_ft_in1k", {}, "norm"),
    ("parallel blocks", "vit_small_patch16_18x2_224.untrained", {}, "parallel"),
    ("parallel scaling blocks", "vit_base_patch16_xp_224.untrained", {}, "parallel"),
    ("residual post-norm", "vit_base_patch16_rpn_224.sw_in1k", {}, ""),
    ("differential attention", "vit_dlittle_patch16_reg1_gap_256.sbb_nadamuon_in1k", {}, ""),
    ("no position embedding", PLAIN, {"pos_embed": "none"}, "pos_embed"),
]
# Without a config, how tokens are pooled cannot be seen: a question.
SEEN_ONLY_IN_A_CONFIG = "average pooling with a class token"
OTHER_FAMILIES = [
    ("test_resnet.r160_in1k", {}, "resnet"),
    ("test_efficientnet.r160_in1k", {}, "efficientnet"),
    ("eva02_tiny_patch14_224.mim_in22k", {**SMALL, "img_size": 42}, "eva"),
    ("vit_tiny_r_s16_p8_224.augreg_in21k", {**SMALL, "img_size": 64}, "hybrid"),
]


def assert_refused(source, directory, word, codes=(7,)):
    before = sorted(path.name for path in directory.iterdir())
    conversion = environment.convert(source, directory / "out")
    assert conversion.returncode in codes, (conversion.returncode, conversion.stderr)
    if conversion.returncode == 4:
        assert conversion.stderr.splitlines()[-1].strip().startswith("vitport convert "), conversion.stderr
    else:
        assert len(conversion.stderr.splitlines()) == 1, conversion.stderr
    assert re.search(word, conversion.stderr, re.IGNORECASE), conversion.stderr
    assert conversion.stdout == ""
    assert sorted(path.name for path in directory.iterdir()) == before, "something was left behind"


def build(tag, args):
    patch = twins.PATCH_SIZE[tag.split(".")[0]]
    return twins.Twin(tag, {**SMALL, "img_size": 3 * patch, **args})


@pytest.mark.parametrize("form", ["folder", "bare file"])
@pytest.mark.parametrize("name, tag, args, word", REFUSED, ids=[row[0] for row in REFUSED])
def test_structure_is_refused(tmp_path, name, tag, args, word, form):
    twin = build(tag, args)
    model = timm.create_model(twin.tag, **twin.args)
    if form == "folder":
        twins.save(model, twin, tmp_path / "source")
        assert_refused(tmp_path / "source", tmp_path, word)
        return
    torch.save(model.state_dict(), tmp_path / "source.pth")
    if name == SEEN_ONLY_IN_A_CONFIG:
        assert_refused(tmp_path / "source.pth", tmp_path, "--arch", codes=(4,))
    else:
        assert_refused(tmp_path / "source.pth", tmp_path, word)


@pytest.mark.parametrize("tag, args, family", OTHER_FAMILIES)
def test_other_families_are_named(tmp_path, tag, args, family):
    model = timm.create_model(tag, **args)
    twins.save(model, twins.Twin(tag, args), tmp_path / "source")
    assert_refused(tmp_path / "source", tmp_path, family)
