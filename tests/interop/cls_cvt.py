"""Stand-ins for the classes of Microsoft's `lib/models/cls_cvt.py`: their names, their modules and their attributes, no forward pass.

`torch.save(model)` writes class names and attributes, so a whole CvT that is saved can be made of these. What such a network
computes is known from transformers' CvT, whose weights it has (cvt.py).
"""
import sys
from collections import OrderedDict
from types import ModuleType

import torch
from torch import nn


class LayerNorm(nn.LayerNorm):
    pass


class QuickGELU(nn.Module):
    pass


class Rearrange(nn.Module):
    """einops.layers.torch.Rearrange."""

    def __init__(self, pattern):
        super().__init__()
        self.pattern, self.axes_lengths = pattern, {}


class Mlp(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.fc1, self.act, self.fc2, self.drop = nn.Linear(dim, hidden), QuickGELU(), nn.Linear(hidden, dim), nn.Dropout(0.0)


class Attention(nn.Module):
    def __init__(self, dim, heads, kernel, stride_kv, stride_q, padding_kv, padding_q, qkv_bias, with_cls_token):
        super().__init__()
        self.stride_kv, self.stride_q, self.dim, self.num_heads = stride_kv, stride_q, dim, heads
        self.scale, self.with_cls_token = dim**-0.5, with_cls_token
        for name, stride, padding in (("q", stride_q, padding_q), ("k", stride_kv, padding_kv), ("v", stride_kv, padding_kv)):
            convolution = nn.Conv2d(dim, dim, kernel, stride, padding, groups=dim, bias=False)
            parts = {"conv": convolution, "bn": nn.BatchNorm2d(dim), "rearrage": Rearrange("b c h w -> b (h w) c")}
            self.add_module(f"conv_proj_{name}", nn.Sequential(OrderedDict(parts)))
        for name in "qkv":
            self.add_module(f"proj_{name}", nn.Linear(dim, dim, bias=qkv_bias))
        self.attn_drop, self.proj, self.proj_drop = nn.Dropout(0.0), nn.Linear(dim, dim), nn.Dropout(0.0)


class Block(nn.Module):
    def __init__(self, dim, hidden, with_cls_token, **attention):
        super().__init__()
        self.with_cls_token = with_cls_token
        self.norm1 = LayerNorm(dim, eps=1e-5)
        self.attn = Attention(dim, with_cls_token=with_cls_token, **attention)
        self.drop_path = nn.Identity()
        self.norm2 = LayerNorm(dim, eps=1e-5)
        self.mlp = Mlp(dim, hidden)


class ConvEmbed(nn.Module):
    def __init__(self, kernel, channels, dim, stride, padding):
        super().__init__()
        self.patch_size = (kernel, kernel)
        self.proj = nn.Conv2d(channels, dim, kernel, stride, padding)
        self.norm = LayerNorm(dim, eps=1e-5)


class VisionTransformer(nn.Module):
    def __init__(self, dim, depth, embed, block, with_cls_token):
        super().__init__()
        self.num_features = self.embed_dim = dim
        self.rearrage = None
        self.patch_embed = ConvEmbed(**embed, dim=dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim)) if with_cls_token else None
        self.pos_drop = nn.Dropout(p=0.0)
        self.blocks = nn.ModuleList(Block(dim, with_cls_token=with_cls_token, **block) for _ in range(depth))


class ConvolutionalVisionTransformer(nn.Module):
    """Built from a transformers `CvtConfig`."""

    def __init__(self, config):
        super().__init__()
        self.num_classes, self.num_stages = config.num_labels, len(config.depth)
        channels = config.num_channels
        for i, (dim, depth) in enumerate(zip(config.embed_dim, config.depth)):
            embed = {"kernel": config.patch_sizes[i], "channels": channels, "stride": config.patch_stride[i]}
            embed["padding"] = config.patch_padding[i]
            block = {"hidden": int(dim * config.mlp_ratio[i]), "heads": config.num_heads[i], "kernel": config.kernel_qkv[i]}
            block |= {"qkv_bias": config.qkv_bias[i], "stride_kv": config.stride_kv[i], "stride_q": config.stride_q[i]}
            block |= {"padding_kv": config.padding_kv[i], "padding_q": config.padding_q[i]}
            self.add_module(f"stage{i}", VisionTransformer(dim, depth, embed, block, config.cls_token[i]))
            channels = dim
        self.norm = LayerNorm(config.embed_dim[-1], eps=1e-5)
        self.cls_token = config.cls_token[-1]
        self.head = nn.Linear(config.embed_dim[-1], config.num_labels)


def register():
    """Gives the classes the modules under which Microsoft's program saves them."""
    whole = (Mlp, Attention, Block, ConvEmbed, VisionTransformer, ConvolutionalVisionTransformer)
    for name, classes in (
        ("models", ()),
        ("models.cls_cvt", (LayerNorm, QuickGELU, *whole)),
        ("einops", ()),
        ("einops.layers", ()),
        ("einops.layers.torch", (Rearrange,)),
    ):
        module = sys.modules.setdefault(name, ModuleType(name))
        for kind in classes:
            kind.__module__ = name
            setattr(module, kind.__name__, kind)
