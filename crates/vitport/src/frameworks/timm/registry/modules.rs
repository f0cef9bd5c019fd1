//! The embedded registry: an index of timm's modules with the names of their architectures, and a deflated block for each, which
//! is inflated when it is first asked for. `build.rs` packs them.

use std::io::Read as _;
use std::sync::{LazyLock, OnceLock};

use flate2::read::DeflateDecoder;

use super::super::super::registry::Rows;
use super::{Architecture, Tag};

const INDEX: &str = include_str!(concat!(env!("OUT_DIR"), "/timm.index"));
const BLOCKS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/timm.blocks"));
const RENAMED: &str = include_str!("../../../../data/timm/renamed.tsv");

/// Describes one of timm's modules (`timm/models/convnext.py`).
pub(super) struct Module {
    /// Gives its name, without `.py`.
    pub(super) name: &'static str,
    /// Holds the names of architectures with spaces between.
    names: &'static str,
    block: &'static [u8],
    tables: OnceLock<Tables>,
}

struct Tables {
    architectures: Rows<Architecture>,
    tags: Rows<Tag>,
    /// Names what the constructors of the module's networks take, with spaces between, a text for each class.
    arguments: Vec<&'static str>,
}

impl Module {
    fn split(line: &'static str) -> Option<Self> {
        let mut columns = line.splitn(4, '\t');
        let name = columns.next()?;
        let (start, end) = (columns.next()?.parse().ok()?, columns.next()?.parse().ok()?);
        Some(Self { name, names: columns.next()?, block: BLOCKS.get(start..end)?, tables: OnceLock::new() })
    }

    /// Returns the names of its architectures, in timm's order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.split(' ')
    }

    /// Returns the rows of its architectures.
    pub(super) fn architectures(&self) -> &Rows<Architecture> {
        &self.tables().architectures
    }

    /// Returns the rows of its tags.
    pub(super) fn tags(&self) -> &Rows<Tag> {
        &self.tables().tags
    }

    /// Returns whether the constructor of one of its networks takes an argument of that name.
    pub(super) fn takes(&self, argument: &str) -> bool {
        self.tables().arguments.iter().any(|names| names.split(' ').any(|name| name == argument))
    }

    fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| {
            let text: &'static str = inflate(self.block).leak();
            let mut tables = text.split("\n\n");
            let mut table = || tables.next().unwrap_or_default();
            let (classes, architectures, tags) = (table(), table(), table());
            let usual = |column: usize| {
                classes.lines().filter_map(move |line| {
                    let mut columns = line.split('\t');
                    Some((columns.next()?, columns.nth(column)?))
                })
            };
            Tables {
                architectures: Rows::new(architectures, usual(0), Architecture::new),
                tags: Rows::new(tags, usual(1), Tag::new),
                arguments: classes.lines().filter_map(|line| line.split('\t').nth(3)).collect(),
            }
        })
    }
}

/// Returns a block's text. A test reads each, so that the empty one in place of a broken one cannot be met.
fn inflate(block: &[u8]) -> String {
    let mut text = String::new();
    match DeflateDecoder::new(block).read_to_string(&mut text) {
        Ok(_) => text,
        Err(_) => String::new(),
    }
}

/// Returns every module: `vision_transformer` and `deit` first, then by name.
pub(super) fn modules() -> &'static [Module] {
    static MODULES: LazyLock<Vec<Module>> =
        LazyLock::new(|| INDEX.lines().filter_map(Module::split).collect());
    &MODULES
}

/// Returns the module that defines the architecture of exactly that name.
pub(super) fn module_with(architecture: &str) -> Option<&'static Module> {
    modules().iter().find(|module| module.names().any(|name| name == architecture))
}

/// Returns retired names with their successors.
pub(super) fn renamed() -> impl Iterator<Item = (&'static str, &'static str)> {
    RENAMED.lines().filter_map(|line| line.split_once('\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_row_parses() {
        let lines = |file: &str| {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/timm").join(file);
            std::fs::read_to_string(path).expect(file).lines().count()
        };
        let (mut architectures, mut tags) = (0, 0);
        for module in modules() {
            let parsed = module.architectures().all().map(|row| row.name);
            assert!(parsed.eq(module.names()), "{}", module.name);
            architectures += module.names().count();
            tags += module.tags().all().count();
        }
        assert_eq!(architectures, lines("architectures.tsv"));
        assert_eq!(tags, lines("tags.tsv"));
        assert_eq!(renamed().count(), lines("renamed.tsv"));
    }
}
