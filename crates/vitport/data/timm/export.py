"""Writes classes.tsv, architectures.tsv, tags.tsv and renamed.tsv from the installed timm, and takes targets.tsv in.

    pip install timm==1.0.31 && HF_HUB_OFFLINE=1 python export.py

Structure is read off models built on the meta device, not off their names, so that a default that
timm changes shows up as a changed row. Running it twice gives the same bytes. README.md next to this
file says what each output holds.
"""
import collections
import importlib
import inspect
import json
import sys
from pathlib import Path

import timm
from timm.models import _registry

import describe

HERE = Path(__file__).resolve().parent
TIMM = "1.0.31"
FIRST = ["vision_transformer", "deit"]
# Modules whose networks differ by the tag in more than the head and the size of the image.
BY_TAG = {"qwen3_vit"}
LEVELS = ("exact", "features", "none")


def targets():
    """(architecture, tag) to what targets.tsv says: exactness, class, note."""
    known = {}
    for line in (HERE / "targets.tsv").read_text().splitlines():
        arch, tags, exactness, name, note = (line.split("\t") + ["", ""])[:5]
        assert exactness in LEVELS and (exactness == "none") == (not name), line
        for tag in tags.split(","):
            assert (arch, tag) not in known, line
            known[arch, tag] = {"exactness": exactness, "target": name or None, "note": note or None}
    return known


def tag_row(arch, tag, cfg, count, target):
    hub = (cfg.hf_hub_id or "").strip()
    if hub.endswith("/"):  # timm completes "timm/" to the model's own name when it loads the weights
        hub = f"{hub}{arch}.{tag}" if tag else f"{hub}{arch}"
    # Facts that no tag sets today; a new timm that sets one must be looked at.
    for unused in ("label_offset", "label_names", "label_descriptions"):
        assert not getattr(cfg, unused), (arch, tag, unused)
    paper = cfg.paper_ids if isinstance(cfg.paper_ids, (str, type(None))) else ", ".join(cfg.paper_ids)
    return {
        "hub_id": hub or None,
        "hub_filename": cfg.hf_hub_filename,
        "url": cfg.url or cfg.file or None,
        "has_weights": bool(hub or cfg.url or cfg.file),
        "num_classes": cfg.num_classes,
        "parameters": count,
        "input_size": list(cfg.input_size),
        "fixed_input_size": cfg.fixed_input_size,
        "min_input_size": list(cfg.min_input_size) if cfg.min_input_size else None,
        "test_input_size": list(cfg.test_input_size) if cfg.test_input_size else None,
        "mean": list(cfg.mean),
        "std": list(cfg.std),
        "interpolation": cfg.interpolation,
        "crop_pct": cfg.crop_pct,
        "test_crop_pct": cfg.test_crop_pct,
        "crop_mode": cfg.crop_mode,
        "license": cfg.license,
        "custom_load": cfg.custom_load,
        "origin_url": cfg.origin_url,
        "paper": paper,
        "notes": "; ".join(cfg.notes) if cfg.notes else None,
        **target,
    }


def modules():
    names = set(_registry._module_to_models)
    return FIRST + sorted(name for name in names if name not in FIRST)


def architectures(module):
    """(name, timm's DefaultCfg) in the order of the module's own table."""
    table = importlib.import_module(f"timm.models.{module}").default_cfgs
    listed = set(timm.list_models(module=module))
    assert listed <= set(table), (module, listed - set(table))
    return [(name, default) for name, default in table.items() if name in listed]


def rows_of(arch, module, default, known):
    """The fields of an architecture and of each of its tags."""
    model, args = describe.build(lambda: timm.create_model(arch))
    fields = describe.describe(module, model, args)
    counts, tags = {head_and_size(default.default): describe.parameters(model)}, {}
    for tag in default.tags:
        cfg = default.cfgs[tag]
        key = head_and_size(cfg) + ((tag,) if module in BY_TAG else ())
        if key not in counts:
            name = f"{arch}.{tag}" if tag else arch
            counts[key] = describe.parameters(describe.build(lambda: timm.create_model(name))[0])
        target = known.pop((arch, tag), {"exactness": "not examined", "target": None, "note": None})
        tags[tag] = tag_row(arch, tag, cfg, counts[key], target)
    return f"{module}/{type(model).__name__}", type(model), fields, tags


