//! Which licence the weights have: what the source's card says, else the config or the framework's registry, and these only for
//! a file that is the published one, unchanged. timm repeats the licence of the weights that a training began with in every
//! `config.json` it writes, and a model of the same shape that somebody trained on has a licence that no registry knows.
//! Where a card is there, no registry is asked, and one that cannot be read could say anything.

use super::License;
use super::unchanged::published_file;
use crate::facts::{Origin, Sourced};
use crate::frameworks::PublishedModel;
use crate::source::{Provenance, Source};

/// Describes what is known of a source's licence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Licensing {
    /// Gives the licence of the weights; none if nothing says it.
    pub license: Option<Sourced<License>>,
    /// Gives that of the published model that the source is named after, where its own is not known.
    pub of_base: Option<Sourced<License>>,
}

/// Returns the licence of a source. `of_config` is what its `config.json` repeats, `published` the published model that it is
/// named after.
pub fn choose_license(
    source: &Source,
    of_config: Option<Sourced<String>>,
    published: Option<&PublishedModel>,
) -> Licensing {
    if source.card.as_ref().is_some_and(|card| card.unreadable.is_some()) {
        return Licensing::default();
    }
    let of_card = || {
        let card = source.card.as_ref()?;
        let license = License::of(card.license.as_deref()?)?;
        let link = card.license_link.as_deref().and_then(|link| absolute(link, source.provenance.as_ref()));
        Some(Sourced::new(license.named(card.license_name.clone(), link), Origin::Card("license")))
    };
    if let Some(license) = of_card() {
        return Licensing { license: Some(license), of_base: None };
    }
    let of_config =
        of_config.and_then(|stated| Some(Sourced::new(License::of(&stated.value)?, stated.origin)));
    let of_registry = |published: &PublishedModel| {
        Some(Sourced::new(License::of(published.license.as_deref()?)?, published.origin.clone()))
    };
    let is_fetched = published.filter(|published| published.is_from(source.provenance.as_ref()));
    let unchanged = is_fetched.cloned().or_else(|| published_file(source));
    match unchanged {
        Some(unchanged) => {
            let of_registry = || of_registry(&unchanged).filter(|_| source.card.is_none());
            Licensing { license: of_config.or_else(of_registry), of_base: None }
        }
        None => Licensing { license: None, of_base: of_config.or_else(|| of_registry(published?)) },
    }
}

/// Returns a link that leads somewhere from outside the source's repository; none for a file of a folder that is nowhere else.
fn absolute(link: &str, provenance: Option<&Provenance>) -> Option<String> {
    if link.starts_with("https://") || link.starts_with("http://") {
        return Some(link.to_owned());
    }
    let Provenance { repository, commit } = provenance?;
    let file = link.trim_start_matches("./");
    let is_file = !file.is_empty() && file.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    (is_file && !file.starts_with('/') && !file.contains(".."))
        .then(|| format!("https://huggingface.co/{repository}/blob/{commit}/{file}"))
}
