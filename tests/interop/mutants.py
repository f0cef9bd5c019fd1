"""Folders changed in one place: each key of both documents, keys that people or tools add, and the weights' files."""
import json
import os
import random
import shutil

import torch
from safetensors.torch import load_file, save_file

import environment

CONFIG, PROCESSOR, WEIGHTS = "config.json", "preprocessor_config.json", "model.safetensors"
INDEX, PICKLE = "model.safetensors.index.json", "pytorch_model.bin"

# Keys that a conversion does not write, and values for them.
ADDED = {
    CONFIG: {
        "my_project": [{"a": 1}, "text", None],
        "attribute_map": [{"hidden_act": "pooler_act"}, {}],
        "attn_implementation": ["eager", "sdpa", "bogus", None],
        "_attn_implementation": ["eager", "bogus"],
        "is_causal": [True, False],
        "is_decoder": [True, False],
        "transformers_weights": ["other.safetensors", "model.safetensors", None],
        "pretrained_cfg": [{}, None],
        "use_return_dict": [True],
        "return_dict": [False, True],
        "to_dict": [1],
        "self": [1],
        "num_labels": [3, 10, "10", None],
        "problem_type": ["regression", "single_label_classification", "multi_label_classification", "other"],
        "image_processor_type": ["ViTImageProcessor", None],
        "feature_extractor_type": ["ViTFeatureExtractor"],
        "output_attentions": [True, False],
        "output_hidden_states": [True, 1],
        "torchscript": [True],
        "chunk_size_feed_forward": [0, 7, -1, "x"],
        "gradient_checkpointing": [True],
        "dtype": ["float32", "float16", "bogus"],
        "layer_types": [["full_attention"]],
        "rope_scaling": [{"type": "linear"}],
        "quantization_config": [{}, None],
        "per_layer_config": [{"0": {"hidden_act": "relu"}}],
        "tie_word_embeddings": [True, False],
        "num_beams": [4],
        "_name_or_path": ["somewhere/else"],
        "auto_map": [{"AutoModel": "x.Y"}],
        "out_features": [["stage1"]],
    },
    PROCESSOR: {
        "my_project": [{"a": 1}],
        "use_square_size": [True, False],
        "default_to_square": [True, False],
        "do_center_crop": [True, False],
        "crop_size": [{"height": 40, "width": 40}, 48, {"shortest_edge": 48}],
        "do_pad": [True, False],
        "pad_size": [{"height": 100, "width": 100}],
        "do_convert_rgb": [True, False, None],
        "crop_pct": [0.5, None],
        "resize": [1],
        "preprocess": [None],
        "size_divisor": [32],
        "data_format": ["channels_first", "channels_last"],
        "input_data_format": ["channels_last"],
        "return_tensors": ["pt"],
        "device": ["cpu", "cuda"],
        "disable_grouping": [True],
        "image_processor": [{}],
        "auto_map": [{"AutoImageProcessor": "x.Y"}],
        "feature_extractor_type": ["ViTFeatureExtractor"],
        "processor_class": ["CLIPProcessor"],
        "_valid_processor_keys": [["images"]],
    },
}
# Values for names that a class's code reads and that are no keys of its config.
OF_READ_NAMES = [None, True, 1, "text"]
# Objects whose keys are a person's, and no keys of a config.
NAMES_OF_CLASSES = ("id2label", "label2id")
KEYS = environment.ROOT / "crates/vitport/data/transformers"


def known_keys(model_type):
    """{key: (what it is, values)} of what a config class knows besides every config: its keys, and names that its code reads."""
    classes = [json.loads((KEYS / f"keys.v{major}.json").read_text())["config"].get(model_type, {}) for major in environment.MAJORS]
    found = {key: ("a name that is read, ", OF_READ_NAMES) for known in classes for key in known.get("names", [])}
    for known in classes:
        for key, default in known.get("defaults", {}).items():
            found[key] = ("a key of the class, ", [default, *other_values(default)])
    return found


def other_values(value):
    """Values of another type, out of range, and others of the same type."""
    yield from (None, str(value), [value], {"a": value})
    match value:
        case bool():
            yield from (not value, int(value))
        case int():
            yield from (float(value), value + 1, -value, 0)
        case float():
            yield from (int(value), value + 0.125, -1.0, 2.0, 0.0)
        case str():
            yield from ("", value + "x", 3)
        case list():
            yield from (value[:-1], [*value, *value[-1:]], value[0] if value else 0, [str(entry) for entry in value])
            if value and isinstance(value[0], (int, float)) and not isinstance(value[0], bool):
                yield from ([entry + 1 for entry in value], [float(entry) for entry in value])
        case dict():
            first = next(iter(value), None)
            yield from ({}, {**value, "extra": 1}, {key: entry for key, entry in value.items() if key != first})
            yield {key: str(entry) for key, entry in value.items()}


