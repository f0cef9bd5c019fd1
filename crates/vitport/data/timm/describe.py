"""Reads off a timm model, built on the meta device, what its definition needs.

Keys are the names of timm's constructor arguments, with the values that the model was made with; what
no argument says (activations and norms that occur, widths of stages, the MLP's width) is read off the
modules. README.md next to this file lists the keys.
"""
import copy
import dataclasses
import functools
import inspect
import re
import sys
import types

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

# Arguments without a say in what the network computes in evaluation, and those that tags hold.
LEFT_OUT = set(
    "self device dtype in_chans num_classes drop_rate pos_drop_rate patch_drop_rate proj_drop_rate attn_drop_rate "
    "drop_path_rate drop_connect_rate drop_block_rate block_drop_rate mlp_drop_rate drop weight_init fix_init "
    "zero_init_last dynamic_img_size dynamic_img_pad strict_img_size head_init_scale head_init_bias pretrained "
    "pretrained_cfg pretrained_cfg_overlay scriptable exportable memory_efficient distilled_training".split()
)
# Modules whose models are a plain stack of transformer blocks.
BLOCK_STACKS = {"vision_transformer", "deit", "eva", "beit"}

_made = []


def watch_constructors():
    """Remembers the arguments of every module that is made from now on; `build` forgets them again."""

    def remember(cls, *args, **kwargs):
        if cls.__module__.startswith("timm.models."):
            if "block_args" in kwargs:  # EfficientNet's builder takes these apart
                kwargs = {**kwargs, "block_args": copy.deepcopy(kwargs["block_args"])}
            _made.append((cls, args, kwargs))
        return object.__new__(cls)

    nn.Module.__new__ = staticmethod(remember)


class NoValues(TorchFunctionMode):
    """Leaves out what fills tensors with values, which takes most of the time and which meta tensors lack."""

    FILLING = set(
        "uniform_ normal_ kaiming_uniform_ kaiming_normal_ erfinv_ mul_ add_ sub_ div_ clamp_ fill_ zero_ copy_".split()
    )

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensor = args[0] if args else kwargs.get("tensor")
        if getattr(func, "__name__", "") in self.FILLING and getattr(tensor, "is_meta", False):
            return tensor
        return func(*args, **kwargs)


def build(create):
    """The model that `create` returns, made on the meta device, and its constructor's arguments by name."""
    _made.clear()
    try:
        with torch.device("meta"), NoValues():
            model = create()
    except (NotImplementedError, RuntimeError) as error:  # values are asked for in the constructor
        print(f"not on the meta device: {error}", file=sys.stderr)
        _made.clear()
        model = create()
    for cls, args, kwargs in _made:
        if cls is type(model):
            return model, arguments(cls, args, kwargs)
    raise ValueError(f"{type(model).__name__} was not made by a constructor of timm's")


