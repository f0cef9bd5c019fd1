"""Writes the seeds of the fuzz targets, `fuzz/seeds/TARGET/`, out of the test files of the project.

Run from anywhere, with a Python that has Pillow:  python fuzz/seeds.py

The seeds are committed, since the smoke run among the ordinary tests begins with them.
"""

import io
import json
import math
import pathlib
import shutil
import struct
import tarfile
import zipfile

from PIL import Image

HERE = pathlib.Path(__file__).parent
CRATES = HERE.parent / "crates"
DATA = CRATES / "vitport-checkpoint/tests/data"
LARGEST = 12_000


def seed(target, name, data, largest=LARGEST):
    if len(data) > largest:
        return
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def part(data):
    return struct.pack("<H", len(data)) + data


shutil.rmtree(HERE / "seeds", ignore_errors=True)
for path in sorted(DATA.iterdir()):
    if path.is_dir() or path.suffix in (".py", ".md", ".json"):
        continue
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        seed("safetensors", path.name, data)
        seed("safetensors", path.name + ".body", data[8:])
    elif path.name == "old.tar":
        with tarfile.open(path) as tar:
            members = [tar.extractfile(name).read() for name in ("storages", "tensors", "pickle")]
        seed("tar", path.name, b"".join(part(member) for member in members))
    elif data.startswith(b"PK") and path.name != "no_crc.pth":
        if path.suffix == ".npz" or path.name in ("small.pth", "deflated.pth", "zip64.pth", "streamed.pth", "padded.pth"):
            seed("zip", path.name, data)
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                if entry.endswith("data.pkl"):
                    seed("pickle", path.name, archive.read(entry))
                    if path.name in ("script.pt", "trace.pt"):
                        code = b"".join(archive.read(e) for e in archive.namelist() if e.endswith(".py"))
                        seed("script", path.name, code + b"\0" + archive.read(entry))
                if entry.endswith(".npy"):
                    seed("npy", path.name + entry.replace("/", "_"), archive.read(entry))
            if path.suffix == ".npz":
                parts = [part(name.encode()) + part(archive.read(name)) for name in archive.namelist()]
                seed("npz", path.name, b"".join(parts))
    else:
        seed("legacy", path.name, data)
# One block of a JAX release, each array cut down to its header: names and shapes are what the mapping looks at.
with zipfile.ZipFile(CRATES / "vitport/tests/data/vit/jax_pre_logits.npz") as archive:
    parts = [part(name.encode()) + part(archive.read(name)[:128]) for name in archive.namelist()]
    seed("npz", "jax", b"".join(parts))
seed("index", "a", b'{"weight_map": {"a": "1.safetensors"}}')
seed("index", "b", b'{"metadata": {}, "weight_map": {"a": "2.safetensors", "b": "1.safetensors", "c": "../x"}}')
MAPPINGS = CRATES / "vitport/mappings"
for path in MAPPINGS.rglob("*.toml"):
    seed("mapping", "_".join(path.relative_to(MAPPINGS).parts), path.read_bytes())
