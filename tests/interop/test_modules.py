"""torchvision's networks that were saved whole: what a person changed in them is refused or read, and what changes nothing in
evaluation is not asked about. timm's are in test_readings.py."""
import copy
import json

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

import environment
import through_both
from test_torchvision import SMALL

SAID = ("--mean", "0.4,0.5,0.6", "--std", "0.2,0.2,0.2", "--crop-pct", "0.9", "--interpolation", "bicubic")
EVERY = ("resnet", "regnet y", "convnext", "swin", "swin v2", "vit")


def each(kind, **attributes):
    def edit(model):
        for module in model.modules():
            if isinstance(module, kind):
                vars(module).update(attributes)

    return edit


def at(path, **attributes):
    return lambda model: vars(model.get_submodule(path)).update(attributes)


def put(path, module):
    def edit(model):
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, module)

    return edit


# What was done to which network. All of it changes what is computed, and no class of transformers computes that.
REFUSED = [
    *((name, "hook", lambda model: model.register_forward_hook(print)) for name in EVERY),
    *((name, "one norm", lambda model: setattr(next(m for m in model.modules() if hasattr(m, "eps")), "eps", 0.1)) for name in EVERY),
    *((name, "dilation", each(nn.Conv2d, dilation=(2, 2))) for name in EVERY),
    *((name, "pooling", put("avgpool", nn.AdaptiveMaxPool2d(1))) for name in EVERY[:5]),
    ("resnet", "activation", put("layer2.0.relu", nn.Tanh())),
    ("regnet y", "activation", put("trunk_output.block2.block2-0.activation", nn.SiLU())),
    ("regnet y", "gate", put("trunk_output.block1.block1-0.f.se.scale_activation", nn.Hardsigmoid())),
    ("regnet y", "squeeze", put("trunk_output.block1.block1-0.f.se.avgpool", nn.AdaptiveMaxPool2d(1))),
    ("regnet y", "groups", at("trunk_output.block2.block2-0.f.b.0", groups=1)),
    ("regnet y", "stride", at("trunk_output.block2.block2-1.f.b.0", stride=(2, 2))),
    ("convnext", "activation", put("features.5.0.block.4", nn.Hardswish())),
    ("convnext", "axes", at("features.1.0.block.1", dims=[0, 3, 2, 1])),
    ("convnext", "stride", at("features.2.1", stride=(1, 1))),
    ("convnext", "padding mode", at("features.1.0.block.0", padding_mode="circular")),
    ("convnext", "depth", put("features.3.1.stochastic_depth", nn.Tanh())),
    ("swin", "activation", put("features.3.1.mlp.1", nn.ReLU())),
    ("swin", "tanh", at("features.1.0.mlp.1", approximate="tanh")),
    ("swin", "shift", at("features.1.1.attn", shift_size=[1, 1])),
    ("swin", "no shift", at("features.3.1.attn", shift_size=[0, 0])),
    ("swin", "window", at("features.1.0.attn", window_size=[2, 8])),
    ("swin", "heads", at("features.3.0.attn", num_heads=1)),
    ("swin", "axes", at("permute", dims=[0, 3, 2, 1])),
    ("swin v2", "activation", put("features.3.1.mlp.1", nn.ReLU())),
    ("swin v2", "activation that makes biases", put("features.1.0.attn.cpb_mlp.1", nn.GELU())),
    ("swin v2", "shift", at("features.1.1.attn", shift_size=[1, 1])),
    ("swin v2", "window", at("features.1.0.attn", window_size=[4, 4])),
    ("swin v2", "heads", at("features.3.0.attn", num_heads=1)),
    ("swin v2", "epsilon", each(nn.LayerNorm, eps=1e-3)),
    ("convnext", "epsilon", each(nn.LayerNorm, eps=1e-3)),
    ("swin", "epsilon", each(nn.LayerNorm, eps=1e-3)),
    ("vit", "activation", put("encoder.layers.encoder_layer_1.mlp.1", nn.ReLU())),
    ("vit", "heads of one block", at("encoder.layers.encoder_layer_1.self_attention", num_heads=6, head_dim=8)),
    ("vit", "order of axes", at("encoder.layers.encoder_layer_0.self_attention", batch_first=False)),
    ("vit", "zeros", at("encoder.layers.encoder_layer_0.self_attention", add_zero_attn=True)),
    ("vit", "image size", lambda model: setattr(model, "image_size", 64)),
    ("vit", "dropout", put("encoder.dropout", nn.Tanh())),
]
# What is read, with the key of config.json that says it.
READ = [
    ("vit", each((nn.LayerNorm,), eps=1e-3), "layer_norm_eps", 1e-3),
    ("vit", each(nn.GELU, approximate="tanh"), "hidden_act", "gelu_pytorch_tanh"),
    ("vit", None, "num_attention_heads", 3),
    ("swin", None, "window_size", 4),
    ("swin v2", None, "window_size", 8),
    ("swin v2, other windows", None, "window_size", 4),
    ("swin v2", lambda model: [setattr(block.mlp, "1", nn.ReLU()) for stage in model.features[1::2] for block in stage], "hidden_act", "relu"),
    ("convnext", each((nn.Dropout, StochasticDepth), p=0.7), "layer_norm_eps", 1e-6),
]


def converted(directory, name, edit, *options):
    make, _, size, _ = SMALL[name]
    model = copy.deepcopy(through_both.enliven(make(), 1))
    if edit:
        edit(model)
    torch.save(model, directory / "model.pt")
    sized = () if name == "vit" else ("--image-size", str(size))
    return environment.convert(directory / "model.pt", directory / "out", "--json", *SAID, *sized, *options)


@pytest.mark.parametrize("name, what, edit", REFUSED, ids=lambda part: part if isinstance(part, str) else "")
def test_changes_are_refused(tmp_path, name, what, edit):
    done = converted(tmp_path, name, edit)
    assert done.returncode in (3, 4, 7), (what, done.stdout[-600:])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name, edit, key, value", READ)
def test_modules_are_read(tmp_path, name, edit, key, value):
    done = converted(tmp_path, name, edit)
    assert done.returncode == 0, done.stdout[-600:]
    assert json.loads((tmp_path / "out" / "config.json").read_text())[key] == value
    assumed = {entry["fact"] for entry in json.loads(done.stdout)["report"]["assumptions"]}
    assert not assumed & {"num_heads", "norm_eps", "act_layer", "window_size", "pretrained_window_sizes", "fixed_windows", "global_pool", "output_stride", "linear_out"}, assumed


def test_options_do_not_override(tmp_path):
    for options in (("--num-heads", "6"), ("--layer-norm-eps", "1e-3"), ("--image-size", "64")):
        done = converted(tmp_path, "vit", None, *options)
        assert done.returncode == 4, (options, done.stdout[-600:])
