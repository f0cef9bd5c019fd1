"""Exports every name that means something to transformers in a folder's config.json or preprocessor_config.json.

    python export_keys.py   # once with transformers 4, once with transformers 5; writes keys.v4.json or keys.v5.json

A name is known if a class defines it (an attribute, a method, a property, a parameter, a field) or if the code that opens
a folder reads it from a config, a dict or keyword arguments. Too many names are better than too few: a key of a known name
is neutral only where neutral.json, which try_keys.py measures, says so. Types are those that version 5 insists on; defaults
are those of the image processors.
"""
import ast
import dataclasses
import inspect
import json
import re
from pathlib import Path

import transformers
from transformers.models.auto import image_processing_auto

MAJOR = transformers.__version__.partition(".")[0]
ROOT = Path(transformers.__file__).parent
# By model_type: the folder of its code, and its config class. Some exist in version 5 only.
FAMILIES = {
    "vit": ("vit", "ViTConfig"),
    "cvt": ("cvt", "CvtConfig"),
    "clip_vision_model": ("clip", "CLIPVisionConfig"),
    "convnext": ("convnext", "ConvNextConfig"),
    "siglip_vision_model": ("siglip", "SiglipVisionConfig"),
    "siglip": ("siglip", "SiglipConfig"),
    "siglip_text_model": ("siglip", "SiglipTextConfig"),
    "ijepa": ("ijepa", "IJepaConfig"),
    "aimv2_vision_model": ("aimv2", "Aimv2VisionConfig"),
    "internvl_vision": ("internvl", "InternVLVisionConfig"),
    "radio": ("radio", "RadioConfig"),
    "tipsv2_vision_model": ("tipsv2", "Tipsv2VisionConfig"),
    "beit": ("beit", "BeitConfig"),
    "dinov2": ("dinov2", "Dinov2Config"),
    "dinov2_with_registers": ("dinov2_with_registers", "Dinov2WithRegistersConfig"),
    "deit": ("deit", "DeiTConfig"),
    "dinov3_vit": ("dinov3_vit", "DINOv3ViTConfig"),
    "dinov3_convnext": ("dinov3_convnext", "DINOv3ConvNextConfig"),
    "convnextv2": ("convnextv2", "ConvNextV2Config"),
    "resnet": ("resnet", "ResNetConfig"),
    "regnet": ("regnet", "RegNetConfig"),
    "swin": ("swin", "SwinConfig"),
    "efficientnet": ("efficientnet", "EfficientNetConfig"),
    "swinv2": ("swinv2", "Swinv2Config"),
}
CONFIGS = {key: name for key, (_, name) in FAMILIES.items() if hasattr(transformers, name)}
FAMILY = {key: folder for key, (folder, _) in FAMILIES.items()}
PROCESSORS = [
    "ViTImageProcessor", "CLIPImageProcessor", "ConvNextImageProcessor", "BeitImageProcessor", "BitImageProcessor",
    "DeiTImageProcessor", "SiglipImageProcessor", "EfficientNetImageProcessor",
]
VARIANTS = ["", "Fast", "Pil"]

# The code that opens a folder and runs it, whatever the family.
CONFIG_CODE = [
    "configuration_utils.py", "modeling_utils.py", "modeling_layers.py", "core_model_loading.py", "dynamic_module_utils.py",
    "conversion_mapping.py", "backbone_utils.py", "utils/backbone_utils.py", "utils/generic.py", "utils/hub.py",
    "models/auto/auto_factory.py", "models/auto/configuration_auto.py", "models/auto/modeling_auto.py",
    "models/auto/image_processing_auto.py", "pipelines/__init__.py", "pipelines/base.py",
    "pipelines/image_classification.py", "pipelines/image_feature_extraction.py", "quantizers/auto.py",
    "generation/configuration_utils.py", "generation/utils.py", "integrations/sdpa_attention.py",
    "integrations/eager_paged.py", "integrations/peft.py", "integrations/accelerate.py", "integrations/hub_kernels.py",
    "loss/loss_utils.py", "modeling_rope_utils.py", "modeling_attn_mask_utils.py", "masking_utils.py", "heterogeneity",
    "integrations/heterogeneity", "initialization.py", "monkey_patching.py",
]
PROCESSOR_CODE = [
    "image_processing_base.py", "image_processing_utils.py", "image_processing_utils_fast.py",
    "image_processing_backends.py", "models/auto/image_processing_auto.py", "processing_utils.py",
    "models/vit", "models/clip", "models/convnext", "models/deit", "models/bit", "models/beit", "models/siglip", "image_transforms.py", "image_utils.py",
]
READS = {"get", "pop", "setdefault"}
ATTRIBUTES = {"getattr", "hasattr", "setattr", "delattr"}
OF_PYTHON = {name for kind in (dict, list, str, set) for name in dir(kind)}


def files(paths, pattern="*.py"):
    """The files of paths, of which some are folders and some exist in one version only."""
    for path in map(ROOT.joinpath, paths):
        yield from sorted(path.glob(pattern)) if path.is_dir() else [path] if path.exists() else []


