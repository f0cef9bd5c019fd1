//! Runs `vitport inspect`: what is in a checkpoint, without believing a word of it.
//!
//! The text begins with the evidence (container, what the pickle names and would have run, nested parts, shared
//! storages) and then lists the tensors. `--json` gives all of it.

mod document;

use std::collections::BTreeMap;
use std::sync::Arc;

use unicode_width::UnicodeWidthStr;
use vitport_checkpoint::{Audit, Checkpoint, Global, GlobalClass, Tensor, Unsupported, escape};

pub use self::document::InspectDocument;
use self::document::document;
use crate::arguments::InspectArguments;
use crate::failure::Failure;
use crate::output::Printer;
use crate::terminal::fitting;
use crate::terminal::style::{BOLD, DIM, RED, YELLOW};
use crate::terminal::table::{Align, Table, bytes, shape};
use crate::terminal::wrap::wrap;

/// Limits the rows of each part of the evidence that the text shows; `--json` has them all.
const SHOWN: usize = 20;

/// Limits the characters of a value next to the weights that the text shows.
const VALUE: usize = 160;

/// Inspects.
pub fn run(arguments: &InspectArguments, output: &Printer) -> Result<(), Failure> {
    let mut checkpoint = Checkpoint::survey(&arguments.file, &arguments.limits.limits())?;
    if let Some(root) = &arguments.key {
        checkpoint.select(root)?;
    }
    let (tensors, audit) = match arguments.key {
        Some(_) => (checkpoint.tensors(), checkpoint.audit()),
        None => (checkpoint.all_tensors(), checkpoint.audit_all()),
    };
    let hashes = match arguments.hash {
        true => Some(hashes(tensors, audit)?),
        false => None,
    };
    if output.is_json() {
        return output.document(&document(&checkpoint, arguments.key.as_deref(), tensors, hashes.as_deref()));
    }
    if arguments.summary {
        return output.print(heading(&checkpoint, tensors).join("\n"));
    }
    for line in heading(&checkpoint, tensors) {
        output.say(line)?;
    }
    output.say("")?;
    let (columns, rows) = listing(&checkpoint, arguments.key.as_deref(), tensors, hashes.as_deref());
    output.print(fitting(table(columns, &rows).text(), |width| list(&rows, width)))
}

/// Returns the tensors under a root that have no elements here, by their names in it; of all roots without one.
fn unread<'a>(checkpoint: &'a Checkpoint, root: Option<&str>) -> Vec<(&'a str, &'a Unsupported)> {
    let below = |path: &'a str| match root {
        None | Some("") => Some(path),
        Some(root) => path.strip_prefix(root)?.strip_prefix('.'),
    };
    let all = checkpoint.evidence().unsupported.iter();
    all.filter_map(|tensor| Some((below(&tensor.path)?, tensor))).collect()
}

/// Returns the sha256 of every tensor's values, once all checksums are known to match.
fn hashes(tensors: &[Arc<Tensor>], audit: Audit<'_>) -> Result<Vec<String>, Failure> {
    let hashes = tensors.iter().map(|tensor| audit.sha256(tensor)).collect::<Result<_, _>>()?;
    audit.finish()?;
    Ok(hashes)
}

