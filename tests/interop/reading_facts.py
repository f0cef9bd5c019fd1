"""The facts of each family that sources state in test_readings.py: how each carrier says another value of them, and how a network is
made that has it.
"""
from dataclasses import replace

import timm.layers
import torch
from torch import nn

import cls_cvt
import readings
from readings import NAMES, Fact, Family

OTHER_NAMES = ["one", "two", "three", "four", "five"]


def each(kind, **attributes):
    """Sets attributes of every module of a kind, or that has all of them where `kind` is None."""

    def edit(model):
        for module in model.modules():
            is_meant = isinstance(module, kind) if kind else all(hasattr(module, name) for name in attributes)
            if is_meant:
                vars(module).update(attributes)

    return edit


def at(path, **attributes):
    return lambda model: vars(model.get_submodule(path)).update(attributes)


def put(path, module):
    """Puts another module in a place."""

    def edit(model):
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, module())

    return edit


def activation(module):
    def edit(model):
        for part in model.modules():
            for name in ("act", "activation"):  # timm's and Microsoft's, transformers'
                if hasattr(part, name):
                    setattr(part, name, module())

    return edit


def heads(count, width):
    return each(None, num_heads=count, head_dim=width // count, scale=(width // count) ** -0.5)


def both(other, own, paths):
    """What carriers say of a fact by one key each, and the same for the family's own value."""
    return {carrier: {path: other} for carrier, path in paths.items()} | {
        "own": {carrier: {path: own} for carrier, path in paths.items()}
    }


def argument(name, other, own, **more):
    """A fact that is an argument of timm's constructor."""
    said = both(other, own, {"config": f"model_args.{name}", "args": f"model_kwargs.{name}", "hyper": name})
    for carrier in ("config", "args", "hyper"):
        if carrier in more and more[carrier] is None:
            said[carrier] = more.pop(carrier) or {}
            said["own"].pop(carrier)
        elif carrier in more:
            others, owns = more.pop(carrier)
            said[carrier] |= others
            said["own"][carrier] |= owns
    return Fact(name, other, **{"build": {name: other}} | said | more)


def preprocessing(mean, std, crop_pct):
    return {"interpolation": "bicubic", "crop_mode": "center", "mean": mean, "std": std, "crop_pct": crop_pct}


# As timm has it for the tags of the families below, and Microsoft for CvT.
VIT_IMAGE = preprocessing((0.5,) * 3, (0.5,) * 3, 0.9)
CLIP_IMAGE = preprocessing((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), 0.9)
CONVNEXT_IMAGE = preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.95)
SWIN_IMAGE = preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.9)
RADIO_IMAGE = preprocessing(CLIP_IMAGE["mean"], CLIP_IMAGE["std"], 1.0)
TIPS_IMAGE = preprocessing((0.0,) * 3, (1.0,) * 3, 1.0)
DINO_IMAGE = preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1.0)
CVT_IMAGE = preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.875)


def answers(settings, **more):
    """Options that say all of the preprocessing."""
    flags = {"--mean": listed(settings["mean"]), "--std": listed(settings["std"]), "--crop-pct": str(settings["crop_pct"])}
    return more | flags | {"--interpolation": "bicubic", "--crop-mode": "center"}


def image(name, other, own, option):
    """A fact about images, which `pretrained_cfg` holds."""
    kept, own = (list(value) if isinstance(value, tuple) else value for value in (other, own))
    said = both(kept, own, {"config": f"pretrained_cfg.{name}", "args": name, "hyper": name})
    return Fact(name, other, names=(name, "preprocessing"), image={name: other}, **said, option=option)


def no_argument(name, other, own, **more):
    """A fact that no constructor of timm's takes under this name, so that the key is not understood."""
    said = both(other, own, {"config": f"model_args.{name}", "args": f"model_kwargs.{name}", "hyper": name})
    said["own"] = {"hyper": said["own"]["hyper"]}
    return Fact(name, other, **said | more)


