"""The model card: read by huggingface_hub, its metadata as the Hub wants it, and its code run in both versions."""
import json
import os
import re
import shutil
import subprocess

import pytest
from huggingface_hub import ModelCard, ModelCardData

import environment

VIT, CVT = environment.ROOT / "examples/vit_small_twin", environment.ROOT / "examples/cvt_tiny/tiny.pth"
CVT_FACTS = ("--image-size", "64", "--num-heads", "1,2,4", "--labels", "none")


def card_of(folder):
    card = ModelCard.load(folder / "README.md", ignore_metadata_errors=False)
    # What huggingface_hub writes again is what it read: nothing was lost, and every value has the type that it has there.
    again = ModelCardData(**card.data.to_dict())
    assert again.to_dict() == card.data.to_dict()
    for key in ("license", "license_name", "license_link", "library_name", "pipeline_tag"):
        assert isinstance(card.data.get(key), (str, type(None))), key
    for key in ("tags", "datasets", "base_model"):
        values = card.data.get(key) or []
        assert all(isinstance(value, str) for value in values), key
    return card


def run_code(card, folder, image, major):
    shutil.copy(image, folder / "image.jpg")
    python = environment.environments_home() / f"v{major}" / "bin" / "python"
    blocks = re.findall(r"^```python\n(.*?)^```$", card.content, re.S | re.M)
    for block in blocks:
        done = subprocess.run(
            [python, "-c", block], cwd=folder, capture_output=True, text=True, timeout=120,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(folder.parent / f"modules{major}")},
        )
        assert done.returncode == 0, f"{block}\n{done.stderr[-2000:]}"
    return len(blocks)


@pytest.mark.parametrize(
    "source, flags, task, blocks",
    [
        (VIT, (), "image-classification", 2),
        (VIT, ("--no-head",), "image-feature-extraction", 2),
        (CVT, (*CVT_FACTS, "--with-exact-code"), "image-classification", 3),
    ],
)
def test_a_card_is_read_and_its_code_runs(tmp_path, image_files, source, flags, task, blocks):
    folder = tmp_path / "out"
    done = environment.convert(source, folder, *flags)
    assert done.returncode == 0, done.stderr
    card = card_of(folder)
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", task)
    # What timm's config repeats is the licence of the weights that training began with, and no card states one.
    assert card.data.license is None
    for major in environment.MAJORS:
        assert run_code(card, folder, image_files[0], major) == blocks


def test_hostile_names_stay_where_they_are(tmp_path):
    hostile = "x\n---\nlicense: mit\n---\n```\n<img src=x> `` | \u202e\u0085\ufffe"
    source = tmp_path / "source"
    shutil.copytree(VIT, source)
    config = json.loads((source / "config.json").read_text())
    config["label_descriptions"] = {name: f"{hostile}{i}" for i, name in enumerate(config["label_names"])}
    (source / "config.json").write_text(json.dumps(config))
    head = f"license: {json.dumps(hostile)}\ndatasets:\n- \"a\\nlicense: gpl\"\n- 'b: c'\n"
    (source / "README.md").write_text(f"---\n{head}---\n")
    done = environment.convert(source, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    card = card_of(tmp_path / "out")
    assert card.data.license == "other"
    assert card.data.get("license_name") == hostile
    assert card.data.datasets == ["a\nlicense: gpl", "b: c"]
    assert "\n---" not in card.text and "<img" not in re.sub(r"(`+)[^`].*?[^`]\1(?!`)", "", card.text)
