//! Shows what is known of a model before it is converted: where its weights are, its facts, what is left out.

use unicode_width::UnicodeWidthStr;
use vitport::facts::{Basis, Fact, Facts};
use vitport::model::Prepared;
use vitport_checkpoint::{ChosenBy, escape};

use crate::terminal::fitting;
use crate::terminal::table::{Align, Table, bytes};
use crate::terminal::wrap::{columns, wrap};

/// Gives the column in which what is said of a part begins.
pub const INDENT: usize = 12;

/// Limits the lines about what is left out.
const MOST_DROPPED: usize = 100;

/// Says where in the file the weights were found.
pub fn root_line(prepared: &Prepared) -> String {
    let checkpoint = &prepared.source.checkpoint;
    let root = checkpoint.root();
    let choice = checkpoint.root_choice();
    let place = match root.path.as_str() {
        "" => "the whole file".to_owned(),
        path => format!("`{}` in the file", escape(path)),
    };
    let classifier = prepared.model.facts.get("classifier").map(|fact| fact.shown().to_string());
    let is_taken =
        |path: &str| classifier.as_deref().is_some_and(|layer| layer.split('.').next() == Some(path));
    // Tensors at the top of the file, next to its parts, are a part without a name.
    let named = choice.alternatives.iter().filter(|root| !root.path.is_empty() && !is_taken(&root.path));
    let others: Vec<String> = named.map(|root| escape(&root.path).to_string()).collect();
    let how = match (choice.how, others.is_empty()) {
        (ChosenBy::Caller, _) => " (--key)".to_owned(),
        (_, true) => String::new(),
        (_, false) => format!("; also there: {} (--key picks)", others.join(", ")),
    };
    let prefix = match prepared.model.state_dict.prefix() {
        "" => String::new(),
        prefix => format!(", under the prefix `{}`", escape(prefix)),
    };
    let container =
        checkpoint.evidence().container.map_or_else(String::new, |container| format!(", {container}"));
    let taken = match prepared.model.facts.get("network") {
        Some(network) => format!("; taken is {}: {}", network.shown(), network.known_from()),
        None => String::new(),
    };
    let source = escape(&prepared.source.display_name()).to_string();
    in_width(format!("  from {source}{container}: {place}{prefix}{how}{taken}"), 7)
}

/// Returns a line broken to fit the terminal, if there is one, its first `indent` characters kept before it, further lines indented as far.
pub fn in_width(line: String, indent: usize) -> String {
    let (head, text) = line.split_at(indent.min(line.len()));
    let (head, text) = (head.to_owned(), text.to_owned());
    fitting(line, |width| wrap(&head, &text, indent, width))
}

/// Returns every fact, its value and its origin, in the width of the terminal.
pub fn facts(facts: &Facts) -> String {
    fitting(fact_table(facts).text(), |width| fact_list(facts, width))
}

/// Returns how much of that the source says itself, and what is assumed.
pub fn basis(prepared: &Prepared) -> String {
    lines_of(&prepared.model.basis()).join("\n")
}

/// Returns the same of any facts, a line for the counts and one for all assumptions of an origin.
pub fn lines_of(basis: &Basis) -> Vec<String> {
    let columns = columns();
    let assumed = basis.assumed().into_iter().enumerate();
    let heads = assumed.map(|(index, text)| (if index == 0 { "  assumed" } else { "" }, text));
    let all = std::iter::once(("  rests on", basis.summary())).chain(heads);
    all.map(|(head, text)| wrap(head, &escape(&text).to_string(), INDENT, columns)).collect()
}

/// Lists the classes that hold the model, the one that it becomes first, and what is outside of that one.
pub fn targets(prepared: &Prepared) -> String {
    let columns = columns();
    let chosen = prepared.model.target_class();
    let mut out = Vec::new();
    for (index, target) in chosen.iter().chain(prepared.model.other_targets()).enumerate() {
        let head = match index {
            0 => "  becomes",
            1 => "  or could",
            _ => "",
        };
        let option = if index == 0 { String::new() } else { format!("; --target {}", target.class) };
        let what = format!("{} ({}, {}{option})", target.class, target.level.name(), target.versions());
        out.push(wrap(head, &escape(&what).to_string(), INDENT, columns));
        if let Some(outside) = &target.outside {
            let what = format!("without {}: {}", outside.what, outside.code);
            out.push(wrap("", &escape(&what).to_string(), INDENT, columns));
        }
        if let Some(states) = target.of_states() {
            out.push(wrap("", &states, INDENT, columns));
        }
    }
    out.join("\n")
}

fn fact_table(facts: &Facts) -> Table {
    let mut table = Table::new([("fact", Align::Left), ("value", Align::Left), ("known from", Align::Left)]);
    for fact in facts.iter() {
        table.row([
            fact.name.to_owned(),
            escape(&fact.shown()).to_string(),
            escape(&fact.known_from()).to_string(),
        ]);
    }
    table
}

/// Returns the same with origins broken into the lines of a terminal of `width` columns.
fn fact_list(facts: &Facts, width: usize) -> String {
    let value = |fact: &Fact| escape(&fact.shown()).to_string();
    let names = facts.iter().map(|fact| fact.name.width() + 2).max().unwrap_or(0);
    let widest = facts.iter().map(|fact| names + value(fact).width() + 2).max().unwrap_or(0);
    let indent = widest.min(width / 2);
    let line = |fact: &Fact| {
        let gap = " ".repeat(names.saturating_sub(fact.name.width()));
        let head = format!("{}{gap}{}", fact.name, value(fact));
        let origin = escape(&fact.known_from()).to_string();
        match head.width() < indent {
            true => wrap(&head, &origin, indent, width),
            false => format!("{head}\n{}", wrap("", &origin, indent, width)),
        }
    };
    facts.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Says how many training arguments nobody read, and with `-v` which; nothing if there are none.
pub fn unread_line(prepared: &Prepared, is_verbose: bool) -> Option<String> {
    let unread = &prepared.model.unread_arguments;
    match (unread.len(), is_verbose) {
        (0, _) => None,
        (1, false) => Some("  1 setting in the file was not read (-v names it)".to_owned()),
        (count, false) => Some(format!("  {count} settings in the file were not read (-v lists them)")),
        (_, true) => {
            let paths: Vec<String> = unread.iter().map(|path| escape(path).to_string()).collect();
            Some(format!("  settings in the file that were not read: {}", paths.join(", ")))
        }
    }
}

/// Says what is resampled for images of another size; nothing where that is not asked for.
pub fn resampled_line(prepared: &Prepared) -> Option<String> {
    let resampled = prepared.plan.resampled.as_ref()?;
    Some(wrap("  size", &resampled.explanation(), INDENT, columns()))
}

/// Returns one line a dropped tensor.
pub fn drop_lines(prepared: &Prepared) -> Vec<String> {
    let line = |dropped: &vitport::plan::Dropped| {
        let (name, size, reason) = (escape(&dropped.name), bytes(dropped.bytes), escape(&dropped.reason));
        in_width(format!("  left out: {name} ({size}): {reason}"), INDENT)
    };
    let mut lines: Vec<String> = prepared.plan.dropped.iter().take(MOST_DROPPED).map(line).collect();
    if let Some(more) = prepared.plan.dropped.len().checked_sub(MOST_DROPPED).filter(|more| *more > 0) {
        lines.push(format!("  left out: {more} more (`vitport plan --json` lists all)"));
    }
    lines
}