def pooling(name):
    """Pooling without a norm of its own, so that the weights do not show it."""
    said = {"build": {"global_pool": name, "fc_norm": False}, "hyper": {"global_pool": name, "fc_norm": False}}
    said["config"] = {"model_args.global_pool": name, "model_args.fc_norm": False, "global_pool": name}
    said["args"] = {"gp": name, "model_kwargs.fc_norm": False}
    said["own"] = {"args": {"gp": "token"}, "hyper": {"global_pool": "token"}, "config": {"global_pool": "token"}}
    return Fact("global_pool", name, **said, module=each(None, global_pool=name, pool_include_prefix=False))


def part(name, edit, **more):
    """What only a module that was saved whole can have."""
    return Fact(name, "changed", module=edit, **more)


# What a person did to a module after it was made. No forward pass reads the note.
HOOK = part("hook", lambda model: model.register_forward_hook(readings.doubled))
NOTE = part("note", lambda model: vars(model).update(my_note="of mine", class_names=list("abcde")))


def listed(numbers):
    return ",".join(map(str, numbers))


def images(settings):
    """Facts of preprocessing, whose own values are `settings`."""
    mean, std, crop_pct = (settings[name] for name in ("mean", "std", "crop_pct"))
    return (
        image("mean", (0.1, 0.2, 0.3), mean, ("--mean", listed(mean), "0.1,0.2,0.3")),
        image("std", (0.4, 0.5, 0.6), std, ("--std", listed(std), "0.4,0.5,0.6")),
        image("crop_pct", 0.75, crop_pct, ("--crop-pct", str(crop_pct), "0.75")),
        image("interpolation", "bilinear", "bicubic", ("--interpolation", "bicubic", "bilinear")),
        image("crop_mode", "squash", "center", ("--crop-mode", "center", "squash")),
    )


NAMED = Fact(
    "labels", "names", labels=OTHER_NAMES, **both(OTHER_NAMES, NAMES, {"config": "label_names", "hyper": "class_names"}),
    option=("--labels", None, "{directory}/names.txt"),
)
SEVEN = Fact(
    "labels", "seven", names=("labels", "num_classes"), shown=True, config={"label_names": list("abcdefg")},
    option=("--labels", None, "{directory}/seven.txt"),
)
CLASSES = argument(
    "num_classes", 7, 5, shown=True, args=({"num_classes": 7}, {"num_classes": 5}), module=each(None, num_classes=7),
    config=({"num_classes": 7, "pretrained_cfg.num_classes": 7}, {}),
)
CHANNELS = argument("in_chans", 1, 3, shown=True, args=({"in_chans": 1}, {"in_chans": 3}), module=each(None, in_chans=1))


def eps(value):
    return each((nn.LayerNorm, timm.layers.RmsNorm), eps=value)


