"""Microsoft's names for transformers' CvT weights, so that sizes nobody has lying about can be tried.

The names are those of `lib/models/cls_cvt.py`. The networks differ in one thing, the activation (QuickGELU there, exact GELU
in transformers), which no tensor shows; test_cvt.py says which expectation comes from which network.
"""
import re

import torch
from transformers import CvtConfig, CvtForImageClassification

PATTERNS = [
    (r"cvt\.encoder\.stages\.(\d+)\.embedding\.convolution_embeddings\.projection", r"stage\1.patch_embed.proj"),
    (r"cvt\.encoder\.stages\.(\d+)\.embedding\.convolution_embeddings\.normalization", r"stage\1.patch_embed.norm"),
    (r"cvt\.encoder\.stages\.(\d+)\.cls_token", r"stage\1.cls_token"),
    (r"cvt\.encoder\.stages\.(\d+)\.layers\.(\d+)\.", r"stage\1.blocks.\2."),
    (r"attention\.attention\.convolution_projection_([qkv])\w+\.convolution_projection\.convolution", r"attn.conv_proj_\1.conv"),
    (r"attention\.attention\.convolution_projection_([qkv])\w+\.convolution_projection\.normalization", r"attn.conv_proj_\1.bn"),
    (r"attention\.attention\.projection_([qkv])\w+", r"attn.proj_\1"),
    (r"attention\.output\.dense", "attn.proj"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"output\.dense", "mlp.fc2"),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"^layernorm", "norm"),
    (r"^classifier", "head"),
]


def microsoft_name(name):
    for pattern, replacement in PATTERNS:
        name = re.sub(pattern, replacement, name)
    return name


@torch.no_grad()
def random_model(seed=0, **config):
    """A transformers CvT whose logits spread by about one, and its weights under Microsoft's names."""
    model = CvtForImageClassification(CvtConfig(**config)).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if not value.is_floating_point():
            value.fill_(seed + 1)
        elif name.endswith("running_var"):
            value.copy_(1.0 + 0.3 * noise.abs())
        elif "norm" in name and name.endswith("weight"):
            value.copy_(1.0 + 0.2 * noise)
        elif value.ndim < 2 or name.endswith("cls_token"):
            value.copy_(0.2 * noise)
        else:
            value.copy_(noise / value[0].numel() ** 0.5)
    return model, {microsoft_name(name): value for name, value in model.state_dict().items()}
