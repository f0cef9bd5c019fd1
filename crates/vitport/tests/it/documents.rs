//! Compares the pages of documentation that are made of the registries and the mappings with what these say now. A page that is
//! stale is written anew by
//!
//!     VITPORT_WRITE_DOCS=1 cargo test -p vitport --test it documents::

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use vitport::catalogue::{self, Exactness, KnownModel};
use vitport::frameworks::target;
use vitport::mapping::mappings;
use vitport::pipeline::ways_back;

const WRITE: &str = "VITPORT_WRITE_DOCS";

fn compare(page: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == made,
        "docs/{page} is stale; `{WRITE}=1 cargo test -p vitport --test it documents::` writes it anew"
    );
}

/// Returns a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Says what a model becomes, and how much of it or why nothing.
fn outcome(model: &KnownModel) -> [String; 2] {
    let note = model.note.clone().unwrap_or_default();
    match (model.becomes.class(), model.becomes.why_not()) {
        (Some(class), _) => {
            let how = if model.exactness == Some(Exactness::Features) { "as features" } else { "exactly" };
            let asked =
                if model.is_asked_for { format!("only with --target {class}") } else { String::new() };
            let parts = [how, &asked, &note].into_iter().filter(|part| !part.is_empty());
            [format!("`{class}`"), parts.collect::<Vec<_>>().join("; ")]
        }
        (None, Some(why)) if note.is_empty() => ["–".to_owned(), why],
        (None, why) => ["–".to_owned(), format!("{}; {note}", why.unwrap_or_default())],
    }
}

fn models() -> (String, BTreeMap<String, [usize; 2]>) {
    let mut sections: BTreeMap<String, Vec<(String, String, [String; 2])>> = BTreeMap::new();
    let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for model in catalogue::models().filter(|model| model.published_at.is_some()) {
        let framework = match (model.name.starts_with("torchvision/"), model.module) {
            (true, _) => "torchvision",
            (false, Some(_)) => "timm",
            (false, None) => "Microsoft",
        };
        let count = counts.entry(framework.to_owned()).or_default();
        count[0] += 1;
        count[1] += usize::from(model.becomes.class().is_some());
        let module = model.module.filter(|_| framework == "timm").map_or(String::new(), |m| format!(" {m}"));
        let (architecture, tag) = model.name.split_once('.').unwrap_or((&model.name, ""));
        let rows = sections.entry(format!("{framework}{module}")).or_default();
        let made = outcome(&model);
        match rows.last_mut().filter(|(name, _, same)| *name == architecture && *same == made) {
            Some((_, tags, _)) => *tags += &format!(", {tag}"),
            None => rows.push((architecture.to_owned(), tag.to_owned(), made)),
        }
    }
    let mut page = String::from(
        "# Models\n\nWhat each model with published weights becomes, exactly or as features, or why nothing: `vitport models` as a page, \
         made from the registries and the mappings by [documents.rs](../crates/vitport/tests/it/documents.rs).\n\n\
         | framework | models with weights | converted |\n|---|---|---|\n",
    );
    for (framework, [all, converted]) in &counts {
        let _ = writeln!(page, "| {framework} | {all} | {converted} |");
    }
    for (section, rows) in sections {
        let _ = write!(page, "\n## {section}\n\n| architecture | weights | becomes | |\n|---|---|---|---|\n");
        for (architecture, tags, [class, how]) in rows {
            let _ = writeln!(page, "| {architecture} | {tags} | {class} | {} |", cell(&how));
        }
    }
    (page, counts)
}

/// Lists the classes of each model type that goes back, and where to.
fn ways() -> String {
    let mut rows: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for mapping in mappings() {
        let file: toml::Table = toml::from_str(mapping.text()).unwrap();
        let mut classes = Vec::new();
        names(&file["config"]["architectures"], &mut classes);
        let model_type = target(mapping.to()).unwrap().model_type();
        rows.entry(model_type).or_default().extend(classes.into_iter().map(|class| format!("`{class}`")));
    }
    let mut table = String::from(
        "\n## Ways back\n\n`vitport convert FOLDER --to FRAMEWORK` makes a network of another framework of a transformers folder, where that \
         has one of its structure; [the guide](guides/back-to-timm.md) says what becomes of the rest.\n\n| classes | `--to` |\n|---|---|\n",
    );
    for (model_type, classes) in rows {
        let classes = classes.into_iter().collect::<Vec<_>>().join(", ");
        let _ = writeln!(table, "| {classes} | {} |", ways_back(model_type).join(", "));
    }
    table
}

