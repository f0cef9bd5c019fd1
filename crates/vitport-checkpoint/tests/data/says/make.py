"""Writes the files next to this script: checkpoints that say what network they hold.

Run with torch and timm installed:  python make.py
Small random weights; running it again changes the weights' values and serialization ids only.
"""

import argparse
import functools
import os
import pathlib

import timm
import torch
from timm.layers.activations import QuickGELU
from timm.models.vision_transformer import VisionTransformer

HERE = pathlib.Path(__file__).parent
SIZES = dict(img_size=16, patch_size=8, embed_dim=12, depth=1, num_heads=3, num_classes=2)


def vit(**options):
    return VisionTransformer(**SIZES, **options).eval()


def tanh_gelu():
    return torch.nn.GELU(approximate="tanh")


def modules():
    quick = vit(act_layer=QuickGELU, norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-3))
    quick.default_cfg = {"architecture": "vit_x", "mean": (0.1, 0.2, 0.3), "crop_pct": 0.9, "license": None}
    torch.save(quick, HERE / "module_quickgelu.pt")
    torch.save({"epoch": 3, "model": torch.nn.DataParallel(vit(global_pool="avg", fc_norm=False))},
               HERE / "module_avgpool_wrapped.pth")
    # The activation as a function, as older networks keep it, and a class that is not instantiated.
    functional = vit()
    functional.blocks[0].mlp.act_fn = torch.nn.functional.gelu
    functional.blocks[0].mlp.act_class = torch.nn.SiLU
    functional.blocks[0].mlp.norm_layer = functools.partial(torch.nn.LayerNorm, eps=1e-3)
    functional.blocks[0].mlp.method = functional.forward_features
    functional.place = pathlib.PurePosixPath("/data")
    functional.nothing = None
    torch.save(functional, HERE / "module_functions.pt")


def scripts():
    model = vit(act_layer=tanh_gelu)
    torch.jit.save(torch.jit.script(model), HERE / "script_tanh.pt")
    torch.jit.save(torch.jit.trace(model, torch.zeros(1, 3, 16, 16)), HERE / "trace_tanh.pt")


def training():
    state = vit().state_dict()
    args = argparse.Namespace(
        model="vit_tiny_patch16_224", gp=None, mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6], crop_pct=0.95,
        interpolation="bilinear", model_kwargs={}, nested={"a": {"b": [[1, 2], {"c": None}]}}, no_aug=False,
        output=pathlib.PurePosixPath("/runs"), act=torch.nn.GELU)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(tensor) for tensor in state.values()])
    torch.save({"epoch": 1, "arch": "vit_tiny_patch16_224", "state_dict": state,
                "optimizer": optimizer.state_dict(), "args": args}, HERE / "timm_train.pth.tar")
    torch.save({"state_dict": {f"model.{name}": tensor for name, tensor in state.items()},
                "hyper_parameters": {"class_names": [f"class {i}" for i in range(100)], "lr": 1e-3,
                                     "model": {"name": "vit", "global_pool": "avg"}, "head": None}},
               HERE / "lightning.ckpt")
    torch.save({"meta": {"epoch": 3, "dataset_meta": {"classes": ("cat", "dog")}, "cfg": "model = dict()\n" * 1000},
                "state_dict": state}, HERE / "mmengine.pth")


def dtypes():
    """Every floating-point and complex dtype; most of them nobody but torch reads."""
    names = ["complex32", "complex64", "complex128"] + sorted(n for n in dir(torch) if n.startswith("float8"))
    state = {"w": torch.zeros(2, 3)}
    for name in names:
        size = torch.empty(0, dtype=getattr(torch, name)).element_size()
        state[name] = torch.zeros(2, 3 * size, dtype=torch.uint8).view(getattr(torch, name))
    torch.save(state, HERE / "dtypes.pth")


class Evil:
    """What runs a command when Python loads it."""

    def __reduce__(self):
        return os.system, ("echo loaded",)


def dangerous():
    torch.save({"state_dict": vit().state_dict(), "extra": Evil()}, HERE / "dangerous.pth")


dangerous()
dtypes()
modules()
scripts()
training()
