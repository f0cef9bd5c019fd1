"""torchvision's networks under their own names: small ones, and published sizes whose files say what they are, through both
versions. The truth is torchvision's, the pixels are those of its weights' own transforms."""
import pytest
import torch
from PIL import Image
from torchvision import models, transforms
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.regnet import BlockParams, RegNet
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2
from torchvision.models.vision_transformer import VisionTransformer

import environment
import through_both

RESNET, REGNET = models.ResNet50_Weights, models.RegNet_Y_400MF_Weights
CONVNEXT, SWIN, VIT = models.ConvNeXt_Tiny_Weights, models.Swin_T_Weights, models.ViT_B_16_Weights


def regnet(se_ratio):
    params = BlockParams([1, 2, 1, 2], [8, 16, 24, 48], [8] * 4, [1.0] * 4, [2] * 4, se_ratio)
    return RegNet(params, num_classes=10, stem_width=8)


def convnext():
    blocks = [CNBlockConfig(16, 24, 1), CNBlockConfig(24, 32, 2), CNBlockConfig(32, 40, 1), CNBlockConfig(40, None, 1)]
    return ConvNeXt(blocks, num_classes=10)


# The network, its weights' name, its size, the options that a small one needs, and the class that it becomes.
SMALL = {
    "resnet": (lambda: ResNet(BasicBlock, [1, 2, 1, 1], num_classes=7), RESNET.IMAGENET1K_V2, 64, "ResNet"),
    "regnet y": (lambda: regnet(0.25), REGNET.IMAGENET1K_V2, 64, "RegNet"),
    "regnet x": (lambda: regnet(None), models.RegNet_X_400MF_Weights.IMAGENET1K_V1, 96, "RegNet"),
    "convnext": (convnext, CONVNEXT.IMAGENET1K_V1, 64, "ConvNext"),
    "swin": (lambda: SwinTransformer([4, 4], 12, [2, 2, 2], [2, 3, 4], [4, 4], num_classes=6), SWIN.IMAGENET1K_V1, 64, "Swin"),
    "swin v2": (
        lambda: SwinTransformer([4, 4], 12, [2, 2], [2, 3], [8, 8], num_classes=6, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2),
        models.Swin_V2_T_Weights.IMAGENET1K_V1, 64, "Swinv2",
    ),
    # Windows of half that size, which the file shows.
    "swin v2, other windows": (
        lambda: SwinTransformer([4, 4], 12, [2, 2], [2, 3], [4, 4], num_classes=6, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2),
        models.Swin_V2_T_Weights.IMAGENET1K_V1, 64, "Swinv2",
    ),
    "vit": (lambda: VisionTransformer(32, 8, 2, 3, 48, 96, num_classes=5), VIT.IMAGENET1K_V1, 32, "ViT"),
}
FULL = {
    "resnet50": (models.resnet50, RESNET.IMAGENET1K_V2, 224, "ResNet"),
    "convnext_tiny": (models.convnext_tiny, CONVNEXT.IMAGENET1K_V1, 224, "ConvNext"),
}
WHOLE = {f"{name}, saved whole": row for name, row in SMALL.items()}
NETWORKS = SMALL | WHOLE | FULL


def transform_of(weights, size, image_files):
    """The weights' transform as single steps, for images of another size the same share of them."""
    preset = weights.transforms()
    [crop], [resized] = preset.crop_size, preset.resize_size
    normalize = transforms.Normalize(preset.mean, preset.std)

    def steps(crop, resized):
        resize = transforms.Resize(resized, preset.interpolation, antialias=preset.antialias)
        return transforms.Compose([resize, transforms.CenterCrop(crop), transforms.ToTensor(), normalize])

    for path in image_files:
        image = Image.open(path).convert("RGB")
        assert torch.equal(steps(crop, resized)(image), preset(image))
    return steps(size, int(size / (crop / resized) + 1e-9))


@torch.no_grad()
def calm(model, size):
    """The model with a last layer by which logits spread by about one."""
    spread = model(torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))).std()
    [*_, head] = (module for module in model.modules() if isinstance(module, torch.nn.Linear))
    head.weight /= spread
    head.bias /= spread
    return model


def tokens_of(model):
    if isinstance(model, ResNet):
        layers = [model.conv1, model.bn1, model.relu, model.maxpool, model.layer1, model.layer2, model.layer3, model.layer4]
        return torch.nn.Sequential(*layers)
    if isinstance(model, RegNet):
        return torch.nn.Sequential(model.stem, model.trunk_output)
    if isinstance(model, ConvNeXt):
        return model.features
    if isinstance(model, SwinTransformer):
        return torch.nn.Sequential(model.features, model.norm, torch.nn.Flatten(1, 2))
    return lambda batch: model.encoder(
        torch.cat([model.class_token.expand(len(batch), -1, -1), model._process_input(batch)], dim=1)
    )


@pytest.fixture(scope="module")
def opened(tmp_path_factory, image_files):
    directory, networks = tmp_path_factory.mktemp("torchvision"), {}
    for seed, (name, (make, weights, size, _)) in enumerate(NETWORKS.items()):
        model = calm(through_both.enliven(make(), seed), size)
        if name in FULL:
            # The file's name says the rest.
            source, flags = directory / weights.url.rsplit("/", 1)[1], []
        else:
            like = f"torchvision/{weights_name(weights)}"
            source, flags = directory / f"{seed}.pth", ["--like", like]
            # The modules of a ViT say both.
            flags += {"vit": ["--num-heads", "3"], "vit, saved whole": []}.get(name, ["--image-size", str(size)])
        torch.save(model if name in WHOLE else model.state_dict(), source)
        networks[name] = (model, size, source, flags, transform_of(weights, size, image_files), tokens_of(model))
    return through_both.open_all(directory, image_files, networks)


def weights_name(weights):
    [name] = [name for name in models.list_models(module=models) if weights in list(models.get_model_weights(name))]
    return f"{name}.{weights.name}"


@pytest.mark.parametrize("name", NETWORKS)
def test_torchvision(opened, name):
    _, weights, _, family = NETWORKS[name]
    through_both.check(opened[name], f"{family}ForImageClassification", weights.transforms().std)


def test_a_swin_v2_of_other_windows_is_not_the_published_one(tmp_path):
    model = SwinTransformer([4, 4], 96, [2, 2, 6, 2], [3, 6, 12, 24], [4, 4], block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2)
    torch.save(model.state_dict(), tmp_path / "source.pth")
    said = ("--image-size", "256", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--crop-pct", "1", "--interpolation", "bicubic")
    done = environment.convert(tmp_path / "source.pth", tmp_path / "out", "--arch", "torchvision/swin_v2_t", *said)
    assert done.returncode == 4 and "window_size of torchvision/swin_v2_t is 8, but 4 according to the weights" in done.stderr, done.stderr