def arguments(cls, args, kwargs):
    """The arguments of a constructor by name, defaults too; the fields of a config object as arguments of their own."""
    signature = inspect.signature(cls.__init__)
    bound = signature.bind(None, *args, **kwargs)
    bound.apply_defaults()
    flat = {}
    for name, value in bound.arguments.items():
        how = signature.parameters[name].kind
        if dataclasses.is_dataclass(value):
            flat.update({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
        elif how is inspect.Parameter.VAR_KEYWORD:
            flat = {**inherited(cls), **flat, **value}
        elif how is not inspect.Parameter.VAR_POSITIONAL:
            flat[name] = value
    if isinstance(flat.get("block_args"), list):
        flat["block_args"] = [runs([block_text(block) for block in stage]) for stage in flat["block_args"]]
    return {name: plain(value) for name, value in flat.items() if name not in LEFT_OUT}


def inherited(cls):
    """Defaults of the arguments that a constructor hands on to the class above it."""
    above = inspect.signature(cls.__mro__[1].__init__).parameters.values()
    return {each.name: each.default for each in above if each.default is not inspect.Parameter.empty}


def plain(value):
    """A value as JSON has it: functions and classes by their names, tuples as lists."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, functools.partial):
        known = {name: plain(inner) for name, inner in value.keywords.items() if name not in LEFT_OUT}
        words = ", ".join(f"{name}={inner}" for name, inner in known.items())
        return f"{plain(value.func)}({words})" if words else plain(value.func)
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        return value.__name__
    if dataclasses.is_dataclass(value):
        pairs = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: plain(inner) for name, inner in pairs if inner is not None and name not in LEFT_OUT}
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items() if name not in LEFT_OUT}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return type(value).__name__


def block_text(block):
    """A block of an EfficientNet in timm's own notation: `ir_k5_s2_e6_c40_se0.25`."""
    short = {"dw_kernel_size": "k", "stride": "s", "exp_ratio": "e", "out_chs": "c", "se_ratio": "se"}
    text = block["block_type"]
    for name, value in block.items():
        if name in ("exp_kernel_size", "pw_kernel_size") and numbers(value).strip("1.") == "":
            continue
        if name != "block_type" and value not in (None, False, 0):
            text += f"_{short[name]}{numbers(value)}" if name in short else f"_{name}={plain(value)}"
    return text


def numbers(value):
    """A number, or several with dots between, as in timm's notation."""
    return ".".join(f"{number:g}" for number in (value if isinstance(value, (list, tuple)) else [value]))


def runs(items):
    """Equal neighbours counted: `["2x a", "b"]`."""
    out = []
    for item in items:
        if out and out[-1][1] == item:
            out[-1][0] += 1
        else:
            out.append([1, item])
    return [item if count == 1 else f"{count}x {item}" for count, item in out]


def one_or_all(values):
    """A value that all share as itself; otherwise the list without equal neighbours."""
    values = [value for index, value in enumerate(values) if index == 0 or value != values[index - 1]]
    return values[0] if len(values) == 1 else values or None


def kind(module):
    return type(module).__name__ if module is not None else None


def eps_of(module):
    return getattr(module, "eps", None)


def is_activation(module):
    home = type(module).__module__
    return home.startswith("timm.layers.activations") or (
        home == "torch.nn.modules.activation" and not isinstance(module, (nn.MultiheadAttention, nn.Softmax))
    )


def stated(model, args):
    """What every model is asked: its widths, and the names of what it is made of outside the head."""
    outer = ("head", "classifier", "fc", "attn_pool")
    inner = [(name, m) for name, m in model.named_modules() if name.split(".")[0] not in outer]
    norms = {}
    for _, module in inner:
        if eps_of(module) is not None and "norm" in kind(module).lower():
            norms.setdefault(kind(module), []).append(module.eps)
    all_eps = sorted({eps for found in norms.values() for eps in found})
    info = getattr(model, "feature_info", None)
    info = list(info) if info is not None else []
    out = {
        "num_features": getattr(model, "num_features", None),
        "num_chs": [stage["num_chs"] for stage in info] if not same(info, "num_chs") else info[0]["num_chs"],
        "reduction": [stage["reduction"] for stage in info] if not same(info, "reduction") else info[0]["reduction"],
        "acts": sorted({kind(m) for _, m in inner if is_activation(m)}),
        "norms": sorted(norms),
        "norm_eps": all_eps[0] if len(all_eps) == 1 else all_eps or None,
        "global_pool": pooling(model, args),
        "mlp_dim": one_or_all([m.fc2.weight.shape[1] for _, m in inner if projects(m)]),
        "stem": stem(inner),
    }
    embed = getattr(model, "patch_embed", None)
    for name in ("img_size", "patch_size"):
        size = getattr(embed, name, None)
        if isinstance(size, (tuple, list)) and len(size) == 2:
            out[name] = list(size)
    for name in ("num_heads", "window_size"):
        if args.get(name) is None:
            out[name] = one_or_all(attributes(inner, name))
    heads = one_or_all(attributes(inner, "num_heads") or attributes(inner, "heads"))
    if isinstance(args.get("num_heads"), int) and heads not in (None, args["num_heads"]):
        out["heads"] = heads
    if not args.keys() & {"depths", "layers"} and not isinstance(args.get("depth"), list):
        out["depths"] = depths(model)
    blocks = getattr(model, "blocks", None)
    if isinstance(blocks, (nn.Sequential, nn.ModuleList)) and "depth" not in args and out.get("depths") is None:
        out["depth"] = len(blocks)
    return out


def attributes(inner, name):
    found = (plain(getattr(module, name, None)) for _, module in inner)
    return [value for value in found if isinstance(value, (int, list))]


def depths(model):
    """The number of blocks of each stage, where a model has stages."""
    stages = getattr(model, "stages", None)
    if not isinstance(stages, (nn.Sequential, nn.ModuleList)):
        stages = [module for name, module in model.named_children() if re.fullmatch(r"(s|layer|stage)\d", name)]
    blocks = [getattr(stage, "blocks", stage) for stage in stages]
    return [len(list(stage.children())) for stage in blocks] or None


def same(info, key):
    return len(info) > 1 and len({str(stage[key]) for stage in info}) == 1


def projects(module):
    return hasattr(module, "fc1") and isinstance(getattr(module, "fc2", None), (nn.Linear, nn.Conv2d)) and (
        "mlp" in kind(module).lower() or "glu" in kind(module).lower()
    )


def stem(inner):
    """The first convolution, as timm's stems begin: channels, kernel, stride, padding, bias."""
    for _, module in inner:
        if isinstance(module, nn.Conv2d):
            text = f"{kind(module)} {module.in_channels}-{module.out_channels}"
            text += " k" + "x".join(str(edge) for edge in module.kernel_size) + f" s{module.stride[0]}"
            padding = module.padding if isinstance(module.padding, str) else module.padding[0]
            return text + f" p{padding}" + ("" if module.bias is None else " bias")
    return None


def pooling(model, args):
    for holder in (model, getattr(model, "head", None)):
        pool = getattr(holder, "global_pool", None)
        if isinstance(pool, str):
            return pool
        if isinstance(getattr(pool, "pool_type", None), str):
            return pool.pool_type
    return args.get("global_pool")


def transformer(model, args):
    """What a plain stack of transformer blocks is made of; only facts that decide which class can hold the weights."""
    block = model.blocks[0]
    attn, mlp = getattr(block, "attn", None), getattr(block, "mlp", None)
    norm1 = getattr(block, "norm1", None) or getattr(block, "in_norm", None)
    fc_norm, norm = getattr(model, "fc_norm", None), getattr(model, "norm", None)
    final = fc_norm if eps_of(fc_norm) is not None else norm
    names = set(model.state_dict())
    first = {name.removeprefix("blocks.0.") for name in names if name.startswith("blocks.0.")}
    registers = getattr(model, "num_reg_tokens", None)
    if registers is None:
        token = getattr(model, "reg_token", None)
        registers = 0 if token is None else token.shape[1]
    act = getattr(mlp, "act", None)
    biases = {"attn.qkv.bias", "in_proj.bias", "qkv_bias", "attn.q_bias", "attn.q_proj.bias"}
    out = {
        "block_fn": kind(block),
        "attn_layer": kind(attn),
        "mlp_layer": mlp_kind(mlp),
        "act_layer": kind(act) if isinstance(act, nn.Module) else plain(act),
        "class_token": getattr(model, "cls_token", None) is not None,
        "reg_tokens": registers,
        "dist_token": getattr(model, "dist_token", None) is not None,
        "no_embed_class": bool(getattr(model, "no_embed_class", False)),
        "pos_embed": getattr(model, "pos_embed", None) is not None,
        "pre_norm": "norm_pre.weight" in names,
        "norm": kind(norm),
        "block_norm": kind(norm1),
        "norm_eps": eps_of(norm1) if norm1 is not None else eps_of(final),
        "fc_norm": "fc_norm.weight" in names,
        "attn_pool": kind(getattr(model, "attn_pool", None)),
        "layer_scale": any(n.endswith((".gamma", "gamma_1")) for n in first),
        "embed_layer": kind(model.patch_embed),
        "patch_bias": "patch_embed.proj.bias" in names,
        "patch_norm": "patch_embed.norm.weight" in names,
        "qkv_bias": bool(first & biases) or "attns.0.attn.qkv.bias" in first,
        "qk_norm": any("q_norm" in n for n in first),
        "proj_bias": bool(first & {"attn.proj.bias", "out_proj.bias", "attn_out_proj.bias", "attns.0.attn.proj.bias"}),
        "mlp_bias": any(n.endswith(".bias") and "mlp.fc" in n for n in first),
        "scale_attn_norm": "attn.norm.weight" in first,
        "scale_mlp_norm": "mlp.norm.weight" in first,
        "pool_include_prefix": bool(getattr(model, "pool_include_prefix", False)),
        "depth": len(model.blocks),
        "embed_dim": model.embed_dim,
        "num_heads": args.get("num_heads"),
        "mlp_dim": mlp_width(model, block),
    }
    return out


def mlp_kind(mlp):
    # SwiGLUPacked is a GluMlp with its gate first.
    is_packed = kind(mlp) == "GluMlp" and not mlp.gate_last and kind(mlp.act) == "SiLU"
    return "SwiGLUPacked" if is_packed else kind(mlp)


def mlp_width(model, block):
    # What the second projection reads; a block that projects attention and MLP together
    # (DiffParallelScalingBlock) has both next to each other in one matrix.
    for name, before in (("fc2", 0), ("mlp_out_proj", 0), ("out_proj", model.embed_dim)):
        widths = [w.shape[1] - before for n, w in block.named_parameters() if n.split(".")[-2:] == [name, "weight"]]
        if widths:
            return widths[0]
    return None


def describe(module, model, args):
    """All fields of an architecture."""
    fields = dict(args)
    fields.update({name: value for name, value in stated(model, args).items() if value is not None})
    if module in BLOCK_STACKS:
        fields.update(transformer(model, args))
    if args.get("act_layer", "") is None and fields.get("act_layer") is None:
        # The constructor has a default of its own in place of None. What gates squeeze-excite is not it, nor what a block is given.
        acts = [act for act in fields.get("acts", []) if "sigmoid" not in act.lower()]
        if module == "efficientnet":
            acts = [kind(model.bn1.act)]
        fields["act_layer"] = acts[0] if len(acts) == 1 else None
    return fields


def parameters(model):
    return sum(p.numel() for p in model.parameters())
