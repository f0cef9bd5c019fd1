//! torchvision's registry: its architectures for classification, and every member of their weights enums with its preprocessing.
//! It is `data/torchvision`, exported from torchvision 0.29.2 by the script there. A network that is one of timm's has the
//! fields that timm's has.

use std::sync::LazyLock;

use super::super::registry::{Architecture, Found, Rows, Tag};

const ARCHITECTURES: &str = include_str!("../../../data/torchvision/architectures.tsv");
const WEIGHTS: &str = include_str!("../../../data/torchvision/weights.tsv");

static ROWS: LazyLock<(Rows<Architecture>, Rows<Tag>)> = LazyLock::new(|| {
    let classes = || ARCHITECTURES.lines().filter_map(|line| Some((line.split('\t').nth(1)?, "{}")));
    (Rows::new(ARCHITECTURES, classes(), Architecture::new), Rows::new(WEIGHTS, classes(), Tag::new))
});

/// Returns every member of the weights enums, the default of an architecture first.
pub fn weights() -> impl Iterator<Item = &'static Tag> {
    ROWS.1.all()
}

/// Returns every architecture.
pub(super) fn architectures() -> impl Iterator<Item = &'static Architecture> {
    ROWS.0.all()
}

/// Returns the weights of an architecture, the default first.
pub(super) fn weights_of(architecture: &str) -> impl Iterator<Item = &'static Tag> {
    ROWS.1.named(architecture)
}

/// Returns the architectures whose names are near one that there is none of.
pub fn suggest(name: &str) -> Vec<String> {
    const MOST: usize = 5;
    // No name is longer.
    const LONGEST: usize = 100;
    let name: String = name.chars().take(LONGEST).collect();
    let mut near: Vec<(usize, &str)> =
        ROWS.0.lines().map(|line| (strsim::levenshtein(&name, line.name), line.name)).collect();
    near.sort_unstable();
    near.into_iter().take(MOST).map(|(_, name)| name.to_owned()).collect()
}

/// Looks up `torchvision/resnet50`, `torchvision/resnet50.IMAGENET1K_V2`, or the file `resnet50-11ad3fa6` without its ending.
pub fn find(name: &str) -> Option<Found> {
    let of_file = |tag: &&Tag| tag.file_name().and_then(|file| file.strip_suffix(".pth")) == Some(name);
    let (architecture, tag) = match (name.strip_prefix("torchvision/"), name.split_once('.')) {
        (None, _) => {
            let tag = weights().find(of_file)?;
            (tag.architecture, Some(tag.tag))
        }
        (Some(_), Some((architecture, tag))) => (architecture, Some(tag)),
        (Some(_), None) => (name, None),
    };
    let architecture = ROWS.0.named(architecture).next()?;
    let wanted = tag.unwrap_or(architecture.default_tag);
    let weights = weights_of(architecture.name).find(|row| row.tag == wanted)?;
    Some(Found { architecture, tag: weights, default_tag: tag.is_none(), renamed: false })
}
