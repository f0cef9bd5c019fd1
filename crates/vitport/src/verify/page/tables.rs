//! The tables: everything that was compared, with the numbers, so that nobody has to take the verdict's word for it.

use super::super::{Comparison, HashedFile, Odd, Report};
use super::markup::Markup;
use super::numbers;

/// Rows of a list that a stranger's file decides the length of; the JSON report has all.
const MOST_ROWS: usize = 100;

/// A column's head and whether it holds numbers.
type Column<'a> = (&'a str, bool);

/// A table in a box that scrolls sideways where the page is narrow.
fn table(page: &mut Markup, caption: &str, columns: &[Column<'_>], body: impl FnOnce(&mut Markup)) {
    let frame = [("class", "scroll"), ("role", "region"), ("aria-label", caption), ("tabindex", "0")];
    page.element("div", &frame, |frame| {
        frame.element("table", &[], |table| {
            table.words("caption", &[], caption);
            table.element("thead", &[], |head| {
                head.element("tr", &[], |row| {
                    for (name, is_number) in columns {
                        let class = if *is_number { "number" } else { "words" };
                        row.words("th", &[("scope", "col"), ("class", class)], name);
                    }
                });
            });
            table.element("tbody", &[], body);
        });
    });
}

fn number(row: &mut Markup, text: &str) {
    row.words("td", &[("class", "number")], text);
}

fn agreement(row: &mut Markup, agrees: bool) {
    let (class, text) = if agrees { ("yes", "✓ yes") } else { ("no", "✗ no") };
    row.words("td", &[("class", class)], text);
}

fn more(page: &mut Markup, count: usize) {
    if count > MOST_ROWS {
        let rest = numbers::count((count - MOST_ROWS) as u64);
        page.words("p", &[], &format!("And {rest} more; the JSON report names them all."));
    }
}

/// The numbers behind the drawing.
pub fn places(page: &mut Markup, report: &Report) {
    let Some(taken_over) = report.taken_over() else {
        return comparisons(page, "Differences by place, from the input to the output", &report.layers);
    };
    let caption = format!("Differences by place, as measured and without {taken_over}");
    let columns = [
        ("Place", false),
        ("Numbers", true),
        ("Measured, relative", true),
        ("Without it", true),
        ("Rounding explains", true),
        ("Agrees without it", false),
    ];
    table(page, &caption, &columns, |body| {
        for (measured, without) in report.layers.iter().zip(report.judged()) {
            body.element("tr", &[], |row| {
                row.words("th", &[("scope", "row")], &measured.place);
                number(row, &numbers::count(without.difference.count as u64));
                number(row, &numbers::difference(measured.difference.relative));
                number(row, &numbers::difference(without.difference.relative));
                number(row, &numbers::difference(without.tolerance));
                agreement(row, without.agrees);
            });
        }
    });
}

fn comparisons(page: &mut Markup, caption: &str, list: &[Comparison]) {
    let columns = [
        ("Place", false),
        ("Numbers", true),
        ("Largest difference", true),
        ("Their size", true),
        ("Relative", true),
        ("Rounding explains", true),
        ("Agrees", false),
    ];
    table(page, caption, &columns, |body| {
        for place in list {
            body.element("tr", &[], |row| {
                row.words("th", &[("scope", "row")], &place.place);
                number(row, &numbers::count(place.difference.count as u64));
                number(row, &numbers::difference(place.difference.largest));
                number(row, &numbers::size(place.difference.size));
                number(row, &numbers::difference(place.difference.relative));
                number(row, &numbers::difference(place.tolerance));
                agreement(row, place.agrees);
            });
        }
    });
}

/// Both ways of preparing a picture against each other.
pub fn pixels(page: &mut Markup, report: &Report) {
    comparisons(
        page,
        "Pixels as the source prepares them and as the folder's processor does",
        &report.pixels,
    );
}

/// What no output shows.
pub fn facts(page: &mut Markup, report: &Report) {
    let columns = [("Fact", false), ("By the source", false), ("By the folder", false), ("Agrees", false)];
    table(page, "Facts, by the source and by the folder", &columns, |body| {
        for fact in &report.facts {
            body.element("tr", &[], |row| {
                row.element("th", &[("scope", "row")], |name| name.code(&fact.name));
                row.element("td", &[], |cell| cell.code(&fact.source));
                row.element("td", &[], |cell| cell.code(&fact.target));
                match (fact.agrees, fact.counts) {
                    (false, false) => row.words("td", &[], "no, without effect"),
                    (agrees, _) => agreement(row, agrees),
                }
            });
        }
    });
}

/// The weights bit by bit.
pub fn weights(page: &mut Markup, report: &Report) {
    let weights = &report.weights;
    page.element("dl", &[], |list| {
        entry(list, "Same bit by bit", &numbers::counted(weights.same, "tensor"));
        entry(list, "Different", &numbers::counted(weights.different.len(), "tensor"));
        entry(list, "Missing in the folder", &numbers::counted(weights.missing.len(), "tensor"));
        entry(list, "In the folder without a source", &numbers::counted(weights.extra.len(), "tensor"));
        entry(list, "Compared", &numbers::bytes(weights.bytes));
    });
    let unnamed = |names: &[String], what: &str| -> Vec<Odd> {
        let odd = names.iter().take(MOST_ROWS).map(|name| Odd { name: name.clone(), what: what.to_owned() });
        odd.collect()
    };
    let missing = unnamed(&weights.missing, "the folder lacks it");
    let extra = unnamed(&weights.extra, "no rule makes it from the source");
    let odd: Vec<&Odd> = weights.different.iter().take(MOST_ROWS).chain(&missing).chain(&extra).collect();
    if odd.is_empty() {
        return;
    }
    table(
        page,
        "Tensors that are not what they should be",
        &[("Tensor", false), ("What is odd", false)],
        |body| {
            for odd in odd {
                body.element("tr", &[("class", "odd")], |row| {
                    row.element("th", &[("scope", "row")], |name| name.code(&odd.name));
                    row.element("td", &[], |cell| cell.foreign(&odd.what));
                });
            }
        },
    );
    for count in [weights.different.len(), weights.missing.len(), weights.extra.len()] {
        more(page, count);
    }
}

/// What went in and what came out.
pub fn accounts(page: &mut Markup, report: &Report) {
    let accounts = &report.accounts;
    let both = |tensors: usize, bytes: u64| {
        format!("{}, {}", numbers::counted(tensors, "tensor"), numbers::bytes(bytes))
    };
    page.element("dl", &[], |list| {
        entry(list, "In", &both(accounts.source_tensors, accounts.source_bytes));
        entry(list, "Out", &both(accounts.target_tensors, accounts.target_bytes));
        entry(list, "Folded: a factor multiplied in", &numbers::counted(accounts.folded, "tensor"));
        entry(list, "Padded: given rows of zeros", &numbers::counted(accounts.padded, "tensor"));
        entry(list, "Filled: in no source", &numbers::counted(accounts.filled, "tensor"));
        let dropped: u64 = accounts.dropped.iter().fold(0, |sum, dropped| sum.saturating_add(dropped.bytes));
        entry(list, "Dropped", &both(accounts.dropped.len(), dropped));
        let reversible = match accounts.reversible {
            true => "yes, every source tensor that was carried can be had back bit for bit",
            false => "no, not bit for bit",
        };
        entry(list, "Reversible", reversible);
        list.words("dt", &[], "Rule file");
        list.element("dd", &[], |what| what.code(&accounts.rules));
    });
    if accounts.dropped.is_empty() {
        return;
    }
    let columns = [("Dropped tensor", false), ("Size", true), ("Reason", false)];
    table(page, "Tensors of the source that have no place in the target", &columns, |body| {
        for dropped in accounts.dropped.iter().take(MOST_ROWS) {
            body.element("tr", &[], |row| {
                row.element("th", &[("scope", "row")], |name| name.code(&dropped.name));
                number(row, &numbers::bytes(dropped.bytes));
                row.element("td", &[], |reason| reason.foreign(&dropped.reason));
            });
        }
    });
    more(page, accounts.dropped.len());
}

fn entry(list: &mut Markup, name: &str, what: &str) {
    list.words("dt", &[], name);
    list.words("dd", &[], what);
}

/// What was run on what.
pub fn networks(page: &mut Markup, report: &Report) {
    let columns = [("", false), ("Source", false), ("Target", false)];
    table(page, "Both sides, and the time each took", &columns, |body| {
        body.element("tr", &[], |row| {
            row.words("th", &[("scope", "row")], "Network");
            row.element("td", &[], |cell| cell.foreign(&report.source_network));
            row.element("td", &[], |cell| cell.foreign(&report.target_network));
        });
        body.element("tr", &[], |row| {
            row.words("th", &[("scope", "row")], "Weights from");
            row.element("td", &[], |cell| cell.code(&report.source.path));
            row.element("td", &[], |cell| cell.code(&report.folder));
        });
        body.element("tr", &[], |row| {
            row.words("th", &[("scope", "row")], "Pixels prepared by");
            row.words("td", &[], "the transform that the source's framework uses with it");
            row.words("td", &[], "the folder's preprocessor_config.json");
        });
        body.element("tr", &[], |row| {
            row.words("th", &[("scope", "row")], "Forward pass");
            for milliseconds in [report.timings.source_forward_ms, report.timings.target_forward_ms] {
                row.words("td", &[], &format!("{milliseconds:.1} ms, in float32"));
            }
        });
    });
}

/// Where the source came from.
pub fn origin(page: &mut Markup, report: &Report) {
    let source = &report.source;
    page.element("dl", &[], |list| {
        if let Some(provenance) = &source.provenance {
            list.words("dt", &[], "Repository");
            list.element("dd", &[], |what| what.code(&provenance.repository));
            list.words("dt", &[], "Commit");
            list.element("dd", &[], |what| what.code(&provenance.commit));
        }
        list.words("dt", &[], "Weights within the checkpoint");
        list.element("dd", &[], |what| match source.root.as_str() {
            "" => what.text("the whole of it"),
            root => what.code(root),
        });
        list.words("dt", &[], "Prefix taken off the names");
        list.element("dd", &[], |what| match source.prefix.as_str() {
            "" => what.text("none"),
            prefix => what.code(prefix),
        });
    });
    let columns = [("File", false), ("Size", true), ("sha256", false)];
    table(page, "Files of the source", &columns, |body| {
        for HashedFile { name, bytes, sha256 } in source.files.iter().take(MOST_ROWS) {
            body.element("tr", &[], |row| {
                row.element("th", &[("scope", "row")], |cell| cell.code(name));
                number(row, &numbers::bytes(*bytes));
                row.element("td", &[("class", "hash")], |cell| cell.code(sha256));
            });
        }
    });
    more(page, source.files.len());
}
