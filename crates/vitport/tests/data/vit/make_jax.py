"""Makes the golden files of the original JAX layout: tiny vision transformers as Google's vision_transformer saves them, loaded
and run by timm.

    HF_HUB_OFFLINE=1 python make_jax.py

Written with torch 2.15.0, timm 1.0.31 and numpy 2.4.6, on one thread. For each network NAME it writes NAME.npz, whose arrays
are random (those of `jax_opt_target` lie under `opt/target/`); NAME.safetensors, the state dict that `load_pretrained` of
timm's VisionTransformer makes of it; and NAME.expected.safetensors as make.py does. `jax_pre_logits.npz` has a
representation layer, which timm leaves out, and nothing else.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

HERE = Path(__file__).parent
torch.set_num_threads(1)


def arrays(seed, size, patch, dim, heads, depth, mlp, classes, pre_logits=0):
    """Names and shapes of google-research/vision_transformer, vit_jax/models_vit.py, as its releases hold them."""
    random = np.random.default_rng(seed)

    def kernel(*shape, fan):
        return (random.standard_normal(shape) * 1.2 / fan**0.5).astype(np.float32)

    def around(mean, spread, *shape):
        return (mean + spread * random.standard_normal(shape)).astype(np.float32)

    tokens = size[0] // patch[0] * (size[1] // patch[1]) + 1
    head_dim = dim // heads
    made = {
        "cls": around(0, 0.3, 1, 1, dim),
        "embedding/kernel": kernel(*patch, 3, dim, fan=3 * patch[0] * patch[1]),
        "embedding/bias": around(0, 0.3, dim),
        "Transformer/posembed_input/pos_embedding": around(0, 0.3, 1, tokens, dim),
        "Transformer/encoder_norm/scale": around(1, 0.2, dim),
        "Transformer/encoder_norm/bias": around(0, 0.3, dim),
    }
    for i in range(depth):
        block = f"Transformer/encoderblock_{i}/"
        for norm in ("LayerNorm_0", "LayerNorm_2"):
            made[f"{block}{norm}/scale"] = around(1, 0.2, dim)
            made[f"{block}{norm}/bias"] = around(0, 0.3, dim)
        attention = block + "MultiHeadDotProductAttention_1/"
        for projection in ("query", "key", "value"):
            made[f"{attention}{projection}/kernel"] = kernel(dim, heads, head_dim, fan=dim)
            made[f"{attention}{projection}/bias"] = around(0, 0.3, heads, head_dim)
        made[f"{attention}out/kernel"] = kernel(heads, head_dim, dim, fan=dim)
        made[f"{attention}out/bias"] = around(0, 0.3, dim)
        for number, (inner, outer) in enumerate(((dim, mlp), (mlp, dim))):
            made[f"{block}MlpBlock_3/Dense_{number}/kernel"] = kernel(inner, outer, fan=inner)
            made[f"{block}MlpBlock_3/Dense_{number}/bias"] = around(0, 0.3, outer)
    width = dim
    if pre_logits:
        made["pre_logits/kernel"] = kernel(dim, pre_logits, fan=dim)
        made["pre_logits/bias"] = around(0, 0.3, pre_logits)
        width = pre_logits
    if classes:
        made["head/kernel"] = kernel(width, classes, fan=width)
        made["head/bias"] = around(0, 0.3, classes)
    return made


def write(
    name, seed, size=(16, 16), patch=(4, 4), dim=16, heads=2, depth=2, mlp=64, classes=7, write_npz=np.savez, prefix=""
):
    made = arrays(seed, size, patch, dim, heads, depth, mlp, classes)
    write_npz(HERE / f"{name}.npz", **{prefix + key: value for key, value in made.items()})
    model = VisionTransformer(
        img_size=size, patch_size=patch, embed_dim=dim, depth=depth, num_heads=heads, mlp_ratio=mlp / dim,
        num_classes=classes,
    ).eval()
    model.load_pretrained(str(HERE / f"{name}.npz"))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, HERE / f"{name}.safetensors")
    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed + 1))
    seen = {"pixels": x}
    with torch.no_grad():
        hidden = model._pos_embed(model.patch_embed(x))
        seen["embeddings"] = hidden
        for i, block in enumerate(model.blocks):
            hidden = block(hidden)
            seen[f"layer {i}"] = hidden
        seen["norm"] = model.norm(hidden)
        seen["pooled"] = model.forward_head(model.forward_features(x), pre_logits=True)
        if classes:
            seen["logits"] = model(x)
    seen = {k: v.detach().squeeze(0).clone().contiguous() for k, v in seen.items()}
    save_file(seen, HERE / f"{name}.expected.safetensors")


write("jax_classifier", 61)
write("jax_oblong", 63, size=(16, 24), patch=(4, 8), dim=24, heads=3, depth=3, mlp=40, classes=5, write_npz=np.savez_compressed)
write("jax_base", 65, classes=0)
write("jax_opt_target", 69, depth=1, dim=8, mlp=16, classes=3, prefix="opt/target/")
np.savez(HERE / "jax_pre_logits.npz", **arrays(67, (16, 16), (4, 4), 16, 2, 1, 64, 7, pre_logits=16))
