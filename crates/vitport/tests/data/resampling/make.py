"""Makes what timm computes of networks that it loads for images of another size.

    python make.py

Written with torch 2.15.0 and timm 1.0.31, on one thread. The networks are hub folders that lie elsewhere in the tests' data. timm opens
each with another `img_size` and so resamples its position embeddings itself. NAME.expected.safetensors has `pixels`
[3, height, width], the blocks' hidden states (of Swins those after the last norm) and the logits; NAME.weights.safetensors the
tensors that timm resampled, under its names.
"""

from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models.beit import checkpoint_filter_fn

HERE = Path(__file__).parent
DATA = HERE.parent
torch.set_num_threads(1)
NETWORKS = {
    "clip": (DATA / "clip/tower", (48, 48)),
    "siglip": (DATA / "timm_encoders/siglip", (36, 36)),
    "dinov2": (DATA / "timm_encoders/dinov2", (24, 12)),
    "dinov2_registers": (DATA / "timm_encoders/dinov2_registers", (24, 24)),
    "registers_gap": (DATA / "timm_encoders/registers_gap", (12, 12)),
    "tipsv2": (DATA / "timm_encoders/tipsv2", (28, 28)),
    "distilled": (DATA / "timm_encoders/distilled", (12, 12)),
    "radio": (DATA / "timm_encoders/radio", (28, 28)),
    "beit": (DATA / "beit/plain", (40, 40)),
    "beit_shared": (DATA / "beit/shared", (15, 15)),
    "eva01": (DATA / "eva/eva01", (30, 30)),
    "dinov3": (DATA / "eva/dinov3", (30, 30)),
    "swin": (DATA / "swin/plain", (128, 128)),
    "swinv2": (DATA / "swinv2/plain", (128, 128)),
}


def load(folder, **size):
    """timm's own loader; without the mask token of BEiT's pretraining, which it does not take."""
    if "mask_token" not in load_file(folder / "model.safetensors"):
        return timm.create_model(f"local-dir:{folder}", pretrained=True, **size).eval()
    model = timm.create_model(f"local-dir:{folder}", pretrained=False, **size).eval()
    state = {key: value for key, value in load_file(folder / "model.safetensors").items() if key != "mask_token"}
    model.load_state_dict(checkpoint_filter_fn(state, model))
    return model


@torch.no_grad()
def main():
    for seed, (name, (folder, size)) in enumerate(NETWORKS.items()):
        source = load(folder).state_dict()
        model = load(folder, img_size=size)
        expected = {}

        def keep(name, module):
            module.register_forward_hook(lambda _, __, out: expected.__setitem__(name, out[0].flatten(0, -2).contiguous()))

        if name.startswith("swin"):
            keep("norm", model.norm)
        else:
            for index, block in enumerate(model.blocks):
                keep(f"layer {index}", block)
        pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed))
        out = model(pixels)
        if model.num_classes:
            expected["logits"] = out[0]
        expected["pixels"] = pixels[0]
        save_file({key: value.clone() for key, value in expected.items()}, HERE / f"{name}.expected.safetensors")
        resampled = {
            key: value.clone() for key, value in model.state_dict().items() if not torch.equal(value, source.get(key, value[:0]))
        }
        if resampled:
            save_file(resampled, HERE / f"{name}.weights.safetensors")
        print(name, size, f"{float(out.std()):.2f}", sorted(resampled))


main()
