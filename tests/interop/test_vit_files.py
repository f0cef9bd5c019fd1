"""Weights as people have them: one network in every container, nesting, prefix and dtype, and timm's full sizes bare."""
import argparse
import json
import re
from collections import OrderedDict

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

import checks
import environment
import twins

TAG = "test_vit.r160_in1k"  # timm's own smallest ViT, full size: 0.4 million parameters
ARCH = ("--arch", TAG)


def prefixed(prefix, state):
    return OrderedDict((prefix + name, value) for name, value in state.items())


def optimizer_state(model):
    """The state after a step, which leaves the model's own weights as they were."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(1, 3, 160, 160)).sum().backward()
    optimizer.step()
    model.load_state_dict(before)
    return optimizer.state_dict()


def other_weights(model):
    return {name: value + 1 for name, value in model.state_dict().items()}


def channels_last(model, path):
    torch.save(model.to(memory_format=torch.channels_last).state_dict(), path)
    model.to(memory_format=torch.contiguous_format)


def transposed(model, path):
    """Each matrix is saved as the transposed view of its transpose: same values, other strides."""
    state = {n: v.t().contiguous().t() if v.ndim == 2 else v for n, v in model.state_dict().items()}
    torch.save(state, path)


def training_run(model, path):
    """As timm's train.py writes it, with what stands next to the weights."""
    run = {
        "epoch": 3, "arch": "test_vit", "state_dict": model.state_dict(), "optimizer": optimizer_state(model),
        "version": 2, "args": argparse.Namespace(model="test_vit", lr=1e-3, batch_size=4), "metric": 71.5,
    }
    torch.save(run, path)


