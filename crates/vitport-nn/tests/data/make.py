"""Makes modules.safetensors: for every row of cases.json inputs, weights and what PyTorch makes of them in float64.

Inputs and weights are float32 numbers, and so are the outputs, once computed. Maps are stored as tokens, [positions,
channels], unless a case says `planar`. Needs torch, timm and safetensors.
"""

import functools
import json
import pathlib
import zlib

import timm.layers
import torch
from safetensors.torch import save_file
from timm.layers.grn import GlobalResponseNorm
from timm.layers.pos_embed_rel import RelPosMlp
from timm.layers.pos_embed_sincos import RotaryEmbeddingDinoV3
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual, SqueezeExcite
from timm.models.beit import Attention as BeitAttention
from timm.models.beit import Block as BeitBlock
from timm.models.beit import RelativePositionBias
from timm.models.eva import EvaAttention
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock
from timm.models.swin_transformer_v2 import PatchMerging as PatchMergingV2
from timm.models.swin_transformer_v2 import SwinTransformerV2Block
from timm.models.vision_transformer import Attention, Block
from timm.models.vision_transformer_relpos import RelPosBlock
from torch import nn
from torch.nn import functional as F

HERE = pathlib.Path(__file__).parent


class QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


ACTIVATIONS = {
    "identity": nn.Identity,
    "gelu": nn.GELU,
    "quick_gelu": QuickGelu,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_swish": nn.Hardswish,
    "mish": nn.Mish,
}


def activation(case, key="activation"):
    return ACTIVATIONS[case[key]]()


def random(*shape):
    """Normal float32 numbers, as float64."""
    return torch.randn(shape).double()


def filled(module):
    """The module in float64, with random parameters and statistics."""
    module = module.double().eval()
    for name, tensor in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        values = random(*tensor.shape)
        if name.endswith("running_var"):
            values = 0.01 + values**2
        elif tensor.ndim in (2, 4) and tensor[0].numel() > 1 and tensor.shape[0] > 1:
            values = values * 1.5 / tensor[0].numel() ** 0.5
        tensor.copy_(values.float())
    return module


def tokens(x):
    """[1, channels, height, width] as [positions, channels]."""
    return x[0].flatten(1).T


def on_a_map(case, module, channels):
    x = random(1, channels, case["height"], case["width"])
    stored = x[0] if case.get("layout") == "planar" else tokens(x)
    return {"x": stored}, module, tokens(module(x))


def on_tokens(case, module, width):
    x = random(case["tokens"], width)
    return {"x": x}, module, module(x)


def make_activation(case):
    size = torch.logspace(-30, 1.5, 64).double()
    x = torch.cat([-size, torch.zeros(1).double(), size, torch.linspace(-14, 14, 113).double()]).float().double()
    return {"x": x[None]}, nn.Module(), activation(case)(x)[None]


def make_linear(case):
    fc = filled(nn.Linear(case["inputs"], case["outputs"], bias=case["bias"]))
    x = random(case["tokens"], case["inputs"])
    return {"x": x}, fc, activation(case)(fc(x))


def make_layer_norm(case):
    norm = filled(nn.LayerNorm(case["features"], eps=case["eps"]))
    x = (case["mean"] + case["std"] * random(case["tokens"], case["features"])).float().double()
    return {"x": x}, norm, norm(x)


def make_rms_norm(case):
    norm = filled(nn.RMSNorm(case["features"], eps=case["eps"]))
    x = (case["mean"] + case["std"] * random(case["tokens"], case["features"])).float().double()
    return {"x": x}, norm, norm(x)


def make_batch_norm(case):
    norm = filled(nn.BatchNorm2d(case["channels"], eps=case["eps"]))
    inputs, _, out = on_a_map(case, norm, case["channels"])
    return inputs, norm, activation(case)(out)


def conv(case, groups, outputs, bias):
    window = [case[key] for key in ("kernel", "stride", "padding")]
    return nn.Conv2d(case["channels"], outputs, *window, groups=groups, bias=bias)


def make_conv2d(case):
    module = filled(conv(case, case["groups"], case["outputs"], case["bias"]))
    return on_a_map(case, module, case["channels"])