def transformer(own_eps, own_act, acts):
    """Facts of timm's VisionTransformer: a ViT and a CLIP."""

    def size(edges, shape):
        said = {"config": ({"pretrained_cfg.input_size": shape}, {}), "args": ({"img_size": edges}, {"img_size": 32})}
        return said | {"names": ("img_size", "image_size")}

    return (
        argument("num_heads", 6, 3, module=heads(6, 48), option=("--num-heads", "3", "6"), by_block=True),
        no_argument("norm_eps", 1e-3, float(own_eps), tweak=eps(1e-3), module=eps(1e-3), by_block=True,
                    option=("--layer-norm-eps", own_eps, "1e-3")),
        *(argument("act_layer", act, own_act, module=activation(timm.layers.get_act_layer(act)), by_block=True) for act in acts),
        pooling("avg"),
        pooling("max"),
        argument("img_size", 48, 32, shown=True, module=at("patch_embed", img_size=(48, 48), grid_size=(6, 6), num_patches=36),
                 option=("--image-size", "32", "48"), **size(48, [3, 48, 48])),
        argument("img_size", (16, 64), 32, module=at("patch_embed", img_size=(16, 64), grid_size=(2, 8)),
                 option=("--image-size", "32", "16x64"), **size([16, 64], [3, 16, 64])),
        no_argument("block_fn", "ResPostBlock", "Block", build={"block_fn": timm.models.vision_transformer.ResPostBlock}, names=("block",)),
        argument("no_embed_class", True, False, shown=True, module=each(None, no_embed_class=True)),
        argument("class_token", False, True, shown=True, build={"class_token": False, "global_pool": "avg", "fc_norm": False},
                 module=each(None, has_class_token=False, num_prefix_tokens=0)),
        argument("qkv_bias", False, True, shown=True),
        argument("proj_bias", False, True, shown=True),
        argument("reg_tokens", 4, 0, shown=True, module=each(None, num_reg_tokens=4, num_prefix_tokens=5)),
        argument("qk_norm", True, False, shown=True),
        argument("scale_attn_norm", True, False, shown=True, names=("scale_norm", "scale_attn_norm")),
        argument("init_values", 0.1, None, shown=True, names=("layer_scale", "init_values")),
        argument("patch_size", 4, 8, shown=True, module=at("patch_embed", patch_size=(4, 4), grid_size=(8, 8), num_patches=64)),
        argument("depth", 3, 2, shown=True),
        argument("embed_dim", 96, 48, shown=True, module=each(None, embed_dim=96)),
        argument("mlp_ratio", 2.0, 4.0, shown=True, names=("mlp_dim", "mlp_ratio")),
        argument("final_norm", False, True, shown=True),
        CLASSES,
        CHANNELS,
        part("stride", at("patch_embed.proj", stride=(4, 4))),
        part("padding", at("patch_embed.proj", padding=(1, 1))),
        part("dilation", at("patch_embed.proj", dilation=(2, 2))),
        part("scale", each(None, scale=0.1, fused_attn=False), by_block=True),
        part("head_drop", put("head_drop", nn.Tanh)),
        part("pos_drop", put("pos_drop", nn.ReLU)),
        part("patch_norm", put("patch_embed.norm", nn.Tanh)),
        part("q_norm", put("blocks.0.attn.q_norm", nn.Tanh)),
        part("branch", put("blocks.1.ls2", nn.ReLU)),
        part("fc_norm", put("fc_norm", nn.Softsign)),
        part("flatten", at("patch_embed", flatten=False)),
        HOOK,
        NOTE,
        part("inner hook", lambda model: model.blocks[1].mlp.register_forward_hook(readings.doubled)),
    )


def pooled(place, name):
    """Another pooling over positions, in the module at `place`."""
    return at(place, pool_type=name, pool=timm.layers.SelectAdaptivePool2d(1, name).pool)


def average_of(name):
    said = {"build": {"global_pool": name}, "own": {"args": {"gp": "avg"}, "hyper": {"global_pool": "avg"}, "config": {"global_pool": "avg"}}}
    said |= {"config": {"model_args.global_pool": name, "global_pool": name}, "args": {"gp": name}, "hyper": {"global_pool": name}}
    return Fact("global_pool", name, **said, module=pooled("head.global_pool", name))


def no_layer_scale(model):
    """timm's `create_model` leaves out arguments that are None."""
    for stage in model.stages:
        for block in stage.blocks:
            block.gamma = None


