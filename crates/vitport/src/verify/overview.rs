//! Puts many reports on one page: a row for each model. The page is read as it is; a small script of its own, which the browser allows by
//! its hash and no other, sorts the rows by a column.

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::page::{STACKED, numbers};

const CSS: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/overview.js");

/// Says of one report what a person looks for among many.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Overview {
    /// Gives the file of the report.
    pub file: String,
    /// Gives the model's name.
    pub model: String,
    /// Names the class of transformers; null where the report does not say it.
    pub class: Option<String>,
    /// Gives the verdict: `same`, `same_with_known_deviation`, `not_comparable` or `different`.
    pub verdict: String,
    /// Gives the verdict in words.
    pub headline: String,
    /// Names the facts that are assumed.
    pub assumptions: Vec<String>,
    /// Names the known deviations.
    pub deviations: Vec<String>,
    /// Says why it is different or not comparable.
    pub reasons: Vec<String>,
    /// Counts the tensors of the folder.
    pub tensors: u64,
    /// Counts their bytes.
    pub bytes: u64,
    /// Gives the largest relative difference of the outputs that the verdict follows from; null where nothing can be compared.
    pub difference: Option<f64>,
}

/// Holds of a report what the overview shows. Version 1 called the counts `accounts`.
#[derive(Deserialize)]
struct ReadReport {
    model: String,
    verdict: String,
    headline: String,
    #[serde(default)]
    target: Option<ReadClass>,
    #[serde(default)]
    assumptions: Vec<ReadAssumption>,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default)]
    known_deviation: Option<ReadEffect>,
    #[serde(default)]
    cast: Option<ReadEffect>,
    #[serde(alias = "accounts")]
    tensor_counts: ReadCounts,
    #[serde(default)]
    layers: Vec<ReadPlace>,
}

#[derive(Deserialize)]
struct ReadClass {
    class: String,
}

#[derive(Deserialize)]
struct ReadAssumption {
    fact: String,
}

#[derive(Deserialize)]
struct ReadEffect {
    #[serde(default)]
    name: String,
    without_it: Vec<ReadPlace>,
}

#[derive(Deserialize)]
struct ReadPlace {
    relative: Option<f64>,
}

#[derive(Deserialize)]
struct ReadCounts {
    target_tensors: u64,
    target_bytes: u64,
}

impl Overview {
    /// Reads a report of `--report`, or the document of `convert --json` or `verify --json`, of `file`.
    ///
    /// # Errors
    /// Says why it is not one.
    pub fn read(file: &str, document: &Value) -> Result<Self, String> {
        let report = document.get("report").filter(|report| report.is_object()).unwrap_or(document);
        if report.get("verdict").is_none() {
            return Err("it is not a report: it has no verdict".to_owned());
        }
        let report =
            ReadReport::deserialize(report).map_err(|error| format!("it is not a report: {error}"))?;
        let judged = match (&report.known_deviation, &report.cast) {
            (Some(effect), _) | (None, Some(effect)) => &effect.without_it,
            (None, None) => &report.layers,
        };
        let relative = judged.iter().map(|place| place.relative);
        let difference = relative.reduce(|a, b| Some(a?.max(b?))).flatten();
        let deviations = report.known_deviation.iter().flat_map(|known| known.name.split(','));
        Ok(Self {
            file: file.to_owned(),
            model: report.model,
            class: report.target.map(|target| target.class),
            verdict: report.verdict,
            headline: report.headline,
            assumptions: report.assumptions.into_iter().map(|assumption| assumption.fact).collect(),
            deviations: deviations.map(str::to_owned).collect(),
            reasons: report.reasons,
            tensors: report.tensor_counts.target_tensors,
            bytes: report.tensor_counts.target_bytes,
            difference,
        })
    }

    /// Returns the style of the verdict, and its sign.
    fn style(&self) -> (&'static str, &'static str) {
        match (self.verdict.as_str(), self.assumptions.is_empty()) {
            ("same", true) => ("yes", "✓"),
            ("same", false) => ("known", "✓"),
            ("same_with_known_deviation", _) => ("known", "≈"),
            _ => ("no", "✗"),
        }
    }

    fn shown_difference(&self) -> String {
        self.difference.map_or_else(|| "not comparable".to_owned(), numbers::difference)
    }

    /// Returns what the differences are sorted by: what cannot be compared comes last.
    fn sorted_difference(&self) -> f64 {
        self.difference.unwrap_or(f64::MAX)
    }

    /// Returns the place of the verdict, the gravest first.
    fn gravity(&self) -> u8 {
        match (self.verdict.as_str(), self.assumptions.is_empty()) {
            ("same", true) => 4,
            ("same", false) => 3,
            ("same_with_known_deviation", _) => 2,
            ("not_comparable", _) => 1,
            _ => 0,
        }
    }
}

/// Returns the page, the gravest verdicts first.
pub fn html(rows: &[Overview], version: &str, date: &str) -> String {
    let mut rows: Vec<&Overview> = rows.iter().collect();
    rows.sort_by(|a, b| a.gravity().cmp(&b.gravity()).then_with(|| a.model.cmp(&b.model)));
    // Writing to a string does not fail.
    Page { rows, version, date, hash: STANDARD.encode(Sha256::digest(SCRIPT)) }.render().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Page<'a> {
    rows: Vec<&'a Overview>,
    version: &'a str,
    date: &'a str,
    hash: String,
}

impl Page<'_> {
    fn count(&self, verdict: &str) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// Says how many models came out how.
    fn sentence(&self) -> String {
        let kinds = [
            ("same", "same"),
            ("same_with_known_deviation", "same with a known deviation"),
            ("not_comparable", "not comparable"),
            ("different", "different"),
        ];
        let counts = kinds.iter().map(|(verdict, words)| (self.count(verdict), words));
        let said = counts
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{} {words}", numbers::count(count)));
        let assumed = self.rows.iter().filter(|row| !row.assumptions.is_empty()).count();
        let condition = match assumed {
            0 => String::new(),
            1 => " One verdict rests on assumptions.".to_owned(),
            count => format!(" {} verdicts rest on assumptions.", numbers::count(count)),
        };
        format!("{}.{condition}", said.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_versions_of_a_report_are_read_and_nothing_else() {
        let report = |counts: &str| {
            json!({ "model": "a", "verdict": "same", "headline": "same", counts: { "target_tensors": 1, "target_bytes": 2 },
                "layers": [{ "relative": 1e-7 }, { "relative": 2e-7 }] })
        };
        let one = Overview::read("x", &report("accounts")).unwrap();
        assert_eq!(one, Overview::read("x", &json!({ "report": report("tensor_counts") })).unwrap());
        assert_eq!((one.tensors, one.difference), (1, Some(2e-7)));
        for other in [json!({}), json!([1]), json!({ "verdict": "same" }), json!({ "report": null })] {
            assert!(Overview::read("x", &other).is_err(), "{other}");
        }
    }

    #[test]
    fn no_text_of_a_report_becomes_markup() {
        let hostile = "</script><img src=x onerror=alert(1)>";
        let row = Overview::read(
            "<b>",
            &json!({ "model": hostile, "verdict": hostile, "headline": hostile, "reasons": [hostile],
            "tensor_counts": { "target_tensors": 1, "target_bytes": 2 } }),
        )
        .unwrap();
        let page = html(&[row], "0", "1970-01-01T00:00:00Z");
        assert_eq!(page.matches("<script>").count(), 1);
        assert!(!page.contains("<img") && !page.contains("<b>&lt;") && page.contains("&lt;img src=x"));
    }
}
