"""Copies files as people have them into this folder, and writes `truths.json`: what a right conversion of each writes.

    python make.py FOLDER [FILE...]

FOLDER holds the files and, of some, the state dict that a right conversion holds (`*_truth*.pt`, in timm's names). README.md says
what each file is. Optimizer states are cut to one number a tensor. Files whose weights no test compares hold zeros, one of which
is stored for each tensor. `truths.json` has of each file the SHA-256 of each tensor under transformers' name. The tensors are taken
out of the files here, with torch and timm, by nothing that vitport has: split, renamed and multiplied as transformers' own conversion
script did (`convert_vit_timm_to_pytorch.py`), layer scale and adapters in float64.

Written with torch 2.15.0 and timm 1.0.31.
"""

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import timm
import torch

HERE = Path(__file__).resolve().parent
WITHOUT_WEIGHTS = ("cvt_no_cls.pth", "timm_train_real_tiny_mean.pth.tar", "timm_train_gp_avg.pth.tar")
# These lie in ../modules.
ELSEWHERE = ("torchsave_module.pt", "module_quickgelu_eps1e-3.pt", "module_avgpool_nofc.pt")
HEADS = 3


def load(path):
    return torch.load(path, weights_only=False, map_location="cpu")


def inside(state, prefix):
    return {name[len(prefix):]: tensor for name, tensor in state.items() if name.startswith(prefix)}


def renamed(state, *pairs):
    def name(text):
        for pattern, replacement in pairs:
            text = re.sub(pattern, replacement, text)
        return text
    return {name(text): tensor for text, tensor in state.items()}


def chunks(state):
    return renamed(state, (r"blocks\.\d+\.(\d+)\.", r"blocks.\1."))


def without(state, *beginnings):
    return {name: tensor for name, tensor in state.items() if not name.startswith(beginnings)}


def split(state):
    """Splits qkv as transformers' script does."""
    out = {}
    for name, tensor in state.items():
        if ".attn.qkv." in name:
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3)):
                out[name.replace("attn.qkv", f"attention.attention.{part}")] = rows
        else:
            out[name] = tensor
    return out


def scaled(state):
    """Multiplies layer scale into the layers that it follows, in float64, rounded once."""
    out = {name: tensor for name, tensor in state.items() if not re.search(r"\.ls[12]\.gamma$", name)}
    for name, gamma in state.items():
        if not re.search(r"\.ls[12]\.gamma$", name):
            continue
        layer = name.replace("ls1.gamma", "attn.proj").replace("ls2.gamma", "mlp.fc2")
        for parameter in ("weight", "bias"):
            value = state[f"{layer}.{parameter}"]
            factor = gamma.double().reshape([-1] + [1] * (value.ndim - 1))
            out[f"{layer}.{parameter}"] = (value.double() * factor).to(value.dtype)
    return out