CONVNEXT = (
    argument("norm_eps", 1e-3, 1e-6, module=eps(1e-3), by_block=True, option=("--layer-norm-eps", "1e-6", "1e-3")),
    *(argument("act_layer", act, "gelu", module=activation(timm.layers.get_act_layer(act)), by_block=True)
      for act in ("relu", "quick_gelu", "hard_swish")),
    average_of("max"),
    average_of("avgmax"),
    argument("output_stride", 16, 32),
    argument("conv_mlp", True, False, shown=True),
    argument("kernel_sizes", 3, 7, shown=True),
    argument("ls_init_value", None, 1e-6, shown=True, build=None, tweak=no_layer_scale, names=("layer_scale", "ls_init_value"),
             args=None, hyper=None),
    argument("head_norm_first", True, False, shown=True),
    argument("stem_type", "overlap", "patch", shown=True),
    argument("patch_size", 2, 4, shown=True),
    argument("conv_bias", False, True, shown=True),
    argument("use_grn", True, False, shown=True),
    argument("head_hidden_size", 24, None, shown=True, names=("head_hidden", "head_hidden_size")),
    argument("depths", [1, 2, 1, 1], [1, 1, 2, 1], shown=True),
    argument("dims", [8, 16, 24, 64], [8, 16, 24, 32], shown=True),
    Fact("img_size", 96, names=("img_size", "image_size", "input_size", "preprocessing"), image={"input_size": (3, 96, 96)},
         hyper={"img_size": 96}, config={"pretrained_cfg.input_size": [3, 96, 96]}, args={"input_size": [3, 96, 96]},
         option=("--image-size", "64", "96"), own={"config": {}, "args": {"input_size": [3, 64, 64]}, "hyper": {"img_size": 64}}),
    CLASSES,
    CHANNELS,
    NAMED,
    SEVEN,
    *images(CONVNEXT_IMAGE),
    part("stem stride", at("stem.0", stride=(2, 2))),
    part("downsample stride", at("stages.1.downsample.1", stride=(1, 1))),
    part("downsample padding", at("stages.2.downsample.1", padding=(1, 1))),
    part("dilation", each(nn.Conv2d, dilation=(2, 2)), by_block=True),
    part("padding mode", at("stages.0.blocks.0.conv_dw", padding_mode="circular", _reversed_padding_repeated_twice=[3, 3, 3, 3])),
    part("head drop", put("head.drop", nn.Tanh)),
    part("flatten", put("head.flatten", nn.Identity)),
    part("pre_logits", put("head.pre_logits", nn.Tanh)),
    part("shortcut", put("stages.3.blocks.0.shortcut", nn.Tanh)),
    part("drop_path", put("stages.0.blocks.0.drop_path", nn.ReLU)),
    part("norm_pre", put("norm_pre", nn.Tanh)),
    part("use_conv_mlp", each(None, use_conv_mlp=True)),
    HOOK,
    NOTE,
)


def of_microsoft(edit):
    """An edit of Microsoft's modules that cannot be made in transformers' network, so that nothing says what they compute."""

    def of_stages(model):
        model.get_submodule("stage0")
        edit(model)

    return of_stages


CVT = (
    Fact("num_heads", [2, 2, 4], build={"num_heads": [2, 2, 4]}, module=each(None, num_heads=8),
         option=("--num-heads", "1,2,4", "2,2,4"), by_block=True),
    Fact("norm_eps", 1e-3, tweak=eps(1e-3), module=eps(1e-3), option=("--layer-norm-eps", "1e-5", "1e-3"), by_block=True),
    Fact("act_layer", "gelu", tweak=activation(nn.GELU), module=activation(nn.GELU), by_block=True),
    Fact("act_layer", "relu", tweak=activation(nn.ReLU), module=activation(nn.ReLU), by_block=True),
    Fact("stride_kv", [1, 1, 1], build={"stride_kv": [1, 1, 1]}, module=each(None, stride_kv=1), by_block=True),
    Fact("stride_q", [1, 1, 3], build={"stride_q": [1, 1, 3]}),
    Fact("patch_stride", [2, 2, 2], build={"patch_stride": [2, 2, 2]}),
    Fact("patch_padding", [3, 1, 1], build={"patch_padding": [3, 1, 1]}),
    Fact("padding_kv", [0, 0, 0], build={"padding_kv": [0, 0, 0]}),
    Fact("qkv_bias", [False] * 3, shown=True, build={"qkv_bias": [False] * 3}),
    Fact("num_classes", 7, shown=True, build={"num_labels": 7}, module=each(None, num_classes=7)),
    SEVEN,
    Fact("image_size", 96, image={"size": 96}, option=("--image-size", "64", "96")),
    *images(CVT_IMAGE),
    part("bn eps", each(nn.BatchNorm2d, eps=1e-2)),
    part("bn statistics", each(nn.BatchNorm2d, track_running_stats=False)),
    part("scale", each(None, scale=0.1), by_block=True),
    part("with_cls_token", of_microsoft(each(None, with_cls_token=False))),
    part("cls_token", of_microsoft(lambda model: vars(model).update(cls_token=False))),
    part("conv padding mode", each(nn.Conv2d, padding_mode="circular")),
    part("conv dilation", at("stage1.blocks.0.attn.conv_proj_k.conv", dilation=(2, 2))),
    part("rearrange", of_microsoft(each(cls_cvt.Rearrange, pattern="b c h w -> b (w h) c"))),
    part("drop_path", put("stage1.blocks.0.drop_path", nn.ReLU)),
    part("pos_drop", put("stage0.pos_drop", nn.Tanh)),
    part("num_stages", of_microsoft(each(None, num_stages=2))),
    HOOK,
    NOTE,
    part("proj_drop", put("stage1.blocks.1.attn.proj_drop", nn.Tanh)),
)