/// Returns the columns and rows of the list of tensors for people. The last column says how a tensor lies in its storage where that is not plainly.
fn listing(
    checkpoint: &Checkpoint,
    root: Option<&str>,
    tensors: &[Arc<Tensor>],
    hashes: Option<&[String]>,
) -> (Vec<(&'static str, Align)>, Vec<Vec<String>>) {
    let layouts: Vec<String> = tensors.iter().map(|tensor| layout(checkpoint, tensor)).collect();
    let unread = unread(checkpoint, root);
    let has_layouts = layouts.iter().any(|layout| !layout.is_empty()) || !unread.is_empty();
    let mut columns = vec![
        ("tensor", Align::Left),
        ("dtype", Align::Left),
        ("shape", Align::Left),
        ("bytes", Align::Right),
    ];
    columns.extend(hashes.map(|_| ("sha256", Align::Left)));
    columns.extend(has_layouts.then_some(("layout", Align::Left)));
    let mut rows = Vec::new();
    for (index, (tensor, layout)) in tensors.iter().zip(layouts).enumerate() {
        let name = escape(&tensor.name).to_string();
        let mut cells =
            vec![name, tensor.dtype.name().to_owned(), shape(&tensor.shape), bytes(tensor.bytes())];
        cells.extend(hashes.and_then(|hashes| hashes.get(index)).cloned());
        cells.extend(has_layouts.then_some(layout));
        rows.push(cells);
    }
    for (name, tensor) in unread {
        let mut cells = vec![
            escape(name).to_string(),
            escape(tensor.dtype.as_deref().unwrap_or_default()).to_string(),
            tensor.shape.as_deref().map(shape).unwrap_or_default(),
            String::new(),
        ];
        cells.extend(hashes.map(|_| String::new()));
        cells.push(format!("not read: {}", escape(&tensor.kind)));
        rows.push(cells);
    }
    (columns, rows)
}

fn table(columns: Vec<(&'static str, Align)>, rows: &[Vec<String>]) -> Table {
    let mut table = Table::new(columns);
    rows.iter().for_each(|row| table.row(row.iter().cloned()));
    table
}

/// Makes lines of the same for a terminal of `width` columns: a tensor's name, and below it the rest.
fn list(rows: &[Vec<String>], width: usize) -> String {
    let lines = rows.iter().filter_map(|row| {
        let (name, rest) = row.split_first()?;
        let rest: Vec<&str> = rest.iter().map(String::as_str).filter(|cell| !cell.is_empty()).collect();
        Some(format!("{name}\n{DIM}{}{DIM:#}", wrap("", &rest.join("  "), 2, width)))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn layout(checkpoint: &Checkpoint, tensor: &Tensor) -> String {
    let mut words = Vec::new();
    if !tensor.is_contiguous() {
        words.push(format!("strides {:?}", tensor.strides));
    }
    if tensor.offset > 0 && checkpoint.storages().len() > 1 {
        words.push(format!("offset {}", tensor.offset));
    }
    if tensor.lazy_bits.conjugate {
        words.push("conjugated".to_owned());
    }
    if tensor.lazy_bits.negate {
        words.push("negated".to_owned());
    }
    words.join(", ")
}

/// Counts tensors and bytes of each dtype.
fn by_dtype(tensors: &[Arc<Tensor>]) -> BTreeMap<&'static str, (usize, u64)> {
    let mut dtypes = BTreeMap::new();
    for tensor in tensors {
        let (count, bytes): &mut (usize, u64) = dtypes.entry(tensor.dtype.name()).or_default();
        *count += 1;
        *bytes = bytes.saturating_add(tensor.bytes());
    }
    dtypes
}

/// Finds storages of which several tensors show the same elements, with those tensors' names. Tensors side by side in one storage,
/// as all of a safetensors file are, share nothing.
fn shared_storages(tensors: &[Arc<Tensor>]) -> Vec<(usize, Vec<&str>)> {
    let mut spans: Vec<(usize, u64, u64, &str)> = tensors
        .iter()
        .filter(|tensor| tensor.elements() > 0)
        .map(|tensor| {
            let reach = tensor.shape.iter().zip(&tensor.strides).fold(0_u64, |reach, (size, stride)| {
                reach.saturating_add(size.saturating_sub(1).saturating_mul(*stride))
            });
            let size = tensor.dtype.size();
            let first = tensor.offset.saturating_mul(size);
            let end = tensor.offset.saturating_add(reach).saturating_add(1).saturating_mul(size);
            (tensor.storage, first, end, &*tensor.name)
        })
        .collect();
    spans.sort_unstable();
    let mut groups: Vec<(usize, Vec<&str>)> = Vec::new();
    let mut last: Option<(usize, u64)> = None;
    for (storage, first, end, name) in spans {
        match (&mut last, groups.last_mut()) {
            (Some((known, until)), Some((_, names))) if *known == storage && first < *until => {
                names.push(name);
                *until = (*until).max(end);
            }
            _ => {
                groups.push((storage, vec![name]));
                last = Some((storage, end));
            }
        }
    }
    groups.retain(|(_, names)| names.len() > 1);
    groups
}

/// Describes the container and everything that a person should know before trusting it.
fn heading(checkpoint: &Checkpoint, tensors: &[Arc<Tensor>]) -> Vec<String> {
    let evidence = checkpoint.evidence();
    let mut lines = Vec::new();
    for file in checkpoint.files() {
        let path = file.path.display().to_string();
        lines.push(format!("{BOLD}{}{BOLD:#}  {}", escape(&path), bytes(file.len)));
    }
    let mut about = Vec::new();
    about.extend(evidence.container.map(|container| container.to_string()));
    about.extend(
        evidence.writer_version.as_ref().map(|version| format!("version {}", escape(version.trim()))),
    );
    about.extend(evidence.byteorder.as_ref().map(|order| format!("{} endian", escape(order.trim()))));
    about.extend(evidence.pickle_protocol.map(|protocol| format!("pickle protocol {protocol}")));
    lines.push(about.join(", "));
    lines.push(totals(tensors));
    if let Some(call) = &evidence.dangerous_call {
        lines.push(format!("{RED}DANGEROUS{RED:#}: loading this file in Python would run {}", escape(call)));
    }
    lines.extend(globals(&evidence.globals));
    let roots = checkpoint.roots().iter().map(|root| {
        let name =
            if root.path.is_empty() { "(top level)".to_owned() } else { escape(&root.path).to_string() };
        let state = if root.training_state { ", training state" } else { "" };
        let chosen = if root.path == checkpoint.root().path { ", taken by convert" } else { "" };
        format!("{name}: {} tensors{state}{chosen}", root.tensors)
    });
    lines.extend(part("parts that hold tensors", roots));
    let unsupported = evidence
        .unsupported
        .iter()
        .map(|object| format!("{}: {}", escape(&object.path), escape(&object.kind)));
    lines.extend(part("tensors without plain elements", unsupported));
    let shared = shared_storages(tensors).into_iter().map(|(storage, names)| {
        let key = checkpoint.storages().get(storage).map_or("", |storage| storage.key.as_str());
        let key = if key.is_empty() { "one storage".to_owned() } else { escape(key).to_string() };
        let more = names.len().saturating_sub(4);
        let names: Vec<String> = names.iter().take(4).map(|name| escape(name).to_string()).collect();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{key}: {}{more}", names.join(", "))
    });
    lines.extend(part("elements under several names", shared));
    lines.extend(part("notes", evidence.notes.iter().map(|note| escape(note).to_string())));
    let modules = checkpoint.all_modules();
    let classes = modules.iter().map(|module| {
        let path = if module.path.is_empty() { "(the model)" } else { &module.path };
        format!("{}: {}", escape(path), escape(&module.class))
    });
    lines.extend(part("modules that were saved whole", classes));
    let extra = checkpoint.metadata().iter().map(|entry| {
        let value = entry.value.to_string();
        let cut = value.char_indices().nth(VALUE).map(|(at, _)| value.get(..at).unwrap_or_default());
        let value = cut.map_or_else(|| value.clone(), |cut| format!("{cut}…"));
        format!("{} = {value}", escape(&entry.path))
    });
    lines.extend(part("next to the weights", extra));
    lines
}

fn totals(tensors: &[Arc<Tensor>]) -> String {
    let total = tensors.iter().fold(0_u64, |total, tensor| total.saturating_add(tensor.bytes()));
    let dtypes: Vec<String> =
        by_dtype(tensors).into_iter().map(|(dtype, (count, _))| format!("{count} {dtype}")).collect();
    let strided = tensors.iter().filter(|tensor| !tensor.is_contiguous()).count();
    let strided = if strided > 0 { format!("; {strided} not row-major") } else { String::new() };
    format!("{} tensors, {}: {}{strided}", tensors.len(), bytes(total), dtypes.join(", "))
}

/// Returns a heading and its lines, as many as a person reads; nothing for nothing.
fn part(name: &str, lines: impl Iterator<Item = String>) -> Vec<String> {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return lines;
    }
    let more = lines.len().saturating_sub(SHOWN);
    let mut shown = vec![format!("{DIM}{name}{DIM:#}")];
    shown.extend(lines.into_iter().take(SHOWN).map(|line| format!("  {line}")));
    if more > 0 {
        shown.push(format!("  … and {more} more (--json lists all)"));
    }
    shown
}

/// Lists what the pickles name, the dangerous first, and what those would have run.
fn globals(globals: &[Global]) -> Vec<String> {
    let mut sorted: Vec<&Global> = globals.iter().collect();
    sorted.sort_by_key(|global| match global.class {
        GlobalClass::Dangerous => 0,
        GlobalClass::Opaque => 1,
        GlobalClass::Builder => 2,
    });
    let name_of = |global: &Global| escape(&format!("{}.{}", global.module, global.name)).to_string();
    let width = sorted.iter().take(SHOWN).map(|global| name_of(global).width()).max().unwrap_or(0).min(60);
    let lines = sorted.into_iter().map(|global| {
        let name = name_of(global);
        let gap = " ".repeat(width.saturating_sub(name.width()));
        let class = match global.class {
            GlobalClass::Builder => "allowed".to_owned(),
            GlobalClass::Opaque => format!("{YELLOW}opaque{YELLOW:#}, kept as it is"),
            GlobalClass::Dangerous => format!("{RED}DANGEROUS{RED:#}, not run"),
        };
        let calls = global.would_run.iter().map(|call| format!("\n    would have run {}", escape(call)));
        format!("{name}{gap}  {class}, named {}×{}", global.count, calls.collect::<String>())
    });
    part("globals that the pickle names", lines)
}
