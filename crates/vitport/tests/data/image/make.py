"""Makes the golden files of this folder with Pillow, torchvision, timm and transformers themselves.

    HF_HUB_OFFLINE=1 python make.py

Written with Pillow 13.0.0, torchvision 0.29.2, timm 1.0.31 and transformers 4.57.6 (PIL backend). `*.png` are the inputs, `cases.json` says
what was computed from them, and `expected.safetensors` holds the results under the cases' names: bytes
[height, width, 3] of decoding and resizing, float32 [3, height, width] of preprocessing. A case with
`every` keeps only every so many rows and columns, from the first on.
"""

import json
import random
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform
from torchvision import transforms as T

HERE = Path(__file__).parent
draw = random.Random(7)
cases, expected = [], {}


def structure(width, height, channels, seed):
    """Waves, edges and some noise: every frequency that a filter can get wrong."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed)
    planes = []
    for channel in range(channels):
        wave = 110 * np.sin(x * (0.2 + 0.13 * channel) + seed) * np.cos(y * (0.31 - 0.07 * channel))
        edges = 90 * (((x // 5 + y // 7 + channel) % 2) - 0.5)
        planes.append(128 + wave + edges + noise.normal(0, 12, (height, width)))
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def save(name, image, **options):
    image.save(HERE / f"{name}.png", **options)
    rgb = Image.open(HERE / f"{name}.png").convert("RGB")
    case({"kind": "decode", "image": name}, torch.from_numpy(np.array(rgb)))
    return rgb


def case(description, result):
    name = f"{len(cases):03} {description['kind']} {description['image']}"
    if every := description.get("every"):
        result = result[..., ::every, ::every]
    expected[name] = result.contiguous()
    cases.append({"name": name, **description})


images = {
    "photo": save("photo", Image.fromarray(structure(61, 47, 3, 1))),
    "tall": save("tall", Image.fromarray(structure(19, 80, 3, 2))),
    "wide": save("wide", Image.fromarray(structure(97, 16, 3, 3))),
    "line": save("line", Image.fromarray(structure(1, 37, 3, 4))),
    "dot": save("dot", Image.fromarray(structure(1, 1, 3, 5))),
    "grey": save("grey", Image.fromarray(structure(33, 30, 1, 6)[..., 0])),
    "alpha": save("alpha", Image.fromarray(structure(30, 34, 4, 7))),
}
save("grey_alpha", Image.fromarray(structure(20, 21, 2, 8), "LA"))
save("grey16", Image.fromarray(structure(20, 9, 1, 9)[..., 0].astype(np.uint16) * 3))
save("bilevel", Image.fromarray(structure(21, 13, 1, 10)[..., 0]).convert("1"))
palette = Image.fromarray(structure(25, 23, 3, 11)).quantize(16)
save("palette", palette, transparency=3)
save("palette2", palette.quantize(4), bits=2)

for name, filters, sizes in [
    ("photo", range(6), [(24, 24), (61, 20), (130, 9), (13, 47)]),
    ("tall", (2, 3), [(40, 168), (7, 9)]),
    ("wide", (2, 3), [(150, 25), (31, 16)]),
    ("line", range(6), [(5, 50), (3, 11)]),
    ("dot", (0, 3), [(4, 3)]),
]:
    for number in filters:
        for size in sizes:
            resized = images[name].resize(size, resample=number)
            description = {"kind": "resize", "image": name, "size": size, "filter": number}
            case(description, torch.from_numpy(np.array(resized)))

names = ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
for index in range(42):
    side = draw.randint(8, 15)
    parameters = {
        "input_size": [3, side, side if index % 3 else draw.randint(8, 15)],
        "crop_pct": draw.choice([0.875, 0.9, 0.95, 1.0, 0.77, 1.1]),
        "crop_mode": draw.choice(["center", "squash", "border"]),
        "interpolation": draw.choice(names[1:3] if index % 2 else names),
        "mean": draw.choice([[0.485, 0.456, 0.406], [0.5, 0.5, 0.5], [0.1, 0.25, 0.9]]),
        "std": draw.choice([[0.229, 0.224, 0.225], [0.5, 0.5, 0.5], [1.0, 0.3, 0.7]]),
    }
    chosen = draw.choice(["photo", "photo", "tall", "wide", "grey", "alpha"])
    try:
        tensor = create_transform(**parameters, is_training=False)(images[chosen])
    except ValueError:
        continue  # a side of zero pixels
    case({"kind": "timm", "image": chosen, "parameters": parameters}, tensor)

mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
normalize = T.Normalize(mean=mean, std=std)
for size, chosen in [(14, "photo"), (15, "tall"), (21, "wide"), (9, "line")]:
    for crop in (True, False):
        if crop:
            steps = [T.Resize(int(size / 0.875), interpolation=3), T.CenterCrop(size)]
        else:
            steps = [T.Resize((size, size), interpolation=3)]
        tensor = T.Compose([*steps, T.ToTensor(), normalize])(images[chosen])
        case({"kind": "microsoft", "image": chosen, "image_size": size, "center_crop": crop}, tensor)


def processor(config, chosen, **more):
    cls = getattr(transformers, config.get("image_processor_type") or config["feature_extractor_type"])
    instance = cls.from_dict(dict(config))
    values = instance(images[chosen], return_tensors="pt")["pixel_values"][0].float()
    case({"kind": "processor", "image": chosen, "config": config, **more}, values)


def typed(cls, **fields):
    return {"image_processor_type": f"{cls}ImageProcessor", **fields}


three = ["photo", "tall", "wide"]
for chosen in three:
    processor(typed("ViT", size={"height": 11, "width": 13}, resample=3, image_mean=mean, image_std=std), chosen)
    processor(typed("CLIP", size={"shortest_edge": 14}, crop_size={"height": 12, "width": 13}), chosen)
    processor(typed("Bit", size={"shortest_edge": 9}, crop_size=12, resample=2, image_std=std), chosen)
    processor(typed("ConvNext", size={"shortest_edge": 14}, crop_pct=0.9, resample=3), chosen)
    processor(typed("DeiT", size={"height": 15, "width": 12}, crop_size={"height": 10, "width": 14}), chosen)
processor({"feature_extractor_type": "ViTFeatureExtractor", "size": 13, "do_normalize": True, "resample": 2}, "photo")
processor({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 14, "crop_pct": None}, "photo")
processor({"feature_extractor_type": "CLIPFeatureExtractor", "size": 13, "crop_size": 12}, "tall")
processor({"feature_extractor_type": "DeiTFeatureExtractor", "size": 16, "crop_size": 13}, "wide")
processor(typed("ViT", size=[10, 12], image_mean=0.4, image_std=[0.2, 0.3, 0.4]), "wide")
processor(typed("ViT", do_resize=False, do_rescale=False), "photo", every=5)
processor(typed("ViT", do_resize=False, do_normalize=False, rescale_factor=0.01), "photo", every=5)
processor(typed("CLIP", size={"height": 14, "width": 20}, do_center_crop=False), "photo")
processor(typed("CLIP", do_resize=False, crop_size={"height": 50, "width": 40}), "photo", every=5)
processor(typed("CLIP"), "photo", every=29)
processor(typed("ViT"), "line", every=29)
processor(typed("DeiT"), "photo", every=29)
processor(typed("ConvNext"), "photo", every=31)
processor(typed("ConvNext", size={"shortest_edge": 383}, resample=3), "grey", every=31)
processor(typed("ConvNext", size={"shortest_edge": 12}), "line")
processor(typed("CLIP", size={"shortest_edge": 12}, crop_size=12), "alpha")

(HERE / "cases.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
save_file(expected, HERE / "expected.safetensors")
print(len(cases), "cases")