def changes_of(document, usual):
    """Every change of a document, those of the documents in it with them: what is done, and the document then."""
    for key, value in usual.items():
        yield f"{key} removed", {name: entry for name, entry in usual.items() if name != key}
        for other in other_values(value):
            yield f"{key} {json.dumps(other)[:60]}", usual | {key: other}
        if isinstance(value, dict) and document == CONFIG and key not in NAMES_OF_CLASSES:
            for name, content in changes_of(document, value):
                yield f"{key}: {name}", usual | {key: content}
    added = known_keys(usual.get("model_type")) if document == CONFIG else {}
    added |= {key: ("", values) for key, values in ADDED[document].items()}
    for key, (what, values) in added.items():
        if key not in usual:
            yield from ((f"{what}{key} {json.dumps(other)[:60]}", usual | {key: other}) for other in values)


def in_documents(folder):
    for document in (CONFIG, PROCESSOR):
        usual = json.loads((folder / document).read_text())
        for name, content in changes_of(document, usual):
            if json.dumps(content) != json.dumps(usual):
                yield f"{document}: {name}", lambda place, document=document, content=content: (
                    (place / document).write_text(json.dumps(content))
                )


def shards(place, tensors, names, listed=None, metadata=True, format="pt"):
    """Spreads tensors over files, with an index."""
    (place / WEIGHTS).unlink()
    for name in names:
        (place / name).parent.mkdir(exist_ok=True)
    order = sorted(tensors)
    parts = {name: order[number :: len(names)] for number, name in enumerate(names)}
    for name, part in parts.items():
        save_file({key: tensors[key] for key in part}, place / name, metadata={"format": format} if format else None)
    weight_map = {key: name for name, part in parts.items() for key in part if listed is None or key in listed}
    index = {"weight_map": weight_map} | ({"metadata": {"total_size": 1}} if metadata else {})
    (place / INDEX).write_text(json.dumps(index))


def of_weights(folder):
    tensors = load_file(folder / WEIGHTS)
    two = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    first = sorted(tensors)[0]
    other = {name: value + 1 for name, value in tensors.items()}

    def pickled(content, name=PICKLE, **options):
        def change(place):
            (place / WEIGHTS).unlink()
            torch.save(content, place / name, **options)

        return change

    def saved(content):
        return lambda place: save_file(content, place / WEIGHTS, metadata={"format": "pt"})

    def both(content):
        return lambda place: torch.save(content, place / PICKLE)

    floats = {name.replace(".", "_"): value for name, value in tensors.items() if value.is_floating_point()}
    module = torch.nn.ParameterDict(floats)
    changes = {f"renamed {name}": (lambda place, name=name: (place / WEIGHTS).rename(place / name)) for name in (
        "weights.safetensors", "pytorch_model.bin", "model.bin", "model.safetensors.index.json", "model.pt")}
    changes |= {
        "pickle": pickled(dict(tensors)),
        "old pickle": pickled(dict(tensors), _use_new_zipfile_serialization=False),
        "nested pickle": pickled({"state_dict": dict(tensors)}),
        "pickle with an epoch": pickled({**tensors, "epoch": 3}),
        "pickled module": pickled(module),
        "pickle with a prefix": pickled({f"module.{name}": value for name, value in tensors.items()}),
        "another pickle next to it": both(other),
        "the same pickle next to it": both(dict(tensors)),
        "a copy": lambda place: shutil.copy(place / WEIGHTS, place / "model-copy.safetensors"),
        "a copy of half precision by its name": lambda place: shutil.copy(place / WEIGHTS, place / "model.fp16.safetensors"),
        "a tensor less": saved({name: value for name, value in tensors.items() if name != first}),
        "a tensor renamed": saved({name + "_" if name == first else name: value for name, value in tensors.items()}),
        "a prefix": saved({f"module.{name}": value for name, value in tensors.items()}),
        "another number": saved({**tensors, first: tensors[first] * 1.5}),
        "a tensor in float64": saved({**tensors, first: tensors[first].double()}),
        "a tensor of another shape": saved({**tensors, first: tensors[first].unsqueeze(0)}),
        "shards in a folder": lambda place: shards(place, tensors, [f"parts/{name}" for name in two]),
        "a shard twice": lambda place: (shards(place, tensors, two), shutil.copy(place / two[0], place / "copy.safetensors")),
        "a shard less": lambda place: (shards(place, tensors, two), (place / two[1]).unlink()),
        "shards without an index": lambda place: (shards(place, tensors, two), (place / INDEX).unlink()),
        "shards in a renamed index": lambda place: (shards(place, tensors, two), (place / INDEX).rename(place / "index.json")),
        "another file next to it": lambda place: save_file(other, place / "other.safetensors"),
        "an index next to it": lambda place: (place / INDEX).write_text("{}"),
        "shards": lambda place: shards(place, tensors, two),
        "shards of other names": lambda place: shards(place, tensors, ["a.safetensors", "b.safetensors"]),
        "shards that are not safetensors by name": lambda place: shards(place, tensors, ["a.bin", "b.bin"]),
        "one shard": lambda place: shards(place, tensors, ["only.safetensors"]),
        "shards without metadata": lambda place: shards(place, tensors, two, metadata=False),
        "a tensor not listed": lambda place: shards(place, tensors, two, listed=set(tensors) - {first}),
        "shards without format": lambda place: shards(place, tensors, two, format=None),
        "shards of TensorFlow": lambda place: shards(place, tensors, two, format="tf"),
        "no format": lambda place: save_file(tensors, place / WEIGHTS),
        "other metadata": lambda place: save_file(tensors, place / WEIGHTS, metadata={"made_by": "hand"}),
        "format mlx": lambda place: save_file(tensors, place / WEIGHTS, metadata={"format": "mlx"}),
        "format tf": lambda place: save_file(tensors, place / WEIGHTS, metadata={"format": "tf"}),
        "no weights": lambda place: (place / WEIGHTS).unlink(),
        "half precision": lambda place: save_file({n: v.half() for n, v in tensors.items()}, place / WEIGHTS, metadata={"format": "pt"}),
        "a tensor too many": lambda place: save_file({**tensors, "extra": torch.ones(2)}, place / WEIGHTS, metadata={"format": "pt"}),
    }
    yield from ((f"weights: {name}", change) for name, change in changes.items())


