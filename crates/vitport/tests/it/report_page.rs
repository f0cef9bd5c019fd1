//! Tests the report as a page: all its parts are there for every verdict, it is well formed, fetches nothing, and no text from
//! a file becomes markup.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vitport::model::Prepared;
use vitport::options::FactOptions;
use vitport::pipeline::verify;
use vitport::pipeline::{WriteOptions, write};
use vitport::plan::Dropped;
use vitport::source::Provenance;
use vitport::verify::{FactCheck, Report, TensorMismatch, TestImage, Verdict, page};

use crate::example::prepared;

fn vit() -> Prepared {
    // Without a crop, so that no rounding of it deviates.
    prepared("vit_small_twin", FactOptions { crop_pct: Some(1.0), ..FactOptions::default() })
}

fn cvt() -> Prepared {
    let facts =
        FactOptions { num_heads: Some(vec![1, 2, 4]), image_size: Some([64, 64]), ..FactOptions::default() };
    prepared("cvt_tiny/tiny.pth", facts)
}

/// Converts, lets `tamper` at the folder, and verifies it.
fn verified(prepared: &Prepared, tamper: impl FnOnce(&Path)) -> (Report, TestImage) {
    let place = tempfile::tempdir().unwrap();
    let options = WriteOptions { max_shard_size: u64::MAX, force: false, fsync: false, exact_code: false };
    let out: PathBuf = place.path().join("out");
    let written = write(prepared, &out, options, &|_| {}).unwrap();
    tamper(written.staging.path());
    let image = TestImage::built_in().unwrap();
    (verify(prepared, written.staging.path(), &image).unwrap(), image)
}

/// An element: its name, its attributes, and the text directly in it.
#[derive(Debug, Default)]
struct Element {
    tag: String,
    attributes: Vec<(String, String)>,
    text: String,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a page, stricter than a browser: every element is closed in its turn, every attribute is quoted, every `&` begins a
/// character reference.
fn elements(page: &str) -> Vec<Element> {
    let mut rest = page.strip_prefix("<!doctype html>").expect("a doctype");
    let mut open: Vec<usize> = Vec::new();
    let mut all: Vec<Element> = Vec::new();
    while let Some(start) = rest.find('<') {
        let text = unescaped(&rest[..start]);
        if let Some(&inside) = open.last() {
            all[inside].text.push_str(&text);
        } else {
            assert!(text.trim().is_empty(), "text outside of everything: {text:?}");
        }
        rest = &rest[start + 1..];
        if let Some(closing) = rest.strip_prefix('/') {
            let end = closing.find('>').expect("a closing tag ends");
            let inside = open.pop().expect("a closing tag has an opening one");
            assert_eq!(all[inside].tag, closing[..end], "closed in its turn");
            rest = &closing[end + 1..];
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap();
        assert!(end > 0, "a stray < before {:?}", rest.get(..20));
        let mut element = Element { tag: rest[..end].to_owned(), ..Element::default() };
        rest = &rest[end..];
        while let Some(attribute) = rest.strip_prefix(' ') {
            let (name, after) = attribute.split_once("=\"").expect("a quoted attribute");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "an attribute {name:?}");
            let (value, after) = after.split_once('"').unwrap();
            assert!(!value.contains(['<', '>']), "{value}");
            element.attributes.push((name.to_owned(), unescaped(value)));
            rest = after;
        }
        let is_empty = rest.starts_with("/>") || ["meta", "img"].contains(&element.tag.as_str());
        rest = rest.strip_prefix("/>").or_else(|| rest.strip_prefix('>')).expect("a tag ends");
        if element.tag == "style" {
            let (css, after) = rest.split_once("</style>").unwrap();
            element.text = css.to_owned();
            rest = after;
        } else if !is_empty {
            open.push(all.len());
        }
        all.push(element);
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "everything is closed");
    all
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut parts = text.split('&');
    out.push_str(parts.next().unwrap());
    for part in parts {
        let (name, after) = part.split_once(';').expect("a character reference");
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" => '\'',
            other => panic!("&{other};"),
        });
        out.push_str(after);
    }
    out
}