#[test]
fn the_page_of_models_is_what_the_registries_say() {
    let (page, counts) = models();
    compare("models.md", &(page + &ways()));
    assert_eq!((counts["timm"][0], counts["torchvision"]), (1826, [115, 62]));
}

/// Adds the names of classes that stand in a value.
fn names<'a>(value: &'a toml::Value, found: &mut Vec<&'a str>) {
    match value {
        toml::Value::String(name) if name.starts_with(char::is_uppercase) => found.push(name),
        toml::Value::Array(list) => list.iter().for_each(|value| names(value, found)),
        toml::Value::Table(table) => table.values().for_each(|value| names(value, found)),
        _ => {}
    }
}

/// Makes the catalogue of named deviations, and of what each mapping refuses.
fn deviations() -> String {
    let mut page = String::from(
        "# Deviations and near misses\n\nWhere a class of transformers differs from the network that becomes it, and which networks are \
         refused because they would be close and not the same. Made from the mappings by \
         [documents.rs](../crates/vitport/tests/it/documents.rs).\n\n## Named deviations\n\n`convert` proves that each is the only \
         difference: the source is run again with it, and must then agree. `--strict` makes each of them an error, except those that \
         `--allow NAME` names.\n\n| name | what differs | what removes it |\n|---|---|---|\n\
         | crop-rounding | timm and torchvision round half a pixel to even when they crop, transformers' image processors round down: on images \
         where 3, 7, 11 … pixels are cut off, the crop is one pixel off | an image size whose crop lands alike |\n",
    );
    let text =
        |table: &toml::Value, key: &str| table.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let mut sections = String::new();
    for mapping in mappings() {
        let file: toml::Table = toml::from_str(mapping.text()).unwrap();
        for (name, entry) in file.get("deviation").and_then(toml::Value::as_table).into_iter().flatten() {
            let [what, remedy] = ["what", "remedy"].map(|key| cell(&text(entry, key).unwrap()));
            let _ = writeln!(page, "| {name} | {what} | {remedy} |");
        }
        let title = mapping.file().trim_end_matches(".toml");
        let mut classes = Vec::new();
        names(&file["config"]["architectures"], &mut classes);
        let classes = classes.join("`, `");
        let _ = write!(
            sections,
            "\n### {title}: {} → `{classes}`\n\n| a source that is refused | why | instead |\n|---|---|---|\n",
            mapping.from()
        );
        for condition in file.get("requires").and_then(toml::Value::as_array).into_iter().flatten() {
            let [what, why] = ["what", "why"].map(|key| cell(&text(condition, key).unwrap()));
            let could = text(condition, "could").map(|class| format!("{class} could hold it"));
            let instead = text(condition, "instead").or(could).unwrap_or_default();
            let _ = writeln!(sections, "| {what} | {why} | {} |", cell(&instead));
        }
    }
    page.push_str(
        "\n## What depends on the weights\n\ntransformers' SwinV2 adds −200 to the scores of tokens that a shift has brought together, timm's \
         −100. Scores reach twice the factor of a head, exp(logit_scale), and 16 more, and so a factor of up to 33 makes no difference in \
         float32. Above that it depends on the network: verification runs both as they are. Of a small one with all factors at 60 nothing \
         is to be seen, at 80 4e-6 of the numbers' size, and at 100, the largest that both allow, as much as the numbers' size, which \
         `convert` calls different and does not publish.\n",
    );
    page + "\n## What each mapping refuses\n\n`{found}` stands for what the source has, `{wanted}` for what it must have.\n"
        + &sections
}

#[test]
fn the_page_of_deviations_is_what_the_mappings_say() {
    compare("deviations.md", &deviations());
}