def of_timm(state):
    """Returns what ViTForImageClassification holds of timm's tensors; ViTModel with an identity as its pooler where there is no head."""
    state = split(scaled(without(state, "mask_token")))
    names = (
        (r"^cls_token$", "embeddings.cls_token"),
        (r"^pos_embed$", "embeddings.position_embeddings"),
        (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
        (r"^blocks\.(\d+)\.", r"encoder.layer.\1."),
        (r"\.norm1\.", ".layernorm_before."),
        (r"\.norm2\.", ".layernorm_after."),
        (r"\.attn\.proj\.", ".attention.output.dense."),
        (r"\.mlp\.fc1\.", ".intermediate.dense."),
        (r"\.mlp\.fc2\.", ".output.dense."),
        (r"^norm\.", "layernorm."),
    )
    has_head = "head.weight" in state
    out = {}
    for name, tensor in renamed(state, *names).items():
        out[name.replace("head.", "classifier.") if name.startswith("head.") else "vit." * has_head + name] = tensor
    if not has_head:
        width = state["cls_token"].shape[-1]
        out |= {"pooler.dense.weight": torch.eye(width), "pooler.dense.bias": torch.zeros(width)}
    return out


def of_torchvision(state):
    state = renamed(
        state,
        (r"^class_token$", "cls_token"), (r"^encoder\.pos_embedding$", "pos_embed"), (r"^conv_proj\.", "patch_embed.proj."),
        (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."), (r"\.ln_1\.", ".norm1."), (r"\.ln_2\.", ".norm2."),
        (r"\.self_attention\.in_proj_", ".attn.qkv."), (r"\.self_attention\.out_proj\.", ".attn.proj."),
        (r"\.mlp\.(linear_1|0)\.", ".mlp.fc1."), (r"\.mlp\.(linear_2|3)\.", ".mlp.fc2."), (r"^encoder\.ln\.", "norm."),
        (r"^heads\.(head\.)?", "head."),
    )
    return of_timm(state)


def of_mmpretrain(state):
    state = renamed(
        state,
        (r"^head\.layers\.head\.", "head."), (r"^backbone\.", ""), (r"^patch_embed\.projection\.", "patch_embed.proj."),
        (r"^layers\.(\d+)\.", r"blocks.\1."), (r"\.ln(\d)\.", r".norm\1."), (r"^ln1\.", "norm."), (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
        (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
    )
    return of_timm(state)


def of_jeonsworld(state):
    return renamed(
        state,
        (r"^transformer\.embeddings\.patch_embeddings\.", "vit.embeddings.patch_embeddings.projection."),
        (r"^transformer\.embeddings\.", "vit.embeddings."), (r"^transformer\.encoder\.encoder_norm\.", "vit.layernorm."),
        (r"^transformer\.", "vit."), (r"\.attn\.(query|key|value)\.", r".attention.attention.\1."),
        (r"\.attn\.out\.", ".attention.output.dense."), (r"\.attention_norm\.", ".layernorm_before."),
        (r"\.ffn_norm\.", ".layernorm_after."), (r"\.ffn\.fc1\.", ".intermediate.dense."), (r"\.ffn\.fc2\.", ".output.dense."),
        (r"^head\.", "classifier."),
    )


def of_npz(path, classes):
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=HEADS, num_classes=classes)
    model.load_pretrained(str(path))
    return of_timm(model.state_dict())


def of_peft(state, alpha):
    state = inside(state, "base_model.model.")
    out = {}
    for name, tensor in state.items():
        if ".lora_" in name:
            continue
        layer = name.replace(".base_layer.weight", "")
        if f"{layer}.lora_A.default.weight" in state:
            down, up = (state[f"{layer}.lora_{half}.default.weight"].double() for half in "AB")
            tensor = (tensor.double() + alpha / down.shape[0] * (up @ down)).to(tensor.dtype)
        out[name.replace(".base_layer.", ".")] = tensor
    return of_timm(out)


def truths(folder):
    """Yields the rows of truths.json: file, and with what, to tensors."""
    truth = lambda name: of_timm(load(folder / name))
    file = lambda name: load(folder / name)
    yield "../modules/torchsave_module.pt", truth("rawpickle_truth.pt")
    yield "../modules/module_quickgelu_eps1e-3.pt", of_timm(file("module_quickgelu_eps1e-3.pt").state_dict())
    yield "timm_train_model_best.pth.tar", truth("timm_train_truth_ema.pt")
    yield "timm_train_model_best.pth.tar --key state_dict", truth("timm_train_truth.pt")
    for name in ("dinov2_235_flat.pth", "dinov2_235_flat_nohead.pth", "dinov2_teacher_nochunk.pth"):
        yield name, truth("dinov2_flat_truth.pt")
    yield "dinov2_235_flat.pth --key student", of_timm(inside(file("dinov2_235_flat.pth")["model"], "student.backbone."))
    state = file("dinov2_235_teacher_checkpoint.pth")["teacher"]
    yield "dinov2_235_teacher_checkpoint.pth", of_timm(chunks(inside(state, "backbone.")))
    state = file("dinov2_235_model_final.rank_0.pth")["model"]
    yield "dinov2_235_model_final.rank_0.pth", of_timm(chunks(inside(state, "teacher.backbone.")))
    yield "dino_rgb_checkpoint.pth", truth("dino_rgb_truth.pt")
    yield "mocov3_vit-s-300ep.pth.tar", truth("mocov3_truth.pt")
    state = inside(file("mocov3_vit-s-300ep.pth.tar")["state_dict"], "module.momentum_encoder.")
    yield "mocov3_vit-s-300ep.pth.tar --key module.momentum_encoder", of_timm(without(state, "head."))
    for name in ("lightning_criterion.ckpt", "lightning_criterion_metric.ckpt"):
        yield name, truth("lightning_truth.pt")
    yield "headseq.pth", of_timm(renamed(file("headseq.pth"), (r"^head\.1\.", "head.")))
    yield "headmlp.pth --no-head", of_timm(without(file("headmlp.pth"), "head."))
    for name in ("torchvision_heads_head.pth", "torchvision_heads_pretrained_vit_feature_extractor.pth"):
        yield name, of_torchvision(file(name))
    yield "deepspeed.ckpt", truth("deepspeed_truth.pt")
    state = file("ema_pytorch.pt")
    yield "ema_pytorch.pt", of_timm(inside(state, "ema_model."))
    yield "ema_pytorch.pt --key online_model", of_timm(inside(state, "online_model."))
    yield "swa_averaged.pth", truth("swa_truth.pt")
    state = file("deit_train_checkpoint.pth")
    yield "deit_train_checkpoint.pth", of_timm(state["model_ema"])
    yield "deit_train_checkpoint.pth --key model", of_timm(state["model"])
    yield "mae_pretrain_checkpoint-799.pth", of_timm(without(file("mae_pretrain_checkpoint-799.pth")["model"], "decoder_"))
    name = "npz_in21k_zero_head.npz"
    classes = load_npz(folder / name)["head/bias"].shape[0]
    yield name, of_npz(folder / name, classes)
    yield "npz_in21k_zero_head_prelogits.npz --no-head", of_npz(folder / "npz_in21k_zero_head_prelogits.npz", 0)
    yield "gray.pth", of_timm(file("gray.pth"))
    yield "gray_hub", of_timm(file("gray_hub/pytorch_model.bin"))
    yield "rect_rgb.pth", of_timm(file("rect_rgb.pth"))
    yield "transreid_nosie.pth", of_timm(inside(file("transreid_nosie.pth"), "base."))
    yield "openclip_trunk_epoch_32.pt", truth("openclip_truth.pt")
    yield "msn_vits16_800ep.pth.tar", truth("msn_truth.pt")
    yield "mmpretrain_epoch_100.pth", of_mmpretrain(file("mmpretrain_epoch_100.pth")["state_dict"])
    yield "hf_in_lightning.ckpt", inside(file("hf_in_lightning.ckpt")["state_dict"], "vit.")
    yield "jeonsworld_checkpoint.bin", of_jeonsworld(file("jeonsworld_checkpoint.bin"))
    yield "peft_full.pth --lora-alpha 8", of_peft(file("peft_full.pth"), 8)
    head = renamed(inside(file("wrapper_fc.pth")["model_state_dict"], "fc."), ("^", "head."))
    yield "wrapper_fc.pth", of_timm(load(folder / "wrapper_fc_truth.pt") | head)
    model = file("vissl_vit.torch")["classy_state_dict"]["base_model"]["model"]
    yield "vissl_vit.torch", of_timm(model["trunk"] | renamed(model["heads"], (r"^0\.clf\.0\.", "head.")))
    yield "lightly_dino.ckpt", of_timm(inside(file("lightly_dino.ckpt")["state_dict"], "teacher_backbone.vit."))


def load_npz(path):
    import numpy
    return numpy.load(path)


def sha256(tensor):
    return hashlib.sha256(tensor.detach().contiguous().numpy().tobytes()).hexdigest()


def is_optimizer(key):
    return isinstance(key, str) and "optimizer" in key


def trimmed(value, cut=lambda tensor: tensor):
    if isinstance(value, torch.Tensor):
        return cut(value)
    if isinstance(value, torch.nn.Module):
        for module in value.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    module._parameters[name] = torch.nn.Parameter(cut(parameter.data))
        return value
    if isinstance(value, dict):
        first = lambda tensor: tensor.flatten()[:1].clone()
        items = ((key, trimmed(entry, first if is_optimizer(key) else cut)) for key, entry in value.items())
        return type(value)(items)
    if isinstance(value, (list, tuple)):
        return type(value)(trimmed(entry, cut) for entry in value)
    return value


def copy(path, to):
    if path.is_dir():
        shutil.copytree(path, to, dirs_exist_ok=True)
    elif path.suffix == ".npz":
        shutil.copy(path, to)
    else:
        value = load(path)
        zeros = lambda tensor: torch.zeros((1,) * tensor.ndim, dtype=tensor.dtype).expand(tensor.shape)
        without_weights = path.name in WITHOUT_WEIGHTS
        if without_weights:
            torch.save(trimmed(value, zeros), to)
        elif isinstance(value, dict) and "optimizer" in repr(list(value)) + repr(list(value.get("classy_state_dict", {}))):
            torch.save(trimmed(value), to)
        else:
            shutil.copy(path, to)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    wanted = sys.argv[2:]
    for path in sorted(folder.iterdir()):
        is_left = "_truth" in path.name or path.name in ("README.md", *ELSEWHERE)
        if not is_left and (not wanted or path.name in wanted):
            copy(path, HERE / path.name)
    rows = {row: {name: sha256(tensor) for name, tensor in sorted(tensors.items())} for row, tensors in truths(folder)}
    (HERE / "truths.json").write_text(json.dumps(rows, indent=0) + "\n")
