"""Makes the golden files of this folder: tiny models of transformers' classes with random weights, run by transformers.

    HF_HUB_OFFLINE=1 python make.py          # with transformers 5, which writes the files
    HF_HUB_OFFLINE=1 python make.py check    # with transformers 4: opens them and compares

Written with torch 2.15.0 and transformers 5.23.0, on one thread. NAME.json is the config, NAME.safetensors the weights under
the names that lie on disk, NAME.expected.safetensors holds `pixels` [3, height, width], hidden states [tokens, width] under
the names of the places, and outputs. Weights are drawn so that the outputs depend on the input.
"""

import json
import sys
import tempfile
import zlib
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
torch.set_num_threads(1)
SIZES = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, num_channels=3)
MLP = dict(intermediate_size=40)
# Class and config; the sizes of images and patches are such that a wrong one is seen.
MODELS = {
    "siglip_pooled": ("SiglipVisionModel", dict(**SIZES, **MLP, image_size=20, patch_size=5, hidden_act="gelu_pytorch_tanh")),
    "siglip": ("SiglipVisionModel", dict(**SIZES, **MLP, image_size=18, patch_size=5, hidden_act="gelu", layer_norm_eps=1e-3,
                                         vision_use_head=False)),
    "siglip_classifier": ("SiglipForImageClassification", dict(num_labels=4, vision_config=dict(
        **SIZES, **MLP, image_size=20, patch_size=5, hidden_act="quick_gelu", vision_use_head=False))),
    "ijepa": ("IJepaModel", dict(**SIZES, **MLP, image_size=[20, 15], patch_size=5, layer_norm_eps=1e-6)),
    "ijepa_classifier": ("IJepaForImageClassification", dict(**SIZES, **MLP, image_size=16, patch_size=4, qkv_bias=False,
                                                             num_labels=7)),
    "aimv2": ("Aimv2VisionModel", dict(**SIZES, **MLP, image_size=20, patch_size=5, use_head=False)),
    "aimv2_biases": ("Aimv2VisionModel", dict(**SIZES, **MLP, image_size=20, patch_size=5, use_head=False, qkv_bias=True,
                                              mlp_bias=True, rms_norm_eps=1e-2, hidden_act="gelu")),
    "internvl": ("InternVLVisionModel", dict(**SIZES, **MLP, image_size=[20, 20], patch_size=[5, 5], attention_bias=True)),
    "internvl_normed": ("InternVLVisionModel", dict(**SIZES, **MLP, image_size=[20, 20], patch_size=[5, 4], norm_type="rms_norm",
                                                    layer_norm_eps=1e-2, use_mean_pooling=False)),
    "tipsv2": ("Tipsv2VisionModel", dict(**SIZES, image_size=20, patch_size=5, mlp_ratio=1.7)),
    "tipsv2_swiglu": ("Tipsv2VisionModel", dict(**SIZES, image_size=20, patch_size=5, num_register_tokens=2, use_swiglu_ffn=True,
                                                qkv_bias=False, layer_norm_eps=1e-3)),
    "radio": ("RadioModel", dict(**SIZES, image_size=20, max_img_size=20, patch_size=5, mlp_ratio=1.7, num_cls_tokens=1,
                                 num_registers=3, summary_idxs=[0], norm_mean=[0.1, 0.2, 0.3], norm_std=[0.9, 1.1, 0.7])),
}


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            if parameter.ndim == 1 and name.endswith("weight") or "lambda" in name:
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim == 1 or parameter.shape[:1] == (1,) or "position" in name or "cls_register" in name:
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(noise * 1.2 / parameter[0].numel() ** 0.5)
    return model.eval()


def run(model, name, pixels):
    """Hidden states and outputs."""
    seen = {}
    base = getattr(model, "ijepa", getattr(model, "vision_model", model))

    def shown(place):
        def hook(module, inputs, output):
            tensor = output[0] if isinstance(output, tuple) else output
            seen[place] = tensor[0]
        return hook

    encoder = getattr(base, "encoder", base)
    base.embeddings.register_forward_hook(shown("embeddings"))
    for i, layer in enumerate(getattr(encoder, "layers", getattr(encoder, "layer", None))):
        layer.register_forward_hook(shown(f"layer {i}"))
    out = model(pixels)
    if not name.startswith(("internvl", "radio")):
        seen["norm"] = base(pixels).last_hidden_state[0] if base is not model else out.last_hidden_state[0]
    if name.startswith("internvl"):
        seen["pooled"] = out.last_hidden_state[0, 0]
    elif name == "radio":
        seen["summary"] = out.summary[0]
    elif getattr(out, "logits", None) is not None:
        seen["logits"] = out.logits[0]
        seen["last_hidden_state.mean(1)"] = seen["norm"].mean(0)
    elif getattr(out, "pooler_output", None) is not None:
        seen["pooler_output"] = out.pooler_output[0]
    else:
        seen["last_hidden_state.mean(1)"] = out.last_hidden_state[0].mean(0)
    return seen


def write(path, tensors):
    save_file({name: t.detach().clone().contiguous() for name, t in tensors.items()}, path, metadata={"format": "pt"})


@torch.no_grad()
def make():
    for name, (cls, config) in MODELS.items():
        seed = zlib.crc32(name.encode())
        cls = getattr(transformers, cls)
        config = cls.config_class(**config)
        model = randomise(cls(config), seed)
        config = getattr(config, "vision_config", config)
        size = config.image_size if isinstance(config.image_size, (list, tuple)) else [config.image_size] * 2
        pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1 + seed))
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            state = load_file(Path(folder) / "model.safetensors")
            config = json.loads((Path(folder) / "config.json").read_text())
            # That of a text model of the usual size, which the class does not make.
            config.pop("text_config", None)
        if name.startswith("siglip") and not any(key.startswith("vision_model.") for key in state):
            state = {f"vision_model.{key}": value for key, value in state.items()}
        # A folder that vitport writes has a float in the place of the one whole number, which the class converts.
        write(HERE / f"{name}.safetensors", {key: value.float() for key, value in state.items()})
        (HERE / f"{name}.json").write_text(json.dumps(config, indent=1) + "\n")
        seen = run(model, name, pixels)
        write(HERE / f"{name}.expected.safetensors", {"pixels": pixels[0], **seen})
        print(name, {key: f"{float(value.std()):.2f}" for key, value in seen.items()})
        opened, info = opened_from(name, cls)
        print("    keys", {key: value for key, value in info.items() if value})
        again = run(opened, name, pixels)
        print("    apart by", max(float((again[key] - seen[key]).abs().max()) for key in seen))


def opened_from(name, cls):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text((HERE / f"{name}.json").read_text())
        (Path(folder) / "model.safetensors").write_bytes((HERE / f"{name}.safetensors").read_bytes())
        model, info = cls.from_pretrained(folder, output_loading_info=True)
    return model.eval(), info


@torch.no_grad()
def check():
    for name, (cls, _) in MODELS.items():
        if not hasattr(transformers, cls):
            print(name, "not in this version")
            continue
        model, info = opened_from(name, getattr(transformers, cls))
        expected = load_file(HERE / f"{name}.expected.safetensors")
        seen = run(model, name, expected.pop("pixels")[None])
        assert seen.keys() == expected.keys(), (seen.keys(), expected.keys())
        print(name, {key: value for key, value in info.items() if value},
              max(float((seen[key] - expected[key]).abs().max()) for key in expected))


check() if sys.argv[1:] == ["check"] else make()