def residual(pool, act, *more):
    """Facts of timm's ResNet and RegNet, whose pooling is at `pool` and whose activation is `act`."""

    def average(name):
        return replace(average_of(name), module=pooled(pool, name))

    norms = each(nn.BatchNorm2d, eps=1e-2)
    return (
        no_argument("norm_eps", 1e-2, 1e-5, tweak=norms, module=norms, option=("--layer-norm-eps", "1e-5", "1e-2")),
        argument("act_layer", act, "relu", module=activations(timm.layers.get_act_layer(act))),
        average("max"),
        average("avgmax"),
        argument("output_stride", 16, 32),
        Fact("img_size", 96, names=("img_size", "image_size", "input_size", "preprocessing"), image={"input_size": (3, 96, 96)},
             hyper={"img_size": 96}, config={"pretrained_cfg.input_size": [3, 96, 96]}, args={"input_size": [3, 96, 96]},
             option=("--image-size", "64", "96"), own={"config": {}, "args": {"input_size": [3, 64, 64]}, "hyper": {"img_size": 64}}),
        CLASSES,
        CHANNELS,
        NAMED,
        SEVEN,
        HOOK,
        NOTE,
        part("statistics", each(nn.BatchNorm2d, track_running_stats=False)),
        part("dilation", each(nn.Conv2d, dilation=(2, 2))),
        *more,
    )


def activations(module):
    """Puts another activation in the place of every ReLU."""

    def edit(model):
        for path, part in list(model.named_modules()):
            if isinstance(part, nn.ReLU):
                put(path, module)(model)

    return edit


