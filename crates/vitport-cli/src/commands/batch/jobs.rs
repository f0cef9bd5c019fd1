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
use crate::command_line::{CommandLine, recorded};
use crate::failure::usage::said;
use crate::failure::{BadLine, Failure, FailureKind};
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
    /// Names the files that are written next to the folder, with the field that names each.
    pub files: Vec<(&'static str, PathBuf)>,
    arguments: Vec<OsString>,
}

impl Job {
    /// Returns the source as it is given.
    pub fn source(&self) -> &str {
        self.fields.get("source").and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the command that does the same, as a report keeps it.
    pub fn command(&self) -> String {
        recorded(&CommandLine(self.arguments.clone()))
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
/// If it cannot be read.
pub fn read(path: &Path) -> Result<String, Failure> {
    let shown = escape(&path.display().to_string()).to_string();
    let failed = |why: String| {
        let message = format!("{shown}: {why}; give a file with one JSON object a line");
        Failure::new(FailureKind::Unreadable, message).in_file(shown.as_str())
    };
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

/// Names the field of a line that holds what all jobs have that do not say otherwise.
const DEFAULTS: &str = "defaults";

/// Makes the fields that the command line gives to all jobs that do not say otherwise: `NAME=VALUE`, where the value is JSON or a text.
///
/// # Errors
/// A usage failure if one is no option of `convert`, or its value does not fit.
pub fn defaults(given: &[String], force: bool) -> Result<Map<String, Value>, Failure> {
    let mut fields = Map::new();
    for given in given {
        let Some((name, value)) = given.split_once('=') else {
            let shown = escape(given);
            return Err(Failure::usage(format!("--default {shown}: give NAME=VALUE, such as dtype=bf16")));
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        fields.insert(name.trim_start_matches("--").replace('-', "_"), value);
    }
    if force {
        fields.insert("force".to_owned(), true.into());
    }
    check_defaults(&fields, &fields::options("convert"))
        .map_err(|why| Failure::usage(format!("--default: {why}")))?;
    Ok(fields)
}

/// Checks that fields can be those of all jobs.
fn check_defaults(fields: &Map<String, Value>, known: &BTreeMap<String, Takes>) -> Result<(), String> {
    let own = ["source", "out", "report", "attest"];
    if let Some(name) = own.into_iter().find(|name| fields.contains_key(*name)) {
        return Err(format!("`{name}` is each job's own"));
    }
    typed(fields, known).map(|_| ())
}

/// Parses the jobs of a file, or finds every line that is not a job. Empty lines are passed over; a line `{"defaults": {…}}` before
/// the jobs, and `given` before that, hold for every job that does not say otherwise.
pub fn parse(text: &str, given: &Map<String, Value>) -> Result<Vec<Job>, Vec<BadLine>> {
    let known = fields::options("convert");
    let mut jobs = Vec::new();
    let mut bad = Vec::new();
    let mut defaults = given.clone();
    for (index, text) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if text.trim().is_empty() {
            continue;
        }
        let line = match object(text) {
            Ok(mut fields) if fields.contains_key(DEFAULTS) => match fields.remove(DEFAULTS) {
                Some(Value::Object(of_file)) if fields.is_empty() && jobs.is_empty() => {
                    let checked = check_defaults(&of_file, &known);
                    defaults = of_file.into_iter().chain(given.clone()).collect();
                    checked
                }
                _ => Err("`defaults` is one object, alone on its line, before all jobs".to_owned()),
            },
            Ok(fields) => job(index + 1, defaults.clone().into_iter().chain(fields).collect(), &known)
                .map(|job| jobs.push(job)),
            Err(message) => Err(message),
        };
        bad.extend(line.err().map(|message| BadLine { line: index + 1, message }));
    }
    bad.extend(collisions(&jobs));
    bad.extend(shared_files(&jobs));
    bad.sort_by_key(|bad| bad.line);
    if bad.is_empty() { Ok(jobs) } else { Err(bad) }
}

/// Parses a line.
fn object(text: &str) -> Result<Map<String, Value>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        // The position within the line is all that is left of serde's place.
        format!("it is not a JSON object ({error})").replace(" at line 1 column", " at column")
    })?;
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err("it is JSON, but not an object".to_owned()),
    }
}

