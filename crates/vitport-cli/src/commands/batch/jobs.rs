//! Reads the jobs file: one JSON object a line, with the fields of `convert`'s options. A line is made into convert's own
//! arguments, so both take the same values and refuse the same, and everything that is wrong with a file is known before
//! anything starts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use clap::Parser;
use serde_json::{Map, Value};
use vitport_checkpoint::{escape, read_regular};

use crate::arguments::{Arguments, Command, ConvertArguments};
use crate::failure::{BadLine, Failure};
use crate::failure::usage::said;
use crate::fields::{self, Given, Takes};
use crate::request::request;

/// Limits the bytes that a jobs file may have.
const MOST_BYTES: u64 = 256 << 20;

/// Names the field that `mapping` used to be, an alias as on the command line.
const OLD_MAPPING: &str = "rules";

/// Describes one conversion to be made.
#[derive(Debug, Clone)]
pub struct Job {
    /// Gives the line in the jobs file, from 1.
    pub line: usize,
    /// Holds the line's fields, without those that are null.
    pub fields: Map<String, Value>,
    /// Names the folder to make, as an absolute path without `.` and `..`.
    pub out: PathBuf,
    /// Names the report's file, if there is to be one.
    pub report: Option<PathBuf>,
    arguments: Vec<OsString>,
}

impl Job {
    /// Returns the source as it is given.
    pub fn source(&self) -> &str {
        self.fields.get("source").and_then(Value::as_str).unwrap_or_default()
    }

    /// Parses the arguments of `vitport convert`.
    ///
    /// # Errors
    /// A usage failure, which [`parse`] has seen before.
    pub fn convert(&self) -> Result<ConvertArguments, Failure> {
        let parsed =
            Arguments::try_parse_from(&self.arguments).map_err(|error| Failure::usage(said(&error)))?;
        match parsed.command {
            Command::Convert(convert) => Ok(*convert),
            _ => Err(Failure::usage("a job is a conversion")),
        }
    }
}

/// Reads a jobs file; `-` is standard input.
///
/// # Errors
/// A usage failure if it cannot be read.
pub fn read(path: &Path) -> Result<String, Failure> {
    let shown = escape(&path.display().to_string()).to_string();
    let failed =
        |why: String| Failure::usage(format!("{shown}: {why}; give a file with one JSON object a line"));
    let taken = match path == Path::new("-") {
        true => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes)
        }
        false => read_regular(path, MOST_BYTES),
    };
    let bytes = taken.map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(failed(format!("it is larger than {MOST_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))
}

/// Parses the jobs of a file, or finds every line that is not a job. Empty lines are passed over.
pub fn parse(text: &str) -> Result<Vec<Job>, Vec<BadLine>> {
    let known = fields::options("convert");
    let mut jobs = Vec::new();
    let mut bad = Vec::new();
    for (index, text) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if text.trim().is_empty() {
            continue;
        }
        match job(index + 1, text, &known) {
            Ok(job) => jobs.push(job),
            Err(message) => bad.push(BadLine { line: index + 1, message }),
        }
    }
    bad.extend(collisions(&jobs));
    bad.extend(shared_reports(&jobs));
    bad.sort_by_key(|bad| bad.line);
    if bad.is_empty() { Ok(jobs) } else { Err(bad) }
}

fn job(line: usize, text: &str, known: &BTreeMap<String, Takes>) -> Result<Job, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        // The position within the line is all that is left of serde's place.
        format!("it is not a JSON object ({error})").replace(" at line 1 column", " at column")
    })?;
    let Value::Object(mut fields) = value else { return Err("it is JSON, but not an object".to_owned()) };
    fields.retain(|_, value| !value.is_null());
    let mut arguments: Vec<OsString> = vec!["vitport".into(), "convert".into()];
    for (name, value) in fields.iter().filter(|(name, _)| *name != "source") {
        let takes = known.get(name.as_str()).or((name == OLD_MAPPING).then_some(&Takes::Value));
        let Some(takes) = takes else { return Err(unknown(name, known)) };
        arguments.extend(fields::arguments(name, *takes, &given(name, value)?)?);
    }
    let text_field = |name: &str| match fields.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(_) => Err(format!("its `{name}` is not a text, or is an empty one")),
        None => Err(format!("it has no `{name}`")),
    };
    let source = text_field("source")?;
    let out = absolute(Path::new(&text_field("out")?))?;
    arguments.extend(["--".into(), source.into()]);
    let mut job = Job { line, fields, out, report: None, arguments };
    // Facts that only make sense together, files that cannot be read: convert says so, and says it now.
    let convert = job.convert().map_err(|failure| failure.message)?;
    job.report = convert.verification.report.as_deref().map(absolute).transpose()?;
    request(convert.facts).map_err(|failure| failure.message)?;
    Ok(job)
}

fn unknown(name: &str, known: &BTreeMap<String, Takes>) -> String {
    let mut names: Vec<&str> = known.keys().map(String::as_str).chain(["source"]).collect();
    names.sort_unstable();
    format!("it has a field `{}`, which is none of {}", escape(name), names.join(", "))
}

