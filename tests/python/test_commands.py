"""What the functions return is what the command prints."""
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import FILES, PHOTO, ROOT, TWIN

import vitport


def command(*arguments, ok=(0,)):
    run = subprocess.run([sys.executable, "-m", "vitport", *map(str, arguments)], capture_output=True, text=True)
    assert run.returncode in ok, run.stderr
    return json.loads(run.stdout)


def test_plan_is_the_commands_document():
    plan = vitport.plan(TWIN, no_head=True)
    assert plan.to_dict() == command("plan", TWIN, "--no-head", "--json")
    assert int(plan.facts["depth"]) == plan.config["num_hidden_layers"]
    assert plan.target["class"] == "ViTModel" and len(plan.tensors) > 10 and plan.reversible


def test_a_conversion_is_published_and_says_what_it_came_to(converted):
    assert converted.verdict == "same" and converted.published
    assert converted.target_class == "ViTForImageClassification"
    assert set(converted.files) >= {"config.json", "model.safetensors", "README.md"}
    assert converted.layers and not converted.reasons
    assert converted.files["model.safetensors"] > 100_000


def test_what_is_not_verified_says_so(tmp_path):
    conversion = vitport.convert(TWIN, tmp_path / "vit", no_verify=True, no_fsync=True, dtype="float16")
    assert conversion.published and conversion.verdict is None and conversion.headline == "not verified"


def test_verify_agrees_with_the_conversion(converted):
    report = vitport.verify(TWIN, converted.out)
    assert report.verdict == "same" and report.headline == converted.headline
    by_command = command("verify", TWIN, converted.out, "--json")
    # How long it took, and when and how it was called.
    drop = {"timings", "run"}
    assert {k: v for k, v in report.to_dict().items() if k not in drop} == {
        k: v for k, v in by_command.items() if k not in drop
    }


def test_a_folder_of_other_weights_raises_with_its_report(converted, tmp_path):
    other = tmp_path / "other"
    vitport.convert(TWIN, other, no_verify=True, no_fsync=True)
    weights = other / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-2] ^= 0x40
    weights.write_bytes(damaged)
    with pytest.raises(vitport.DifferentError) as caught:
        vitport.verify(TWIN, other)
    report = caught.value.report
    assert report.verdict == "different" and report.reasons and caught.value.exit_code == 5
    assert "<iframe" in report._repr_html_()
    assert pickle.loads(pickle.dumps(caught.value)).report == report


def test_inspect_lists_tensors_and_what_a_pickle_names():
    checkpoint = vitport.inspect(FILES / "train.pth", hash=True)
    assert checkpoint.to_dict() == command("inspect", FILES / "train.pth", "--hash", "--json")
    assert all(len(tensor["sha256"]) == 64 for tensor in checkpoint.tensors)
    assert checkpoint.dangerous_call is None
    assert any(root["path"] == "state_dict" for root in checkpoint.roots)


def test_diff_is_true_where_something_differs(converted):
    assert not vitport.diff(TWIN, TWIN)
    # Through the mapping a conversion is its source.
    same = vitport.diff(TWIN, converted.out)
    assert not same and same.same == len(same.equal) and same.through["by"] == "mapping"
    assert same.to_dict() == command("diff", TWIN, converted.out, "--json")
    different = vitport.diff(TWIN, FILES / "train.pth")
    assert different and different.differences[0]["difference"].startswith(("only in", "other"))
    assert different.to_dict() == command("diff", TWIN, FILES / "train.pth", "--json", ok=(1,))
    assert "<table" in different._repr_html_()


def test_classify_gives_as_many_classes_as_asked_for(converted):
    (one,) = vitport.classify(converted.out, PHOTO)
    many = vitport.classify(converted.out, [PHOTO, str(PHOTO)], top_k=7)
    assert len(one.guesses) == 5 and [len(each.guesses) for each in many] == [7, 7]
    assert one.guesses == many[0].guesses[:5]
    assert one.guesses[0].probability >= one.guesses[1].probability
    assert vitport.classify(converted.out, []) == []
    with pytest.raises(vitport.UnreadableError) as caught:
        vitport.classify(converted.out, [PHOTO, "no-such-image.png"])
    assert caught.value.file == "no-such-image.png"


def test_models_are_those_of_the_command():
    models = vitport.models("vit_small*", convertible=True, sort="name")
    listed = command("models", "vit_small*", "--convertible", "--sort", "name", "--json")
    assert [model.to_dict() for model in models] == listed["models"]
    assert all(model.becomes and model.parameters > 1e6 for model in models)
    assert vitport.models("there is none of this name") == []


def test_values_are_those_of_python():
    plan = vitport.plan(TWIN, mean=(0.5, 0.25, 0.5), std=0.5, image_size=(80, 80), layer_norm_eps=1e-6)
    assert plan.preprocessor["image_mean"] == [0.5, 0.25, 0.5] and plan.preprocessor["image_std"] == [0.5] * 3
    with pytest.raises(vitport.ContradictionError, match=r"--drop nothing\.\* "):
        vitport.plan(TWIN, drop=["nothing.*", "else.*"])


def test_documents_are_values(converted):
    plan = vitport.plan(TWIN)
    for document in [plan, converted, vitport.inspect(TWIN), vitport.diff(TWIN, TWIN), *vitport.models("cvt")[:1]]:
        again = pickle.loads(pickle.dumps(document))
        assert again == document and again.to_dict() == document.to_dict() and again is not document
        assert type(document).__name__ in repr(document)
        assert "<" in document._repr_html_()
    plan.to_dict()["model"] = "changed"
    assert plan.model != "changed" and plan != converted


def test_pages_are_those_of_the_report(converted, tmp_path):
    page = tmp_path / "report.html"
    report = vitport.verify(TWIN, converted.out, report=page)
    shown = report._repr_html_()
    assert shown.startswith("<iframe sandbox srcdoc=") and page.read_text().startswith("<!doctype html>")


def test_the_command_is_installed():
    help_text = subprocess.run(["vitport", "--help"], capture_output=True, text=True, env=path_of_python()).stdout
    assert "convert" in help_text and "Usage: vitport" in help_text
    version = subprocess.run([sys.executable, "-m", "vitport", "--version"], capture_output=True, text=True)
    assert version.stdout.split() == ["vitport", vitport.__version__]
    assert subprocess.run([sys.executable, "-m", "vitport", "plan", "no-such.pth"], capture_output=True).returncode == 3


def test_the_name_that_hf_looks_for_is_the_command_too():
    extension = ROOT / "examples/hf-vitport"
    assert 'dependencies = ["vitport"]' in (extension / "pyproject.toml").read_text()
    version = subprocess.run(["hf-vitport", "--version"], capture_output=True, text=True, env=path_of_python()).stdout
    assert version.split() == ["vitport", vitport.__version__]


def path_of_python():
    return {"PATH": str(Path(sys.executable).parent)}