/// What holds for every page.
fn check(page: &str, report: &Report) -> Vec<Element> {
    let all = elements(page);
    let ids: Vec<&str> = all.iter().filter_map(|element| element.attribute("id")).collect();
    let unique: HashSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "ids are given once: {ids:?}");
    for element in &all {
        assert!(
            !["script", "link", "iframe", "object", "a", "base"].contains(&element.tag.as_str()),
            "{element:?}"
        );
        for (name, value) in &element.attributes {
            assert!(!name.starts_with("on") && !name.contains("href"), "{element:?}");
            assert!(name != "src" || value.starts_with("data:image/"), "{element:?}");
        }
        for reference in element.attribute("aria-labelledby").iter().flat_map(|list| list.split(' ')) {
            assert!(unique.contains(reference), "{reference} is there");
        }
    }
    let style = &all.iter().find(|element| element.tag == "style").unwrap().text;
    for fetching in ["http:", "https:", "url(", "@import", "//"] {
        assert!(!style.contains(fetching), "{fetching}");
    }
    let sections = [
        "basis", "sight", "depth", "networks", "counts", "weights", "facts", "pixels", "origin", "known",
        "limits",
    ];
    for section in sections {
        assert!(unique.contains(section), "{section}");
    }
    let has_reasons = matches!(report.verdict, Verdict::Different | Verdict::NotComparable);
    assert_eq!(unique.contains("reasons"), has_reasons);
    assert_eq!(unique.contains("warnings"), !report.warnings.is_empty());
    assert_eq!(unique.contains("deviation"), report.known_deviation.is_some());
    let image = all.iter().find(|element| element.tag == "img").unwrap();
    assert!(image.attribute("alt").is_some_and(|alt| !alt.is_empty()));

    let body = all.iter().position(|element| element.tag == "body").unwrap();
    let first = all[body..].iter().find(|element| !element.text.trim().is_empty()).unwrap();
    assert!(
        ["✓", "≈", "✗"].contains(&first.text.as_str()) || first.tag == "h1",
        "the verdict comes first: {first:?}"
    );
    let title = all.iter().find(|element| element.tag == "h1").unwrap();
    assert_eq!(title.text.trim().to_lowercase(), report.headline);

    let texts: HashSet<&str> = all.iter().map(|element| element.text.trim()).collect();
    let places = report.layers.iter().chain(&report.pixels).map(|comparison| comparison.place.as_str());
    let shown = places
        .chain(
            report.facts.iter().flat_map(|fact| [&fact.name, &fact.source, &fact.target].map(String::as_str)),
        )
        .chain(report.source.files.iter().flat_map(|file| [file.name.as_str(), file.sha256.as_str()]))
        .chain(report.source_top5.iter().chain(&report.target_top5).map(|guess| guess.label.as_str()))
        .chain(report.tensor_counts.dropped.iter().flat_map(|d| [d.name.as_str(), d.reason.as_str()]))
        .chain([report.model.as_str(), report.tensor_counts.mapping.as_str(), report.image.sha256.as_str()])
        .chain([report.source.path.as_str(), report.folder.as_str()])
        .chain([report.source_network.as_str(), report.target_network.as_str()])
        .chain(report.basis.assumptions.iter().flat_map(|known| [known.fact, &known.value, &known.origin]))
        .chain(report.reasons.iter().chain(&report.warnings).map(String::as_str));
    for text in shown {
        let shown = vitport_checkpoint::escape(text).to_string();
        assert!(texts.contains(shown.trim()), "{shown:?} is on the page");
    }
    all
}

/// How many markers of a class the drawing has, the one in its key left out.
fn markers(all: &[Element], class: &str) -> usize {
    let paths = all.iter().filter(|element| element.tag == "path");
    paths.filter(|path| path.attribute("class") == Some(class)).count().saturating_sub(1)
}