def make_conv2d_same(case):
    """timm's convolution with TensorFlow's padding."""
    window = dict(stride=tuple(case["stride"]), groups=case["groups"], bias=case["bias"])
    module = timm.layers.Conv2dSame(case["channels"], case["outputs"], tuple(case["kernel"]), **window)
    return on_a_map(case, filled(module), case["channels"])


class OneMoreBehind(nn.Conv2d):
    """A convolution that is padded with one more row below and one more column right than above and left."""

    def forward(self, x):
        above, left = self.padding
        x = F.pad(x, (left, left + 1, above, above + 1))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


def make_conv2d_one_more_behind(case):
    window = [case[key] for key in ("kernel", "stride", "padding")]
    module = OneMoreBehind(case["channels"], case["outputs"], *window, groups=case["groups"], bias=case["bias"])
    return on_a_map(case, filled(module), case["channels"])


def make_conv2d_norm(case):
    module = nn.Sequential()
    module.add_module("conv", conv(case, case["channels"], case["channels"], False))
    module.add_module("norm", nn.BatchNorm2d(case["channels"], eps=case["eps"]))
    return on_a_map(case, filled(module), case["channels"])


def make_layer_scale(case):
    shape = (case["tokens"], case["features"])
    x, branch = random(*shape), random(*shape)
    scale = filled(timm.layers.LayerScale(case["features"])) if case["scaled"] else nn.Identity()
    return {"x": x, "branch": branch}, scale, x + scale(branch)


def make_mlp(case):
    mlp = timm.layers.Mlp(case["width"], case["hidden"], act_layer=ACTIVATIONS[case["activation"]])
    return on_tokens(case, filled(mlp), case["width"])


def make_gated_mlp(case):
    kind, sizes = timm.layers.SwiGLU, (case["width"], case["hidden"])
    if case["packed"]:
        kind, sizes = timm.layers.SwiGLUPacked, (case["width"], 2 * case["hidden"])
    mlp = kind(*sizes, act_layer=ACTIVATIONS[case["activation"]], bias=case["bias"])
    return on_tokens(case, filled(mlp), case["width"])


class Pooling(nn.Module):
    """SigLIP's attention pooling as transformers has it, with PyTorch's own multi-head attention."""

    def __init__(self, case):
        super().__init__()
        width = case["width"]
        self.probe = nn.Parameter(torch.zeros(1, 1, width))
        self.attention = nn.MultiheadAttention(width, case["heads"], batch_first=True)
        self.layernorm = nn.LayerNorm(width, eps=case["eps"])
        self.mlp = timm.layers.Mlp(width, case["hidden"], act_layer=ACTIVATIONS[case["activation"]])

    def forward(self, x):
        pooled = self.attention(self.probe, x, x)[0]
        return (pooled + self.mlp(self.layernorm(pooled)))[:, 0]


def make_pooled_attention(case):
    if case["fused"]:
        module = Pooling(case)
    else:
        norm = functools.partial(nn.LayerNorm, eps=case["eps"])
        module = timm.layers.AttentionPoolLatent(
            case["width"], num_heads=case["heads"], mlp_ratio=case["hidden"] / case["width"], norm_layer=norm,
            act_layer=ACTIVATIONS[case["activation"]],
        )
    x = random(case["tokens"], case["width"])
    module = filled(module)
    return {"x": x}, module, module(x[None])


def heads(case, x):
    return x.unflatten(-1, (case["heads"], -1)).transpose(0, 1)


def attended(case, q, k, v):
    q, k, v = (heads(case, x) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=case["scale"]).transpose(0, 1).flatten(1)


class SeparateAttention(nn.Module):
    def __init__(self, case):
        super().__init__()
        self.case, width = case, case["width"]
        self.query, self.key, self.value = (nn.Linear(width, width, bias=case["bias"]) for _ in range(3))
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        return self.proj(attended(self.case, self.query(x), self.key(x), self.value(x)))


