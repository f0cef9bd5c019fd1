//! Shows what differs between two checkpoints: a summary, layer by layer where layers differ as a whole, and a row for each group of
//! tensors that differ alike.

use std::collections::BTreeMap;

use vitport::diff::{DiffKind, Form, TensorRow};
use vitport::pipeline::{Diff, Through};
use vitport_checkpoint::escape;

use super::patterns::grouped;
use crate::terminal::fitting;
use crate::terminal::table::{Align, Table};
use crate::terminal::wrap::{columns, wrap};

/// Lists the ways to differ in the order of the summary.
const DIFFERENT: [DiffKind; 5] =
    [DiffKind::Values, DiffKind::Dtype, DiffKind::Shape, DiffKind::OnlyInA, DiffKind::OnlyInB];

/// Says below which cosine two matrices have nothing to do with each other.
const UNRELATED: f64 = 0.2;

/// Names the columns of the table, of which those without cells are left out.
const COLUMNS: [(&str, Align); 10] = [
    ("tensor", Align::Left),
    ("made of", Align::Left),
    ("difference", Align::Left),
    ("n", Align::Right),
    ("form", Align::Left),
    ("elements", Align::Right),
    ("max abs", Align::Right),
    ("relative", Align::Right),
    ("cosine", Align::Right),
    ("first", Align::Left),
];

/// Returns the whole as lines.
pub fn text(diff: &Diff, rows: &[TensorRow]) -> String {
    let different: Vec<&TensorRow> = rows.iter().filter(|row| row.kind != DiffKind::Equal).collect();
    let how = match &diff.through {
        Through::Names => String::new(),
        Through::Mapping { file } => format!(", through {}", escape(file)),
        Through::Layouts { description } => format!(", under the names of {description}"),
    };
    let same = rows.len() - different.len();
    let mut lines = vec![format!("{same} tensors are the same, {} differ{how}", different.len())];
    if !different.is_empty() {
        lines.push(format!("  {}", counts(&different)));
    }
    if !different.is_empty()
        && different.iter().all(|row| [DiffKind::OnlyInA, DiffKind::OnlyInB].contains(&row.kind))
        && same == 0
    {
        let says =
            "no tensor has the same name on both sides: these are other networks, or one in other names";
        lines.push(wrap(" ", says, 2, columns()));
    }
    let layers = Layers::of(rows);
    if layers.is_some_loaded_in_part() {
        lines.push(String::new());
        lines.push(layers.text());
    }
    let listed: Vec<&TensorRow> = different.into_iter().filter(|row| !layers.is_missing_with(row)).collect();
    if !listed.is_empty() {
        lines.push(String::new());
        lines.push(table(&listed, diff.through != Through::Names));
    }
    let left_out: usize = diff.left_out.iter().map(|dropped| dropped.tensors).sum();
    if left_out > 0 {
        lines.push(format!(
            "{left_out} tensors are not compared, which a conversion leaves out (--json names them)"
        ));
    }
    lines.extend(diff.problems.iter().cloned());
    lines.join("\n")
}

/// Returns how many rows differ in each way: `72 with other values, 2 only in A`.
fn counts(rows: &[&TensorRow]) -> String {
    let count = |kind: DiffKind| rows.iter().filter(|row| row.kind == kind).count();
    let counted = DIFFERENT.into_iter().map(|kind| (count(kind), kind)).filter(|(count, _)| *count > 0);
    let said = counted.map(|(count, kind)| match kind {
        DiffKind::Values => format!("{count} with other values"),
        DiffKind::Dtype => format!("{count} of another dtype"),
        DiffKind::Shape => format!("{count} of another shape"),
        _ => format!("{count} {}", kind.words()),
    });
    said.collect::<Vec<_>>().join(", ")
}

/// Lists what the blocks of a stage are called in names: `layers.0.blocks.1`, `stages.0.layers.1`.
const BLOCKS: [&str; 4] = ["blocks", "layers", "block", "layer"];

/// Holds the rows of each layer, or of each block of a stage.
struct Layers<'a>(BTreeMap<Vec<Piece<'a>>, Vec<&'a TensorRow>>);

impl<'a> Layers<'a> {
    fn of(rows: &'a [TensorRow]) -> Self {
        let mut layers: BTreeMap<Vec<Piece<'_>>, Vec<&TensorRow>> = BTreeMap::new();
        for row in rows {
            if let Some(layer) = layer(&row.name) {
                layers.entry(layer).or_default().push(row);
            }
        }
        Self(layers)
    }

    /// Returns whether some layer has no equal tensor but whole numbers, which every such layer has: such a network was loaded in part.
    fn is_some_loaded_in_part(&self) -> bool {
        let is_unloaded = |rows: &Vec<&TensorRow>| {
            !rows.iter().all(|row| is_equal_count(row))
                && rows.iter().all(|row| row.kind != DiffKind::Equal || is_equal_count(row))
        };
        self.0.values().any(is_unloaded)
    }

