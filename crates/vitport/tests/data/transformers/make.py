"""Makes the golden files of this folder: tiny networks of transformers with random weights, and what they compute.

    HF_HUB_OFFLINE=1 python make.py             # with transformers 4
    HF_HUB_OFFLINE=1 python make.py compare     # with transformers 5: its outputs are the same

Written with torch 2.15.0 and transformers 4.57.6, on one thread. NAME.safetensors has the weights under the names that lie on
disk, NAME.json the config. NAME.expected.safetensors has `pixels` [3, height, width], hidden states [tokens, width] and
outputs, called as in tests/it/golden.rs. Weights are drawn so that the outputs depend on the input and have a standard
deviation near 1.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
torch.set_num_threads(1)
SIZES = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, image_size=20, patch_size=5)
MLP = dict(intermediate_size=40)
LABELS = dict(num_labels=7)
CASES = {
    "beit_mean": ("BeitForImageClassification", SIZES | MLP | LABELS | dict(
        use_absolute_position_embeddings=True, layer_scale_init_value=0.1, layer_norm_eps=1e-6)),
    "beit_relative": ("BeitForImageClassification", SIZES | MLP | LABELS | dict(
        use_relative_position_bias=True, layer_scale_init_value=0.0, use_mean_pooling=False, use_mask_token=True)),
    "beit_shared": ("BeitModel", SIZES | MLP | dict(
        use_relative_position_bias=True, use_shared_relative_position_bias=True, layer_scale_init_value=0.1,
        hidden_act="relu", layer_norm_eps=1e-3)),
    "beit_class_token": ("BeitModel", SIZES | MLP | dict(
        use_shared_relative_position_bias=True, use_mean_pooling=False, layer_scale_init_value=0.2)),
    "dinov2_base": ("Dinov2Model", SIZES | dict(mlp_ratio=2, layer_norm_eps=1e-5)),
    "dinov2_swiglu": ("Dinov2ForImageClassification", SIZES | LABELS | dict(
        mlp_ratio=4, use_swiglu_ffn=True, qkv_bias=False, use_mask_token=False)),
    "dinov2_registers": ("Dinov2WithRegistersModel", SIZES | dict(mlp_ratio=3, num_register_tokens=2, hidden_act="quick_gelu")),
    "dinov2_registers_classifier": ("Dinov2WithRegistersForImageClassification", SIZES | LABELS | dict(
        mlp_ratio=2, num_register_tokens=3)),
    "deit_teacher": ("DeiTForImageClassificationWithTeacher", SIZES | MLP | LABELS | dict(
        image_size=[20, 15], layer_norm_eps=1e-6)),
    "deit_base": ("DeiTModel", SIZES | MLP | dict(qkv_bias=False, pooler_act="relu", pooler_output_size=5)),
    "dinov3": ("DINOv3ViTModel", SIZES | MLP | dict(num_register_tokens=2)),
    "dinov3_gated": ("DINOv3ViTModel", SIZES | MLP | dict(
        num_register_tokens=1, use_gated_mlp=True, hidden_act="silu", rope_theta=30.0, query_bias=False, value_bias=False,
        key_bias=True, mlp_bias=False, proj_bias=False, layer_norm_eps=1e-3)),
}


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            if "lambda" in name or parameter.ndim == 1 and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim == 1 or parameter.shape[:1] == (1,) or "table" in name:
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(noise * 1.2 / parameter[0].numel() ** 0.5)
    return model.eval()


def computed(model, x):
    """Hidden states, pooled tokens and outputs."""
    seen, base = {"pixels": x[0]}, model if hasattr(model, "embeddings") else model.base_model

    def see(name):
        def hook(module, inputs, output):
            seen[name] = (output[0] if isinstance(output, tuple) else output)[0].clone()
        return hook

    base.embeddings.register_forward_hook(see("embeddings"))
    layers = next(m for n, m in base.named_modules() if n.rsplit(".")[-1] in ("layer", "layers"))
    for index, layer in enumerate(layers):
        layer.register_forward_hook(see(f"layer {index}"))
    norm = getattr(base, "layernorm", None) or getattr(base, "norm", None)
    if isinstance(norm, torch.nn.LayerNorm):
        norm.register_forward_hook(see("norm"))
    pooler = getattr(base, "pooler", None)
    if pooler is not None:
        pooler.register_forward_hook(lambda module, inputs, output: seen.update(pooler_output=output[0].clone()))
    out = model(x)
    for name in ("logits", "cls_logits", "distillation_logits", "pooler_output"):
        if out.get(name) is not None:
            seen[name] = out[name][0]
    return seen


def random_pixels(config):
    side = config.image_size
    height, width = side if isinstance(side, (list, tuple)) else (side, side)
    return torch.randn(1, config.num_channels, height, width, generator=torch.Generator().manual_seed(99))


@torch.no_grad()
def make(name, seed, kind, arguments):
    cls = getattr(transformers, kind)
    config = cls.config_class(**arguments)
    config.architectures = [kind]
    model = randomise(cls(config), seed)
    text = json.loads(config.to_json_string())
    (HERE / f"{name}.json").write_text(json.dumps(text, indent=1) + "\n")
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, HERE / f"{name}.safetensors")
    seen = computed(model, random_pixels(config))
    save_file({key: value.contiguous().clone() for key, value in seen.items()}, HERE / f"{name}.expected.safetensors")
    last = seen.get("logits", seen.get("pooler_output"))
    print(f"{name:28} {float(last.std()):.2f}", ", ".join(seen))


@torch.no_grad()
def compare(name, kind):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "config.json").write_text((HERE / f"{name}.json").read_text())
        save_file(load_file(HERE / f"{name}.safetensors"), folder / "model.safetensors", metadata={"format": "pt"})
        model, info = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True)
    expected = load_file(HERE / f"{name}.expected.safetensors")
    seen = computed(model.eval(), expected["pixels"][None])
    apart = {key: float((seen[key] - value).abs().max()) for key, value in expected.items()}
    print(f"{name:28} {max(apart.values()):.1e}", {key: value for key, value in info.items() if value})


if __name__ == "__main__":
    for seed, (name, (kind, arguments)) in enumerate(CASES.items(), 1):
        compare(name, kind) if sys.argv[1:] == ["compare"] else make(name, seed, kind, arguments)
