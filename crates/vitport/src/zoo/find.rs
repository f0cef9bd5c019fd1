//! From a name as people write it to a row of the table: with or without `timm/`, with or without a tag, by the name
//! that timm used to have for it; and, when nothing fits, the names that are nearest.

use super::table::{Architecture, Tag, head};
use super::{architecture, architectures, tags, tags_of};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The architecture.
    pub architecture: &'static Architecture,
    /// The tag: the one named, or the architecture's default.
    pub tag: &'static Tag,
    /// Whether the name left the tag open, so that it is timm's default.
    pub default_tag: bool,
    /// Whether the name is one that timm has since replaced.
    pub renamed: bool,
}

/// Looks up `arch`, `arch.tag`, or either with `timm/` in front. A bare architecture stands for its first tag, as in
/// `timm.create_model`. Names that timm has retired (`vit_base_patch16_224_in21k`) stand for their successors.
pub fn find(name: &str) -> Option<Found> {
    let (given, tag) = split_name(name);
    if let Some(found) = lookup(given, tag) {
        return Some(found);
    }
    if tag.is_some() {
        return None;
    }
    let successor = head().renamed.get(given)?;
    let (given, tag) = split_name(successor);
    Some(Found { renamed: true, ..lookup(given, tag)? })
}

fn lookup(name: &str, tag: Option<&str>) -> Option<Found> {
    let architecture = architecture(name)?;
    let wanted = tag.unwrap_or(&architecture.default_tag);
    let row = tags_of(name).find(|row| row.tag == wanted)?;
    Some(Found { architecture, tag: row, default_tag: tag.is_none(), renamed: false })
}

/// `timm/arch.tag` as (`arch`, `tag`).
pub(super) fn split_name(name: &str) -> (&str, Option<&str>) {
    let name = name.strip_prefix("timm/").unwrap_or(name);
    match name.split_once('.') {
        Some((architecture, tag)) => (architecture, Some(tag)),
        None => (name, None),
    }
}

/// Up to five names of the table that are nearest to `name`, nearest first; empty if nothing is near. For a known
/// architecture with an unknown tag they are its own tags.
pub fn suggest(name: &str) -> Vec<String> {
    const MOST: usize = 5;
    let (given, tag) = split_name(name);
    let candidates: Vec<String> = match tag {
        Some(_) if architecture(given).is_some() => tags_of(given).map(Tag::full_name).collect(),
        Some(_) => tags().map(Tag::full_name).collect(),
        None => architectures().map(|row| row.name.clone()).chain(head().renamed.keys().cloned()).collect(),
    };
    let whole = match tag {
        Some(tag) => format!("{given}.{tag}"),
        None => given.to_owned(),
    };
    // A third of the letters may be wrong; all of a tag may.
    let most_wrong = if architecture(given).is_some() { usize::MAX } else { whole.chars().count() / 3 };
    let mut near: Vec<(usize, String)> = candidates
        .into_iter()
        .map(|candidate| (distance(&whole, &candidate), candidate))
        .filter(|(wrong, _)| *wrong <= most_wrong)
        .collect();
    near.sort();
    near.into_iter().take(MOST).map(|(_, candidate)| candidate).collect()
}

/// Levenshtein's distance, in characters, of the first 100 of each: no name of timm's is longer.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().take(100).enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&right) {
            let substituted = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            *cell = substituted.min(diagonal + 1).min(before + 1);
            before = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distance_counts_edits() {
        let known =
            [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2), ("a", "a", 0)];
        for (left, right, edits) in known {
            assert_eq!(distance(left, right), edits, "{left} {right}");
        }
    }
}
