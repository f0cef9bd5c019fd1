"""timm's ConvNeXt: small networks as timm exports them, with and without a head, through both versions."""
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.models._hub import save_for_hf

import checks
import environment
import pixels
import through_both

# Architectures with a small twin's arguments: linear layers as such and as 1×1 convolutions, crops and squashing.
TWINS = {
    "plain": ("convnext_tiny.fb_in1k", {"dims": [16, 32, 48, 64], "depths": [2, 1, 3, 1], "num_classes": 10}, 64),
    "odd widths": ("convnext_small.fb_in22k", {"dims": [9, 14, 21, 30], "depths": [1, 2, 1, 2], "num_classes": 7}, 96),
    "1×1 convolutions": ("convnext_atto.d2_in1k", {"dims": [8, 12, 16, 20], "depths": [1, 1, 2, 1], "num_classes": 5}, 64),
    "squashed": ("convnext_tiny.fb_in22k_ft_in1k_384", {"dims": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "num_classes": 3}, 64),
    "V2": ("convnextv2_atto.fcmae_ft_in1k", {"dims": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "num_classes": 7}, 64),
    "CLIP's projection": ("convnext_base.clip_laiona", {"dims": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "num_classes": 40}, 64),
    "DINOv3": ("convnext_tiny.dinov3_lvd1689m", {"dims": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}, 64),
}


@torch.no_grad()
def enliven(model, seed):
    """Random weights with which logits spread by about one and every layer matters."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim == 1:
            value.copy_(0.3 * noise + (0.0 if name.endswith("bias") else 1.0))
        else:
            value.copy_(noise / value[0].numel() ** 0.5)


def build(seed, tag, args, size):
    overlay = {"input_size": (3, size, size), "fixed_input_size": False}
    model = timm.create_model(tag, pretrained_cfg_overlay=overlay, **args).eval()
    enliven(model, seed)
    return model


@pytest.fixture(scope="module")
def opened(tmp_path_factory, image_files):
    directory = tmp_path_factory.mktemp("convnext")
    images = [Image.open(path).convert("RGB") for path in image_files]
    results, jobs = {}, []
    for seed, (name, (tag, args, size)) in enumerate(TWINS.items()):
        model = build(seed, tag, args, size)
        source, folder, truth = (directory / f"{seed}{end}" for end in (".source", "", ".npz"))
        save_for_hf(model, source, safe_serialization=True, model_args=args)
        batch = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(seed))
        config = resolve_data_config({"input_size": (3, size, size)}, model=model)
        transform = create_transform(**config)
        with torch.no_grad():
            values = {"input": batch.numpy(), "output": model(batch).numpy()}
            values["tokens"] = model.forward_features(batch).numpy()
        values |= {f"pixels_{i}": pixels.reference(transform, image) for i, image in enumerate(images)}
        np.savez(truth, **values)
        results[name] = [environment.convert(source, folder), values, model, config]
        if results[name][0].returncode == 0:
            jobs.append({"name": name, "folder": str(folder), "truth": str(truth)})
    reports = environment.open_folders(jobs, image_files, directory)
    for name, result in results.items():
        result.append({major: reports[major].get(name) for major in environment.MAJORS})
    return results


@pytest.mark.parametrize("name", TWINS)
def test_convnext(opened, name):
    conversion, truth, model, config, reports = opened[name]
    assert conversion.returncode == 0, conversion.stderr
    for major in environment.MAJORS:
        report = reports[major]
        checks.check_opens(report)
        checks.check_loading(report)
        family = "ConvNextV2" if name == "V2" else "ConvNext"
        wanted = f"{family}ForImageClassification" if model.num_classes else f"{family}Model"
        assert report["architectures"] == [wanted]
        assert list(report["config"]["depths"]) == [len(stage.blocks) for stage in model.stages]
        assert report["config"]["layer_norm_eps"] == 1e-6
        arrays = dict(np.load(report["arrays"]))
        checks.check_outputs(arrays, truth, headless=model.num_classes == 0)
        # Version 5's default backend squashes up to nine levels off.
        if major == 4 or config["crop_mode"] == "center":
            checks.check_pixels(arrays, truth, config["std"], major)
        if model.num_classes:
            checks.check_labels(report, report["labels"])
            checks.check_pipeline(report, arrays)


def test_dinov3s_own_class_computes_the_same(tmp_path, image_files):
    """The class of DINOv3's authors, asked for and where ConvNextModel has no such epsilon."""
    networks = {}
    for seed, (name, change, flags) in enumerate([("asked for", {}, ["--target", "DINOv3ConvNextModel"]), ("epsilon", {"norm_eps": 1e-4}, [])]):
        tag, args, size = TWINS["DINOv3"]
        args = args | change
        model = build(seed, tag, args, size)
        save_for_hf(model, tmp_path / f"{seed}.source", safe_serialization=True, model_args=args)
        transform = create_transform(**resolve_data_config({"input_size": (3, size, size)}, model=model))

        def tokens(batch, model=model):
            """The mean and the positions, each normed, as the class has them in its last hidden state."""
            map = model.forward_features(batch)
            rows = torch.cat([map.mean((2, 3))[:, None], map.flatten(2).transpose(1, 2)], 1)
            norm = model.head.norm
            return torch.nn.functional.layer_norm(rows, rows.shape[-1:], norm.weight, norm.bias, norm.eps)

        networks[name] = (model, size, tmp_path / f"{seed}.source", flags, transform, tokens)
    for name, result in through_both.open_all(tmp_path, image_files, networks).items():
        through_both.check(result, "DINOv3ConvNextModel", networks[name][0].pretrained_cfg["std"])


