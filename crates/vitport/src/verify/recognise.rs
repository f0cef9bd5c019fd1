//! Recognises a report that vitport wrote, since only such a file is ever replaced by another report.

use std::io::Read;
use std::path::Path;

use vitport_checkpoint::open_regular;

/// Gives the bytes at the beginning of a file that say whether it is a report.
const BEGINNING: u64 = 1 << 10;

/// Is what a page says of its maker.
const GENERATOR: &str = "<meta name=\"generator\" content=\"vitport\">";

/// Returns whether a file is a report of vitport's, as JSON or as a page, or the beginning of one, such as a killed run leaves. An
/// empty file counts as one: nothing is lost with it.
pub fn is_report(path: &Path) -> bool {
    let mut beginning = Vec::new();
    let read = open_regular(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning));
    read.is_ok() && begins_report(&String::from_utf8_lossy(&beginning))
}

fn begins_report(text: &str) -> bool {
    let json: String = text.chars().filter(|letter| !letter.is_whitespace()).take(64).collect();
    // Version 1 was a number alone.
    let after_schema = json.strip_prefix("{\"schema\":").map(|rest| {
        let of_name = rest.strip_prefix("\"vitport/report/");
        let rest = of_name.unwrap_or(rest).trim_start_matches(|c: char| c.is_ascii_digit());
        of_name.map_or(Some(rest), |_| rest.strip_prefix('"')).unwrap_or_default()
    });
    text.is_empty()
        || after_schema.is_some_and(|rest| rest.starts_with(",\"vitport\":\""))
        || (text.starts_with("<!doctype html>") && text.contains(GENERATOR))
}

#[cfg(test)]
mod tests {
    use super::begins_report;

    #[test]
    fn only_reports_are_taken_for_reports() {
        for text in [
            "",
            "{\n  \"schema\": 1,\n  \"vitport\": \"0.1.0\",\n  \"verdict\": \"same\"",
            "{\"schema\":12,\"vitport\":\"1\"}",
            "{\n  \"schema\": \"vitport/report/2\",\n  \"vitport\": \"0.1.0\"",
            "<!doctype html>\n<html><head>\n<meta name=\"generator\" content=\"vitport\">",
        ] {
            assert!(begins_report(text), "{text}");
        }
        for text in [
            "x",
            "{}",
            "{\"schema\": 1}",
            "{\"schema\": \"vitport/plan/2\", \"vitport\": \"1\"",
            "[1]",
            "<!doctype html>\n<p>mine",
            "cat\ndog\n",
        ] {
            assert!(!begins_report(text), "{text}");
        }
    }
}
