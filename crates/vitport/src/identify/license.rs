//! Which licence the weights have: what the source's card says, else its `config.json`, else timm's table, and the table only
//! for weights that came from the very repository that it lists. A model of the same shape that somebody trained on has a
//! licence that no table knows.

use super::{Known, Origin};
use crate::license::License;
use crate::source::{Provenance, Source};
use crate::zoo;

/// The licence of a source; none if nothing says it. `tag` is timm's full name of the model, if it is one of timm's.
pub fn choose_license(source: &Source, tag: Option<&str>) -> Option<Known<License>> {
    let of_card = source.card.as_ref().and_then(|card| {
        let license = License::of(card.license.as_deref()?)?;
        let link = card.license_link.as_deref().and_then(|link| absolute(link, source.provenance.as_ref()));
        Some(Known::new(license.named(card.license_name.clone(), link), Origin::Card("license")))
    });
    let of_config = || {
        let stated = source.config.as_ref()?.text("license")?;
        Some(Known::new(License::of(stated)?, Origin::HubConfig("pretrained_cfg.license")))
    };
    let of_table = || {
        let row = zoo::find(tag?)?.tag;
        let is_its_repository = row.hub_id.as_ref() == Some(&source.provenance.as_ref()?.repository);
        let license = License::of(row.license.as_deref().filter(|_| is_its_repository)?)?;
        Some(Known::new(license, Origin::Zoo(row.full_name())))
    };
    of_card.or_else(of_config).or_else(of_table)
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
