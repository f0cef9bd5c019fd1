"""--resample-to: small networks of several mappings for images of another size, as transformers opens what vitport writes and as timm opens
the same weights with another img_size."""
import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors, save_file
from timm.data import create_transform, resolve_data_config
from timm.models._hub import save_for_hf

import checks
import environment
import pixels
import through_both

SMALL = {"embed_dim": 48, "depth": 2, "num_heads": 3}
BEIT = "beit_base_patch16_224.in22k_ft_in22k_in1k"
# By name: the tag with a small twin's arguments, the other size, the class, and the name of the positions in the folder.
NETWORKS = {
    "vit": ("vit_base_patch16_224.augreg2_in21k_ft_in1k", SMALL | {"img_size": 48, "num_classes": 7}, 112, "ViTForImageClassification", "vit.embeddings.position_embeddings"),
    "vit, smaller": ("vit_base_patch16_224.augreg_in21k", SMALL | {"img_size": 112, "num_classes": 0}, 64, "ViTModel", "embeddings.position_embeddings"),
    "vit, half precision": ("vit_base_patch32_224.augreg_in21k_ft_in1k", SMALL | {"img_size": 64, "num_classes": 5}, 160, "ViTForImageClassification", "vit.embeddings.position_embeddings"),
    "flexivit, no position of the class token": ("flexivit_small.1200ep_in1k", SMALL | {"img_size": 64, "num_classes": 4}, 96, "ViTForImageClassification", None),
    "deit": ("deit_tiny_distilled_patch16_224.fb_in1k", SMALL | {"img_size": 64, "num_classes": 6}, 112, "DeiTForImageClassificationWithTeacher", None),
    "clip": ("vit_base_patch32_clip_224.openai", SMALL | {"img_size": 96, "num_classes": 24}, 224, "CLIPVisionModelWithProjection", None),
    "siglip": ("vit_base_patch16_siglip_224.webli", SMALL | {"img_size": 64}, 144, "SiglipVisionModel", "vision_model.embeddings.position_embedding.weight"),
    "dinov2": ("vit_small_patch14_dinov2.lvd142m", SMALL | {"img_size": 70}, 98, "ViTModel", None),
    "dinov2, registers": ("vit_small_patch14_reg4_dinov2.lvd142m", SMALL | {"img_size": 56}, 126, "Dinov2WithRegistersModel", None),
    "beit": (BEIT, SMALL | {"img_size": 64, "num_classes": 5}, 112, "BeitForImageClassification", None),
    "beit, smaller": (BEIT, SMALL | {"img_size": 112, "num_classes": 5}, 48, "BeitForImageClassification", None),
    "dinov3, nothing to resample": ("vit_small_patch16_dinov3.lvd1689m", SMALL | {"img_size": 64}, 112, "DINOv3ViTModel", None),
    "swin, nothing to resample": ("swin_tiny_patch4_window7_224.ms_in1k", {"img_size": 56, "embed_dim": 24, "depths": [2, 1], "num_heads": [2, 4], "num_classes": 5}, 112, "SwinForImageClassification", None),
    "swinv2, nothing to resample": ("swinv2_tiny_window8_256.ms_in1k", {"img_size": 64, "embed_dim": 24, "depths": [1, 2], "num_heads": [2, 4], "num_classes": 5}, 128, "Swinv2ForImageClassification", None),
}
LOGITS = ("ViTForImageClassification", "BeitForImageClassification", "SwinForImageClassification", "Swinv2ForImageClassification")
# Of these, timm's last hidden state is normed and that of the class is not, or the other way round.
OTHERWISE_NORMED = ("CLIPVisionModelWithProjection", "BeitForImageClassification")


def saved(name, directory, seed):
    tag, args, *_ = NETWORKS[name]
    overlay = {"input_size": (3, args["img_size"], args["img_size"]), "fixed_input_size": True}
    model = through_both.enliven(timm.create_model(tag, pretrained_cfg_overlay=overlay, **args), seed)
    if tag.startswith("vit_base_patch32_clip"):
        model.head.bias.data.zero_()
    save_for_hf(model, directory, safe_serialization=True, model_args={key: args[key] for key in args if key != "num_classes"})
    if "half" in name:
        weights = load_tensors(directory / "model.safetensors")
        save_file({key: value.half() for key, value in weights.items()}, directory / "model.safetensors")