# Networks whose norms have another epsilon than the class, and the factor of their hidden states.
SCALED = {
    "timm's own test network": ("test_convnext.r160_in1k", {"num_classes": 10}, 160, 0.1**0.5),
    "XXL": ("convnext_xxlarge.clip_laion2b_soup_ft_in1k", {"dims": [16, 32, 48, 64], "depths": [2, 1, 3, 1], "num_classes": 10}, 64, 0.1**0.5),
    "1×1 convolutions": ("convnext_atto.d2_in1k", {"dims": [8, 12, 16, 20], "depths": [1, 1, 2, 1], "num_classes": 5, "norm_eps": 1e-4}, 64, 0.1),
    "a smaller epsilon": ("convnext_tiny.fb_in1k", {"dims": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "num_classes": 5, "norm_eps": 1e-7}, 64, 10**0.5),
    "no head": ("convnext_tiny.fb_in1k", {"dims": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "num_classes": 0, "norm_eps": 1e-5}, 64, 0.1**0.5),
}


def test_another_epsilon_is_made_up_for_by_scaled_weights(tmp_path, image_files):
    """The class computes timm's outputs, and its hidden states are timm's times a factor, which report and card name; and it goes back."""
    networks, classes = {}, {}
    for seed, (name, (tag, args, size, times)) in enumerate(SCALED.items()):
        model, source = build(seed, tag, args, size), tmp_path / f"{seed}.source"
        save_for_hf(model, source, safe_serialization=True, model_args=args)
        classes[name] = f"ConvNext{'ForImageClassification' if args['num_classes'] else 'Model'}"
        transform = create_transform(**resolve_data_config({"input_size": (3, size, size)}, model=model))
        tokens = lambda batch, model=model, times=times: model.forward_features(batch) * times
        networks[name] = (model, size, source, ["--target", classes[name]], transform, tokens)
    for seed, (name, result) in enumerate(through_both.open_all(tmp_path, image_files, networks).items()):
        model, *_ = networks[name]
        through_both.check(result, classes[name], model.pretrained_cfg["std"])
        conversion, truth, _ = result
        said = f"hidden states are {SCALED[name][-1]:#.4g} times the source's"
        card = (tmp_path / f"{seed}/README.md").read_text()
        assert said in " ".join(conversion.stdout.split()) and said in card, conversion.stdout
        back = tmp_path / f"{seed}.back"
        assert environment.convert(tmp_path / f"{seed}", back, "--to", "timm").returncode == 0
        again = timm.create_model(f"local-dir:{back}", pretrained=True).eval()
        assert {norm.eps for norm in again.modules() if isinstance(norm, torch.nn.LayerNorm)} == {1e-6}
        with torch.no_grad():
            checks.close("the way back", again(torch.from_numpy(truth["input"])).numpy(), truth["output"])


@pytest.mark.parametrize(
    "tag, args, words",
    [
        ("convnext_atto_ols.a2_in1k", {}, "an overlapping stem"),
        ("convnext_tiny_hnf.a2h_in1k", {}, "its last norm before pooling"),
        ("convnext_tiny.fb_in1k", {"head_hidden_size": 24}, "a hidden layer in its head"),
        ("convnext_zepto_rms.ra4_e3600_r224_in1k", {}, "another norm than LayerNorm"),
        ("test_convnext.r160_in1k", {}, "an epsilon of 1e-5"),
        ("convnext_xxlarge.clip_laion2b_soup_ft_in1k", {}, "with --target ConvNextForImageClassification"),
        ("test_convnext3.r160_in1k", {}, "kernels of 7,5,5,3 pixels"),
        ("convnext_tiny.fb_in1k", {"conv_bias": False}, "whose convolutions have no biases"),
        ("convnext_tiny.fb_in1k", {"patch_size": 8}, "patches of 8x8 pixels"),
        ("edgenext_xx_small.in1k", {}, "edgenext"),
    ],
)
def test_other_structures_are_refused(tmp_path, tag, args, words):
    small = {} if tag.startswith(("test_", "edgenext")) else {"dims": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
    model = timm.create_model(tag, **small, **args)
    save_for_hf(model, tmp_path / "source", safe_serialization=True, model_args={**small, **args})
    conversion = environment.convert(tmp_path / "source", tmp_path / "out")
    assert conversion.returncode == 7, conversion.stderr
    assert len(conversion.stderr.splitlines()) == 1 and words in conversion.stderr, conversion.stderr
    assert not (tmp_path / "out").exists()
