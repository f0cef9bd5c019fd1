"""`verify` against both versions of transformers on folders that were changed in one place.

A fixed sample takes about two minutes; `VITPORT_MUTANTS=all` tries all, some fifteen thousand, and `VITPORT_MUTANTS_ALARMS=3` then
opens but every third of those that `verify` does not call the same. `VITPORT_MUTANTS_REPORT` names a file for everything that was
found.
"""
import os
import subprocess

import pytest

import environment
import judge
import targets

# Of each folder.
SAMPLE = 12
# Of the folders that `verify` does not call the same, one in so many is opened.
SHARE = int(os.environ.get("VITPORT_MUTANTS_ALARMS") or 1)
ALARMS = 0.05
# Alarms at folders of which this test sees the same numbers in both versions, and why they are meant all the same.
MEANT = {
    "config.json: a key of the class": "no conversion writes it, and nothing but the default was tried",
    "config.json: a name that is read": "what the class's code makes of it is not known",
    "config.json: architectures": "it names the class that the weights are for, and a folder without it does not say that it has a head",
    "config.json: auto_map": "with trust_remote_code=True, code of the folder is run",
    "config.json: feature_extractor_type": "AutoFeatureExtractor takes the class from it; this test opens an image processor",
    "config.json: image_size": "it says of which images the weights are, also where other ones have as many patches or the class does not look at it",
    "config.json: is_causal": "version 5 masks by it where a class makes masks, which none of these do",
    "config.json: label2id": "a label is not reached by its name, which this test does not look up",
    "config.json: layer_norm_eps": "flat images, whose tokens hardly vary, come out otherwise than this test's noise",
    "config.json: model_type": "AutoModel and pipelines do not open it; a model without a head is opened by its class here",
    "config.json: out_features": "AutoBackbone gives the feature maps of another stage",
    "config.json: pooler_": "AutoModel makes a pooler of it; a model with a head is opened without one here",
    "config.json: problem_type": "the pipeline makes other scores of logits; a model without a head has none",
    "config.json: projection_dim": "the projection of the same config has another size; this class has none",
    "config.json: torchscript": "version 4 returns a tuple of outputs where a class does not hand back what it was asked for",
    "files: an adapter": "with PEFT installed, another model is opened",
    "files: config.json with NaN": "NaN is no JSON; Python alone reads it",
    "preprocessor_config.json: auto_map": "with trust_remote_code=True, code of the folder is run",
    "preprocessor_config.json: do_pad": "version 5 pads images of several sizes by it",
    "preprocessor_config.json: input_data_format": "arrays are read by it; this test prepares images",
    "preprocessor_config.json: return_tensors": "a call that does not say what it wants gets tensors from version 5",
    "weights: a tensor in float64": "the file's bytes are not the source's",
    "weights: a tensor too many": "the weights are not the source's, though nothing reads the one that was added",
    "weights: shards of TensorFlow": "what TensorFlow saves has other axes, though these tensors are PyTorch's",
    "weights: pickle with an epoch": "what else a pickle holds is not known",
}
# Of a config within: the classes of that part open the folder, too, and read nothing else.
MEANT |= {
    f"config.json: vision_config: {what}": "SiglipVisionModel takes this for the whole config"
    for what in ("a key of the class", "a name that is read", "model_type", "pretrained_cfg", "transformers_weights")
}
# Values that no class is made with, and that one class of version 4 refuses: CLIP initialises with the first, BEiT makes a layer of the others.
MEANT |= dict.fromkeys(
    [
        "config.json: initializer_range -",
        "config.json: initializer_factor -",
        "config.json: attention_probs_dropout_prob -",
        "config.json: attention_probs_dropout_prob 2",
    ],
    "it is no deviation, or no probability, though this class does not look",
)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """{family: (folder, source, flags)}, untouched."""
    directory = tmp_path_factory.mktemp("converted")
    folders = {}
    for family, (source, flags) in targets.SOURCES.items():
        folder = directory / f"{family}.folder"
        conversion = environment.convert(source, folder, *flags)
        assert conversion.returncode == 0, conversion.stderr
        folders[family] = (folder, source, flags)
    return folders


def test_every_class_that_a_mapping_writes_has_a_source(converted):
    written = {targets.class_of(folder) for folder, *_ in converted.values()}
    assert written == set(targets.classes_of_mappings())


@pytest.fixture(scope="module")
def tried(tmp_path_factory, converted):
    every = os.environ.get("VITPORT_MUTANTS") == "all"
    with judge.Judge(tmp_path_factory.mktemp("mutants"), SHARE) as judging:
        return [row for family, found in converted.items() for row in judging.rows(family, *found, None if every else SAMPLE)]


@pytest.mark.parametrize("major", environment.MAJORS)
def test_what_transformers_saves_is_the_same(converted, tmp_path, major):
    """Each class's folder, opened and saved again by a version, model and processor: `verify` and both versions find the same."""
    since = targets.classes_of_mappings()
    there = {family: found for family, found in converted.items() if since[targets.class_of(found[0])] <= major}
    places = {family: folder.with_name(f"{folder.name}.v{major}") for family, (folder, *_) in there.items()}
    python = environment.environments_home() / f"v{major}/bin/python"
    pairs = [str(path) for family, (folder, *_) in there.items() for path in (folder, places[family])]
    subprocess.run([python, environment.ROOT / "tests/interop/save_again.py", *pairs], check=True, capture_output=True)
    with judge.Judge(tmp_path) as judging:
        found = [row for family, found in there.items() for row in judging.batch(family, *found, {"saved again": places[family]})]
    assert {targets.class_of(folder) for folder, *_ in there.values()} == {name for name, first in since.items() if first <= major}
    wrong = [row for row in found if row["exit"] != 0 or not {row["v4"], row["v5"]} <= {"same", "no class"}]
    assert not wrong, shown(wrong)


def shown(rows):
    return "\n".join(f"{row['family']}, {row['name']}: v4 {row['v4']}; v5 {row['v5']}; verify {row['reasons']}" for row in rows)


@pytest.mark.parametrize("what", ["other", "not opened"])
def test_no_folder_is_called_the_same_that_is_not(tried, what):
    same = [row for row in tried if row["exit"] == 0]
    wrong = [row for row in same if any(row[f"v{major}"].startswith(what) for major in environment.MAJORS)]
    assert not wrong, shown(wrong)


def test_few_alarms_are_needless(tried):
    is_harmless = lambda row: {row[f"v{major}"] for major in environment.MAJORS} <= {"same", "no class"}
    harmless = [row for row in tried if is_harmless(row) and not row["name"].startswith(tuple(MEANT))]
    alarms = [row for row in harmless if row["exit"] != 0]
    assert len(alarms) * SHARE <= ALARMS * len(tried), shown(alarms)
