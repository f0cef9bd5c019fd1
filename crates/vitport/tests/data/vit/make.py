"""Makes the golden files of this folder: tiny vision transformers with random weights, run by timm
and by transformers.

    HF_HUB_OFFLINE=1 python make.py

Written with torch 2.15.0, timm 1.0.31 and transformers 4.57.6, on one thread. For each network NAME it writes
NAME.safetensors (the state dict as the framework saves it) and NAME.expected.safetensors: `pixels`
[3, height, width], every hidden state [tokens, dim] under the name vitport gives its stage, `pooled`,
and `logits` or `pooler_output` where there are any. transformers' networks also have NAME.json, their config.json.
Weights are drawn so that the outputs depend on the input and the logits have a standard deviation near 1.
"""

import json
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from timm.layers import QuickGELU, RmsNorm, SwiGLU, SwiGLUPacked
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from transformers import ViTConfig, ViTForImageClassification, ViTModel

HERE = Path(__file__).parent
torch.set_num_threads(1)


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            if name.endswith("gamma"):
                parameter.copy_(0.6 + 0.3 * noise)
            elif parameter.ndim == 1 and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim == 1 or parameter.shape[:1] == (1,):
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(noise * 1.2 / parameter[0].numel() ** 0.5)
    return model.eval()


def pixels(height, width, seed):
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def write(name, model, tensors):
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, HERE / f"{name}.safetensors")
    tensors = {k: v.detach().squeeze(0).clone().contiguous() for k, v in tensors.items()}
    save_file(tensors, HERE / f"{name}.expected.safetensors")
    if "logits" in tensors:
        print(name, "logit std", float(tensors["logits"].std()))


def timm(name, seed, size=(16, 16), build=VisionTransformer, **arguments):
    options = dict(img_size=size, patch_size=4, embed_dim=16, depth=2, num_heads=2, num_classes=7)
    model = randomise(build(**(options | arguments)), seed)
    x = pixels(*size, seed + 1)
    seen = {"pixels": x}
    hidden = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(x))))
    seen["embeddings"] = hidden
    for i, block in enumerate(model.blocks):
        hidden = block(hidden)
        seen[f"layer {i}"] = hidden
    seen["norm"] = model.norm(hidden)
    seen["pooled"] = model.forward_head(model.forward_features(x), pre_logits=True)
    if model.num_classes:
        seen["logits"] = model(x)
    if build is VisionTransformerDistilled:
        seen["cls_logits"] = model.head(seen["norm"][:, 0])
        seen["distillation_logits"] = model.head_dist(seen["norm"][:, 1])
    write(name, model, seen)


def transformers(name, seed, head, **arguments):
    config = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40)
    config = ViTConfig(**(config | dict(image_size=16, patch_size=4) | arguments))
    model = randomise(ViTForImageClassification(config) if head else ViTModel(config), seed)
    config.architectures = [type(model).__name__]
    (HERE / f"{name}.json").write_text(json.dumps(json.loads(config.to_json_string()), indent=1) + "\n")
    x = pixels(16, 16, seed + 1)
    with torch.no_grad():
        out = model(x, output_hidden_states=True)
        last = (model.vit if head else model)(x).last_hidden_state
    seen = {"pixels": x, "embeddings": out.hidden_states[0], "norm": last, "pooled": last[:, 0]}
    seen |= {f"layer {i}": h for i, h in enumerate(out.hidden_states[1:])}
    seen |= {"logits": out.logits} if head else {"pooler_output": out.pooler_output}
    write(name, model, seen)


timm("timm_plain", 1, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6))
timm("timm_deit3", 2, size=(16, 12), init_values=1e-5, no_embed_class=True)
timm("timm_dinov2_base", 3, init_values=1e-5, num_classes=0, mlp_ratio=2.6, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6))
timm("timm_no_qkv_bias", 4, qkv_bias=False, num_heads=4, act_layer=QuickGELU, norm_layer=partial(torch.nn.LayerNorm, eps=1e-5))
none = dict(class_token=False)
timm("timm_mean", 10, **none, global_pool="avg", fc_norm=False)
timm("timm_registers", 11, global_pool="avg", reg_tokens=3, init_values=1e-5)
timm("timm_registers_no_embed", 12, reg_tokens=2, no_embed_class=True, final_norm=False, num_classes=0)
timm("timm_one_register", 13, **none, global_pool="avg", reg_tokens=1, no_embed_class=True)
timm("timm_distilled", 14, build=VisionTransformerDistilled)
timm("timm_no_positions", 15, pos_embed="none", fc_norm=True)
timm("timm_clip", 16, pre_norm=True, norm_layer=partial(torch.nn.LayerNorm, eps=1e-5))
timm("timm_map", 17, **none, global_pool="map", act_layer="gelu_tanh", num_classes=0)
timm("timm_map_prefix", 18, global_pool="map", reg_tokens=1, pool_include_prefix=True)
timm("timm_mean_prefix", 19, global_pool="avg", pool_include_prefix=True)
timm("timm_avgmax", 20, global_pool="avgmax")
timm("timm_max", 21, global_pool="max", act_layer="relu")
timm("timm_all_tokens", 22, global_pool="", num_classes=0)
timm("timm_qk_norm", 23, qk_norm=True, num_heads=4)
timm("timm_qk_rms_norm", 24, qk_norm=True, norm_layer=RmsNorm)
timm("timm_packed", 25, mlp_layer=SwiGLUPacked, act_layer="silu", init_values=1e-5, mlp_ratio=3)
timm(
    "timm_aimv2",
    26,
    **none,
    global_pool="avg",
    fc_norm=False,
    mlp_layer=SwiGLU,
    act_layer="silu",
    mlp_ratio=2.75,
    qkv_bias=False,
    proj_bias=False,
    norm_layer=partial(RmsNorm, eps=1e-5),
    embed_norm_layer=partial(RmsNorm, eps=1e-5),
    num_classes=0,
)
timm("timm_patch_norm", 27, embed_norm_layer="layernorm")
transformers("transformers_classifier", 5, True, num_labels=7, layer_norm_eps=1e-6)
transformers("transformers_defaults", 6, True, num_labels=3, hidden_act="gelu_new", qkv_bias=False)
transformers("transformers_base", 7, False, layer_norm_eps=1e-6, pooler_output_size=12)