seed("mapping", "plan", b"""from = "test/source"
to = "test/target"
[ranges]
i = "layers"
j = "blocks.{i}"
[choices]
p = { w = "weight", b = "bias" }
[rename]
"{p}" = "{base}{p}"
[split]
"blocks.{i}.w" = ["q{i}", "k{i}", "v{i}"]
[permute]
conv = { to = "c", axes = [3, 2, [0, 1]] }
[pad]
pos = { to = "positions", rows = 1 }
[reshape]
w = { to = "r", shape = ["width", 2, 2] }
[fold]
w = { to = "f", rows_times = "b" }
[concat]
all = ["blocks.0.w", "blocks.1.w"]
[transpose]
w = "t"
[drop]
n = "a scalar"
[when.head.fill]
eye = { identity = "width" }
[unless.qkv_bias.fill]
zero = { zeros = [2, "width"] }
""")
timm = b'{"architecture": "vit_tiny_patch16_224", "num_classes": 2, "num_features": 4, "global_pool": "token", "model_args": {"img_size": 4, "patch_size": 2, "embed_dim": 4, "depth": 1, "num_heads": 2, "mlp_ratio": 2}, "pretrained_cfg": {"tag": "x", "input_size": [3, 4, 4], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 0.9, "interpolation": "bicubic", "license": "mit", "label_names": ["a", "b"]}}'
seed("config", "timm", b"\0" + timm)
vit = b'{"model_type": "vit", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "image_size": 4, "patch_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": true, "id2label": {"0": "a", "1": "b"}}'
seed("config", "vit", b"\1" + vit)
cvt = b'{"model_type": "cvt", "embed_dim": [4, 4, 4], "depth": [1, 1, 1], "num_heads": [1, 1, 1], "patch_sizes": [7, 3, 3], "patch_stride": [4, 2, 2], "patch_padding": [2, 1, 1], "id2label": {"0": "a"}}'
seed("config", "cvt", b"\1" + cvt)
seed("config", "processor", b'\2{"image_processor_type": "ViTImageProcessor", "do_resize": true, "size": {"height": 6, "width": 4}, "resample": 3, "do_rescale": true, "rescale_factor": 0.004, "do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}')
seed("config", "crop", b'\2{"feature_extractor_type": "CLIPFeatureExtractor", "size": 8, "do_center_crop": true, "crop_size": {"height": 4, "width": 4}, "resample": 2}')
seed("config", "convnext", b'\2{"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 8}, "crop_pct": 0.8}')
seed("config", "labels", b"\3one\ntwo\nthree\n")
seed("config", "labels_json", b'\3{"0": "a", "1": ["n01", "b"], "2": "a"}')
seed("config", "labels_list", b'\3["a", "b"]')
noise = Image.effect_noise((9, 7), 90).convert("RGB")
for name, image, options in [
    ("rgb.png", noise, {}), ("palette.png", noise.quantize(9), {"transparency": 2}), ("bits.png", noise.convert("1"), {}),
    ("grey.png", noise.convert("I;16"), {}), ("alpha.png", noise.convert("RGBA"), {}), ("rgb.jpg", noise, {}),
    ("grey.jpg", noise.convert("L"), {"progressive": True}), ("cmyk.jpg", noise.convert("CMYK"), {}),
    ("lossy.webp", noise, {}), ("lossless.webp", noise.convert("RGBA"), {"lossless": True}),
]:
    stream = io.BytesIO()
    image.save(stream, {"jpg": "jpeg"}.get(name.split(".")[1], name.split(".")[1]), **options)
    seed("image", name, stream.getvalue())


def safetensors(tensors):
    """A file of zeros: names and shapes of float32 tensors."""
    header, end = {}, 0
    for name, shape in tensors.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


VIT = {
    "cls_token": [1, 1, 4], "pos_embed": [1, 5, 4], "patch_embed.proj.weight": [4, 3, 2, 2], "patch_embed.proj.bias": [4],
    "norm.weight": [4], "norm.bias": [4], "head.weight": [2, 4], "head.bias": [2],
    **{f"blocks.0.norm{i}.{p}": [4] for i in "12" for p in ("weight", "bias")},
    "blocks.0.attn.qkv.base_layer.weight": [12, 4], "blocks.0.attn.qkv.base_layer.bias": [12],
    "blocks.0.attn.proj.weight": [4, 4], "blocks.0.attn.proj.bias": [4],
    "blocks.0.mlp.fc1.weight": [8, 4], "blocks.0.mlp.fc1.bias": [8], "blocks.0.mlp.fc2.weight": [4, 8], "blocks.0.mlp.fc2.bias": [4],
}
LORA = {"blocks.0.attn.qkv.lora_A.default.weight": [2, 4], "blocks.0.attn.qkv.lora_B.default.weight": [12, 2]}
CONFIG = b'{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_rslora": false, "rank_pattern": {}, "alpha_pattern": {}}'
seed("adapters", "lora", part(CONFIG) + part(safetensors(VIT | LORA)))
seed("adapters", "root", part(CONFIG.replace(b"false", b"true")) + part(safetensors(VIT | LORA)))
SAVED = {"head.original_module.weight": [2, 4], "head.original_module.bias": [2], "head.modules_to_save.default.weight": [2, 4],
         "head.modules_to_save.default.bias": [2]}
rest = {name: shape for name, shape in VIT.items() if not name.startswith("head")}
seed("adapters", "saved", part(b"{}") + part(safetensors(rest | LORA | SAVED)))
seed("training", "deepspeed", part(b"latest") + part(b"global_step3") + part(b"global_step3/mp_rank_00_model_states.pt")
     + part((DATA / "small.pth").read_bytes()))
seed("training", "dcp", part(b".metadata") + part(b"x") + part(b"__0_0.distcp") + part(b"y"))
for name in ("tiny", "alone"):
    seed("distributed", name, (DATA / "distributed" / name / ".metadata").read_bytes())
seed("training", "trainer", part(b"checkpoint-5/model.safetensors") + part(safetensors({"a": [1]})) + part(b"checkpoint-6/optimizer.pt")
     + part(b"z"))
for name in ("relu.pt", "scripted.pt", "visiontransformer_1.0.31.pt"):
    path = CRATES / "vitport/tests/data/modules" / name
    with zipfile.ZipFile(path) as archive:
        for entry in archive.namelist():
            if entry.endswith("/data.pkl"):
                seed("module", path.name, archive.read(entry), 40_000)