def make_self_attention(case):
    if case["fused"]:
        fused = filled(Attention(case["width"], num_heads=case["heads"], qkv_bias=case["bias"]))
        fused.scale, fused.fused_attn = case["scale"], False
        x = random(case["tokens"], case["width"])
        return {"x": x}, fused, fused(x[None])[0]
    return on_tokens(case, filled(SeparateAttention(case)), case["width"])


class SharedTable(BeitAttention):
    """BEiT's attention with a second table, as where all layers share one."""

    def __init__(self, case):
        sizes = dict(num_heads=case["heads"], qkv_bias=True, window_size=case["grid"])
        super().__init__(case["width"], **sizes)
        self.shared = BeitAttention(case["width"], **sizes) if case["shared"] else None
        if self.shared:
            self.shared.qkv = self.shared.proj = self.shared.q_bias = self.shared.v_bias = None

    def forward(self, x):
        return super().forward(x, self.shared._get_rel_pos_bias() if self.shared else None)


def make_biased_attention(case):
    module = filled(SharedTable(case))
    x = random(case["grid"][0] * case["grid"][1] + 1, case["width"])
    return {"x": x}, module, module(x[None])[0]


def make_rotated_attention(case):
    rope = RotaryEmbeddingDinoV3(case["width"] // case["heads"], case["theta"], rotate_half=True, device="cpu")
    angles = rope.get_embed(case["grid"]).double()
    sizes = dict(qkv_fused=case["fused"], num_prefix_tokens=case["prefix"], scale_norm=False, rotate_half=True)
    module = EvaAttention(case["width"], case["heads"], **sizes)
    x = random(case["prefix"] + case["grid"][0] * case["grid"][1], case["width"])
    return {"x": x}, filled(module), module(x[None], rope=angles)[0]


def make_attention(case):
    q, k, v = (random(case[count], case["width"]) for count in ("queries", "keys", "keys"))
    module = nn.Module()
    module.proj = nn.Linear(case["width"], case["width"])
    return {"q": q, "k": k, "v": v}, filled(module), module.proj(attended(case, q, k, v))


def make_prepend(case):
    x, leading = random(case["tokens"], case["width"]), random(case["count"], case["width"])
    return {"x": x, "leading": leading}, nn.Module(), torch.cat([leading, x])


def make_patch_embed(case):
    (channels, *size), patch = case["input"], case["patch"]
    sizes = dict(img_size=tuple(size), patch_size=tuple(patch), in_chans=channels, embed_dim=case["width"])
    module = filled(timm.layers.PatchEmbed(**sizes, bias=case["bias"]))
    x = random(1, *case["input"])
    return {"x": x[0]}, module, module(x)[0]


def make_mean_of_rows(case):
    x = random(case["tokens"], case["width"])
    return {"x": x}, nn.Module(), x.mean(0, keepdim=True)


def make_max_pool2d(case):
    pool = nn.MaxPool2d(case["kernel"], case["stride"], case["padding"], ceil_mode=case["ceil_mode"])
    return on_a_map(case, pool, case["channels"])


def make_avg_pool2d(case):
    rounding = {key: case[key] for key in ("ceil_mode", "count_include_pad")}
    pool = nn.AvgPool2d(case["kernel"], case["stride"], case["padding"], **rounding)
    return on_a_map(case, pool, case["channels"])


def make_squeeze_excite(case):
    layers = {"act_layer": ACTIVATIONS[case["activation"]], "gate_layer": ACTIVATIONS[case["gate"]]}
    module = timm.layers.SEModule(case["channels"], rd_channels=case["reduced"], **layers)
    for layer in (module.act, module.gate):
        layer.inplace = False
    return on_a_map(case, filled(module), case["channels"])


class ResidualBlock(nn.Module):
    """The block of ResNet and RegNet, with 1 × 1, 3 × 3 and 1 × 1 convolutions."""

    def __init__(self, case):
        super().__init__()
        channels, hidden, outputs = (case[key] for key in ("channels", "hidden", "outputs"))
        self.conv1, self.conv3 = nn.Conv2d(channels, hidden, 1, bias=False), nn.Conv2d(hidden, outputs, 1, bias=False)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, case["stride"], 1, groups=case["groups"], bias=False)
        self.norm1, self.norm2, self.norm3 = nn.BatchNorm2d(hidden), nn.BatchNorm2d(hidden), nn.BatchNorm2d(outputs)
        self.se = timm.layers.SEModule(hidden, rd_channels=case["reduced"]) if case["reduced"] else nn.Identity()
        self.act = ACTIVATIONS[case["activation"]]()
        self.shortcut = nn.Sequential()
        if case["shortcut"]:
            self.shortcut.add_module("conv", nn.Conv2d(channels, outputs, 1, case["stride"], bias=False))
            self.shortcut.add_module("norm", nn.BatchNorm2d(outputs))

    def forward(self, x):
        hidden = self.act(self.norm2(self.conv2(self.act(self.norm1(self.conv1(x))))))
        return self.act(self.norm3(self.conv3(self.se(hidden))) + self.shortcut(x))