/// Returns fields as they would be typed.
fn typed(fields: &Map<String, Value>, known: &BTreeMap<String, Takes>) -> Result<Vec<OsString>, String> {
    let mut arguments = Vec::new();
    for (name, value) in fields.iter().filter(|(name, value)| *name != "source" && !value.is_null()) {
        let takes = known.get(name.as_str()).or((name == OLD_MAPPING).then_some(&Takes::Value));
        let Some(takes) = takes else { return Err(unknown(name, known)) };
        arguments.extend(fields::arguments(name, *takes, &given(name, value)?)?);
    }
    Ok(arguments)
}

fn job(line: usize, mut fields: Map<String, Value>, known: &BTreeMap<String, Takes>) -> Result<Job, String> {
    fields.retain(|_, value| !value.is_null());
    let mut arguments: Vec<OsString> = vec!["vitport".into(), "convert".into()];
    arguments.extend(typed(&fields, known)?);
    let text_field = |name: &str| match fields.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(_) => Err(format!("its `{name}` is not a text, or is an empty one")),
        None => Err(format!("it has no `{name}`")),
    };
    let source = text_field("source")?;
    let out = absolute(Path::new(&text_field("out")?))?;
    arguments.extend(["--".into(), source.into()]);
    let mut job = Job { line, fields, out, files: Vec::new(), arguments };
    // Facts that only make sense together, files that cannot be read: convert says so, and says it now.
    let convert = job.convert().map_err(|failure| failure.message)?;
    let (report, attest) = (convert.verification.report, convert.verification.attest);
    for (name, path) in [("report", report), ("attest", attest)] {
        job.files.extend(path.map(|path| absolute(&path).map(|path| (name, path))).transpose()?);
    }
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

/// Returns the lines whose report or attestation is that of another line.
fn shared_files(jobs: &[Job]) -> Vec<BadLine> {
    let mut taken: BTreeMap<&Path, usize> = BTreeMap::new();
    let mut bad = Vec::new();
    for (line, name, path) in
        jobs.iter().flat_map(|job| job.files.iter().map(|(name, path)| (job.line, name, path)))
    {
        match taken.get(path.as_path()) {
            Some(first) => {
                bad.push(BadLine { line, message: format!("its `{name}` is that of line {first} too") })
            }
            None => {
                taken.insert(path, line);
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
    use serde_json::{Map, json};

    use super::{defaults, parse};
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
        let jobs = parse(line, &Map::new()).unwrap();
        let convert = jobs[0].convert().unwrap();
        assert_eq!(convert.facts.num_heads, Some(vec![1, 2, 4]));
        assert_eq!(convert.facts.mean, Some([0.5; 3]));
        assert_eq!(convert.facts.mapping, Some("Cargo.toml".into()));
        assert_eq!(convert.facts.drop.len(), 2);
        assert!(convert.no_verify && !convert.verification.strict);
        assert_eq!(convert.source.text(), "-a");
    }

    #[test]
    fn a_job_has_what_all_have_unless_it_says_otherwise() {
        let given = defaults(&["dtype=bf16".to_owned(), "--num-heads=[1,2]".to_owned()], true).unwrap();
        let lines = [
            json!({ "defaults": { "dtype": "f16", "no_fsync": true } }),
            json!({ "source": "a", "out": "x" }),
            json!({ "source": "a", "out": "y", "dtype": "f32", "force": false, "no_fsync": null }),
        ];
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let jobs = parse(&lines.join("\n"), &given).unwrap();
        let [one, other] = [0, 1].map(|at: usize| jobs[at].convert().unwrap());
        assert!(one.force && one.no_fsync && !other.force && !other.no_fsync);
        assert_eq!(one.facts.num_heads, Some(vec![1, 2]));
        assert_eq!((&jobs[0].fields["dtype"], &jobs[1].fields["dtype"]), (&json!("bf16"), &json!("f32")));
        for bad in ["dtype", "colour=red", "out=x", "no_fsync=maybe"] {
            assert!(defaults(&[bad.to_owned()], false).is_err(), "{bad}");
        }
        let late = [&lines[1], &lines[0]].map(String::as_str).join("\n");
        assert_eq!(parse(&late, &Map::new()).unwrap_err()[0].line, 2);
        assert!(parse(r#"{"defaults": {"colour": 1}}"#, &Map::new()).is_err());
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
        let bad = parse(&lines.join("\n"), &Map::new()).unwrap_err();
        let numbers: Vec<usize> = bad.iter().map(|bad| bad.line).collect();
        assert_eq!(numbers, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        assert!(bad.iter().all(|bad| !bad.message.contains('\n')), "{bad:?}");
        assert!(bad[3].message.contains("`colour`") && bad[4].message.contains("line 1"), "{bad:?}");
    }
}