def constructor_arguments(cls):
    """Names of what a class's constructor takes; what it hands on to the class above it included."""
    taken = []
    for base in cls.__mro__:
        given = list(inspect.signature(base.__init__).parameters.values())
        taken += [given.name for given in given[1:] if given.kind not in (given.VAR_POSITIONAL, given.VAR_KEYWORD)]
        if not any(given.kind == given.VAR_KEYWORD for given in given):
            return list(dict.fromkeys(taken))
    return list(dict.fromkeys(taken))


def head_and_size(cfg):
    """What a tag changes of its architecture's network."""
    return cfg.num_classes, tuple(cfg.input_size) if cfg.fixed_input_size else None


def usual(rows):
    """What most rows say of each key; the first of several equals."""
    keys = dict.fromkeys(key for row in rows for key, value in row.items() if value is not None)
    counted = {key: collections.Counter(compact(row.get(key)) for row in rows) for key in keys}
    return {key: json.loads(values.most_common(1)[0][0]) for key, values in counted.items()}


def departures(row, common):
    """What a row says otherwise than its class's usual values; null where it has no such key."""
    return {key: row.get(key) for key in common if compact(row.get(key)) != compact(common[key])}


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def own_hub_id(arch, tag):
    return f"timm/{arch}.{tag}"


def write_lines(file, rows):
    text = "".join("\t".join(row) + "\n" for row in rows)
    (HERE / file).write_text(text)


def main():
    if timm.__version__ != TIMM:
        sys.exit(f"timm {timm.__version__} is installed, these files are made from {TIMM}")
    describe.watch_constructors()
    known = targets()
    classes, types = collections.defaultdict(dict), {}
    order = []
    for module in modules():
        for arch, default in architectures(module):
            name, cls, fields, tags = rows_of(arch, module, default, known)
            for tag, row in tags.items():
                # The name that nearly every repository has is left out.
                row["hub_id"] = "=" if row["hub_id"] == own_hub_id(arch, tag) else row["hub_id"]
            classes[name][arch] = (fields, tags)
            types.setdefault(name, cls)
            order.append((arch, name))
    assert not known, f"targets.tsv has rows that timm lacks: {sorted(known)[:5]}"
    assert {arch for arch, _ in order} == set(timm.list_models())
    class_rows, common = [], {}
    for name, rows in classes.items():
        fields = usual([fields for fields, _ in rows.values()])
        tags = usual([row for _, tags in rows.values() for row in tags.values()])
        common[name] = (fields, tags)
        class_rows.append((name, compact(fields), compact(tags), " ".join(constructor_arguments(types[name]))))
    architecture_rows, tag_rows = [], []
    for arch, name in order:
        fields, tags = classes[name][arch]
        architecture_rows.append((arch, name, next(iter(tags)), compact(departures(fields, common[name][0]))))
        tag_rows += [(arch, name, tag, compact(departures(row, common[name][1]))) for tag, row in tags.items()]
    names = {arch for arch, _ in order}
    renamed = sorted(
        (old, new) for old, new in _registry._deprecated_models.items() if new and new.split(".")[0] in names
    )
    write_lines("classes.tsv", class_rows)
    write_lines("architectures.tsv", architecture_rows)
    write_lines("tags.tsv", tag_rows)
    write_lines("renamed.tsv", renamed)
    weights = sum(row["has_weights"] for rows in classes.values() for _, tags in rows.values() for row in tags.values())
    print(f"{len(names)} architectures, {len(tag_rows)} tags, {weights} of them with weights")


if __name__ == "__main__":
    main()