/// Returns a field's value as what is given for an option.
fn given(name: &str, value: &Value) -> Result<Given, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(OsString::from(text)),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    };
    let values = match value {
        Value::Bool(flag) => return Ok(Given::Flag(*flag)),
        Value::Array(items) if !items.is_empty() => items.iter().map(text).collect(),
        value => text(value).map(|text| vec![text]),
    };
    let none = || format!("`{name}` is neither text nor number, nor a list of them");
    values.map(Given::Values).ok_or_else(none)
}

/// Returns the lines whose folder is that of another line, or lies in it.
fn collisions(jobs: &[Job]) -> Vec<BadLine> {
    let mut taken: BTreeMap<&Path, usize> = BTreeMap::new();
    let mut bad = Vec::new();
    for job in jobs {
        if let Some(first) = taken.get(job.out.as_path()) {
            bad.push(BadLine { line: job.line, message: format!("its `out` is that of line {first} too") });
            continue;
        }
        taken.insert(&job.out, job.line);
    }
    for job in jobs {
        let around = job.out.ancestors().skip(1).find_map(|folder| taken.get(folder));
        if let Some(line) = around.filter(|line| **line != job.line) {
            bad.push(BadLine { line: job.line, message: format!("its `out` lies in that of line {line}") });
        }
    }
    bad
}

/// Returns the lines whose report is that of another line.
fn shared_reports(jobs: &[Job]) -> Vec<BadLine> {
    let mut taken: BTreeMap<&Path, usize> = BTreeMap::new();
    let mut bad = Vec::new();
    for job in jobs {
        let Some(report) = &job.report else { continue };
        match taken.get(report.as_path()) {
            Some(first) => {
                bad.push(BadLine {
                    line: job.line,
                    message: format!("its `report` is that of line {first} too"),
                });
            }
            None => {
                taken.insert(report, job.line);
            }
        }
    }
    bad
}

/// Returns a path without `.`, `..` and, as far as it exists, links.
pub fn absolute(path: &Path) -> Result<PathBuf, String> {
    let path = std::path::absolute(path)
        .map_err(|error| format!("`{}` is not a path: {error}", escape(&path.to_string_lossy())))?;
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    // The last part may be a link, which convert refuses by name.
    match (plain.parent().map(fs::canonicalize), plain.file_name()) {
        (Some(Ok(parent)), Some(name)) => Ok(parent.join(name)),
        _ => Ok(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::fields::{Takes, options};

    #[test]
    fn a_job_has_the_fields_of_convert() {
        let known = options("convert");
        for (name, takes) in [
            ("num_heads", Takes::Value),
            ("no_verify", Takes::Nothing),
            ("revision", Takes::Value),
            ("drop", Takes::Repeated),
        ] {
            assert_eq!(known.get(name), Some(&takes), "{name}");
        }
        for name in ["vit_name", "help", "json", "source"] {
            assert!(!known.contains_key(name), "{name}");
        }
        let line = r#"{"source": "-a", "out": "o", "num_heads": [1, 2, 4], "mean": 0.5, "no_verify": true, "strict": null, "rules": "Cargo.toml", "drop": ["a.*", "b"]}"#;
        let jobs = parse(line).unwrap();
        let convert = jobs[0].convert().unwrap();
        assert_eq!(convert.facts.num_heads, Some(vec![1, 2, 4]));
        assert_eq!(convert.facts.mean, Some([0.5; 3]));
        assert_eq!(convert.facts.mapping, Some("Cargo.toml".into()));
        assert_eq!(convert.facts.drop.len(), 2);
        assert!(convert.no_verify && !convert.verification.strict);
        assert_eq!(convert.source.text(), "-a");
    }

    #[test]
    fn every_bad_line_is_named() {
        let lines = [
            r#"{"source": "a", "out": "x"}"#,
            "",
            "{",
            "[]",
            r#"{"source": "a"}"#,
            r#"{"source": "a", "out": "y", "colour": 1}"#,
            r#"{"source": "a", "out": "./z/../x"}"#,
            r#"{"source": "a", "out": "x/inside"}"#,
            r#"{"source": "a", "out": "w", "num_heads": "many"}"#,
            r#"{"source": "a", "out": "v", "no_verify": "yes"}"#,
            r#"{"source": "a", "out": "u", "no_verify": true, "strict": true}"#,
            r#"{"source": 7, "out": "t"}"#,
            r#"{"source": "a", "out": "s", "json": true}"#,
        ];
        let bad = parse(&lines.join("\n")).unwrap_err();
        let numbers: Vec<usize> = bad.iter().map(|bad| bad.line).collect();
        assert_eq!(numbers, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        assert!(bad.iter().all(|bad| !bad.message.contains('\n')), "{bad:?}");
        assert!(bad[3].message.contains("`colour`") && bad[4].message.contains("line 1"), "{bad:?}");
    }
}