def read_in(paths, owner, pattern="*.py"):
    """Names that the files read from anything whose last name matches `owner`, the methods of Python's own types apart."""
    names = set()

    def note(node):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            names.add(node.value)

    def owned(node):
        return bool(owner.search(re.split(r"[.\[]", ast.unparse(node))[-1]))

    for path in files(paths, pattern):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Attribute(value=value, attr=attr) if owned(value):
                    names.add(attr)
                case ast.Subscript(value=value, slice=key) if owned(value):
                    note(key)
                case ast.Call(func=ast.Attribute(value=value, attr=attr), args=[key, *_]) if attr in READS and owned(value):
                    note(key)
                case ast.Call(func=ast.Name(id=function), args=[value, key, *_]) if function in ATTRIBUTES and owned(value):
                    note(key)
                case ast.Compare(left=key, ops=[ast.In() | ast.NotIn()], comparators=[value]) if owned(value):
                    note(key)
    return names - OF_PYTHON


def defined_by(cls, instance):
    """Names that a class and an object of it have, and the parameters that it takes."""
    names = set(dir(cls)) | set(vars(instance))
    for function in (cls.__init__, getattr(cls, "preprocess", None), getattr(cls, "_preprocess", None)):
        if function is not None:
            names |= set(inspect.signature(inspect.unwrap(function)).parameters)
    valid = getattr(cls, "valid_kwargs", None)
    return names | set(getattr(valid, "__annotations__", {}))


def insists(cls, name):
    """Whether a class looks at the type of a field; those of the base class are not looked at."""
    try:
        cls(**{name: object()})
    except Exception as error:  # noqa: BLE001 - other errors come from code that uses the value
        return type(error).__name__ == "StrictDataclassFieldValidationError"
    return False


def type_text(kind):
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else re.sub(r"typing\.", "", str(kind))


def configs():
    config = re.compile(r"config|cfg|dict|kwargs|^self$", re.IGNORECASE)
    base = read_in(["configuration_utils.py"], config)
    base |= read_in(CONFIG_CODE, re.compile(r"config|cfg", re.IGNORECASE))
    document = {"every": sorted(base | defined_by(transformers.PretrainedConfig, transformers.PretrainedConfig()))}
    for model_type, name in CONFIGS.items():
        cls = getattr(transformers, name)
        own = defined_by(cls, cls()) | read_in([f"models/{FAMILY[model_type]}"], config, "configuration_*.py")
        own |= read_in([f"models/{FAMILY[model_type]}"], re.compile(r"config", re.IGNORECASE), "modeling_*.py")
        entry = {"names": sorted(own - set(document["every"]))}
        if dataclasses.is_dataclass(cls):
            fields = sorted(dataclasses.fields(cls), key=lambda field: field.name)
            entry["types"] = {field.name: type_text(field.type) for field in fields if insists(cls, field.name)}
            base_keys = {field.name for field in dataclasses.fields(transformers.PretrainedConfig)}
        else:
            base_keys = set(transformers.PretrainedConfig().to_dict())
        defaults = cls().to_dict()
        entry["sdpa"] = bool(getattr(transformers.MODEL_MAPPING.get(cls, None), "_supports_sdpa", False))
        entry["defaults"] = {key: defaults[key] for key in sorted(set(defaults) - base_keys - {"model_type"})}
        document[model_type] = entry
    return document


def processors():
    owner = re.compile(r"^self$|dict|config|kwargs", re.IGNORECASE)
    names = read_in(PROCESSOR_CODE, owner, "image_processing*.py")
    defaults = {}
    for name in PROCESSORS:
        for cls in filter(None, (getattr(transformers, name + variant, None) for variant in VARIANTS)):
            processor = cls()
            names |= defined_by(cls, processor)
        processor = getattr(transformers, name)()
        known = processor.to_dict()
        valid = getattr(processor, "_valid_kwargs_names", None) or [key for key in known if not key.startswith("_")]
        read = {key: known.get(key, getattr(processor, key, None)) for key in sorted(valid)}
        defaults[name] = {key: list(value) if isinstance(value, tuple) else value for key, value in read.items()
                          if key != "image_processor_type"}
    by_type = dict(image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES)
    first = {key: list(by_type[key].values() if isinstance(by_type[key], dict) else by_type[key]) for key in CONFIGS if key in by_type}
    # Version 5 lists the class of each backend, and the one without a suffix is the default; some have a fast one only.
    plain = {key: [name.removesuffix("Fast") for name in classes if name] for key, classes in first.items()}
    of_type = {key: next(name for name in classes if name.endswith("ImageProcessor")) for key, classes in plain.items()}
    return {"names": sorted(names), "defaults": defaults, "of_model_type": of_type}


def main():
    document = {"transformers": transformers.__version__, "config": configs(), "processor": processors()}
    path = Path(__file__).with_name(f"keys.v{MAJOR}.json")
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(path.name, {key: len(value) if isinstance(value, list) else len(value["names"]) for key, value in
                      document["config"].items()}, len(document["processor"]["names"]))


if __name__ == "__main__":
    main()
