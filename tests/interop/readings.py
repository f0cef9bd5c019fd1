"""Sources that state facts about a network, rightly and wrongly, and what has to become of them (test_readings.py).

A *fact* is something that a network's outputs depend on: its heads, an epsilon, how it pools. Each *family* has one small network
with its own values, and of each fact a second network with another value. A *carrier* is a place where a source states facts: the
`config.json` of a hub folder, the arguments in a training checkpoint, the attributes of a module that was saved whole,
Lightning's hyperparameters, an option of the command line; the weights state what their shapes show. A *case* is a source in which
one fact is stated in one or two places. What a network computes is known by running it.
"""
import argparse
import copy
import functools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform
from timm.models._hub import save_config_for_hf
from transformers import AutoConfig, AutoImageProcessor, CvtForImageClassification
from transformers.utils import logging

import cls_cvt
import cvt
import environment
import pixels

logging.set_verbosity_error()
NAMES = ["ash", "beech", "cedar", "dogwood", "elm"]
# Ways to end without a folder that a wrong or doubtful statement may have (docs/errors.md).
REFUSALS = ("contradiction", "refused", "question", "no_target", "usage")
OUTPUT_TOLERANCE = 1e-4
# A value that changes the outputs by less could be read wrongly and nobody would see it here.
EFFECT = 1e-3


@dataclass(frozen=True, eq=False)
class Fact:
    """A fact with another value than the family's network has, and how each carrier says that value."""

    name: str
    other: object
    names: tuple = ()  # what reports and questions call it
    shown: bool = False  # whether the shapes of the weights show it
    build: dict | None = None  # timm's arguments of a network that has the other value
    tweak: object = None  # instead of these: what is done to a network after it was made
    image: dict = field(default_factory=dict)  # of preprocessing: the other value, by timm's name
    config: dict = field(default_factory=dict)  # keys of config.json and their values
    args: dict = field(default_factory=dict)  # of a training program's arguments
    hyper: dict = field(default_factory=dict)  # of Lightning's hyperparameters
    own: dict = field(default_factory=dict)  # of each carrier: keys and values that say the family's own value
    module: object = None  # sets attributes of a module, whatever its weights are
    option: tuple = ()  # flag, the family's own value, the other value
    labels: list | None = None
    by_block: bool = False  # whether one block alone can be given the other value

    @property
    def is_image(self):
        """Whether it is said of images or classes, which options may override."""
        return bool(self.image) or self.labels is not None

    @property
    def has_network(self):
        return self.build is not None or self.tweak is not None or self.is_image

    def __str__(self):
        return f"{self.name}={self.other}".replace(" ", "")


@dataclass(frozen=True, eq=False)
class Family:
    name: str
    architecture: str  # of timm, with its tag; empty for a CvT
    arguments: dict
    size: int
    facts: tuple
    bare: dict | None  # options without which a bare state dict is asked about; None if no options answer
    others: dict = field(default_factory=dict)  # the same of every other carrier
    nested_hyper: bool = False  # whether Lightning's hyperparameters have a dict for the network's arguments
    carriers: tuple = ("config", "train", "module", "lightning")
    image: dict = field(default_factory=dict)  # preprocessing that its tag has
    finish: object = None

    @property
    def arch(self):
        return self.architecture.split(".")[0]


@dataclass(frozen=True)
class Source:
    """Who says what of a fact: True is the other value, False the family's own."""

    real: bool  # the network that the weights are of
    file: str = "bare"
    said: bool = False  # by the file, where it is not bare
    config: bool | None = None  # by a config.json next to it
    one_block: bool = False  # whether only the last of the modules says it

    @property
    def is_edited(self):
        """Whether attributes were set that the network was not made with."""
        return self.file == "module" and self.said and not self.real

    @property
    def is_bare(self):
        return self.file == "bare" and self.config is None


@dataclass(frozen=True, eq=False)
class Case:
    family: Family
    fact: Fact | None
    kind: str  # plain, contradiction, alone, assumed
    source: Source
    options: tuple = ()  # flags with values, beyond those of the carrier
    truth: str | None = None  # the network whose outputs the folder must have: own, other, edited; None if there must be no folder

    def __str__(self):
        word = {True: "other", False: "own", None: "nothing"}
        source = self.source
        says = [f"config {word[source.config]}"] if source.config is not None else []
        says += [f"{source.file} {word[source.said]}{' in one place' * source.one_block}"] if source.file != "bare" else []
        weights = f"weights {word[source.real]}"
        option = " ".join(f"without {flag}" if value is None else f"{flag} {value}" for flag, value in self.options)
        return f"{self.family.name} {self.fact or 'undisputed'}, {self.kind}: " + ", ".join([*says, weights, *filter(None, [option])])


def set_path(document, path, value):
    *parents, last = path.split(".")
    for key in parents:
        document = document.setdefault(key, {})
    document[last] = value


