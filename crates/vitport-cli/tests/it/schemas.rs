//! docs/schemas has the JSON Schema of every document of `--json`, and docs/schemas.md lists them. Both are made from the documents'
//! types:
//!
//! ```sh
//! VITPORT_WRITE_DOCS=1 cargo test -p vitport-cli --test it schemas::
//! ```
//!
//! `tests/python/test_schemas.py` validates what the commands print.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{example, vitport};

const HEAD: &str = "# Schemas of JSON documents

With `--json` every command prints one document, an object with the field `schema`: the name of its schema and the version of that. A
version is raised when a field is removed or changes its meaning; fields may be added without that. A script that checks `schema` once
can rely on the rest.

```python
import json
import subprocess

done = subprocess.run([\"vitport\", \"models\", \"vit_small*\", \"--json\"], capture_output=True, text=True)
document = json.loads(done.stdout)
assert document[\"schema\"] == \"vitport/models/2\"
print(len(document[\"models\"]))
```

The schemas are JSON Schema 2020-12, made from the program's own types. A command that fails prints
[vitport/error/2](schemas/error.json), whatever it was; what was found before stands in the same document.

| schema | its document |
|---|---|
";

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Returns the name of a schema's file: of `vitport/plan/2`, `plan.json`.
fn file_name(schema: &str) -> String {
    format!("{}.json", schema.split('/').nth(1).unwrap())
}

fn compare(path: &Path, made: &str) {
    if std::env::var_os("VITPORT_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, made).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    let shown = path.display();
    assert!(there == made, "{shown} is stale: the first lines of this file say how it is written anew");
}

#[test]
fn the_files_are_those_of_the_types() {
    let schemas = vitport_cli::schemas();
    let mut page = HEAD.to_owned();
    for (name, schema) in &schemas {
        let file = file_name(name);
        compare(&docs().join("schemas").join(&file), &(serde_json::to_string_pretty(schema).unwrap() + "\n"));
        let about = schema["description"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(page, "| [{name}](schemas/{file}) | {about} |").unwrap();
    }
    compare(&docs().join("schemas.md"), &page);
    let wanted: BTreeSet<String> = schemas.iter().map(|(name, _)| file_name(name)).collect();
    let there = std::fs::read_dir(docs().join("schemas")).unwrap();
    let there: BTreeSet<String> =
        there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, wanted);
}

#[test]
fn every_document_names_its_schema() {
    let folder = tempfile::tempdir().unwrap();
    let twin = example("vit_small_twin").display().to_string();
    let cvt = example("cvt_tiny/tiny.pth").display().to_string();
    std::fs::write(
        folder.path().join("jobs.jsonl"),
        format!("{{\"source\": {twin:?}, \"out\": \"in_a_batch\"}}\n"),
    )
    .unwrap();
    let known: BTreeSet<&str> = vitport_cli::schemas().into_iter().map(|(name, _)| name).collect();
    let mut seen = BTreeSet::new();
    for arguments in [
        &["convert", &twin, "-o", "out", "--report", "out.json", "--attest", "out.intoto.json"][..],
        &["verify", "--attestation", "out.intoto.json", "out"],
        &["report", "out.json"],
        &["verify", &twin, "out"],
        &["convert", "out", "--to", "timm", "-o", "back"],
        &["plan", &twin],
        &["plan", &twin, "--print-mapping"],
        &["plan", &cvt],
        &["inspect", &cvt],
        &["diff", &twin, &twin],
        &["models", "vit_small*"],
        &["classify", "out", "no.png"],
        &["batch", "jobs.jsonl"],
    ] {
        let output = vitport(&[arguments, &["--json"]].concat(), folder.path());
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let schema = document["schema"].as_str().unwrap_or_else(|| panic!("{arguments:?}: {document}"));
        assert!(known.contains(schema), "{arguments:?}: {schema}");
        seen.insert(schema.to_owned());
    }
    let unseen: Vec<_> = known.iter().filter(|name| !seen.contains(**name)).collect();
    assert!(unseen.is_empty(), "no document has the schema {unseen:?}");
}
