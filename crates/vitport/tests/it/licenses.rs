//! Checks that a licence is what the source states: its card, its config, or timm's registry for the very repository; never
//! more.

use vitport::facts::Sourced;
use vitport::frameworks::timm::registry;
use vitport::frameworks::{PublishedModel, SourceConfig, read_config};
use vitport::front_matter::FrontMatter;
use vitport::license::choose_license;
use vitport::source::{Provenance, Source};
use vitport_checkpoint::Limits;

use crate::example;

const TAG: &str = "vit_tiny_patch16_224.augreg_in21k_ft_in1k";

/// What timm's registry says of a tag.
fn published(tag: &str) -> PublishedModel {
    let known = registry::find(tag).unwrap().tag;
    PublishedModel {
        repository: known.hub_id.clone(),
        license: known.license.clone(),
        datasets: Vec::new(),
        origin: registry::origin(&known.full_name()),
    }
}

/// What the source's config says.
fn of_config(source: &Source) -> Option<Sourced<String>> {
    read_config(source).unwrap().as_deref().and_then(SourceConfig::license)
}

/// A source whose config says a licence or none, whose card says a licence or none, from a repository or from nowhere.
fn license(
    config: Option<&str>,
    card: Option<&str>,
    repository: Option<&str>,
    tag: Option<&str>,
) -> Option<(String, String)> {
    let mut source = Source::open(&example::path("vit_small_twin"), None, &Limits::default()).unwrap();
    let values = &mut source.config.as_mut().unwrap().values;
    values["pretrained_cfg"]["license"] = config.into();
    source.card = card.and_then(FrontMatter::parse);
    source.provenance = repository
        .map(|repository| Provenance { repository: repository.to_owned(), commit: "c0ffee".to_owned() });
    let published = tag.map(published);
    let known = choose_license(&source, of_config(&source), published.as_ref())?;
    Some((known.value.to_string(), known.origin.to_string()))
}

#[test]
fn the_table_speaks_for_its_own_repository_alone() {
    let own = format!("timm/{TAG}");
    let said = license(None, None, Some(&own), Some(TAG)).unwrap();
    assert_eq!(said, ("apache-2.0".to_owned(), format!("timm's registry: {TAG}")));
    // A file that is only called so, a copy, and a model that is not the published one.
    assert_eq!(license(None, None, None, Some(TAG)), None);
    assert_eq!(license(None, None, Some("someone/fine-tuned"), Some(TAG)), None);
    assert_eq!(license(None, None, Some(&own), None), None);
}

#[test]
fn a_card_comes_before_a_config() {
    let card = "---\nlicense: cc-by-nc-4.0\n---\n";
    let said = license(Some("apache-2.0"), Some(card), None, None).unwrap();
    assert_eq!(said, ("cc-by-nc-4.0".to_owned(), "the source's model card: license".to_owned()));
    let said = license(Some("Apache-2.0"), Some("# no metadata"), None, None).unwrap();
    assert_eq!(said, ("apache-2.0".to_owned(), "config.json: pretrained_cfg.license".to_owned()));
}

#[test]
fn a_licence_of_its_own_keeps_its_name_and_a_link_that_leads_there() {
    let card = "---\nlicense: other\nlicense_name: our-terms\nlicense_link: LICENSE\n---\n";
    let mut source = Source::open(&example::path("vit_small_twin"), None, &Limits::default()).unwrap();
    source.card = FrontMatter::parse(card);
    let known = choose_license(&source, of_config(&source), None).unwrap().value;
    assert_eq!((known.id.as_str(), known.name.as_deref(), known.link), ("other", Some("our-terms"), None));
    source.provenance = Some(Provenance { repository: "org/name".to_owned(), commit: "c0ffee".to_owned() });
    let link = choose_license(&source, of_config(&source), None).unwrap().value.link;
    assert_eq!(link.as_deref(), Some("https://huggingface.co/org/name/blob/c0ffee/LICENSE"));
}