#[test]
fn the_same_model() {
    let (mut report, image) = verified(&vit(), |_| {});
    assert_eq!(report.verdict, Verdict::Same);
    let all = check(&page::html(&report, &image), &report);
    assert!(!all.iter().any(|element| element.attribute("class") == Some("plot")), "a curve of zeros");
    let sentence = format!("No number differs at any of the {} places", report.layers.len());
    assert!(all.iter().any(|element| element.text.starts_with(&sentence)), "{sentence}");
    report.layers[0].difference.relative = 1e-9;
    let text = page::html(&report, &image);
    let all = check(&text, &report);
    assert_eq!(markers(&all, "judged"), report.layers.len());
    assert_eq!(markers(&all, "wrong"), 0);
    assert!(!all.iter().any(|element| element.attribute("class") == Some("no")), "nothing says no");
    assert_eq!(report.headline, "same, if the assumption holds", "the crop is the test's, not the source's");
    assert!(!text.contains("is what the source says"), "the page claims no more than was compared");
}

#[test]
fn a_known_deviation_has_both_curves() {
    let (report, image) = verified(&cvt(), |_| {});
    assert_eq!(report.verdict, Verdict::SameWithKnownDeviation);
    let text = page::html(&report, &image);
    let all = check(&text, &report);
    assert_eq!(markers(&all, "deviating"), report.layers.len());
    assert_eq!(markers(&all, "judged"), report.layers.len());
    assert_eq!(markers(&all, "wrong"), 0);
    assert!(
        text.contains("cvt-gelu") && text.contains("QuickGELU") && text.contains("Remedy: --with-exact-code")
    );
}

#[test]
fn a_rounded_crop_says_which_pixels_were_compared() {
    let crop = FactOptions { crop_pct: Some(0.875), ..FactOptions::default() };
    let (report, image) = verified(&prepared("vit_small_twin", crop), |_| {});
    assert_eq!(report.known_deviation.as_ref().unwrap().name, "crop-rounding");
    assert!(report.pixels.iter().all(|pixels| pixels.agrees));
    assert!(report.raw_pixels.iter().any(|pixels| !pixels.agrees && pixels.difference.largest > 0.1));
    let text = page::html(&report, &image);
    check(&text, &report);
    for said in [
        "rounded down as the folder&#39;s on 3 of them; as they are",
        "The same, the source&#39;s crop as it is",
    ] {
        assert!(text.contains(said), "{said}");
    }
}

#[test]
fn a_different_model_says_why_and_where() {
    let (report, image) = verified(&vit(), |folder| {
        let path = folder.join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config["layer_norm_eps"] = json!(0.5);
        std::fs::write(&path, config.to_string()).unwrap();
        let path = folder.join("model.safetensors");
        let mut weights = std::fs::read(&path).unwrap();
        let lowest = weights.len() - 4;
        weights[lowest] ^= 1;
        std::fs::write(&path, weights).unwrap();
    });
    assert_eq!(report.verdict, Verdict::Different);
    let text = page::html(&report, &image);
    let all = check(&text, &report);
    let wrong = report.layers.iter().filter(|place| !place.agrees).count();
    assert!(wrong > 0 && wrong < report.layers.len());
    assert_eq!(markers(&all, "wrong"), wrong);
    assert!(
        all.iter().any(|element| element.tag == "bdi" && element.text == report.weights.different[0].name)
    );
}

#[test]
fn a_fact_without_effect_is_shown_and_not_counted() {
    let (mut report, image) = verified(&vit(), |_| {});
    let (agree, facts) = report.agreeing_facts();
    assert_eq!(agree, facts);
    let fact = |name: &str, counts| FactCheck {
        name: name.to_owned(),
        source: "1".to_owned(),
        target: "2".to_owned(),
        agrees: false,
        counts,
    };
    report.facts.push(fact("inert", false));
    assert_eq!(report.agreeing_facts(), (agree, facts));
    report.facts.push(fact("telling", true));
    assert_eq!(report.agreeing_facts(), (agree, facts + 1));
    let text = page::html(&report, &image);
    check(&text, &report);
    assert!(text.contains(&format!("{agree} of {}", facts + 1)) && text.contains("inert"));
}