def make_residual_block(case):
    return on_a_map(case, filled(ResidualBlock(case)), case["channels"])


def make_encoder_block(case):
    kind = nn.RMSNorm if case["rms"] else nn.LayerNorm
    hidden = 2 * case["hidden"] if case["gated"] else case["hidden"]
    block = Block(
        case["width"], case["heads"], mlp_ratio=hidden / case["width"], qkv_bias=True,
        init_values=1.0 if case["scaled"] else None, norm_layer=functools.partial(kind, eps=case["eps"]),
        mlp_layer=timm.layers.SwiGLUPacked if case["gated"] else timm.layers.Mlp,
        act_layer=ACTIVATIONS[case["activation"]],
    )
    x = random(case["tokens"], case["width"])
    block = filled(block)
    return {"x": x}, block, block(x[None])[0]


class BiasedBlocks(nn.Module):
    """Blocks of timm's BEiT, each with a table, after one that all share."""

    def __init__(self, case):
        super().__init__()
        norm, grid = functools.partial(nn.LayerNorm, eps=case["eps"]), tuple(case["grid"])
        self.blocks = nn.ModuleList(
            BeitBlock(
                case["width"], case["heads"], qkv_bias=True, mlp_ratio=case["hidden"] / case["width"],
                init_values=0.1, norm_layer=norm, window_size=grid if case["own"] else None,
            )
            for _ in range(case["depth"])
        )
        self.rel_pos_bias = RelativePositionBias(grid, case["heads"]) if case["shared"] else None

    def forward(self, x):
        shared = self.rel_pos_bias() if self.rel_pos_bias else None
        for block in self.blocks:
            x = block(x, shared_rel_pos_bias=shared)
        return x


def make_biased_block(case):
    module = filled(BiasedBlocks(case))
    x = random(case["grid"][0] * case["grid"][1] + 1, case["width"])
    return {"x": x}, module, module(x[None])[0]


def make_inverted_block(case):
    """EfficientNet's block, with an expansion or without, as timm pads it."""
    sizes = dict(
        dw_kernel_size=case["kernel"], stride=case["stride"], pad_type="same", act_layer=ACTIVATIONS[case["activation"]],
        norm_layer=functools.partial(timm.layers.BatchNormAct2d, eps=case["eps"]),
    )
    if case["reduced"]:
        ratio = case["reduced"] / case["channels"] / case["expansion"]
        sizes["se_layer"] = functools.partial(SqueezeExcite, rd_ratio=ratio, rd_round_fn=round)
    if case["expansion"] == 1:
        block = DepthwiseSeparableConv(case["channels"], case["outputs"], **sizes)
    else:
        block = InvertedResidual(case["channels"], case["outputs"], exp_ratio=case["expansion"], **sizes)
    assert block.has_skip == case["adds"]
    for module in block.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    return on_a_map(case, filled(block), case["channels"])