@torch.no_grad()
def truth(name, source, image_files, seed):
    """What timm computes of the weights that it loads with the other size itself, and the pixels that it prepares for it."""
    _, _, size, target, _ = NETWORKS[name]
    model = timm.create_model(f"local-dir:{source}", pretrained=True, img_size=size).eval()
    batch = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(seed))
    tokens = model.forward_features(batch)
    values = {"input": batch}
    if target not in OTHERWISE_NORMED:
        values["last_hidden_state"] = tokens.flatten(1, -2)
    if target in LOGITS:
        values["logits"] = model(batch)
    elif target in ("SiglipVisionModel", "ViTModel"):
        values["pooler_output"] = model(batch)
    elif target == "CLIPVisionModelWithProjection":
        values["pooler_output"] = tokens[:, 0]
    transform = create_transform(**resolve_data_config({"input_size": (3, size, size)}, model=model))
    images = [Image.open(path).convert("RGB") for path in image_files]
    arrays = {key: value.numpy() for key, value in values.items()}
    return model, arrays | {f"pixels_{i}": pixels.reference(transform, image) for i, image in enumerate(images)}


@pytest.fixture(scope="module")
def opened(tmp_path_factory, image_files):
    directory, results, jobs = tmp_path_factory.mktemp("resampled"), {}, []
    for seed, name in enumerate(NETWORKS):
        source, folder, arrays = directory / f"{seed}.source", directory / f"{seed}", directory / f"{seed}.npz"
        saved(name, source, seed)
        model, wanted = truth(name, source, image_files, seed)
        np.savez(arrays, **wanted)
        conversion = environment.convert(source, folder, "--resample-to", NETWORKS[name][2], "--json")
        results[name] = (conversion, model, wanted, folder)
        if conversion.returncode == 0:
            jobs.append({"name": name, "folder": str(folder), "truth": str(arrays)})
    return results, environment.open_folders(jobs, image_files, directory)


@pytest.mark.parametrize("name", NETWORKS)
def test_timm_computes_the_same(opened, name):
    results, reports = opened
    conversion, model, wanted, folder = results[name]
    _, _, size, target, positions = NETWORKS[name]
    assert conversion.returncode == 0, conversion.stderr
    document = json.loads(conversion.stdout)
    is_nothing = "nothing" in name
    assert ("as timm does" in document["headline"]) == (not is_nothing), document["headline"]
    assert document["tensor_counts"]["reversible"] == is_nothing or target == "ViTModel", document["tensor_counts"]
    assert json.loads((folder / "config.json").read_text())["image_size"] == size
    if positions:
        held = load_file(folder / "model.safetensors")[positions].astype(np.float32).reshape(model.pos_embed.shape)
        resampled = model.pos_embed.detach().numpy()
        assert np.abs(held - resampled).max() <= (1e-3 if "half" in name else 1e-6)
    for major in environment.MAJORS:
        report = reports[major][name]
        checks.check_opens(report)
        assert report["architectures"] == [target]
        arrays = dict(np.load(report["arrays"]))
        compared = [key for key in ("last_hidden_state", "logits", "pooler_output") if key in wanted]
        assert compared
        for key in compared:
            checks.close(key, arrays[key], wanted[key])
        checks.check_pixels(arrays, wanted, model.pretrained_cfg["std"], major)


def test_what_timm_does_not_take_is_refused(tmp_path):
    save_for_hf(timm.create_model("resnet18.tv_in1k", num_classes=3), tmp_path / "source", safe_serialization=True)
    with pytest.raises(TypeError):
        timm.create_model("resnet18", img_size=96)
    conversion = environment.convert(tmp_path / "source", tmp_path / "out", "--resample-to", 96)
    assert conversion.returncode == 4 and "--image-size says" in conversion.stderr, conversion.stderr
    assert not (tmp_path / "out").exists()