#[test]
fn what_cannot_be_compared_still_makes_a_page() {
    let (mut report, image) = verified(&vit(), |_| {});
    report.verdict = Verdict::Different;
    report.reasons = vec!["the networks differ".to_owned()];
    for (place, relative) in report.layers.iter_mut().zip([f64::INFINITY, f64::NAN, 1e-300, 1e300]) {
        place.difference.relative = relative;
        place.agrees = false;
    }
    report.layers[1].tolerance = 0.0;
    report.source_top5[0].probability = f64::NAN;
    let text = page::html(&report, &image);
    check(&text, &report);
    assert!(text.contains("not comparable"));
    for fragment in ["NaN%", "inf%", "=\"NaN", "=\"inf"] {
        assert!(!text.contains(fragment), "{fragment}");
    }

    report.layers.clear();
    report.pixels.clear();
    report.facts.clear();
    report.source_top5.clear();
    report.target_top5.clear();
    let text = page::html(&report, &image);
    check(&text, &report);
}

#[test]
fn no_text_of_a_file_becomes_markup() {
    let (mut report, image) = verified(&cvt(), |_| {});
    let hostile = |place: &str| {
        format!(
            "{place}</td></script><script>alert(1)</script><img src=x onerror='a()'>\"' & &amp; \u{202e}\u{1b}[31m\0\n</style>"
        )
    };
    report.verdict = Verdict::Different;
    report.model = hostile("model");
    report.reasons = vec![hostile("reason")];
    report.folder = hostile("folder");
    report.source_network = hostile("source network");
    report.target_network = hostile("target network");
    report.source.path = hostile("path");
    report.source.root = hostile("root");
    report.source.prefix = hostile("prefix");
    report.source.dangerous_call = Some(hostile("call"));
    report.source.provenance =
        Some(Provenance { repository: hostile("repository"), commit: hostile("commit") });
    for file in &mut report.source.files {
        (file.name, file.sha256) = (hostile("file"), hostile("sha256"));
    }
    report.image.name = hostile("image");
    for guess in report.source_top5.iter_mut().chain(&mut report.target_top5) {
        guess.label = hostile("l");
    }
    report.tensor_counts.mapping = hostile("rules");
    report.tensor_counts.dropped.push(Dropped {
        name: hostile("dropped"),
        tensors: 1,
        bytes: 4,
        reason: hostile("because"),
    });
    report.weights.different.push(TensorMismatch { name: hostile("tensor"), what: hostile("odd") });
    report.weights.missing.push(hostile("missing"));
    report.weights.extra.push(hostile("extra"));
    let (source, target) = (hostile("source"), hostile("target"));
    report.facts.push(FactCheck { name: hostile("fact"), source, target, agrees: false, counts: true });
    for place in report.layers.iter_mut().chain(&mut report.pixels) {
        place.place = hostile("place");
    }
    let deviation = report.known_deviation.as_mut().unwrap();
    let named = &mut deviation.each[0];
    (named.name, named.what, named.remedy) = (hostile("name"), hostile("what"), hostile("remedy"));
    report.warnings = vec![hostile("warning")];

    let text = page::html(&report, &image);
    let label = report.source_top5[0].label.clone();
    for guess in report.source_top5.iter_mut().chain(&mut report.target_top5) {
        guess.label.clear();
    }
    check(&text, &report);
    assert!(!text.contains(&label) && text.contains("l&lt;/td&gt;&lt;/script&gt;"));
    for raw in ["<script", "<img src=x", "\u{202e}", "\u{1b}", "\0", "onerror='"] {
        assert!(!text.contains(raw), "{raw:?}");
    }
    assert_eq!(text.matches("<img").count(), 1);
    assert!(text.contains("\\u{202e}\\u{1b}[31m\\u{0}\\n&lt;/style&gt;"));
}

#[test]
fn lists_that_a_file_decides_the_length_of_end() {
    let (mut report, image) = verified(&vit(), |_| {});
    let many = 5000;
    report.verdict = Verdict::Different;
    report.reasons = vec!["5000 more tensors differ".to_owned()];
    report.weights.extra = (0..many).map(|index| format!("extra.{index}")).collect();
    let text = page::html(&report, &image);
    check(&text, &report);
    assert!(text.contains("extra.99<") && !text.contains("extra.100<"));
    assert!(text.contains("And 4\u{202f}900 more"));
}