RESNET = residual(
    "global_pool", "silu",
    Fact("aa_layer", "BlurPool2d", build={"aa_layer": timm.layers.BlurPool2d}, names=("anti_aliasing",)),
    argument("layers", [1, 2, 1, 1], [1, 1, 2, 1], shown=True),
    argument("channels", [8, 16, 24, 64], [8, 16, 24, 32], shown=True),
    argument("stem_type", "deep", "", shown=True, names=("deep_stem", "stem_type")),
    argument("avg_down", True, False, shown=True),
    part("maxpool", at("maxpool", kernel_size=2, padding=0)),
    part("stem stride", at("conv1", stride=(1, 1))),
    part("stride", at("layer2.0.conv1", stride=(1, 1))),
    part("shortcut stride", at("layer2.0.downsample.0", stride=(1, 1))),
    part("block stride", at("layer3.0", stride=4)),
    part("drop_path", put("layer1.0.drop_path", nn.ReLU)),
    *images(CONVNEXT_IMAGE),
)
REGNET = residual(
    "head.global_pool", "silu",
    argument("depth", 8, 6, shown=True, names=("depth", "depths", "num_chs")),
    argument("group_size", 2, 4, shown=True),
    argument("se_ratio", 0.0, 0.25, shown=True, names=("se", "se_ratio")),
    argument("linear_out", True, False),
    part("gate", put("s1.b1.se.gate", nn.Tanh)),
    part("stem stride", at("stem.conv", stride=(1, 1))),
    part("groups", at("s2.b1.conv2.conv", groups=1)),
    part("head drop", put("head.drop", nn.Tanh)),
    part("final_conv", put("final_conv", nn.Tanh)),
    *images(CVT_IMAGE),
)
OF_VERSION_1 = ("use_grn", "ls_init_value", "head_hidden_size", "stem_type", "mean", "std", "crop_pct", "interpolation", "crop_mode")
CONVNEXT_V2 = (
    *(fact for fact in CONVNEXT if fact.name not in OF_VERSION_1),
    argument("use_grn", False, True, shown=True),
    *images(CVT_IMAGE),
)
BEIT = (
    no_argument("norm_eps", 1e-3, 1e-6, tweak=eps(1e-3), module=eps(1e-3), by_block=True, option=("--layer-norm-eps", "1e-6", "1e-3")),
    *(no_argument("act_layer", act, "gelu", tweak=activation(timm.layers.get_act_layer(act)),
                  module=activation(timm.layers.get_act_layer(act)), by_block=True) for act in ("relu", "quick_gelu", "tanh")),
    # With the norm after the pooling all the same, so that the weights do not show it.
    Fact(
        "global_pool", "token", build={"global_pool": "token", "use_fc_norm": True},
        config={"model_args.global_pool": "token", "model_args.use_fc_norm": True, "global_pool": "token"},
        args={"gp": "token", "model_kwargs.use_fc_norm": True}, hyper={"global_pool": "token", "use_fc_norm": True},
        own={"args": {"gp": "avg"}, "hyper": {"global_pool": "avg"}, "config": {"global_pool": "avg"}},
        module=at("", global_pool="token"),
    ),
    argument("num_heads", 6, 3, shown=True, module=each(None, num_heads=6)),
    argument("qkv_bias", False, True, shown=True),
    argument("patch_size", 4, 8, shown=True),
    argument("depth", 3, 2, shown=True),
    argument("embed_dim", 96, 48, shown=True),
    argument("mlp_ratio", 2.0, 4.0, shown=True, names=("mlp_dim", "mlp_ratio")),
    CLASSES,
    CHANNELS,
    NAMED,
    SEVEN,
    *images(VIT_IMAGE),
    part("window_size", each(None, window_size=(8, 2)), by_block=True),
    part("scale", each(None, scale=0.1, fused_attn=False), by_block=True),
    part("stride", at("patch_embed.proj", stride=(4, 4))),
    part("padding mode", at("patch_embed.proj", padding_mode="circular")),
    part("head_drop", put("head_drop", nn.Tanh)),
    part("pos_drop", put("pos_drop", nn.ReLU)),
    part("norm", put("norm", nn.Tanh)),
    part("branch", put("blocks.1.drop_path2", nn.ReLU)),
    part("gamma", at("blocks.0", gamma_1=None)),
    HOOK,
    NOTE,
)


def shifts(model):
    """Windows that are never shifted. The mask that they need in no stage is a buffer."""
    for module in model.modules():
        if hasattr(module, "shift_size"):
            module.shift_size = (0, 0)


SWIN = (
    no_argument("norm_eps", 1e-3, 1e-5, tweak=eps(1e-3), module=eps(1e-3), by_block=True, option=("--layer-norm-eps", "1e-5", "1e-3")),
    no_argument("act_layer", "relu", "gelu", module=activation(nn.ReLU), by_block=True),
    no_argument("act_layer", "gelu_tanh", "gelu", module=activation(timm.layers.GELUTanh), by_block=True),
    average_of("max"),
    average_of("avgmax"),
    argument("always_partition", True, False),
    argument("window_size", 2, 4, shown=True),
    argument("num_heads", [2, 4], [2, 2], shown=True, names=("heads", "num_heads"), module=each(None, num_heads=1)),
    argument("embed_dim", 32, 16, shown=True),
    argument("depths", [2, 1], [2, 2], shown=True),
    argument("qkv_bias", False, True, shown=True),
    argument("mlp_ratio", 2.0, 4.0, shown=True),
    argument("patch_size", 2, 4, shown=True),
    CLASSES,
    CHANNELS,
    NAMED,
    SEVEN,
    *images(SWIN_IMAGE),
    part("shift_size", shifts),
    part("shift", each(None, shift_size=(1, 1)), by_block=True),
    part("window area", each(None, window_size=(2, 8)), by_block=True),
    part("scale", each(None, scale=0.1), by_block=True),
    part("stride", at("patch_embed.proj", stride=(2, 2))),
    part("softmax", each(nn.Softmax, dim=0)),
    part("patch_norm", put("patch_embed.norm", nn.Tanh)),
    part("head drop", put("head.drop", nn.Tanh)),
    part("branch", put("layers.1.blocks.0.drop_path1", nn.ReLU), by_block=False),
    part("output_fmt", each(None, output_fmt="NCHW")),
    HOOK,
    NOTE,
)


