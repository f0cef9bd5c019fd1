"""Makes cvt_gelu.pt: a tiny CvT that was saved whole, of Microsoft's own classes, with GELU in place of QuickGELU.

    PYTHONPATH=FOLDER/lib python make_cvt.py

FOLDER is Microsoft's repository (microsoft/CvT). timm 1.0.31, torch 2.15.0, einops 0.8.2.
"""

import collections.abc
import sys
import types
from functools import partial
from pathlib import Path

import torch

HERE = Path(__file__).parent
# Modules that are gone, or that the network does not use.
sys.modules["torch._six"] = types.SimpleNamespace(container_abcs=collections.abc)
sys.modules.setdefault("scipy", types.ModuleType("scipy"))
sys.modules["models"] = types.ModuleType("models")
sys.modules["models"].__path__ = [str(Path(sys.path[1]) / "models")]

from models import cls_cvt  # noqa: E402

SPEC = dict(
    NUM_STAGES=3,
    PATCH_SIZE=[3, 3, 3],
    PATCH_STRIDE=[2, 2, 2],
    PATCH_PADDING=[1, 1, 1],
    DIM_EMBED=[4, 8, 12],
    NUM_HEADS=[1, 2, 3],
    DEPTH=[1, 2, 3],
    MLP_RATIO=[1.0, 1.0, 1.0],
    ATTN_DROP_RATE=[0.0, 0.0, 0.0],
    DROP_RATE=[0.0, 0.0, 0.0],
    DROP_PATH_RATE=[0.0, 0.0, 0.1],
    QKV_BIAS=[True, True, True],
    CLS_TOKEN=[False, False, True],
    QKV_PROJ_METHOD=["dw_bn", "dw_bn", "dw_bn"],
    KERNEL_QKV=[3, 3, 3],
    PADDING_KV=[1, 1, 1],
    STRIDE_KV=[2, 2, 1],
    PADDING_Q=[1, 1, 1],
    STRIDE_Q=[1, 1, 1],
)
torch.manual_seed(1)
model = cls_cvt.ConvolutionalVisionTransformer(
    in_chans=3,
    num_classes=5,
    act_layer=torch.nn.GELU,
    norm_layer=partial(cls_cvt.LayerNorm, eps=1e-5),
    init="trunc_norm",
    spec=SPEC,
)
torch.save(model.eval(), HERE / "cvt_gelu.pt")