def jax_release(model, path):
    """As google-research/vision_transformer lays its arrays out; timm then loads them back from the file."""
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    heads, dim = model.blocks[0].attn.num_heads, model.embed_dim
    arrays = {
        "cls": state["cls_token"],
        "embedding/kernel": state["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "Transformer/posembed_input/pos_embedding": state["pos_embed"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": state["head.weight"].T,
        "head/bias": state["head.bias"],
    }
    for i in range(len(model.blocks)):
        block, timm_block = f"Transformer/encoderblock_{i}/", f"blocks.{i}."
        for norm, timm_norm in (("LayerNorm_0", "norm1"), ("LayerNorm_2", "norm2")):
            arrays[f"{block}{norm}/scale"] = state[f"{timm_block}{timm_norm}.weight"]
            arrays[f"{block}{norm}/bias"] = state[f"{timm_block}{timm_norm}.bias"]
        attention = block + "MultiHeadDotProductAttention_1/"
        weights = np.split(state[f"{timm_block}attn.qkv.weight"], 3)
        biases = np.split(state[f"{timm_block}attn.qkv.bias"], 3)
        for name, weight, bias in zip(("query", "key", "value"), weights, biases):
            arrays[f"{attention}{name}/kernel"] = weight.T.reshape(dim, heads, dim // heads)
            arrays[f"{attention}{name}/bias"] = bias.reshape(heads, dim // heads)
        arrays[f"{attention}out/kernel"] = state[f"{timm_block}attn.proj.weight"].T.reshape(heads, dim // heads, dim)
        arrays[f"{attention}out/bias"] = state[f"{timm_block}attn.proj.bias"]
        for n in (0, 1):
            arrays[f"{block}MlpBlock_3/Dense_{n}/kernel"] = state[f"{timm_block}mlp.fc{n + 1}.weight"].T
            arrays[f"{block}MlpBlock_3/Dense_{n}/bias"] = state[f"{timm_block}mlp.fc{n + 1}.bias"]
    np.savez(path, **arrays)
    model.load_pretrained(str(path))


FORMS = {
    "zip": (lambda m, p: torch.save(m.state_dict(), p), ARCH),
    "legacy": (lambda m, p: torch.save(m.state_dict(), p, _use_new_zipfile_serialization=False), ARCH),
    "safetensors": (lambda m, p: save_file(m.state_dict(), p), ARCH),
    "channels_last": (channels_last, ARCH),
    "transposed": (transposed, ARCH),
    "state_dict": (lambda m, p: torch.save({"state_dict": m.state_dict(), "epoch": 1}, p), ARCH),
    "model": (lambda m, p: torch.save({"model": m.state_dict()}, p), ARCH),
    "DataParallel": (lambda m, p: torch.save(torch.nn.DataParallel(m).state_dict(), p), ARCH),
    "torch.compile": (lambda m, p: torch.save(prefixed("_orig_mod.", m.state_dict()), p), ARCH),
    "compiled and parallel": (lambda m, p: torch.save(prefixed("_orig_mod.module.", m.state_dict()), p), ARCH),
    "training run": (training_run, ARCH),
    "JAX release": (jax_release, ARCH),
    "average picked by key": (
        lambda m, p: torch.save({"state_dict": other_weights(m), "state_dict_ema": m.state_dict()}, p),
        (*ARCH, "--key", "state_dict_ema"),
    ),
}
SUFFIX = {"safetensors": ".safetensors", "JAX release": ".npz"}
FULL_SIZE = [
    "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    "vit_small_patch32_224.augreg_in21k",
    "deit3_small_patch16_224.fb_in1k",
]
DTYPES = {"half": torch.float16, "bfloat16": torch.bfloat16, "double": torch.float64}


@pytest.fixture(scope="module")
def opened(tmp_path_factory, image_files):
    """{form: (conversion, truth, facts, std, reports)}, all opened by one process a version."""
    directory = tmp_path_factory.mktemp("files")
    images = [Image.open(path).convert("RGB") for path in image_files]
    results, jobs = {}, []

    def add(form, model, twin, write, flags, suffix=".pth"):
        path, folder, truth = (directory / f"{len(results)}{s}" for s in (suffix, "", ".truth.npz"))
        write(model, path)
        values = twins.truth(model.float(), images)
        np.savez(truth, **values)
        conversion = environment.convert(path, folder, *flags)
        results[form] = [conversion, values, twins.facts(model, twin), model.pretrained_cfg["std"]]
        if conversion.returncode == 0:
            jobs.append({"name": form, "folder": str(folder), "truth": str(truth)})

    small = twins.Twin(TAG, {})
    for form, (write, flags) in FORMS.items():
        add(form, twins.build(small), small, write, flags, SUFFIX.get(form, ".pth"))
    for form, dtype in DTYPES.items():
        add(form, twins.build(small).to(dtype), small, lambda m, p: torch.save(m.state_dict(), p), ARCH)
    for tag in FULL_SIZE:
        twin = twins.Twin(tag, {})
        add(tag, twins.build(twin), twin, lambda m, p: torch.save(m.state_dict(), p), ("--arch", tag))
    reports = environment.open_folders(jobs, image_files, directory)
    for form, result in results.items():
        result.append({major: reports[major].get(form) for major in environment.MAJORS})
    return results


@pytest.mark.parametrize("form", [*FORMS, *DTYPES, *FULL_SIZE])
def test_file(opened, form):
    conversion, truth, facts, std, reports = opened[form]
    assert conversion.returncode == 0, conversion.stderr
    for major in environment.MAJORS:
        checks.check_all(reports[major], facts, truth, std, major)


@pytest.mark.parametrize("tag", ["vit_tiny_patch16_224.augreg_in21k_ft_in1k", "vit_small_patch16_224.augreg_in1k"])
def test_a_bare_file_is_known_or_asked_about(tmp_path, tag):
    """The weights of several tags have one shape and different preprocessing: no silent guess."""
    model = twins.build(twins.Twin(tag, {"depth": 12}))
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    conversion = environment.convert(tmp_path / "weights.pth", tmp_path / "out")
    if conversion.returncode:
        assert conversion.returncode == 4
        asked = conversion.stderr
        assert "--arch" in asked and tag.split(".")[0] in asked, asked
        assert not (tmp_path / "out").exists()


def test_deit_iii_own_names_for_layer_scale_are_verified(tmp_path):
    """facebookresearch/deit calls a block's layer scales gamma_1 and gamma_2; timm calls them ls1.gamma and ls2.gamma."""
    torch.manual_seed(5)
    sizes = {"img_size": 48, "patch_size": 16, "embed_dim": 60, "depth": 3, "num_heads": 5, "num_classes": 11}
    model = timm.create_model("deit3_small_patch16_224", **sizes)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    names = {"ls1.gamma": "gamma_1", "ls2.gamma": "gamma_2"}
    weights = {re.sub("ls[12].gamma", lambda found: names[found[0]], key): t for key, t in model.state_dict().items()}
    torch.save({"model": weights}, tmp_path / "deit3.pth")
    facts = ("--num-heads", 5, "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--crop-pct", "1")
    facts += ("--interpolation", "bicubic", "--labels", "none", "--json")
    done = environment.convert(tmp_path / "deit3.pth", tmp_path / "out", *facts)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["report"]["verdict"] == "same"
