"""timm's CLIP image towers: projection and features through both versions, small sizes of the real architectures."""
import json
import os
import subprocess

import pytest
import timm
import torch
from safetensors.torch import save_file

import environment

OPEN = """
import json, sys
import torch, transformers
from safetensors.torch import load_file
work = json.loads(sys.argv[1])
found = {}
for name, (folder, truth) in work.items():
    truth = load_file(truth)
    loader = getattr(transformers, json.load(open(folder + "/config.json"))["architectures"][0])
    model, info = loader.from_pretrained(folder, output_loading_info=True, torch_dtype=torch.float32)
    with torch.no_grad():
        out = model.eval()(truth["input"])
    kept = {"image_embeds": "logits", "pooler_output": "pre_logits"}
    apart = {ours: float((out[ours] - truth[theirs]).abs().max() / truth[theirs].abs().max())
             for ours, theirs in kept.items() if out.get(ours) is not None}
    keys = [k for key in ("missing_keys", "unexpected_keys", "mismatched_keys") for k in map(str, info[key])]
    processor = type(transformers.AutoImageProcessor.from_pretrained(folder)).__name__
    found[name] = {"class": type(model).__name__, "keys": keys, "apart": apart, "processor": processor}
print(json.dumps(found))
"""
SMALL = dict(embed_dim=48, depth=3, num_heads=4)
TOWERS = {
    "gelu": ("vit_base_patch32_clip_224", "openai", {"img_size": 96, **SMALL}),
    "quick_gelu": ("vit_large_patch14_clip_quickgelu_224", "openai", {"img_size": 56, **SMALL}),
    "another MLP ratio": ("vit_giant_patch14_clip_224", "laion2b", {"img_size": 56, **SMALL, "mlp_ratio": 2.5}),
    "layer scale": ("vit_base_patch16_clip_224", "openai", {"img_size": 64, **SMALL, "init_values": 0.1}),
}


@torch.no_grad()
def tower(folder, architecture, tag, arguments, bias=0.0):
    """A hub folder of random weights, and what timm computes with them."""
    folder.mkdir()
    torch.manual_seed(0)
    model = timm.create_model(architecture, num_classes=24, **arguments).eval()
    for name, parameter in model.named_parameters():
        scale = 0.2 if parameter.ndim == 1 else 1.2 / parameter[0].numel() ** 0.5
        parameter.normal_(0, scale)
        if parameter.ndim == 1 and name.endswith("weight") or name.endswith("gamma"):
            parameter.add_(1)
    model.head.bias.fill_(bias)
    batch = torch.randn(2, 3, *model.patch_embed.img_size)
    features = model.forward_features(batch)
    truth = {"input": batch, "logits": model(batch), "pre_logits": model.forward_head(features, pre_logits=True)}
    save_file({name: tensor.contiguous() for name, tensor in truth.items()}, folder / "truth.st")
    save_file(model.state_dict(), folder / "model.safetensors")
    config = dict(model.pretrained_cfg, tag=tag, num_classes=24, input_size=list(batch.shape[1:]))
    document = {"architecture": architecture, "num_classes": 24, "global_pool": "token", "model_args": arguments}
    (folder / "config.json").write_text(json.dumps(document | {"pretrained_cfg": config}))
    return folder


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    directory = tmp_path_factory.mktemp("clip")
    conversions, work = {}, {}
    for name, description in TOWERS.items():
        source = tower(directory / name, *description)
        for kind, flags in {"": (), ", no head": ("--no-head",)}.items():
            folder = directory / f"{name}{kind}, converted"
            conversions[name + kind] = environment.convert(source, folder, *flags)
            if conversions[name + kind].returncode == 0:
                work[name + kind] = (str(folder), str(source / "truth.st"))
    reports = {}
    for major in environment.MAJORS:
        python = environment.environments_home() / f"v{major}" / "bin" / "python"
        offline = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        run = subprocess.run([python, "-c", OPEN, json.dumps(work)], capture_output=True, text=True, env=offline)
        assert run.returncode == 0, run.stderr[-3000:]
        reports[major] = json.loads(run.stdout)
    return conversions, reports


@pytest.mark.parametrize("kind", ["", ", no head"])
@pytest.mark.parametrize("name", TOWERS)
def test_tower(opened, name, kind):
    conversions, reports = opened
    assert conversions[name + kind].returncode == 0, conversions[name + kind].stderr
    for major in environment.MAJORS:
        report = reports[major][name + kind]
        assert report["class"] == ("CLIPVisionModel" if kind else "CLIPVisionModelWithProjection")
        assert report["keys"] == []
        assert report["apart"].keys() == ({"pooler_output"} if kind else {"image_embeds"})
        assert max(report["apart"].values()) < 1e-5, report["apart"]
        assert report["processor"].startswith("CLIPImageProcessor")


def test_a_head_with_a_bias_stays_outside(tmp_path):
    source = tower(tmp_path / "fine-tuned", "vit_base_patch32_clip_224", "openai", {"img_size": 96, **SMALL}, bias=0.1)
    refused = environment.convert(source, tmp_path / "refused", "--target", "CLIPVisionModelWithProjection")
    assert refused.returncode == 7 and "--no-head" in refused.stderr, refused.stderr
    assert not (tmp_path / "refused").exists()
    for flags in ((), ("--no-head",)):
        folder = tmp_path / f"out{len(flags)}"
        assert environment.convert(source, folder, *flags).returncode == 0
        assert json.loads((folder / "config.json").read_text())["architectures"] == ["CLIPVisionModel"]