@torch.no_grad()
def enliven(model):
    """Random weights with which logits spread by about one and attention is far from uniform."""
    generator = torch.Generator().manual_seed(7)
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("gamma"):
            value.copy_(0.8 + 0.3 * noise)
        elif value.ndim == 1:
            value.copy_(0.3 * noise + (0.0 if name.endswith("bias") else 1.0))
        elif name.endswith(("token", "pos_embed")):
            value.copy_(0.5 * noise)
        else:
            value.copy_((2.0 if "qkv" in name else 1.0) * noise / value[0].numel() ** 0.5)


class Bench:
    """Makes networks and sources, each once, and runs the command on them."""

    def __init__(self, directory, image_file):
        self.directory = directory
        self.image = Image.open(image_file).convert("RGB")
        self.sources = {}
        self.computing = {}
        (directory / "names.txt").write_text("\n".join(["one", "two", "three", "four", "five"]) + "\n")
        (directory / "seven.txt").write_text("\n".join("abcdefg") + "\n")
        cls_cvt.register()
        self.network = functools.lru_cache(None)(self._network)
        self.outputs = functools.lru_cache(None)(self._outputs)

    def _network(self, family, fact=None):
        """The family's network, or the one with the other value of a fact."""
        if not family.architecture:
            return self.cvt_network(family, fact)
        arguments = family.arguments | ((fact and fact.build) or {})
        overlay = {"input_size": (3, family.size, family.size), "fixed_input_size": False, **family.image}
        overlay |= fact.image if fact else {}
        if isinstance(arguments.get("img_size"), tuple):
            overlay["input_size"] = (3, *arguments["img_size"])
        model = timm.create_model(family.architecture, pretrained_cfg_overlay=overlay, **arguments).eval()
        enliven(model)
        with torch.no_grad():
            if family.finish:
                family.finish(model)
            if fact and fact.tweak:
                fact.tweak(model)
        return model

    def cvt_network(self, family, fact):
        """Microsoft's modules, and transformers' network that computes what they would with exact GELU."""
        arguments = family.arguments | ((fact and fact.build) or {})
        computing, weights = cvt.random_model(seed=7, **arguments)
        model = cls_cvt.ConvolutionalVisionTransformer(computing.config).eval()
        model.load_state_dict(weights)
        if fact and fact.tweak:
            fact.tweak(model)
            fact.tweak(computing)
        self.computing[model] = computing
        return model

    @torch.no_grad()
    def _outputs(self, family, fact, edit, one_block):
        """A batch and what a network computes of it, also below its classifier; None where it cannot be run. `edit`: the fact's attributes were set, in one block or in all."""
        model = self.network(family, fact if not edit else None)
        model = self.computing.get(model, model)
        size = family.size
        if fact and fact.build and not edit and "img_size" in fact.build:
            size = fact.build["img_size"]
        height, width = size if isinstance(size, tuple) else (size, size)
        channels = 3 if edit else channels_of(fact)
        batch = torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(3))
        try:
            if edit:
                model = copy.deepcopy(model)
                edit_module(model, fact, one_block)
            result = model(batch)
            features = [] if model in self.computing.values() or family.size == 64 else self.features(model, batch)
        except Exception:  # noqa: BLE001 - whatever it is, this network computes nothing
            return None
        logits = getattr(result, "logits", result)
        return batch, logits.numpy(), *features

    @staticmethod
    def features(model, batch):
        """What classes without the end of a network give: the input of the classifier, and the tokens."""
        tokens = model.forward_features(batch)
        return [model.forward_head(tokens, pre_logits=True).numpy(), tokens.numpy()]

    def source(self, family, fact, source):
        """Path of a source; made once."""
        key = (family.name, fact, source)
        if key not in self.sources:
            path = self.directory / f"source{len(self.sources)}"
            path.mkdir()
            self.sources[key] = self.write(family, fact, source, path)
        return self.sources[key]

    def write(self, family, fact, source, folder):
        model = self.network(family, fact if source.real else None)
        if source.config is not None:
            self.write_config(family, fact, source.config, folder)
        name = "model.safetensors" if source.file == "bare" and source.config is not None else "pytorch_model.bin"
        state = {name: value.contiguous() for name, value in model.state_dict().items()}
        match source.file:
            case "bare" if name.endswith("safetensors"):
                save_file(state, folder / name)
                return folder
            case "bare":
                document = state
            case "module":
                document = copy.deepcopy(model)
                if source.is_edited:
                    edit_module(document, fact, source.one_block)
            case "train":
                document = {"epoch": 3, "arch": family.arch, "state_dict": state, "optimizer": {}, "version": 2}
                document["args"] = training_arguments(family, fact, source.said)
            case "lightning":
                document = {"epoch": 3, "global_step": 10, "pytorch-lightning_version": "2.1.0"}
                document["state_dict"] = {f"model.{name}": value for name, value in state.items()}
                document["hyper_parameters"] = hyper_parameters(family, fact, source.said)
        torch.save(document, folder / name)
        return folder if source.config is not None else folder / name

    def write_config(self, family, fact, is_other, folder):
        is_exported = is_other and fact.has_network and not any(map(callable, (fact.build or {}).values()))
        model = self.network(family, fact if is_exported else None)
        save_config_for_hf(model, folder / "config.json", model_config={"label_names": NAMES[: model.num_classes]})
        document = json.loads((folder / "config.json").read_text())
        for path, value in statements(fact, "config", is_other):
            set_path(document, path, value)
        (folder / "config.json").write_text(json.dumps(document))

    def run(self, number, case):
        """Runs the command on a case; what it printed, and the folder."""
        source = case.source
        options = dict(case.family.bare if source.is_bare else case.family.others)
        options |= dict(case.options)
        folder = self.directory / f"out{number}"
        flags = [part for flag, value in options.items() if value is not None for part in (flag, *filter(None, [value]))]
        flags = [flag.replace("{directory}", str(self.directory)) for flag in flags]
        path = self.source(case.family, case.fact, source)
        command = ["convert", str(path), "-o", str(folder), "--json", "--no-fsync", "--no-card", *flags]
        return command, environment.run(*command), folder

    def outcome(self, case, command, process, folder):
        """How a case ended, in a word, and what is wrong with that; None if nothing is."""
        shown = f"{case}\nvitport {' '.join(command)}\n"
        try:
            document = json.loads(process.stdout)
        except ValueError:
            return "broken", f"{shown}exit {process.returncode}, no JSON: {process.stdout[-300:]} {process.stderr[-300:]}"
        names = (case.fact.names or (case.fact.name,)) if case.fact else ()
        if process.returncode != 0:
            kind, message = document.get("kind"), document.get("message", process.stderr)
            shown += f"exit {process.returncode}, {kind}: {message}"
            # Since undisputed sources are converted without a question, the dispute is what is refused or asked about.
            if case.kind == "plain":
                return kind, f"{shown}\nbut nothing is disputed"
            return kind, None if kind in REFUSALS else f"{shown}\nnot one of {REFUSALS}"
        report = document["report"]
        assumptions = report.get("assumptions", [])
        assumed = {entry["fact"] for entry in assumptions}
        assumed |= {entry["fact"] for known in assumptions for entry in known.get("follows", [])}
        headline = report.get("headline", report["verdict"])
        shown += f"exit 0, {headline}; assumed: {sorted(assumed)}"
        listed = bool(assumed & set(names))
        is_by_option = bool(case.options) and case.source.is_bare
        if case.kind == "contradiction" and case.fact.shown and is_unread(case, report):
            return "unread", None
        if case.kind in ("contradiction", "assumed") or is_by_option:
            if not listed or ", if the " not in headline:
                return "same", f"{shown}\nbut the fact is not among the assumptions"
            if case.kind == "contradiction" and not (case.fact.is_image or is_by_option):
                return "assumed", f"{shown}\nbut no option may override it"
        if case.kind in ("alone", "plain"):
            wrong = self.differs(case, folder, report["target"].get("outside"))
            if wrong:
                return "same", f"{shown}\nbut {wrong}"
        return "assumed" if listed else "right", None

    @torch.no_grad()
    def differs(self, case, folder, outside):
        """What transformers computes otherwise than the network of the truth, if anything."""
        if case.truth is None:
            return "no folder computes what this source says"
        family, source = case.family, case.source
        said = case.fact if case.truth == "other" else None
        is_edited = case.truth == "edited"
        truth = self.outputs(family, case.fact if is_edited else said, is_edited, source.one_block)
        if truth is None:
            return "the network of the source cannot be run"
        batch, *wanted = truth
        config = json.loads((folder / "config.json").read_text())
        # Version 4 has no RadioModel; test_every_vit.py opens one.
        loader = getattr(transformers, config["architectures"][0], None)
        if loader:
            config = AutoConfig.from_pretrained(folder)
            try:
                outputs = loader.from_pretrained(folder).eval()(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is not what timm computes
                return f"transformers cannot run it: {str(error)[:200]}"
            if outside:
                found = eval(outside["code"], {"outputs": outputs})
            else:
                names = ("logits", "image_embeds", "pooler_output")
                found = next(value for name in names if (value := getattr(outputs, name, None)) is not None)
                del wanted[1:]
            off = [np.abs(found.numpy() - value).max() / max(1, np.abs(value).max()) for value in wanted if found.shape == value.shape]
            if not off:
                return f"the shape of the outputs is {found.shape}, not one of {[value.shape for value in wanted]}"
            if min(off) > OUTPUT_TOLERANCE:
                return f"the outputs are off by {min(off):.2g}"
        if said and said.labels and (source.config or source.file == "lightning" or is_labels_option(case)):
            labels = [config.id2label[i] for i in range(config.num_labels)]
            if labels != said.labels:
                return f"the labels are {labels}"
        return self.other_pixels(family, said, folder) if family.architecture else None

    def other_pixels(self, family, said, folder):
        settings = {"input_size": (3, family.size, family.size), **family.image, **(said.image if said else {})}
        if said and said.build and "img_size" in said.build:
            edges = said.build["img_size"]
            settings["input_size"] = (3, *(edges if isinstance(edges, tuple) else (edges, edges)))
        image = given = self.image
        if channels_of(said) == 1:
            # timm takes the mean value of a tag's three (timm/data/model_config.py, line 61).
            settings |= {key: (float(np.mean(settings[key])),) for key in ("mean", "std")}
            settings["input_size"] = (1, *settings["input_size"][1:])
            image = self.image.convert("L")
            given = np.asarray(image)[..., None]
        wanted = pixels.reference(create_transform(**settings), image)
        processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
        found = np.asarray(processor(given, return_tensors="np")["pixel_values"][0])
        if found.shape != wanted.shape:
            return f"the image is prepared as {found.shape}, not {wanted.shape}"
        worst = np.abs(found.astype(np.float64) - wanted).max()
        return f"the pixels are off by {worst:.2g}" if worst > 1e-5 else None


def doubled(module, inputs, output):
    """A forward hook."""
    return output * 2


def channels_of(fact):
    """Channels of the images of the network that has the other value of a fact."""
    return ((fact and fact.build) or {}).get("in_chans", 3)


def is_unread(case, report):
    """Whether the report lists a hyperparameter among those that were not read: it may be about another network than the weights."""
    unread = report.get("unread_arguments", [])
    return any(path.startswith("hyper_parameters.") and path.endswith(f".{key}") for path in unread for key in case.fact.hyper)


def is_labels_option(case):
    return any(flag == "--labels" for flag, _ in case.options)


def edit_module(model, fact, one_block):
    with torch.no_grad():
        fact.module(last_block(model) if one_block else model)


def last_block(model):
    """The last block of a network of any family."""
    if isinstance(model, CvtForImageClassification):
        return model.cvt.encoder.stages[-1].layers[-1]
    stages = (getattr(model, name, [None])[-1] for name in ("stages", "layers"))
    stage = next(part for part in (getattr(model, "stage2", None), *stages, model) if part is not None)
    return stage.blocks[-1]


def statements(fact, carrier, is_other):
    """Keys and values with which a carrier says one of both values of a fact."""
    if fact is None:
        return ()
    return (getattr(fact, carrier) if is_other else fact.own.get(carrier, {})).items()


def training_arguments(family, fact, is_other):
    """What timm's `train.py` keeps as `args`."""
    arguments = dict(family.arguments)
    document = {"model": family.arch, "pretrained": False, "num_classes": arguments.pop("num_classes"), "gp": None}
    document |= {"img_size": arguments.pop("img_size", None), "input_size": None, "in_chans": None, "mean": None, "std": None}
    document |= {"crop_pct": None, "interpolation": "", "crop_mode": None, "drop": 0.0, "drop_path": None, "lr": 0.001, "opt": "sgd"}
    document |= {"batch_size": 128, "epochs": 300, "model_ema": False, "amp": False, "model_kwargs": arguments}
    if not family.arguments.get("img_size"):
        document["input_size"] = [3, family.size, family.size]
    for path, value in statements(fact, "args", is_other):
        set_path(document, path, value)
    return argparse.Namespace(**document)


def hyper_parameters(family, fact, is_other):
    """What a LightningModule's `save_hyperparameters()` keeps; arguments of the network one by one, or in a dict."""
    document = {"model_name": family.arch, "lr": 0.0001, "class_names": list(NAMES), "img_size": family.size}
    stated = statements(fact, "hyper", is_other)
    for name, value in (*family.arguments.items(), *stated):
        is_argument = name in family.arguments or (fact and f"model_kwargs.{name}" in fact.args)
        is_nested = family.nested_hyper and is_argument and name != "num_classes"
        set_path(document, f"model_kwargs.{name}" if is_nested else name, value)
    return document


def run_all(bench, cases):
    """Runs every case; [(how it ended, what is wrong)] in their order."""
    for case in cases:
        bench.source(case.family, case.fact, case.source)
    with ThreadPoolExecutor(int(os.environ.get("VITPORT_READINGS_THREADS", "2"))) as pool:
        runs = list(pool.map(bench.run, range(len(cases)), cases))
    return [bench.outcome(case, *run) for case, run in zip(cases, runs)]
