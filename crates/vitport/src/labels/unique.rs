//! Giving every class a name of its own. transformers keeps `label2id` as a plain map, so of two classes with the
//! same name only one could be reached.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::ClassNames;

/// Extends each name that occurs more than once by ` (mark)`, where `marks` tells the classes apart (a synset id, or
/// the class number); names that occur once stay as they are. A missing mark is the class number.
pub(crate) fn make_unique(mut names: Vec<String>, marks: &[Option<String>]) -> ClassNames {
    let mut counts: HashMap<&str, usize, RandomState> = HashMap::default();
    for name in &names {
        *counts.entry(name).or_default() += 1;
    }
    let mut extensions: Vec<(usize, String)> = Vec::new();
    let mut taken: HashSet<String> = HashSet::new();
    for (class, name) in names.iter().enumerate() {
        if counts.get(name.as_str()).is_none_or(|count| *count == 1) {
            continue;
        }
        let mut extended = match marks.get(class) {
            Some(Some(mark)) => format!("{name} ({mark})"),
            _ => format!("{name} ({class})"),
        };
        // The source may hold the extended name as well, or one mark twice.
        while counts.contains_key(extended.as_str()) || !taken.insert(extended.clone()) {
            extended = format!("{extended} ({class})");
        }
        extensions.push((class, extended));
    }
    let made_unique = extensions.len();
    for (class, extended) in extensions {
        if let Some(name) = names.get_mut(class) {
            *name = extended;
        }
    }
    ClassNames { names, made_unique }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unique(names: &[&str], marks: &[Option<&str>]) -> Vec<String> {
        let marks: Vec<_> = marks.iter().map(|mark| mark.map(str::to_owned)).collect();
        make_unique(names.iter().map(|name| (*name).to_owned()).collect(), &marks).names
    }

    #[test]
    fn only_repeated_names_are_extended() {
        assert_eq!(unique(&["a", "b", "a"], &[Some("x"), Some("y"), Some("z")]), ["a (x)", "b", "a (z)"]);
        assert_eq!(unique(&["a", "a"], &[]), ["a (0)", "a (1)"]);
    }

    #[test]
    fn an_extended_name_never_meets_one_that_was_there() {
        assert_eq!(unique(&["a", "a (0)", "a"], &[]), ["a (0) (0)", "a (0)", "a (2)"]);
        assert_eq!(unique(&["a", "a"], &[Some("x"), Some("x")]), ["a (x)", "a (x) (1)"]);
    }
}
