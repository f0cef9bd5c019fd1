//! Groups rows whose names differ in nothing but numbers, so that the blocks of a network are one row: `blocks.{0..11}.norm1.weight`.

use std::collections::{BTreeSet, HashMap};

/// Describes rows that are alike but for numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<const COLUMNS: usize> {
    /// Lists their places, counted from 0.
    pub members: Vec<usize>,
    /// Gives their cells as patterns.
    pub cells: [String; COLUMNS],
}

/// Groups rows that are alike but for the numbers between the dots of their cells, in the order of the first of each group.
pub fn grouped<const COLUMNS: usize>(
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> Vec<Group<COLUMNS>> {
    let mut groups: Vec<(Vec<usize>, [Pattern; COLUMNS])> = Vec::new();
    let mut places: HashMap<[String; COLUMNS], usize> = HashMap::new();
    for (member, row) in rows.into_iter().enumerate() {
        let key = row.each_ref().map(|cell| shape(cell));
        let place = *places.entry(key).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((members, patterns)) => {
                members.push(member);
                patterns.iter_mut().zip(&row).for_each(|(pattern, cell)| pattern.widen(cell));
            }
            None => groups.push((vec![member], row.each_ref().map(|cell| Pattern::new(cell)))),
        }
    }
    let group = |(members, patterns): (_, [Pattern; COLUMNS])| Group {
        members,
        cells: patterns.map(|pattern| pattern.text()),
    };
    groups.into_iter().map(group).collect()
}

/// Describes names that are alike but for their numbers.
#[derive(Debug)]
struct Pattern(Vec<Piece>);

/// Stands between two dots of a name.
#[derive(Debug)]
enum Piece {
    Text(String),
    Numbers(BTreeSet<u64>),
}

impl Piece {
    fn new(text: &str) -> Self {
        match number(text) {
            Some(number) => Self::Numbers(BTreeSet::from([number])),
            None => Self::Text(text.to_owned()),
        }
    }
}

impl Pattern {
    fn new(name: &str) -> Self {
        Self(name.split('.').map(Piece::new).collect())
    }

    /// Takes one more name in, which has the same shape.
    fn widen(&mut self, name: &str) {
        for (piece, text) in self.0.iter_mut().zip(name.split('.')) {
            if let (Piece::Numbers(numbers), Some(number)) = (piece, number(text)) {
                numbers.insert(number);
            }
        }
    }

    fn text(self) -> String {
        let pieces = self.0.into_iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Numbers(numbers) => match runs(&numbers).as_slice() {
                [one] if numbers.len() == 1 => one.clone(),
                runs => format!("{{{}}}", runs.join(",")),
            },
        });
        pieces.collect::<Vec<_>>().join(".")
    }
}

/// Returns numbers as runs of such as follow each other: `0..5`, `8`.
fn runs(numbers: &BTreeSet<u64>) -> Vec<String> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let text = |(first, last): (u64, u64)| match first == last {
        true => first.to_string(),
        false => format!("{first}..{last}"),
    };
    runs.into_iter().map(text).collect()
}

/// Returns a name without its numbers.
fn shape(name: &str) -> String {
    name.split('.')
        .map(|piece| if number(piece).is_some() { "{}" } else { piece })
        .collect::<Vec<_>>()
        .join(".")
}

/// Reads a number between two dots. A sign, or more digits than a network has parts, is a name of its own.
fn number(text: &str) -> Option<u64> {
    let is_index = (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_index.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_one_row_and_what_differs_otherwise_is_not() {
        let rows = |names: &[&str]| {
            let groups = grouped(names.iter().map(|name| [(*name).to_owned(), "[3]".to_owned()]));
            groups.into_iter().map(|group| (group.members.len(), group.cells)).collect::<Vec<_>>()
        };
        let of = |count, name: &str| (count, [name.to_owned(), "[3]".to_owned()]);
        assert_eq!(
            rows(&[
                "cls",
                "blocks.0.norm.weight",
                "blocks.0.norm.bias",
                "blocks.1.norm.weight",
                "blocks.1.norm.bias",
                "blocks.11.norm.weight"
            ]),
            [of(1, "cls"), of(3, "blocks.{0..1,11}.norm.weight"), of(2, "blocks.{0..1}.norm.bias")]
        );
        assert_eq!(rows(&["a.0.1", "a.3.1", "a.0.4"]), [of(3, "a.{0,3}.{1,4}")]);
        assert_eq!(rows(&["head.3", "tail.3"]), [of(1, "head.3"), of(1, "tail.3")]);
        assert_eq!(rows(&["a.007", "a.-1", "a.1234567"]).len(), 3);
    }
}
