"""Makes the networks of this folder that were saved whole, with the version of timm that is installed:

    HF_HUB_OFFLINE=1 python make.py

Run once for each of timm 0.5.4, 0.6.13, 0.9.16, 1.0.9 and 1.0.31 (torch 2.15.0), it writes NAME_VERSION.pt; with 1.0.31 the
files without a version as well. The networks are tiny, and their weights random.
"""

import sys
from functools import partial
from pathlib import Path

import timm
import torch
import torchvision
from timm.models.beit import Beit
from timm.models.convnext import ConvNeXt
from timm.models.efficientnet import EfficientNet, decode_arch_def
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.regnet import BlockParams

HERE = Path(__file__).parent
TINY = dict(img_size=32, patch_size=8, embed_dim=12, depth=2, num_heads=3, num_classes=5)
STAGES = dict(depths=(1, 1, 1, 1), dims=(4, 4, 8, 8), num_classes=5)
BEIT = dict(TINY, use_rel_pos_bias=True, init_values=0.1)
# Windows of 4 tokens, in stages of 8 and 4 tokens: the second shifts none.
SWIN = dict(img_size=32, patch_size=4, embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=4, num_classes=5)
# Windows of 4 tokens that were of 3 and 2 before.
SWINV2 = dict(SWIN, pretrained_window_sizes=(3, 2))
BLOCKS = [["ds_r1_k3_s1_e1_c16_se0.25"], ["ir_r2_k3_s2_e4_c24_se0.25"], ["ir_r1_k5_s2_e3_c32_se0.25"]]
CFG = dict(
    input_size=(3, 32, 32), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), crop_pct=0.9, interpolation="bilinear", num_classes=5
)


def of_version(kind, arguments, name=None):
    """The same network of every version, with a configuration as `create_model` leaves it."""
    torch.manual_seed(1)
    model = kind(**arguments).eval()
    model.default_cfg = dict(CFG)
    if timm.__version__ >= "0.6":
        model.pretrained_cfg = dict(CFG)
    torch.save(model, HERE / f"{name or kind.__name__.lower()}_{timm.__version__}.pt")


def save(name, model):
    torch.save(model, HERE / f"{name}.pt")


of_version(VisionTransformer, TINY)
of_version(ConvNeXt, STAGES)
of_version(Beit, BEIT)
of_version(SwinTransformer, SWIN)


def efficient(**arguments):
    """A network with TensorFlow's padding and epsilon. Each block is made of its own arguments, which it uses up."""
    norm = partial(torch.nn.BatchNorm2d, eps=1e-3)
    same = dict(num_features=64, stem_size=8, num_classes=5, pad_type="same", norm_layer=norm, act_layer=torch.nn.SiLU)
    return EfficientNet(block_args=decode_arch_def(BLOCKS), **same | arguments).eval()


of_version(efficient, {}, "efficientnet")
if timm.__version__ >= "0.6":
    from timm.models.vision_transformer_relpos import VisionTransformerRelPos

    of_version(VisionTransformerRelPos, dict(TINY, class_token=True, fc_norm=True), "relpos")
# Before 0.9 its stages are merged at their ends, under other names.
if timm.__version__ >= "0.9":
    from timm.models.swin_transformer_v2 import SwinTransformerV2

    of_version(SwinTransformerV2, SWINV2)
    from timm.models.eva import Eva

    of_version(Eva, TINY, "eva")
if timm.__version__ != "1.0.31":
    sys.exit()

norm = partial(torch.nn.LayerNorm, eps=1e-5)


def vit(**arguments):
    torch.manual_seed(2)
    return VisionTransformer(**TINY | arguments).eval()


# What the hook does does not matter.
hooked = vit(depth=1)
hooked.blocks[0].mlp.register_forward_hook(torch.nn.functional.normalize)
save("hooked", hooked)
noted = vit(depth=1)
noted.my_note, noted.class_names = "of mine", ["a", "b", "c", "d", "e"]
save("noted", noted)
around = torch.nn.DataParallel(vit(depth=1))
around.register_forward_hook(torch.nn.functional.normalize)
save("hooked_around", around)
save("relu", torch.nn.DataParallel(vit(act_layer="relu", norm_layer=norm)))
save("nested", {"epoch": 3, "model": vit(act_layer="gelu_tanh")})
save("clip", vit(pre_norm=True, norm_layer=norm, act_layer="quick_gelu"))
save("tanh_convnext", ConvNeXt(**STAGES, act_layer="gelu_tanh").eval())
model = vit(depth=1, act_layer="gelu_tanh", norm_layer=norm)
torch.jit.script(model).save(HERE / "scripted.pt")
torch.jit.trace(model, torch.zeros(1, 3, 32, 32)).save(HERE / "traced.pt")
save("efficientnet_alike", efficient(pad_type=""))
rotated = dict(use_abs_pos_emb=False, use_rot_pos_emb=True, rope_type="dinov3", rope_temperature=50.0, rope_rotate_half=True)
dinov3 = dict(TINY, num_classes=0, init_values=1e-5, num_reg_tokens=4, use_fc_norm=False, norm_layer=norm, **rotated)
save("dinov3", Eva(**dinov3).eval())
save("dinov3_token", Eva(**dinov3, global_pool="token", dynamic_img_size=True).eval())
save("relpos_table", VisionTransformerRelPos(**TINY, class_token=True, fc_norm=True, rel_pos_type="bias").eval())
save("relpos_shared", VisionTransformerRelPos(**TINY, shared_rel_pos=True, rel_pos_dim=8, fc_norm=True).eval())


# torchvision's own classes.
torch.manual_seed(3)
norm = partial(torch.nn.LayerNorm, eps=1e-3)
tv = torchvision.models
save("torchvision_vit", tv.VisionTransformer(32, 8, 2, 3, 12, 24, num_classes=5, norm_layer=norm).eval())
save("torchvision_swin", tv.SwinTransformer([4, 4], 8, [2, 2], [1, 2], [4, 4], num_classes=5).eval())
stages = [CNBlockConfig(width, following, 1) for width, following in [(4, 8), (8, 8), (8, 12), (12, None)]]
save("torchvision_convnext", tv.ConvNeXt(stages, num_classes=5, stochastic_depth_prob=0.3).eval())
sizes = BlockParams.from_init_params(depth=6, w_0=8, w_a=8.0, w_m=2.0, group_width=4, se_ratio=0.25)
save("torchvision_regnet", tv.RegNet(sizes, num_classes=5).eval())
second = dict(block=tv.swin_transformer.SwinTransformerBlockV2, downsample_layer=tv.swin_transformer.PatchMergingV2)
save("torchvision_swin_v2", tv.SwinTransformer([4, 4], 8, [2, 2], [1, 2], [4, 4], num_classes=5, **second).eval())
