"""The way back to Microsoft's, Meta's and Google's names: what their own code loads. Their repositories are not installed here, so the
names and shapes are those of files in these layouts that vitport reads, and Google's arrays are loaded by timm's own reader."""
import json

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from timm.models._hub import save_for_hf

import cvt
import environment
import twins
from test_back import made  # noqa: F401  a fixture

EXAMPLE = environment.ROOT / "examples/cvt_tiny/tiny.pth"
JAX = environment.ROOT / "crates/vitport/tests/data/vit"


def back(folder, framework, out, *options):
    return environment.run("convert", folder, "--to", framework, "-o", out, *options)


def tensors(folder):
    return safetensors.torch.load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def there(source, out, *flags):
    done = environment.convert(source, out, *flags)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("size", [64, 384])
def test_cvt(size, tmp_path):
    _, state = cvt.random_model(5, embed_dim=[24, 40, 60], depth=[2, 3, 3], num_heads=[3, 2, 5], num_labels=7)
    torch.save(state, tmp_path / "source.pth")
    there(tmp_path / "source.pth", tmp_path / "folder", "--num-heads", "3,2,5", "--image-size", str(size))
    run = back(tmp_path / "folder", "microsoft", tmp_path / "out")
    assert run.returncode == 0 and "cvt-gelu" in run.stdout, run.stderr + run.stdout
    assert same(tensors(tmp_path / "out"), state)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["MODEL"]["SPEC"]["NUM_HEADS"] == [3, 2, 5] and config["TEST"]["IMAGE_SIZE"] == [size, size]
    # Nothing has to be said when it is converted again.
    there(tmp_path / "out", tmp_path / "again")
    assert same(tensors(tmp_path / "again"), tensors(tmp_path / "folder"))
    for name in ("config.json", "preprocessor_config.json"):
        assert (tmp_path / "again" / name).read_text() == (tmp_path / "folder" / name).read_text()
    assert back(tmp_path / "folder", "microsoft", tmp_path / "strict", "--strict").returncode == 5


def test_the_published_size_of_a_cvt(tmp_path):
    there(EXAMPLE, tmp_path / "folder", "--num-heads", "1,2,4", "--image-size", "64")
    assert back(tmp_path / "folder", "microsoft", tmp_path / "out").returncode == 0
    assert same(tensors(tmp_path / "out"), torch.load(EXAMPLE))


# A tag of timm's, a small twin's arguments, the framework, and what a name of timm's is there.
NAMES = {
    "swin": (
        "swin_tiny_patch4_window7_224.ms_in1k",
        {"img_size": 56, "embed_dim": 24, "depths": [2, 1], "num_heads": [2, 4], "num_classes": 5},
        "microsoft",
        lambda name: name.replace("layers.1.downsample", "layers.0.downsample").replace("head.fc", "head"),
    ),
    "convnext": (
        "convnext_tiny.fb_in1k", {"dims": [16, 24, 32, 40], "depths": [1, 1, 2, 1], "num_classes": 5}, "meta",
        lambda name: meta_convnext(name),
    ),
    "convnext v2": (
        "convnextv2_tiny.fcmae_ft_in1k", {"dims": [16, 24, 32, 40], "depths": [1, 1, 2, 1], "num_classes": 5}, "meta",
        lambda name: meta_convnext(name),
    ),
}


def meta_convnext(name):
    name = name.replace(".blocks.", ".").replace("conv_dw", "dwconv").replace("mlp.grn.weight", "grn.gamma")
    name = name.replace("mlp.grn.bias", "grn.beta").replace("mlp.fc", "pwconv")
    name = name.replace("stem.", "downsample_layers.0.").replace("head.norm", "norm").replace("head.fc", "head")
    if ".downsample." in name:
        stage, rest = name.split(".downsample.")
        name = f"{stage.replace('stages', 'downsample_layers')}.{rest}"
    return name


@pytest.mark.parametrize("name", NAMES)
def test_other_names(name, tmp_path):
    tag, args, framework, renamed = NAMES[name]
    model = timm.create_model(tag, **args).eval()
    twins.enliven(model, 7)
    save_for_hf(model, tmp_path / "source", safe_serialization=True, model_args={k: v for k, v in args.items() if k != "num_classes"})
    there(tmp_path / "source", tmp_path / "folder")
    run = back(tmp_path / "folder", framework, tmp_path / "out", "--json")
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)["report"]
    assert (report["verdict"], report["assumptions"]) == ("same", [])
    wanted = {renamed(key): value for key, value in model.state_dict().items()}
    found = tensors(tmp_path / "out")
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(found[key].flatten(), value.flatten()), key
        # Meta's global response norms have four axes.
        assert ".grn." in key or found[key].shape == value.shape, key
    there(tmp_path / "out", tmp_path / "again")
    assert same(tensors(tmp_path / "again"), tensors(tmp_path / "folder"))


@pytest.mark.parametrize(("name", "heads", "size"), [("jax_classifier", 2, "16"), ("jax_oblong", 3, "16x24"), ("jax_base", 2, "16")])
def test_google(name, heads, size, tmp_path):
    flags = ["--image-size", size, "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--crop-pct", "1", "--interpolation", "bicubic"]
    flags += ["--crop-mode", "squash"] if "x" in size else []
    there(JAX / f"{name}.npz", tmp_path / "folder", *flags)
    run = back(tmp_path / "folder", "jax", tmp_path / "out")
    assert run.returncode == 0, run.stderr
    # flax computes GELU by tanh.
    assert "jax-gelu" in run.stdout
    source, again = np.load(JAX / f"{name}.npz"), np.load(tmp_path / "out" / "model.npz")
    assert sorted(source.files) == sorted(again.files)
    for key in source.files:
        assert np.array_equal(source[key], again[key]) and source[key].dtype == again[key].dtype, key
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_google_with_the_gelu_of_flax(made, tmp_path):  # noqa: F811
    """What transformers computes with GELU by tanh is what Google's network computes, as timm's reader of its arrays shows."""
    folder = made / "vit, no qkv bias"
    assert back(folder, "jax", tmp_path / "no").returncode == 7
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, embed_dim=48, num_heads=3, depth=2, num_classes=5, act_layer="gelu_tanh")
    twins.enliven(model.eval(), 2)
    arguments = {"img_size": 32, "embed_dim": 48, "num_heads": 3, "depth": 2, "act_layer": "gelu_tanh"}
    save_for_hf(model, tmp_path / "source", safe_serialization=True, model_args=arguments)
    there(tmp_path / "source", tmp_path / "folder")
    run = back(tmp_path / "folder", "jax", tmp_path / "out")
    assert run.returncode == 0 and "jax-gelu" not in run.stdout, run.stderr + run.stdout
    again = timm.create_model("vit_tiny_patch16_224", **arguments, num_classes=5).eval()
    again.load_pretrained(str(tmp_path / "out" / "model.npz"))
    batch = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(again(batch), model(batch))


def test_a_framework_without_such_networks_is_refused_with_the_others(made, tmp_path):  # noqa: F811
    for name, framework, others in [
        ("resnet", "microsoft", "--to timm or torchvision"),
        ("swin", "meta", "--to timm, torchvision or microsoft"),
        ("vit", "meta", "--to timm, torchvision or jax"),
        ("beit, eps 1e-12", "jax", "--to timm"),
    ]:
        run = back(made / name, framework, tmp_path / "out")
        assert run.returncode == 7 and others in run.stderr, run.stderr
