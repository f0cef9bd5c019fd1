//! Tests the model card: what it says of a conversion, and that no text of a stranger can end the block that it stands in.

use vitport::card::Card;
use vitport::facts::{Fact, Origin, Sourced};
use vitport::front_matter::FrontMatter;
use vitport::image::CropMode;
use vitport::labels::LabelChoice;
use vitport::license::License;
use vitport::model::Prepared;
use vitport::options::FactOptions;
use vitport::source::Provenance;

use crate::example::prepared;

fn cvt() -> Prepared {
    let facts = FactOptions {
        num_heads: Some(vec![1, 2, 4]),
        image_size: Some([64, 64]),
        labels: Some(LabelChoice::None),
        ..FactOptions::default()
    };
    prepared("cvt_tiny/tiny.pth", facts)
}

fn text(prepared: &Prepared, exact_code: bool) -> String {
    Card { prepared, report: None, warnings: &[], exact_code }.text()
}

/// The lines of the metadata.
fn head(card: &str) -> Vec<&str> {
    let block = card.strip_prefix("---\n").unwrap();
    block.split_once("\n---\n").unwrap().0.lines().collect()
}

#[test]
fn a_classifier_says_its_task_its_source_and_its_base_models_licence() {
    let mut model = prepared("vit_small_twin", FactOptions::default());
    model.source.provenance =
        Some(Provenance { repository: "org/birds".to_owned(), commit: "c0ffee".to_owned() });
    model.source.card = Some(FrontMatter::parse("---\ndatasets: [org/feathers, cub]\n---\n"));
    let card = text(&model, false);
    assert_eq!(
        head(&card),
        [
            "library_name: transformers",
            "pipeline_tag: image-classification",
            "tags:",
            "- vision",
            "- vit",
            "- timm",
            "- vitport",
            "base_model:",
            "- org/birds",
            "datasets:",
            "- org/feathers",
            "- cub",
        ]
    );
    for said in [
        "`c0ffee`",
        "not compared",
        "the base model's licence was `apache-2.0` (`config.json: pretrained_cfg.license`); state your own",
        "from the registry for the architecture named there, nothing assumed",
        "sha256 not computed",
        "`timm_vit.toml` (built in)",
        "shorter edge to 84 pixels, bicubic",
    ] {
        assert!(card.contains(said), "{said}\n{card}");
    }
    let here = env!("CARGO_MANIFEST_DIR");
    assert!(!card.contains(here), "a path of this machine");
}

#[test]
fn a_model_without_head_is_a_feature_extractor() {
    let card = text(
        &prepared("vit_small_twin", FactOptions { without_head: true, ..FactOptions::default() }),
        false,
    );
    assert!(head(&card).contains(&"pipeline_tag: image-feature-extraction"));
    assert!(card.contains("AutoModel.from_pretrained") && card.contains("pooler_output"));
    assert!(!card.contains("AutoModelForImageClassification"));
}

#[test]
fn a_cvt_says_its_known_deviation_and_no_licence() {
    let model = cvt();
    let card = text(&model, false);
    assert!(!head(&card).iter().any(|line| line.starts_with("license")), "{card}");
    assert!(card.contains("Known deviation `cvt-gelu`: Microsoft's CvT computes QuickGELU"));
    assert!(card.contains("; remedy: --with-exact-code adds") && !card.contains("trust_remote_code=True)"));
    assert!(
        card.contains("15 assumptions.") && card.contains("- num_heads `1,2,4` (`--num-heads`)"),
        "{card}"
    );
    assert!(
        card.contains(
            "| resized | shorter edge to 73 pixels, bicubic |\n| cropped | 64×64 from the middle |"
        ),
        "{card}"
    );
    // It depends on the image's shape, and so no image shows it for all.
    let shifts = "Where the crop cuts off 3, 7, 11 … pixels of an edge";
    assert!(card.contains(shifts), "{card}");
    let squashed =
        FactOptions { crop_mode: Some(CropMode::Squash), crop_pct: Some(1.0), ..FactOptions::default() };
    assert!(!text(&prepared("vit_small_twin", squashed), false).contains(shifts));
    let exact = text(&model, true);
    assert!(exact.contains("trust_remote_code=True)") && !exact.contains("remedy"));
    assert!(exact.contains("; removed with `trust_remote_code=True` by the code in this folder."));
}

#[test]
fn no_text_of_a_stranger_ends_its_block() {
    let hostile =
        "x\n---\nlicense: mit\n---\n```\n</code><script>alert(1)</script> `` | ~~~ # [a](http://b) \u{202e}";
    let plain = text(&prepared("vit_small_twin", FactOptions::default()), false);
    let mut model = prepared("vit_small_twin", FactOptions::default());
    model.model.name = hostile.to_owned();
    let license = License::of(hostile).unwrap().named(None, Some(hostile.to_owned()));
    model.model.license = Some(Sourced::new(license, Origin::Card("license")));
    model.model.license_of_base = model.model.license.clone();
    model.source.provenance = Some(Provenance { repository: hostile.to_owned(), commit: hostile.to_owned() });
    model.source.card = Some(FrontMatter { datasets: vec![hostile.to_owned()], ..FrontMatter::default() });
    let facts = &mut model.model.facts;
    *facts = facts.iter().map(|fact| Fact::new(fact.name, hostile, fact.origin.clone())).collect();
    let card = text(&model, false);
    // At the head the licence with its name and link, base_model and datasets with one entry each; below, rows for the commit
    // and, twice, the licence.
    assert_eq!(head(&card).len(), head(&plain).len() + 7);
    let lines_below = |card: &str| card.split_once("\n---\n").unwrap().1.lines().count();
    assert_eq!(lines_below(&card), lines_below(&plain) + 3);
    assert!(!card.contains('\u{202e}'));
    // The longest run of backticks in it is three, so four stand around it, and outside of them nothing of it is left.
    let below = card.split_once("\n---\n").unwrap().1;
    for line in below.lines().filter(|line| line.contains("script")) {
        assert!(line.split("````").step_by(2).all(|outside| !outside.contains("script")), "{line}");
    }
}
