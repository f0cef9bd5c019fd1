"""Makes the golden files of this folder.

    HF_HUB_OFFLINE=1 python make.py [FOLDER]

Without FOLDER only transformers' own networks are made again: tiny random `CvtForImageClassification`s (torch 2.15.0,
transformers 4.57.6, one thread), each as NAME.safetensors, NAME.json (config.json) and
NAME.expected.safetensors (`pixels`, every hidden state [tokens, width] under vitport's name for its
stage, `pooled`, `logits`).

FOLDER holds what Microsoft's own network definition gave (see README.md): tiny.pth and tiny.train.pth
and the outputs next to them. The first becomes a safetensors file, the training checkpoint stays the file that Microsoft's
code wrote, and of the outputs the first image's are kept, tokens in rows.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import CvtConfig, CvtForImageClassification

HERE = Path(__file__).parent
torch.set_num_threads(1)


def save(tensors, name):
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, HERE / f"{name}.safetensors")


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.copy_(0.5 + noise.abs())
        elif name.endswith("num_batches_tracked"):
            tensor.fill_(3)
        elif tensor.ndim == 1 and name.endswith("weight"):
            tensor.copy_(1 + 0.2 * noise)
        elif tensor.ndim == 1 or tensor.shape[:1] == (1,) and tensor.ndim == 3:
            tensor.copy_(0.3 * noise)
        else:
            tensor.copy_(noise * 1.3 / tensor[0].numel() ** 0.5)
    return model.eval()


def tokens(grid):
    return grid.flatten(2).transpose(1, 2)


def transformers(name, seed, **arguments):
    config = CvtConfig(**arguments)
    model = randomise(CvtForImageClassification(config), seed)
    config.architectures = [type(model).__name__]
    (HERE / f"{name}.json").write_text(json.dumps(json.loads(config.to_json_string()), indent=1) + "\n")
    x = torch.randn(1, 3, 40, 32, generator=torch.Generator().manual_seed(seed + 1))
    seen = {"pixels": x}
    for s, stage in enumerate(model.cvt.encoder.stages):
        stage.embedding.register_forward_hook(
            lambda m, i, out, s=s: seen.update({f"stage {s} embedding": tokens(out)})
        )
        for b, layer in enumerate(stage.layers):
            layer.register_forward_hook(lambda m, i, out, s=s, b=b: seen.update({f"stage {s} layer {b}": out}))
    model.layernorm.register_forward_hook(lambda m, i, out: seen.update({"norm": out}))
    seen["logits"] = model(x).logits
    seen["pooled"] = seen["norm"].mean(dim=1)
    print(name, "logit std", float(seen["logits"].std()))
    save({k: v[0] for k, v in seen.items()}, f"{name}.expected")
    save(model.state_dict(), name)


def microsoft(folder):
    images = load_file(folder / "tiny.input.safetensors")["input"]
    state = torch.load(folder / "tiny.pth", weights_only=True)
    save(state, "microsoft")
    shutil.copyfile(folder / "tiny.train.pth", HERE / "microsoft_train.pth")
    for source, target in [
        ("tiny.expected", "microsoft"),
        ("tiny.expected_gelu", "microsoft_gelu"),
        ("tiny.train.expected", "microsoft_train"),
    ]:
        outputs = {k: v[:1] for k, v in load_file(folder / f"{source}.safetensors").items()}
        seen = {"pixels": images[0]}
        for s, depth in enumerate([1, 2, 3]):
            seen[f"stage {s} embedding"] = tokens(outputs[f"stage{s}.patch_embed"])[0]
            seen[f"stage {s} layer 0"] = outputs[f"stage{s}.block0"][0]
            last = tokens(outputs[f"stage{s}.out"])
            if s == 2:
                last = torch.cat([outputs["stage2.cls_token"].reshape(1, 1, -1), last], dim=1)
            seen[f"stage {s} layer {depth - 1}"] = last[0]
        seen |= {"norm": outputs["norm"].reshape(1, -1), "logits": outputs["logits"][0]}
        if target == "microsoft_gelu":
            seen = {k: seen[k] for k in ("stage 0 layer 0", "norm", "logits")}
        save(seen, f"{target}.expected")


if len(sys.argv) > 1:
    microsoft(Path(sys.argv[1]))
transformers(
    "transformers_three_stages", 11, embed_dim=[6, 8, 12], num_heads=[1, 2, 3], depth=[1, 2, 3], num_labels=5
)
transformers(
    "transformers_two_stages", 12, num_labels=4, embed_dim=[8, 16], num_heads=[2, 4], depth=[1, 2],
    patch_sizes=[5, 2], patch_stride=[3, 2], patch_padding=[1, 0], mlp_ratio=[2.6, 2.0], cls_token=[False, True],
    qkv_bias=[False, True], drop_rate=[0.0, 0.0], drop_path_rate=[0.0, 0.0], attention_drop_rate=[0.0, 0.0],
    kernel_qkv=[5, 3], padding_q=[2, 1], padding_kv=[0, 1], stride_kv=[2, 1],
    layer_norm_eps=1e-2, hidden_act="relu",
)
