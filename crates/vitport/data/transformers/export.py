"""Exports the config classes of transformers: the defaults of every key, and in version 5 the types that it insists on.

    python export.py        # once with transformers 4, once with transformers 5; writes MODEL_TYPE.v4.json or .v5.json

The keys are those that a `config.json` of the class may leave out. Keys of the base class that only generation or training
reads are left out here; they decide nothing in a forward pass.
"""
import dataclasses
import json
from pathlib import Path

import transformers

# Some exist in version 5 only.
NAMES = [
    "ViTConfig", "CvtConfig", "CLIPVisionConfig", "ConvNextConfig", "SiglipVisionConfig", "SiglipConfig", "IJepaConfig",
    "Aimv2VisionConfig", "InternVLVisionConfig", "RadioConfig", "Tipsv2VisionConfig", "BeitConfig", "Dinov2Config",
    "Dinov2WithRegistersConfig", "DeiTConfig", "DINOv3ViTConfig", "DINOv3ConvNextConfig", "ConvNextV2Config", "ResNetConfig",
    "RegNetConfig", "SwinConfig", "EfficientNetConfig", "Swinv2Config",
]
CLASSES = [getattr(transformers, name) for name in NAMES if hasattr(transformers, name)]
MAJOR = transformers.__version__.partition(".")[0]


def own_keys(config_class):
    """Names that the class itself defines, beyond those of every config."""
    base = set(transformers.PretrainedConfig().to_dict())
    return [key for key in config_class().to_dict() if key not in base]


def main():
    for config_class in CLASSES:
        config = config_class()
        document = {
            "transformers": transformers.__version__,
            "class": config_class.__name__,
            "defaults": {key: config.to_dict()[key] for key in sorted(own_keys(config_class))},
        }
        if dataclasses.is_dataclass(config_class):
            known = {field.name: str(field.type) for field in dataclasses.fields(config_class)}
            document["types"] = {key: known[key] for key in document["defaults"] if key in known}
        name = config_class.model_type
        path = Path(__file__).with_name(f"{name}.v{MAJOR}.json")
        path.write_text(json.dumps(document, indent=1) + "\n")
        print(path.name, len(document["defaults"]), "keys")


if __name__ == "__main__":
    main()