def of_files(folder):
    processor = json.loads((folder / PROCESSOR).read_text())
    texts = {
        "same nested processor": ("processor_config.json", json.dumps({"image_processor": processor})),
        "another nested processor": ("processor_config.json", json.dumps({"image_processor": {**processor, "image_mean": [0, 0, 0]}})),
        "a nested processor with NaN": ("processor_config.json", json.dumps({"image_processor": {**processor, "rescale_factor": float("nan")}})),
        "a broken processor_config.json": ("processor_config.json", "{"),
        "a processor_config.json of text": ("processor_config.json", json.dumps({"processor_class": "CLIPProcessor"})),
        "a generation_config.json": ("generation_config.json", "{}"),
        "code": ("modeling.py", "raise SystemExit"),
        "an adapter": ("adapter_config.json", json.dumps({"base_model_name_or_path": "somewhere/else", "peft_type": "LORA"})),
        "a config of another name": ("config.4.0.0.json", "{"),
        "a config by version": ("config.4.1.0.json", (folder / CONFIG).read_text()),
        "a video processor": ("video_preprocessor_config.json", json.dumps(processor)),
    }
    for name, (file, text) in texts.items():
        yield f"files: {name}", lambda place, file=file, text=text: (place / file).write_text(text)
    for name in (CONFIG, PROCESSOR, WEIGHTS, "README.md"):
        yield f"files: {name} renamed", lambda place, name=name: (place / name).rename(place / f"old-{name}")
        yield f"files: {name} twice", lambda place, name=name: shutil.copy(place / name, place / f"copy-{name}")
        yield f"files: {name} in a folder", lambda place, name=name: (
            (place / "inner").mkdir(), (place / name).rename(place / "inner" / name))
        yield f"files: {name} is a link", lambda place, name=name: (
            (place / name).rename(place / f"real-{name}"), (place / name).symlink_to(f"real-{name}"))
    yield "files: no preprocessor_config.json", lambda place: (place / PROCESSOR).unlink()
    yield "files: a renamed preprocessor_config.json", lambda place: (place / PROCESSOR).rename(place / "processor_config.json")
    yield "files: config.json with NaN", lambda place: (place / CONFIG).write_text(
        json.dumps(json.loads((place / CONFIG).read_text()) | {"initializer_range": float("nan")}))


def copied(folder, place, links):
    """A copy of a folder, whose weights are a link where no change touches them."""
    place.mkdir(parents=True)
    for file in folder.iterdir():
        (os.link if links and file.name == WEIGHTS else shutil.copy)(file, place / file.name)


def changes(folder, count=None):
    """Every change of a folder, or a fixed sample: (whether the weights stay as they are, its name, what makes it in a copy)."""
    every = [(True, *change) for change in in_documents(folder)]
    every += [(False, *change) for change in (*of_weights(folder), *of_files(folder))]
    return every if count is None else random.Random(folder.name).sample(every, min(count, len(every)))


def make(folder, directory, some):
    """Makes mutants of a folder by some of its changes; returns {name: place}."""
    places = {}
    for number, (links, name, change) in enumerate(some):
        places[name] = directory / str(number)
        copied(folder, places[name], links)
        change(places[name])
    return places
