"""Makes the golden files of this folder: tiny networks of torchvision with random weights, run by torchvision.

    python make.py

Written with torch 2.15.0 and torchvision 0.29.2, on one thread. For each network NAME it writes NAME.pth, its state dict as
torchvision publishes one, and NAME.expected.safetensors: `pixels` [3, height, width], every hidden state that transformers
computes too [positions, channels], under the name that vitport's definition of transformers' network gives it, and the outputs.
torchvision's ResNet has timm's names and fixed widths; its files are in the interoperation tests.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.regnet import BlockParams, RegNet
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2

HERE = Path(__file__).parent
torch.set_num_threads(1)


@torch.no_grad()
def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith("coords_table"):
            continue
        if not tensor.is_floating_point():
            # An index stays what it is.
            tensor.fill_(seed) if name.endswith("num_batches_tracked") else None
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.copy_(0.5 + noise.abs())
        elif name.endswith("logit_scale"):
            tensor.copy_(2.0 + 0.5 * noise)
        elif name.endswith("layer_scale") or (tensor.ndim == 1 and name.endswith("weight")):
            tensor.copy_(0.8 + 0.3 * noise)
        elif tensor.ndim == 1:
            tensor.copy_(0.3 * noise)
        else:
            tensor.copy_(noise * (1.4 if tensor.ndim == 4 else 0.7) / tensor[0].numel() ** 0.5)
    return model.eval()


def tokens(map):
    return map.flatten(2).transpose(1, 2)


def watch(module, seen, name, form=tokens):
    # Cloned, since the activations after it work in place.
    module.register_forward_hook(lambda _, __, out: seen.__setitem__(name, form(out).clone()))


def of_regnet(model, seen):
    watch(model.stem, seen, "embedder")
    for s, stage in enumerate(model.trunk_output.children()):
        for b, block in enumerate(stage.children()):
            watch(block, seen, f"encoder.stages.{s}.layers.{b}")


def of_convnext(model, seen):
    for s in range(4):
        watch(model.features[2 * s], seen, f"encoder.stages.{s}.downsampling_layer")
        for b, block in enumerate(model.features[2 * s + 1]):
            watch(block, seen, f"encoder.stages.{s}.layers.{b}")
    watch(model.classifier[0], seen, "layernorm", lambda out: out.flatten(1))


def of_swin(model, seen):
    flat = dict(form=lambda out: out.flatten(1, 2))
    watch(model.features[0], seen, "embeddings", **flat)
    for s, stage in enumerate(model.features[1::2]):
        for b, block in enumerate(stage):
            watch(block, seen, f"encoder.layers.{s}.blocks.{b}", **flat)
    watch(model.norm, seen, "layernorm", **flat)


@torch.no_grad()
def make(name, seed, model, places, size):
    model = randomise(model, seed)
    torch.save(model.state_dict(), HERE / f"{name}.pth")
    seen = {"pixels": torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed + 1))}
    places(model, seen)
    watch(model.avgpool, seen, "pooler_output", lambda out: out.flatten(1))
    if isinstance(model, ConvNeXt):
        watch(model.classifier[0], seen, "pooler_output", lambda out: out.flatten(1))
    seen["logits"] = model(seen["pixels"])
    print(name, len(seen) - 1, "std", float(seen["logits"].std()))
    save_file({key: value[0].contiguous() for key, value in seen.items()}, HERE / f"{name}.expected.safetensors")


def regnet(se_ratio, groups):
    params = BlockParams([1, 2, 1, 2], [8, 16, 24, 48], [groups] * 4, [1.0] * 4, [2] * 4, se_ratio)
    return RegNet(params, num_classes=10, stem_width=8)


BLOCKS = [CNBlockConfig(16, 24, 1), CNBlockConfig(24, 32, 2), CNBlockConfig(32, 40, 1), CNBlockConfig(40, None, 1)]
make("regnet_y", 1, regnet(0.25, 8), of_regnet, (64, 72))
make("regnet_x", 3, regnet(None, 8), of_regnet, (64, 64))
SWIN = SwinTransformer([4, 4], 12, [2, 2, 2], [2, 3, 4], [4, 4], num_classes=10)
make("swin", 7, SWIN, of_swin, (64, 64))
SECOND = dict(block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2)
SWIN_V2 = SwinTransformer([4, 4], 12, [1, 2], [2, 3], [8, 8], num_classes=10, **SECOND)
make("swin_v2", 9, SWIN_V2, of_swin, (64, 64))
make("convnext", 5, ConvNeXt(BLOCKS, num_classes=10), of_convnext, (64, 72))