    /// Returns whether a tensor is missing with its whole layer, which is a line of its own.
    fn is_missing_with(&self, row: &TensorRow) -> bool {
        let layer = layer(&row.name).and_then(|layer| self.0.get(&layer));
        layer.is_some_and(|rows| {
            rows.iter().all(|other| {
                other.kind == row.kind && [DiffKind::OnlyInA, DiffKind::OnlyInB].contains(&row.kind)
            })
        })
    }

    /// Returns a line for all layers that are alike.
    fn text(&self) -> String {
        let line = |(layer, rows): (&Vec<Piece<'_>>, &Vec<&TensorRow>)| {
            let layer = layer.iter().map(Piece::text).collect::<Vec<_>>().join(".");
            let different: Vec<&TensorRow> =
                rows.iter().copied().filter(|row| row.kind != DiffKind::Equal).collect();
            let whole = rows.iter().filter(|row| is_equal_count(row)).count();
            let state = match (rows.len() - different.len(), different.is_empty()) {
                (equal, true) => format!("all {equal} tensors equal"),
                (equal, false) if equal == whole => {
                    let but =
                        if whole == 0 { String::new() } else { format!(" but {whole} of whole numbers") };
                    format!("none equal{but}: {}{}", counts(&different), related(&different))
                }
                (equal, false) => format!("{equal} equal, {}", counts(&different)),
            };
            [layer, state]
        };
        let mut table = Table::new([("layers", Align::Left), ("", Align::Left)]);
        for group in grouped(self.0.iter().map(line)) {
            table.row(group.cells.map(|cell| escape(&cell).to_string()));
        }
        table.text()
    }
}

/// Returns whether a tensor of whole numbers is equal: distances in windows and counts of batches are, whatever was loaded.
fn is_equal_count(row: &TensorRow) -> bool {
    row.kind == DiffKind::Equal && row.a.as_ref().is_some_and(|form| !form.dtype.is_float())
}

/// Stands between two dots of a name, numbers in the order of their values.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece<'a> {
    Number(u64),
    Text(&'a str),
}

impl<'a> Piece<'a> {
    fn of(text: &'a str) -> Self {
        text.parse().map_or(Self::Text(text), Self::Number)
    }

    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => (*text).to_owned(),
        }
    }
}

/// Returns a name up to the number of its layer, or of its block where the first number is that of a stage.
fn layer(name: &str) -> Option<Vec<Piece<'_>>> {
    let pieces: Vec<Piece<'_>> = name.split('.').map(Piece::of).collect();
    let is_number = |place: usize| matches!(pieces.get(place), Some(Piece::Number(_)));
    let number = (0..pieces.len()).find(|place| is_number(*place))?;
    let is_list = matches!(pieces.get(number + 1), Some(Piece::Text(text)) if BLOCKS.contains(text));
    let last = match (is_number(number + 1), is_list && is_number(number + 2)) {
        (true, _) => number + 1,
        (false, true) => number + 2,
        (false, false) => number,
    };
    Some(pieces.into_iter().take(last + 1).collect())
}

/// Says that the matrices have nothing to do with each other, where that is so.
fn related(rows: &[&TensorRow]) -> &'static str {
    let is_matrix = |row: &&&TensorRow| row.a.as_ref().is_some_and(|form| form.shape.len() > 1);
    let cosines = rows.iter().filter(is_matrix).filter_map(|row| row.values.as_ref()?.cosine);
    match cosines.map(f64::abs).reduce(f64::max) {
        Some(largest) if largest < UNRELATED => {
            ", and the matrices are unrelated (cosine below 0.2): not loaded, or of another training"
        }
        _ => "",
    }
}

/// Returns a table with a row for each group of tensors that differ alike.
fn table(rows: &[&TensorRow], is_renamed: bool) -> String {
    let made_of = |form: Option<&Form>| form.map(|form| form.made_of.join(" + ")).unwrap_or_default();
    let cells = rows.iter().map(|row| {
        let [a, b] = [row.a.as_ref(), row.b.as_ref()].map(made_of);
        let other = if a == row.name { b } else { a };
        let other = if is_renamed && other != row.name { other } else { String::new() };
        [row.name.clone(), other, row.kind.words().to_owned(), form(row)]
    });
    let rows = grouped(cells).into_iter().map(|group| {
        let members: Vec<&TensorRow> =
            group.members.iter().filter_map(|member| rows.get(*member).copied()).collect();
        let [name, other, kind, form] = group.cells.map(|cell| escape(&cell).to_string());
        let [elements, largest, relative, cosine, first] = numbers(&members);
        [name, other, kind, members.len().to_string(), form, elements, largest, relative, cosine, first]
    });
    let rows: Vec<[String; 10]> = rows.collect();
    let is_used = |column: usize| rows.iter().any(|row| row.get(column).is_some_and(|cell| !cell.is_empty()));
    let columns = COLUMNS.into_iter().enumerate().filter(|(column, _)| is_used(*column));
    let mut table = Table::new(columns.map(|(_, column)| column).collect::<Vec<_>>());
    for row in &rows {
        let cells = row.iter().enumerate().filter(|(column, _)| is_used(*column));
        table.row(cells.map(|(_, cell)| cell.clone()));
    }
    fitting(table.text(), |width| list(&rows, width))
}

