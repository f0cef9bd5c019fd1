//! From a name as people write it to a row of the registry: with or without `timm/`, with or without a tag, by the name that
//! timm used to have for it; and, when nothing fits, the names that are nearest.

use super::modules::{module_with, modules, renamed};
use super::{Found, Tag, architecture, tags, tags_of};

/// Begins the addresses of torchvision's weights.
const OF_TORCHVISION: &str = "https://download.pytorch.org/";

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
    let (_, successor) = renamed().find(|(old, _)| *old == given)?;
    let (given, tag) = split_name(successor);
    Some(Found { renamed: true, ..lookup(given, tag)? })
}

/// Returns the full name of the weights that timm released in a file, of whose name `stem` is all but the extension. It ends in eight
/// digits of a hash. Those of torchvision's files, which timm loads as they are, are torchvision's.
pub fn released(stem: &str) -> Option<String> {
    let (_, hash) = stem.rsplit_once('-')?;
    (hash.len() == 8 && hash.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(())?;
    let is_it = |tag: &&Tag| {
        let ending = tag.file_name().and_then(|name| name.strip_prefix(stem));
        let is_torchvisions = tag.url.as_deref().is_some_and(|url| url.starts_with(OF_TORCHVISION));
        ending.is_some_and(|ending| ending.starts_with('.')) && !is_torchvisions
    };
    tags().find(is_it).map(Tag::full_name)
}

fn lookup(name: &str, tag: Option<&str>) -> Option<Found> {
    let architecture = architecture(name)?;
    let wanted = tag.unwrap_or(architecture.default_tag);
    let row = tags_of(name).find(|row| row.tag == wanted)?;
    Some(Found { architecture, tag: row, default_tag: tag.is_none(), renamed: false })
}

/// Splits `timm/arch.tag` into (`arch`, `tag`).
fn split_name(name: &str) -> (&str, Option<&str>) {
    let name = name.strip_prefix("timm/").unwrap_or(name);
    match name.split_once('.') {
        Some((architecture, tag)) => (architecture, Some(tag)),
        None => (name, None),
    }
}

/// Returns the timm module that defines an architecture ("eva" for `eva02_base_patch14_224`); `name` may have a tag, of which
/// nothing is asked, and `timm/` in front. `None` if timm has no such architecture.
pub fn module_of(name: &str) -> Option<&'static str> {
    let (given, _) = split_name(name);
    module_with(given).map(|module| module.name)
}

/// Returns up to five names of the registry that are nearest to `name`, nearest first; empty if nothing is near. For a known
/// architecture with an unknown tag they are its own tags.
pub fn suggest(name: &str) -> Vec<String> {
    const MOST: usize = 5;
    // No name of timm's is longer.
    const LONGEST: usize = 100;
    let (given, tag) = split_name(name);
    let known = module_with(given);
    let candidates: Vec<String> = match tag {
        Some(_) => known
            .map_or(modules(), std::slice::from_ref)
            .iter()
            .flat_map(|module| module.tags().lines())
            .filter(|line| known.is_none() || line.name == given)
            .map(|line| format!("{}.{}", line.name, line.tag))
            .collect(),
        None => {
            let names = modules().iter().flat_map(|module| module.names());
            names.chain(renamed().map(|(old, _)| old)).map(str::to_owned).collect()
        }
    };
    let whole = match tag {
        Some(tag) => format!("{given}.{tag}"),
        None => given.to_owned(),
    };
    // A third of the letters may be wrong; all of a tag may.
    let most_wrong = if known.is_some() { usize::MAX } else { whole.chars().count() / 3 };
    let whole: String = whole.chars().take(LONGEST).collect();
    let mut near: Vec<(usize, String)> = candidates
        .into_iter()
        .map(|candidate| (strsim::levenshtein(&whole, &candidate), candidate))
        .filter(|(wrong, _)| *wrong <= most_wrong)
        .collect();
    near.sort();
    near.into_iter().take(MOST).map(|(_, candidate)| candidate).collect()
}
