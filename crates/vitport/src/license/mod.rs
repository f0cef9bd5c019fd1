//! Licences as the Hub's model cards name them. A licence is written as its source states it; one that is not on the Hub's
//! list becomes `other` with its name next to it, which is how the Hub wants those.

mod choose;
mod unchanged;

use std::fmt;

pub use choose::{Licensing, choose_license};

/// Lists the Hub's identifiers (huggingface/hub-docs, docs/hub/repositories-licenses.md), without those of language models.
const IDENTIFIERS: [&str; 60] = [
    "apache-2.0",
    "mit",
    "openrail",
    "bigscience-openrail-m",
    "creativeml-openrail-m",
    "bigcode-openrail-m",
    "openrail++",
    "afl-3.0",
    "artistic-2.0",
    "bsl-1.0",
    "bsd",
    "bsd-2-clause",
    "bsd-3-clause",
    "bsd-3-clause-clear",
    "c-uda",
    "cc",
    "cc0-1.0",
    "cc-by-2.0",
    "cc-by-2.5",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc-by-nc-2.0",
    "cc-by-nc-3.0",
    "cc-by-nc-4.0",
    "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0",
    "cdla-sharing-1.0",
    "cdla-permissive-1.0",
    "cdla-permissive-2.0",
    "wtfpl",
    "ecl-2.0",
    "epl-1.0",
    "epl-2.0",
    "etalab-2.0",
    "eupl-1.1",
    "agpl-3.0",
    "gfdl",
    "gpl",
    "gpl-2.0",
    "gpl-3.0",
    "lgpl",
    "lgpl-2.1",
    "lgpl-3.0",
    "isc",
    "ms-pl",
    "mpl-2.0",
    "odc-by",
    "odbl",
    "osl-3.0",
    "ncsa",
    "unlicense",
    "zlib",
    "apple-amlr",
    "unknown",
];

/// Limits the letters that a name may have.
const LONGEST_NAME: usize = 200;

/// Describes a licence in the Hub's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct License {
    /// Holds an identifier of the Hub's, or `other`.
    pub id: String,
    /// Says what it is called, if it is `other`.
    pub name: Option<String>,
    /// Says where it can be read, if it is `other` and that is known.
    pub link: Option<String>,
}

impl License {
    /// Returns what `stated` is on the Hub; none if it states nothing.
    pub fn of(stated: &str) -> Option<Self> {
        let stated = stated.trim();
        let id = stated.to_ascii_lowercase();
        if stated.is_empty() || id == "none" || id == "null" {
            return None;
        }
        if IDENTIFIERS.contains(&id.as_str()) {
            return Some(Self { id, name: None, link: None });
        }
        let name = (id != "other").then(|| stated.chars().take(LONGEST_NAME).collect());
        Some(Self { id: "other".to_owned(), name, link: None })
    }

    /// Returns the same with a name and a link, if it needs them and has none.
    pub fn named(self, name: Option<String>, link: Option<String>) -> Self {
        if self.id != "other" {
            return self;
        }
        Self { name: name.or(self.name), link: link.or(self.link), ..self }
    }
}

impl fmt::Display for License {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} ({})", self.id, vitport_checkpoint::escape(name)),
            None => f.write_str(&self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::License;

    #[test]
    fn what_the_hub_does_not_list_is_other_by_name() {
        let id = |stated: &str| License::of(stated).map(|license| (license.id, license.name));
        assert_eq!(id(" Apache-2.0 "), Some(("apache-2.0".to_owned(), None)));
        assert_eq!(id("Apple Sample"), Some(("other".to_owned(), Some("Apple Sample".to_owned()))));
        assert_eq!(id("other"), Some(("other".to_owned(), None)));
        assert_eq!(id("  "), None);
        let named =
            License::of("other").unwrap().named(Some("own".to_owned()), Some("https://x/L".to_owned()));
        assert_eq!((named.name.as_deref(), named.link.as_deref()), (Some("own"), Some("https://x/L")));
        assert_eq!(License::of("mit").unwrap().named(Some("own".to_owned()), None).name, None);
    }
}
