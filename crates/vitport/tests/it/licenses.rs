//! Checks that a licence is what the source states: its card, or config and timm's registry for a published file that is
//! unchanged; never more.

use std::fs;

use sha2::{Digest, Sha256};
use vitport::facts::Sourced;
use vitport::frameworks::timm::registry;
use vitport::frameworks::{PublishedModel, SourceConfig, read_config};
use vitport::front_matter::FrontMatter;
use vitport::license::{License, Licensing, choose_license};
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

/// A licence and where it is known from.
type Stated = (String, String);

/// The licence, and that of the base model where it is not known, of a source whose config says a licence or none, whose card says a licence or none, from a repository or from nowhere.
fn license(
    config: Option<&str>,
    card: Option<&str>,
    repository: Option<&str>,
    tag: Option<&str>,
) -> (Option<Stated>, Option<Stated>) {
    let mut source = Source::open(&example::path("vit_small_twin"), None, &Limits::default()).unwrap();
    let values = &mut source.config.as_mut().unwrap().values;
    values["pretrained_cfg"]["license"] = config.into();
    source.card = card.map(FrontMatter::parse);
    source.provenance = repository
        .map(|repository| Provenance { repository: repository.to_owned(), commit: "c0ffee".to_owned() });
    let published = tag.map(published);
    let shown = |known: Sourced<License>| (known.value.to_string(), known.origin.to_string());
    let Licensing { license, of_base } = choose_license(&source, of_config(&source), published.as_ref());
    (license.map(shown), of_base.map(shown))
}

#[test]
fn the_table_speaks_for_its_own_repository_alone() {
    let own = format!("timm/{TAG}");
    let said = ("apache-2.0".to_owned(), format!("timm's registry: {TAG}"));
    assert_eq!(license(None, None, Some(&own), Some(TAG)), (Some(said.clone()), None));
    // A file that is only called so, a copy, and a model that is not the published one.
    assert_eq!(license(None, None, None, Some(TAG)), (None, Some(said.clone())));
    assert_eq!(license(None, None, Some("someone/fine-tuned"), Some(TAG)), (None, Some(said)));
    assert_eq!(license(None, None, Some(&own), None), (None, None));
}

#[test]
fn a_card_that_states_none_is_not_made_up_for() {
    let own = format!("timm/{TAG}");
    let unreadable = "---\nbase: &base {license: mit}\n<<: *base\n---\n";
    assert_eq!(license(None, Some("# no metadata"), Some(&own), Some(TAG)), (None, None));
    assert_eq!(license(None, Some(unreadable), Some(&own), Some(TAG)), (None, None));
    assert_eq!(license(Some("apache-2.0"), Some(unreadable), Some(&own), Some(TAG)), (None, None));
    let alias = "---\nx: &l cc-by-nc-4.0\nlicense: *l\n---\n";
    let (said, _) = license(Some("apache-2.0"), Some(alias), Some(&own), Some(TAG));
    assert_eq!(said.unwrap().0, "cc-by-nc-4.0");
}

#[test]
fn a_config_repeats_the_licence_of_the_base_model() {
    let own = format!("timm/{TAG}");
    let said = ("apache-2.0".to_owned(), "config.json: pretrained_cfg.license".to_owned());
    assert_eq!(license(Some("Apache-2.0"), Some("# no metadata"), None, None), (None, Some(said.clone())));
    let fine_tuned = license(Some("apache-2.0"), None, Some("someone/fine-tuned"), Some(TAG));
    assert_eq!(fine_tuned, (None, Some(said.clone())));
    assert_eq!(license(Some("apache-2.0"), None, Some(&own), Some(TAG)), (Some(said), None));
}

/// An unchanged file in the Hub's cache, and the same with one byte changed.
#[test]
fn an_unchanged_blob_of_the_cache_has_the_licence_of_its_repository() {
    let cache = tempfile::tempdir().unwrap();
    let weights = fs::read(example::path("vit_small_twin/model.safetensors")).unwrap();
    let digest: String = Sha256::digest(&weights).iter().map(|byte| format!("{byte:02x}")).collect();
    let repository = cache.path().join(format!("models--timm--{TAG}"));
    let (blobs, snapshot) = (repository.join("blobs"), repository.join("snapshots/c0ffee"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    std::os::unix::fs::symlink(blobs.join(&digest), snapshot.join("model.safetensors")).unwrap();
    let known = |bytes: &[u8]| {
        fs::write(blobs.join(&digest), bytes).unwrap();
        let source = Source::open(&snapshot, None, &Limits::default()).unwrap();
        choose_license(&source, None, None).license.map(|known| known.value.to_string())
    };
    assert_eq!(known(&weights).as_deref(), Some("apache-2.0"));
    let mut changed = weights;
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(known(&changed), None);
}

#[test]
fn a_card_comes_first() {
    let card = "---\nlicense: cc-by-nc-4.0\n---\n";
    let said = ("cc-by-nc-4.0".to_owned(), "the source's model card: license".to_owned());
    assert_eq!(license(Some("apache-2.0"), Some(card), None, None), (Some(said), None));
}

#[test]
fn a_licence_of_its_own_keeps_its_name_and_a_link_that_leads_there() {
    let card = "---\nlicense: other\nlicense_name: our-terms\nlicense_link: LICENSE\n---\n";
    let mut source = Source::open(&example::path("vit_small_twin"), None, &Limits::default()).unwrap();
    source.card = Some(FrontMatter::parse(card));
    let known = choose_license(&source, of_config(&source), None).license.unwrap().value;
    assert_eq!((known.id.as_str(), known.name.as_deref(), known.link), ("other", Some("our-terms"), None));
    source.provenance = Some(Provenance { repository: "org/name".to_owned(), commit: "c0ffee".to_owned() });
    let link = choose_license(&source, of_config(&source), None).license.unwrap().value.link;
    assert_eq!(link.as_deref(), Some("https://huggingface.co/org/name/blob/c0ffee/LICENSE"));
}
