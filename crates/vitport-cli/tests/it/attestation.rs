//! Tests attestations: a statement of a folder's files and its source, which is the same each time, and the check of hashes.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{example, vitport};

fn convert(folder: &Path, out: &str) -> Value {
    let twin = example("vit_small_twin").display().to_string();
    let file = format!("{out}.intoto.json");
    let output = vitport(&["convert", &twin, "-o", out, "--attest", &file], folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&fs::read(folder.join(file)).unwrap()).unwrap()
}

fn check(folder: &Path, more: &[&str]) -> (Option<i32>, Value, String) {
    let arguments = ["verify", "--attestation", "a.intoto.json", "a", "--json"];
    let Output { status, stdout, stderr } = vitport(&[&arguments, more].concat(), folder);
    (status.code(), serde_json::from_slice(&stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn sha256(path: &Path) -> String {
    Sha256::digest(fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_statement_names_folder_source_mapping_and_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let statement = convert(folder.path(), "a");
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    let subject = statement["subject"].as_array().unwrap();
    let names: Vec<&str> = subject.iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["config.json", "model.safetensors", "preprocessor_config.json"]);
    for file in subject {
        let path = folder.path().join("a").join(file["name"].as_str().unwrap());
        assert_eq!(file["digest"]["sha256"], sha256(&path), "{file}");
    }
    let predicate = &statement["predicate"];
    let twin = example("vit_small_twin");
    let materials = predicate["materials"].as_array().unwrap();
    for name in ["config.json", "model.safetensors"] {
        let material = materials.iter().find(|file| file["name"] == name).unwrap();
        assert_eq!(material["digest"]["sha256"], sha256(&twin.join(name)), "{name}");
    }
    let mapping = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vitport/mappings/timm_vit.toml");
    assert_eq!(
        predicate["mapping"],
        json!({ "name": "timm_vit.toml", "digest": { "sha256": sha256(&mapping) } })
    );
    let said = (&predicate["verdict"], &predicate["headline"], &predicate["deviations"]);
    assert_eq!(said, (&json!("same"), &json!("same"), &json!([])));
}

#[test]
fn a_statement_of_a_way_back_names_both_folders() {
    let folder = tempfile::tempdir().unwrap();
    convert(folder.path(), "there");
    for (framework, layout) in [("timm", None), ("torchvision", Some("torchvision_vit.toml"))] {
        let _ = fs::remove_dir_all(folder.path().join("a"));
        let arguments = ["convert", "there", "--to", framework, "-o", "a"];
        let output = vitport(&[&arguments[..], &["--attest", "a.intoto.json"]].concat(), folder.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let statement = fs::read(folder.path().join("a.intoto.json")).unwrap();
        let statement: Value = serde_json::from_slice(&statement).unwrap();
        let named = |files: &Value, of: &str| -> Vec<String> {
            let files = files.as_array().unwrap().iter().map(|file| {
                let name = file["name"].as_str().unwrap();
                assert_eq!(file["digest"]["sha256"], sha256(&folder.path().join(of).join(name)), "{file}");
                name.to_owned()
            });
            files.collect()
        };
        let predicate = &statement["predicate"];
        assert_eq!(named(&statement["subject"], "a"), crate::support::names(&folder.path().join("a")));
        let materials = named(&predicate["materials"], "there");
        assert_eq!(materials, ["model.safetensors", "config.json", "preprocessor_config.json"]);
        assert_eq!(predicate["class"], "ViTForImageClassification");
        assert_eq!(predicate["written"], framework);
        assert_eq!(predicate["mapping"]["name"], "timm_vit.toml");
        assert_eq!(predicate["layout"]["name"].as_str(), layout);
        let (code, document, _) = check(folder.path(), &[]);
        assert_eq!((code, &document["agrees"]), (Some(0), &json!(true)), "{document}");
    }
    fs::write(folder.path().join("a/config.json"), "{}").unwrap();
    let (code, document, _) = check(folder.path(), &[]);
    assert_eq!((code, &document["changed"]), (Some(5), &json!(["config.json"])));
    // What is not published is not attested.
    let arguments = ["convert", "there", "--to", "timm", "-o", "b", "--no-verify", "--attest", "b.json"];
    assert_eq!(vitport(&arguments, folder.path()).status.code(), Some(2));
    assert!(!folder.path().join("b.json").exists());
}

#[test]
fn the_folder_and_its_statement_are_the_same_bytes_each_time() {
    let folder = tempfile::tempdir().unwrap();
    convert(folder.path(), "a");
    convert(folder.path(), "b");
    let names = crate::support::names(&folder.path().join("a"));
    assert_eq!(names, crate::support::names(&folder.path().join("b")));
    assert!(names.contains(&"README.md".to_owned()));
    for name in names {
        let read = |out: &str| fs::read(folder.path().join(out).join(&name)).unwrap();
        assert!(read("a") == read("b"), "{name} differs between runs");
    }
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("a.intoto.json") == read("b.intoto.json"), "the statement differs between runs");
}

#[test]
fn what_is_changed_missing_or_extra_is_named() {
    let folder = tempfile::tempdir().unwrap();
    convert(folder.path(), "a");
    let place = folder.path().join("a");
    let (code, document, _) = check(folder.path(), &[]);
    assert_eq!((code, &document["agrees"]), (Some(0), &json!(true)), "{document}");
    // What is the user's own does not count.
    fs::write(place.join("README.md"), "my own words").unwrap();
    fs::create_dir(place.join(".git")).unwrap();
    assert_eq!(check(folder.path(), &[]).0, Some(0));

    let weights = place.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    fs::remove_file(place.join("preprocessor_config.json")).unwrap();
    fs::write(place.join("modeling_x.py"), "print()").unwrap();
    fs::create_dir(place.join("more")).unwrap();
    let (code, document, stderr) = check(folder.path(), &[]);
    assert_eq!(code, Some(5));
    assert_eq!(document["kind"], "different");
    assert_eq!(document["schema"], "vitport/error/2");
    assert_eq!(document["changed"], json!(["model.safetensors"]));
    assert_eq!(document["missing"], json!(["preprocessor_config.json"]));
    assert_eq!(document["extra"], json!(["modeling_x.py", "more"]));
    for name in ["model.safetensors", "preprocessor_config.json", "modeling_x.py"] {
        assert!(stderr.contains(name), "{stderr}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_is_not_the_file_that_was_attested() {
    let folder = tempfile::tempdir().unwrap();
    convert(folder.path(), "a");
    let config = folder.path().join("a/config.json");
    fs::rename(&config, folder.path().join("elsewhere.json")).unwrap();
    std::os::unix::fs::symlink("../elsewhere.json", &config).unwrap();
    let (code, document, _) = check(folder.path(), &[]);
    assert_eq!((code, &document["changed"]), (Some(5), &json!(["config.json"])));
}

#[test]
fn what_is_no_attestation_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let statement = convert(folder.path(), "a");
    let file = folder.path().join("a.intoto.json");
    let other = json!({ "predicateType": "https://slsa.dev/provenance/v1" });
    let empty = json!({ "subject": [] });
    for change in [other, empty, json!({ "predicate": null }), json!({ "_type": "x" })] {
        let mut changed = statement.clone();
        changed.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        fs::write(&file, changed.to_string()).unwrap();
        let (code, document, _) = check(folder.path(), &[]);
        assert_eq!((code, &document["kind"]), (Some(3), &json!("refused")), "{document}");
    }
    fs::remove_file(&file).unwrap();
    let (code, document, _) = check(folder.path(), &[]);
    assert_eq!((code, &document["kind"]), (Some(3), &json!("unreadable")));
    assert_eq!(check(folder.path(), &["b"]).0, Some(2));
}

#[test]
fn an_attestation_overwrites_nothing_and_lies_outside() {
    let folder = tempfile::tempdir().unwrap();
    let twin = example("vit_small_twin").display().to_string();
    fs::write(folder.path().join("notes.json"), "{}").unwrap();
    for (file, why) in [
        ("notes.json", "is not an attestation"),
        ("out/a.json", "would lie in OUT"),
        ("a.txt", "does not end in .json"),
    ] {
        let output = vitport(&["convert", &twin, "-o", "out", "--attest", file], folder.path());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(why), "{file}: {stderr}");
    }
    let output =
        vitport(&["convert", &twin, "-o", "out", "--attest", "a.json", "--no-verify"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(crate::support::names(folder.path()), ["notes.json"]);
    // A folder that is there is attested when it is verified, and an attestation takes the place of another.
    convert(folder.path(), "a");
    let file = folder.path().join("a.intoto.json");
    let before = fs::read(&file).unwrap();
    let output = vitport(&["verify", &twin, "a", "--attest", "a.intoto.json"], folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(&file).unwrap() == before);
}
