//! Which licence the weights have: what the source's card says, else its `config.json`, else the framework's registry, and the registry only
//! for weights that came from the very repository that it lists. A model of the same shape that somebody trained on has a
//! licence that no registry knows.

use super::{Origin, Sourced};
use crate::license::License;
use crate::source::{Provenance, Source};

/// The licence that a framework's registry gives a published model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedLicense {
    /// The model's full name.
    pub name: String,
    /// The licence as it is stated.
    pub license: String,
    /// The repository that the model is published in.
    pub repository: Option<String>,
}

/// Returns the licence of a source; none if nothing says it.
pub fn choose_license(source: &Source, published: Option<&PublishedLicense>) -> Option<Sourced<License>> {
    let of_card = source.card.as_ref().and_then(|card| {
        let license = License::of(card.license.as_deref()?)?;
        let link = card.license_link.as_deref().and_then(|link| absolute(link, source.provenance.as_ref()));
        Some(Sourced::new(license.named(card.license_name.clone(), link), Origin::Card("license")))
    });
    let of_config = || {
        let stated = source.config.as_ref()?.text("license")?;
        Some(Sourced::new(License::of(stated)?, Origin::Config("pretrained_cfg.license".to_owned())))
    };
    let of_registry = || {
        let published = published?;
        let is_its_repository =
            published.repository.as_ref() == Some(&source.provenance.as_ref()?.repository);
        let license = License::of(Some(&published.license).filter(|_| is_its_repository)?)?;
        Some(Sourced::new(license, Origin::Registry(format!("timm's registry: {}", published.name))))
    };
    of_card.or_else(of_config).or_else(of_registry)
}

/// A link that leads somewhere from outside the source's repository; none for a file of a folder that is nowhere else.
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