def kin(own_eps, own_act, act, settings, *more):
    """Facts of timm's ViTs that become classes other than ViT's: what all of them have, in fewer values than a ViT's own."""
    return (
        argument("num_heads", 6, 3, module=heads(6, 48), option=("--num-heads", "3", "6"), by_block=True),
        no_argument("norm_eps", 1e-2, own_eps, tweak=eps(1e-2), module=eps(1e-2), option=("--layer-norm-eps", str(own_eps), "1e-2"), by_block=True),
        argument("act_layer", act, own_act, module=activation(timm.layers.get_act_layer(act)), by_block=True),
        argument("depth", 3, 2, shown=True),
        argument("qk_norm", True, False, shown=True),
        CHANNELS,
        *images(settings)[:3],
        part("stride", at("patch_embed.proj", stride=(4, 4))),
        part("scale", each(None, scale=0.1, fused_attn=False), by_block=True),
        part("pos_drop", put("pos_drop", nn.ReLU)),
        HOOK,
        NOTE,
        *more,
    )


def pooled_as(name, own, **more):
    """Pooling of tokens otherwise than the family does, by a network whose weights are the same."""
    said = {"build": {"global_pool": name} | more, "hyper": {"global_pool": name} | more, "args": {"gp": name}}
    said["args"] |= {f"model_kwargs.{key}": value for key, value in more.items()}
    said["config"] = {"global_pool": name, "model_args.global_pool": name}
    said["config"] |= {f"model_args.{key}": value for key, value in more.items()}
    said["own"] = {"args": {"gp": own}, "hyper": {"global_pool": own}, "config": {"global_pool": own}}
    return Fact("global_pool", name, **said, module=at("", global_pool=name))


WIDE = {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "img_size": 32, "num_classes": 0}
VIT = {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "img_size": 32, "num_classes": 5}


def no_bias(model):
    model.head.bias.zero_()


# Networks of timm's Eva that were saved whole are refused.
DINOV3 = (
    *(fact for fact in kin(1e-5, "gelu", "relu", DINO_IMAGE, pooled_as("token", "avg"))
      if fact.name in ("num_heads", "norm_eps", "depth", "in_chans", "mean", "std", "crop_pct", "global_pool")),
    argument("rope_temperature", 20.0, 100.0),
    argument("rope_rotate_half", False, True),
    argument("rope_grid_indexing", "xy", "ij"),
    argument("rope_grid_offset", 0.5, 0.0),
    argument("rope_type", "cat", "dinov3"),
    argument("use_post_norm", True, False),
    argument("num_reg_tokens", 2, 4, shown=True, names=("reg_tokens", "num_reg_tokens")),
    argument("qkv_bias", False, True, shown=True),
    argument("use_abs_pos_emb", True, False, shown=True, names=("pos_embed", "use_abs_pos_emb")),
)

