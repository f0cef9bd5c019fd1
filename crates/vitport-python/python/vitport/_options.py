"""The options of each function: those of the command of its name, with underscores. A test compares them with the command's own."""
from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Literal, TypedDict, Union

Path = Union[str, "PathLike[str]"]
Size = Union[int, str]
Channels = Union[float, str, tuple[float, float, float]]
ImageSize = Union[int, str, tuple[int, int]]


class LimitOptions(TypedDict, total=False):
    """How much a file may ask for; one that asks for more is refused."""

    max_tensors: int
    """Tensors in one checkpoint; 100,000 if it is not given."""
    max_nesting: int
    """Dicts, lists and objects inside each other around a tensor, at most 200; 100."""
    max_name: Size
    """Bytes in one tensor's name; 4096."""
    max_header: Size
    """Bytes of a safetensors header, an index, a zip's directory or a pickle; ``"32MiB"``."""
    max_pickle_memory: Size
    """Memory that the objects of a pickle may take while they are read; ``"100MiB"``."""
    max_metadata: int
    """Numbers and texts kept from what lies next to the weights; 4096."""
    max_shards: int
    """Files of one shard index; 4096."""
    max_expansion: Size
    """Bytes by which tensors may exceed what is stored for them, besides 64 times the file's length; ``"1GiB"``."""
    allow_dangerous_pickle: bool
    """Take the tensors of a file whose pickle would execute code in Python; nothing is run here either."""


class FactOptions(LimitOptions, total=False):
    """Facts about the model that a source may leave open."""

    arch: str
    """Architecture, with or without a pretrained tag."""
    like: str
    """A model of timm's with the same preprocessing; if it has the same sizes, also with the same heads."""
    num_heads: Union[int, Sequence[int]]
    """Attention heads: one number, or one for each stage."""
    image_size: ImageSize
    """Image size in pixels: one number, or height and width."""
    resample_to: ImageSize
    """Image size to which position embeddings are resampled, as timm does: one number, or height and width."""
    labels: Path
    """Class names: a file, ``"imagenet-1k"`` and its like, or ``"none"``."""
    mean: Channels
    """Mean of each channel on a 0 to 1 scale."""
    std: Channels
    """Standard deviation of each channel on a 0 to 1 scale."""
    crop_pct: float
    """Share of the resized image that the crop keeps."""
    crop_mode: Literal["center", "squash", "border"]
    """What is cut off."""
    interpolation: Literal["bicubic", "bilinear", "lanczos", "nearest", "box", "hamming"]
    """How images are resized."""
    layer_norm_eps: float
    """Epsilon of the layer norms."""
    adapter: Path
    """LoRA adapter of peft that is added to the weights: its file, or a folder that holds it."""
    lora_alpha: float
    """Alpha of LoRA adapters next to the weights, where no adapter_config.json says it."""
    no_processor: bool
    """Write no preprocessor_config.json."""
    target: str
    """Class of transformers to become, where several could hold the model."""
    no_head: bool
    """Leave the classification head out."""
    key: str
    """The part of the checkpoint that is the network: a nested part, a prefix of names, or both."""
    drop: Union[str, Sequence[str]]
    """Tensors to leave out, as patterns of names."""
    dtype: Literal["f32", "fp32", "float32", "f16", "fp16", "float16", "bf16", "bfloat16"]
    """Dtype of the written weights; as in the source if it is not given."""
    mapping: Path
    """A mapping file in place of the built-in mapping."""


class HubOptions(TypedDict, total=False):
    """How a source that is not a path is fetched."""

    revision: str
    """Branch, tag or commit of a repository on the Hub."""
    offline: bool
    """Use only what is in the cache."""


class ComparisonOptions(TypedDict, total=False):
    """How both networks are compared."""

    image: Path
    """Image to run both networks on, a path or an address; a built-in one if it is not given."""
    strict: bool
    """Count a known deviation as a failure."""
    allow: Union[str, Sequence[str]]
    """Known deviations that ``strict`` accepts all the same."""
    report: Path
    """File to write a report to: one page for ``.html``, otherwise JSON."""
    attest: Path
    """File to write an in-toto statement of the folder to."""


class PlanOptions(FactOptions, HubOptions, total=False):
    """The options of :func:`vitport.plan`."""


class VerifyOptions(FactOptions, HubOptions, ComparisonOptions, total=False):
    """The options of :func:`vitport.verify`."""


class ConvertOptions(FactOptions, HubOptions, ComparisonOptions, total=False):
    """The options of :func:`vitport.convert`."""

    force: bool
    """Replace the folder if it is a model folder."""
    max_shard_size: Size
    """Most bytes in one weight file; ``"5GB"``."""
    no_fsync: bool
    """Do not wait until the files are on the disk."""
    no_verify: bool
    """Do not run the networks."""
    keep_anyway: bool
    """Publish the folder even if the networks disagree. The error is raised all the same."""
    with_exact_code: bool
    """Add the source's exact network as code, where the target's deviates."""
    to: Literal["transformers", "timm", "torchvision", "microsoft", "meta", "jax"]
    """The framework to convert to; unless it is ``"transformers"``, the source is a transformers folder."""
    no_card: bool
    """Write no model card."""


class InspectOptions(LimitOptions, total=False):
    """The options of :func:`vitport.inspect`."""

    hash: bool
    """Compute the sha256 of each tensor's values."""
    key: str
    """Only the tensors of this nested part, under their bare names."""


class DiffOptions(LimitOptions, total=False):
    """The options of :func:`vitport.diff`."""


class ClassifyOptions(LimitOptions, total=False):
    """The options of :func:`vitport.classify`."""


class ModelsOptions(TypedDict, total=False):
    """The options of :func:`vitport.models`."""

    convertible: bool
    """Only models that can be converted."""
    family: str
    """Only this family, such as vit or cvt."""
    becomes: str
    """Only what becomes a class whose name holds this text."""
    license: str
    """Only licences that hold this text, or unknown."""
    sort: Literal["table", "name", "params", "classes", "image", "license", "becomes"]
    """Order of the models."""
    reverse: bool
    """Last one first."""