/// Returns the same as a list for a terminal of `width` columns: a name, and below it what the other columns say.
fn list(rows: &[[String; 10]], width: usize) -> String {
    let entry = |[name, rest @ ..]: &[String; 10]| {
        let said = COLUMNS.into_iter().skip(1).zip(rest).filter(|(_, cell)| !cell.is_empty());
        let said = said.map(|((heading, _), cell)| match heading {
            "difference" | "form" => cell.clone(),
            heading => format!("{heading} {cell}"),
        });
        let said = said.collect::<Vec<_>>().join(" · ");
        format!("{name}\n{}", wrap("", &said, 2, width))
    };
    rows.iter().map(entry).collect::<Vec<_>>().join("\n")
}

/// Returns the dtype and shape, both where they differ.
fn form(row: &TensorRow) -> String {
    let text = |form: &Form| format!("{} {:?}", form.dtype, form.shape);
    match (row.a.as_ref().map(text), row.b.as_ref().map(text)) {
        (Some(a), Some(b)) if a != b => format!("{a} → {b}"),
        (a, b) => a.or(b).unwrap_or_default(),
    }
}

/// Returns the worst of a group: elements that differ of all, largest absolute and relative difference, least cosine, and where the first
/// element of the first tensor differs.
fn numbers(rows: &[&TensorRow]) -> [String; 5] {
    let values: Vec<_> = rows.iter().filter_map(|row| row.values.as_ref()).collect();
    if values.is_empty() {
        return Default::default();
    }
    let sum =
        |count: fn(&vitport::diff::ValueDifference) -> u64| values.iter().map(|it| count(it)).sum::<u64>();
    let not_finite = match sum(|it| it.not_finite) {
        0 => String::new(),
        count => format!(", {count} not finite"),
    };
    let largest = values.iter().filter_map(|it| it.max_abs).reduce(f64::max);
    let relative = values.iter().filter_map(|it| it.relative).reduce(f64::max);
    let cosine = values.iter().filter_map(|it| it.cosine).reduce(f64::min);
    let first = values.iter().find_map(|it| it.first.as_ref());
    let number = |number: Option<f64>| number.map(|number| format!("{number:.1e}")).unwrap_or_default();
    [
        format!("{} of {}{not_finite}", sum(|it| it.differing), sum(|it| it.elements)),
        number(largest),
        number(relative),
        cosine.map(|cosine| format!("{cosine:.6}")).unwrap_or_default(),
        first.map(|first| format!("{first:?}")).unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitport_checkpoint::Dtype;

    fn row(name: &str, dtype: Dtype, kind: DiffKind) -> TensorRow {
        let form = Form { dtype, shape: vec![2, 2], made_of: Vec::new() };
        TensorRow { name: name.to_owned(), kind, a: Some(form.clone()), b: Some(form), values: None }
    }

    #[test]
    fn a_layer_is_a_block_of_a_stage_where_there_are_stages() {
        let shown = |name: &str| {
            let pieces = layer(name)?;
            Some(pieces.iter().map(Piece::text).collect::<Vec<_>>().join("."))
        };
        for (name, wanted) in [
            ("vit.encoder.layer.11.intermediate.dense.weight", "vit.encoder.layer.11"),
            ("blocks.3.mlp.0.weight", "blocks.3"),
            ("swin.encoder.layers.1.blocks.0.attention.self.key.bias", "swin.encoder.layers.1.blocks.0"),
            (
                "resnet.encoder.stages.0.layers.1.layer.2.convolution.weight",
                "resnet.encoder.stages.0.layers.1",
            ),
            ("layer1.0.conv1.weight", "layer1.0"),
            ("features.1.0.attn.qkv.weight", "features.1.0"),
            ("convnext.encoder.stages.2.downsampling_layer.0.weight", "convnext.encoder.stages.2"),
        ] {
            assert_eq!(shown(name).as_deref(), Some(wanted), "{name}");
        }
        assert_eq!(shown("cls_token"), None);
    }

    #[test]
    fn whole_numbers_that_are_equal_do_not_make_a_block_a_loaded_one() {
        let block = |number: u8, kind: DiffKind| {
            let name = |end: &str| format!("swin.encoder.layers.0.blocks.{number}.attention.{end}");
            [
                row(&name("self.key.weight"), Dtype::F32, kind),
                row(&name("self.relative_position_index"), Dtype::I64, DiffKind::Equal),
            ]
        };
        let loaded = [block(0, DiffKind::Equal), block(1, DiffKind::Equal)].concat();
        assert!(!Layers::of(&loaded).is_some_loaded_in_part());
        let counts = [row("resnet.stages.0.num_batches_tracked", Dtype::I64, DiffKind::Equal)];
        assert!(!Layers::of(&counts).is_some_loaded_in_part());
        let in_part = [block(0, DiffKind::Equal), block(1, DiffKind::Values)].concat();
        let layers = Layers::of(&in_part);
        assert!(layers.is_some_loaded_in_part());
        let text = layers.text();
        assert!(text.contains("none equal but 1 of whole numbers: 1 with other values"), "{text}");
        assert!(text.contains("all 2 tensors equal"), "{text}");
    }
}