FAMILIES = (
    Family(
        "ViT", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", VIT, 32,
        (NAMED, SEVEN, *transformer("1e-6", "gelu", ("relu", "quick_gelu", "hard_swish")), *images(VIT_IMAGE)),
        bare=answers(VIT_IMAGE, **{"--num-heads": "3"}), image=VIT_IMAGE,
    ),
    # The outputs of CLIP are not classes, so it has no names of them. A bare one is asked for its activation, which only the name of an architecture of the same sizes answers.
    Family(
        "CLIP", "vit_base_patch32_clip_224.laion2b_ft_in12k_in1k", VIT, 32,
        (*transformer("1e-5", "gelu", ("quick_gelu", "relu", "tanh")), *images(CLIP_IMAGE)),
        bare=None, image=CLIP_IMAGE, finish=no_bias,
    ),
    Family(
        "ConvNeXt", "convnext_tiny.in12k_ft_in1k", {"dims": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "num_classes": 5}, 64, CONVNEXT,
        bare=answers(CONVNEXT_IMAGE, **{"--image-size": "64"}), image=CONVNEXT_IMAGE, nested_hyper=True,
    ),
    Family(
        "ConvNeXt V2", "convnextv2_tiny.fcmae_ft_in22k_in1k", {"dims": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "num_classes": 5}, 64,
        CONVNEXT_V2, bare=answers(CVT_IMAGE, **{"--image-size": "64"}), image=CVT_IMAGE, nested_hyper=True,
    ),
    Family(
        "ResNet", "resnet18.a1_in1k", {"channels": [8, 16, 24, 32], "layers": [1, 1, 2, 1], "num_classes": 5}, 64, RESNET,
        bare=answers(CONVNEXT_IMAGE, **{"--image-size": "64"}), image=CONVNEXT_IMAGE, nested_hyper=True,
    ),
    Family(
        "RegNet", "regnety_002.pycls_in1k", {"depth": 6, "w0": 8, "wa": 8.0, "wm": 2.0, "group_size": 4, "num_classes": 5}, 64, REGNET,
        bare=answers(CVT_IMAGE, **{"--image-size": "64"}), image=CVT_IMAGE, nested_hyper=True,
    ),
    Family(
        "BEiT", "beit_base_patch16_224.in22k_ft_in22k_in1k", VIT, 32, BEIT, bare=answers(VIT_IMAGE), image=VIT_IMAGE, nested_hyper=True,
    ),
    Family(
        "DINOv3", "vit_small_patch16_dinov3_qkvb.lvd1689m", WIDE, 32, DINOV3,
        bare=answers(DINO_IMAGE, **{"--num-heads": "3", "--image-size": "32"}), image=DINO_IMAGE, carriers=("config", "train", "lightning"),
    ),
    # In the last stage one window is as large as the map, and is not shifted.
    Family(
        "Swin", "swin_tiny_patch4_window7_224.ms_in1k",
        {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4, "img_size": 32, "num_classes": 5}, 32, SWIN,
        bare=answers(SWIN_IMAGE, **{"--image-size": "32"}), image=SWIN_IMAGE, nested_hyper=True,
    ),
    # Bare ones leave their epsilon or activation open, which only an architecture answers.
    Family("SigLIP", "vit_base_patch16_siglip_224.webli", WIDE, 32,
           kin(1e-6, "gelu", "relu", VIT_IMAGE), bare=None, image=VIT_IMAGE),
    Family("I-JEPA", "vit_base_patch16_siglip_gap_224.webli", VIT, 32,
           kin(1e-6, "gelu", "relu", VIT_IMAGE, pooled_as("max", "avg")), bare=None, image=VIT_IMAGE),
    Family("DINOv2", "vit_small_patch14_dinov2.lvd142m", WIDE, 32,
           kin(1e-6, "gelu", "relu", DINO_IMAGE, pooled_as("avg", "token", fc_norm=False)), bare=None, image=DINO_IMAGE),
    Family("DINOv2 with registers", "vit_small_patch14_reg4_dinov2.lvd142m", WIDE, 32,
           kin(1e-6, "gelu", "relu", DINO_IMAGE), bare=None, image=DINO_IMAGE),
    Family("TIPSv2", "vit_base_patch14_reg1_tipsv2.webli", WIDE, 32, kin(1e-6, "gelu", "relu", TIPS_IMAGE), bare=None, image=TIPS_IMAGE),
    Family("AIMv2", "aimv2_large_patch14_224.apple_pt", WIDE, 32, kin(1e-5, "silu", "gelu", RADIO_IMAGE), bare=None, image=RADIO_IMAGE),
    Family("InternVL", "vit_intern300m_patch14_448.ogvl_dist", WIDE, 32, kin(1e-6, "gelu", "relu", DINO_IMAGE), bare=None, image=DINO_IMAGE),
    Family("RADIO", "vit_base_patch16_radio_v3.c_radio", WIDE, 32, kin(1e-6, "gelu", "relu", RADIO_IMAGE), bare=None, image=RADIO_IMAGE),
    Family(
        "CvT", "", {"embed_dim": [16, 32, 64], "depth": [1, 2, 3], "num_heads": [1, 2, 4], "num_labels": 5}, 64, CVT,
        bare={"--num-heads": "1,2,4", "--image-size": "64"}, others={"--image-size": "64"}, carriers=("module",),
    ),
)
