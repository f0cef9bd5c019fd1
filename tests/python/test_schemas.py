"""Validates what every command prints with ``--json`` against the schemas of docs/schemas, and lets nothing else stand there."""
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "docs/schemas"
TWIN = ROOT / "examples/vit_small_twin"
CVT = ROOT / "examples/cvt_tiny/tiny.pth"
CVT_OPTIONS = ["--num-heads", "1,2,4", "--image-size", "64"]
PHOTO = ROOT / "crates/vitport/tests/data/image/photo.png"
FILES = ROOT / "crates/vitport-checkpoint/tests/data"
VITPORT = os.environ.get("VITPORT", str(Path(sys.executable).with_name("vitport")))


def closed(schema):
    """Returns a schema that lets no object have fields that it does not describe."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(value) for name, value in schema.items()}
    # Alternatives describe fields of the object around them.
    has_alternatives = any(name in made for name in ("oneOf", "anyOf", "allOf"))
    if made.get("type") == "object" and "properties" in made and "additionalProperties" not in made and not has_alternatives:
        made["unevaluatedProperties"] = False
    return made


def validate(document):
    name = document["schema"].split("/")[1]
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)
    # A field of a flattened union would be closed off by one of its alternatives.
    if name != "batch":
        jsonschema.Draft202012Validator(closed(schema)).validate(document)
    return name


def run(folder, *arguments):
    done = subprocess.run([VITPORT, *map(str, arguments), "--json"], capture_output=True, text=True, cwd=folder)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schemas")
    assert validate(run(folder, "convert", TWIN, "-o", "vit", "--report", "vit.json", "--attest", "vit.intoto.json")) == "convert"
    assert validate(run(folder, "convert", CVT, *CVT_OPTIONS, "-o", "cvt", "--dtype", "bf16")) == "convert"
    return folder


CALLS = {
    "report": [
        ["verify", TWIN, "vit"],
        ["verify", CVT, "cvt", *CVT_OPTIONS, "--dtype", "bf16"],
    ],
    "convert": [["convert", TWIN, "-o", "again", "--no-verify"]],
    "convert-back": [["convert", "vit", "--to", "timm", "-o", "back"]],
    "plan": [["plan", TWIN], ["plan", CVT, *CVT_OPTIONS], ["plan", TWIN, "--mean", "0.1"]],
    "mapping": [["plan", TWIN, "--print-mapping"]],
    "inspect": [["inspect", TWIN, "--hash"], ["inspect", CVT]],
    "diff": [["diff", TWIN, "vit"], ["diff", TWIN, TWIN]],
    "models": [["models"], ["models", "there is none of this name"]],
    "classify": [["classify", "vit", PHOTO, "no-such-image.png", "--top-k", "7"]],
    "batch": [["batch", "jobs.jsonl"], ["batch", "jobs.jsonl", "--resume"]],
    "attestation": [["verify", "--attestation", "vit.intoto.json", "vit"]],
    "overview": [["report", "vit.json", "-o", "overview.html"]],
    "error": [
        ["verify", "--attestation", "vit.intoto.json", "cvt"],
        ["plan", "no-such.pth"],
        ["plan", CVT],
        ["convert", TWIN, "-o", "vit"],
        ["verify", CVT, "vit", *CVT_OPTIONS],
        ["verify", CVT, "cvt", *CVT_OPTIONS, "--strict"],
        ["batch", "bad.jsonl"],
        ["batch", "failing.jsonl"],
        ["convert", "--no-such-option"],
    ],
}


@pytest.mark.parametrize("schema", CALLS)
def test_documents_are_as_their_schemas_say(folder, schema):
    job = {"source": str(TWIN), "out": "job"}
    (folder / "jobs.jsonl").write_text(json.dumps(job) + "\n")
    (folder / "failing.jsonl").write_text(json.dumps(job | {"source": "no-such.pth", "out": "other"}) + "\n")
    (folder / "bad.jsonl").write_text("[]\n")
    for arguments in CALLS[schema]:
        assert validate(run(folder, *arguments)) == schema, arguments


def test_the_file_of_a_report_is_a_report(folder):
    assert validate(json.loads((folder / "vit.json").read_text())) == "report"


@pytest.mark.parametrize("path", sorted(FILES.glob("*.*")), ids=lambda path: path.name)
def test_any_file_is_inspected_as_the_schema_says(tmp_path, path):
    assert validate(run(tmp_path, "inspect", path)) in ("inspect", "error")


def test_a_field_that_is_missing_or_not_described_is_found(folder):
    document = run(folder, "plan", TWIN)
    for changed in [document | {"more": 1}, document | {"bytes": "many"}, {k: v for k, v in document.items() if k != "facts"}]:
        with pytest.raises(jsonschema.ValidationError):
            validate(changed)
