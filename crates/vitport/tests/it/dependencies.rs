//! Checks the rules of dependency of ARCHITECTURE.md: which modules of the library no file of a folder may name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const SOURCES: [&str; 3] = ["timm", "microsoft", "torchvision"];

/// Lists places in `src` with the modules that they may not name.
const RULES: [(&[&str], &[&str]); 3] = [
    (&["facts", "source.rs", "mapping", "image"], &["frameworks"]),
    (&["pipeline", "card", "catalogue.rs", "folder"], &SOURCES),
    (&["frameworks/registry", "frameworks/saved_modules"], &SOURCES),
];

/// Returns every name in the imports of a file, and in paths elsewhere in its code.
fn names(text: &str) -> BTreeSet<&str> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let mut names = BTreeSet::new();
    let mut imports = false;
    for line in text.lines().filter(is_code) {
        imports |= line.trim_start().trim_start_matches("pub ").starts_with("use ");
        let words = line.split(|c: char| !c.is_alphanumeric() && !"_:".contains(c));
        let paths = words.filter(|word| imports || word.contains("::"));
        names.extend(paths.flat_map(|path| path.split("::")));
        imports &= !line.trim_end().ends_with(';');
    }
    names
}

/// Returns the Rust files of a folder but its tests, or the one file.
fn files(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    let entries = std::fs::read_dir(place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
    let files = entries.flat_map(|entry| files(&entry.unwrap().path()));
    let is_code = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "rs");
    files.filter(|file| is_code(file) && !file.ends_with("tests.rs")).collect()
}

/// Says which of these modules the files of a place name.
fn broken(place: &Path, forbidden: &[&str]) -> Vec<String> {
    let files = files(place);
    assert!(!files.is_empty(), "{} has no code", place.display());
    let in_file = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let named: Vec<_> = names(&text).into_iter().filter(|name| forbidden.contains(name)).collect();
        (!named.is_empty()).then(|| format!("{} names {named:?}", file.display()))
    };
    files.iter().filter_map(in_file).collect()
}

#[test]
fn no_module_names_one_that_it_may_not_know() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for (places, forbidden) in RULES {
        found.extend(places.iter().flat_map(|place| broken(&src.join(place), forbidden)));
    }
    let all = ["timm", "microsoft", "torchvision", "transformers"];
    for framework in all {
        let others: Vec<_> = all.into_iter().filter(|other| *other != framework).collect();
        found.extend(broken(&src.join("frameworks").join(framework), &others));
    }
    // Facts know no other module at all.
    let modules: Vec<_> = std::fs::read_dir(&src).unwrap().map(|entry| entry.unwrap().path()).collect();
    let stems = modules.iter().map(|path| path.file_stem().unwrap().to_str().unwrap());
    let others: Vec<_> = stems.chain(["nn"]).filter(|name| *name != "facts").collect();
    found.extend(broken(&src.join("facts"), &others));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_crate_names_only_those_above_it() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (name, forbidden) in [
        ("vitport-checkpoint", &["vitport", "vitport_nn", "vitport_cli"][..]),
        ("vitport-nn", &["vitport", "vitport_checkpoint", "vitport_cli"]),
        ("vitport", &["vitport_cli", "vitport_python"]),
    ] {
        let found = broken(&crates.join(name).join("src"), forbidden);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn forbidden_names_are_seen_wherever_they_stand() {
    let text = "use crate::a::{\n    b::C,\n    timm,\n};\nlet d = super::microsoft::E; // torchvision::F\n// image::G\nlet jax = 1;\n";
    let found = names(text);
    assert!(["timm", "microsoft", "b"].iter().all(|name| found.contains(name)), "{found:?}");
    assert!(!found.contains("image") && !found.contains("jax"), "{found:?}");
}
