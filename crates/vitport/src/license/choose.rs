//! Which licence the weights have: what the source's card says, else its `config.json`, else the framework's registry, and the
//! registry only for weights that came from the very repository that it lists. A model of the same shape that somebody trained on
//! has a licence that no registry knows.

use super::License;
use crate::facts::{Origin, Sourced};
use crate::frameworks::PublishedModel;
use crate::source::{Provenance, Source};

/// Returns the licence of a source; none if nothing says it. `of_config` is what its `config.json` states, `published` the
/// published model that it is.
pub fn choose_license(
    source: &Source,
    of_config: Option<Sourced<String>>,
    published: Option<&PublishedModel>,
) -> Option<Sourced<License>> {
    let of_card = || {
        let card = source.card.as_ref()?;
        let license = License::of(card.license.as_deref()?)?;
        let link = card.license_link.as_deref().and_then(|link| absolute(link, source.provenance.as_ref()));
        Some(Sourced::new(license.named(card.license_name.clone(), link), Origin::Card("license")))
    };
    let of_config = || {
        let stated = of_config?;
        Some(Sourced::new(License::of(&stated.value)?, stated.origin))
    };
    let of_registry = || {
        let published = published.filter(|published| published.is_from(source.provenance.as_ref()))?;
        Some(Sourced::new(License::of(published.license.as_deref()?)?, published.origin.clone()))
    };
    of_card().or_else(of_config).or_else(of_registry)
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