def make_log_biased_block(case):
    grid, width, prefix = case["grid"], case["width"], int(case["class_token"])
    table = functools.partial(
        RelPosMlp, window_size=tuple(grid), hidden_dim=case["table_hidden"], prefix_tokens=prefix
    )
    block = filled(RelPosBlock(
        width, case["heads"], mlp_ratio=case["hidden"] / width, qkv_bias=True, init_values=1.0, rel_pos_cls=table,
        norm_layer=functools.partial(nn.LayerNorm, eps=case["eps"]),
    ))
    # These are computed in float32, too large an error for what is compared here.
    along = [torch.arange(-(side - 1), side).double() for side in grid]
    exact = [torch.sign(at) * torch.log1p(at.abs()) for at in along]
    exact = torch.stack(torch.meshgrid(*exact, indexing="ij"), dim=-1)
    assert (exact - block.attn.rel_pos.rel_coords_log).abs().max() < 1e-6
    block.attn.rel_pos.register_buffer("rel_coords_log", exact, persistent=False)
    x = random(grid[0] * grid[1] + prefix, width)
    return {"x": x}, block, block(x[None])[0]


def make_window_block(case):
    channels, grid = case["channels"], (case["height"], case["width"])
    block = SwinTransformerBlock(
        channels, grid, num_heads=case["heads"], window_size=case["window"], shift_size=case["shift"],
        mlp_ratio=case["hidden"] / channels, norm_layer=functools.partial(nn.LayerNorm, eps=case["eps"]),
    )
    x = random(1, *grid, channels)
    block = filled(block)
    return {"x": x[0].flatten(0, 1)}, block, block(x)[0].flatten(0, 1)


def make_window_v2_block(case):
    channels, grid = case["channels"], (case["height"], case["width"])
    block = SwinTransformerV2Block(
        channels, grid, num_heads=case["heads"], window_size=case["window"], shift_size=case["shift"],
        mlp_ratio=case["hidden"] / channels, norm_layer=functools.partial(nn.LayerNorm, eps=case["eps"]),
        pretrained_window_size=case["pretrained"],
    )
    x = random(1, *grid, channels)
    block = filled(block)
    # One head at the largest factor, the others below.
    block.attn.logit_scale.copy_(torch.linspace(5.0, 1.0, case["heads"])[:, None, None])
    block.attn.k_bias.zero_()
    # These are computed in float32, too large an error for what is compared here.
    block.attn.register_buffer("relative_coords_table", coordinates(block.attn), persistent=False)
    return {"x": x[0].flatten(0, 1)}, block, block(x)[0].flatten(0, 1)


def coordinates(attention):
    table = attention._make_pair_wise_relative_positions(dtype=torch.float32)[0]
    side, pretrained = attention.window_size[0], attention.pretrained_window_size[0]
    at = torch.arange(-(side - 1), side).double() / max((pretrained or side) - 1, 1) * 8
    at = torch.sign(at) * torch.log2(at.abs() + 1) / 3
    exact = torch.stack(torch.meshgrid(at, at, indexing="ij"), dim=-1)[None]
    assert (exact - table).abs().max() < 1e-6
    return exact


def make_patch_merging(case):
    norm = functools.partial(nn.LayerNorm, eps=case["eps"])
    kind = PatchMerging if case["normalized_first"] else PatchMergingV2
    merging = filled(kind(case["channels"], case["outputs"], norm_layer=norm))
    x = random(1, case["height"], case["width"], case["channels"])
    return {"x": x[0].flatten(0, 1)}, merging, merging(x)[0].flatten(0, 1)


def make_global_response_norm(case):
    norm = filled(GlobalResponseNorm(case["features"][-1], eps=case["eps"], channels_last=False))
    inputs, _, out = on_a_map(case, norm, case["features"][-1])
    for name in ("weight", "bias"):
        setattr(norm, name, nn.Parameter(getattr(norm, name).reshape(case["features"])))
    return inputs, norm, out


def main():
    made = {}
    for case in json.loads((HERE / "cases.json").read_text()):
        torch.manual_seed(zlib.crc32(case["name"].encode()))
        with torch.no_grad():
            inputs, module, out = globals()[f"make_{case['module']}"](case)
        tensors = {f"in/{key}": value for key, value in inputs.items()}
        tensors |= {f"weights/{key}": value for key, value in module.state_dict().items()}
        for key, value in (tensors | {"out": out}).items():
            made[f"{case['name']}/{key}"] = value.float().contiguous().clone()
    save_file(made, HERE / "modules.safetensors")


main()
