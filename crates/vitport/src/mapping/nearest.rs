//! What to say of tensors that no rule knows: names that differ only in their numbers are one group, and each group is
//! shown next to the rule that comes nearest to it.

use std::sync::Arc;

use super::language::Mapping;
use super::pattern::Text;

/// Limits the readings of one pattern that are compared; a pattern of more choices is compared as it is written.
const READINGS: usize = 256;

/// Returns a name with every run of digits that stands alone between dots replaced by `{n}`.
pub(super) fn group_of(name: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    name.split('.').map(|part| if is_number(part) { "{n}" } else { part }).collect::<Vec<_>>().join(".")
}

/// Returns the source or target pattern of the rules whose text is nearest to a group's by edit distance, if any is near enough
/// to be of help (at least 60 % alike by normalised Levenshtein distance).
pub(super) fn nearest_pattern(mapping: &Mapping, group: &str, is_source: bool) -> Option<String> {
    let alike = |pattern: &str| {
        let readings = readings(mapping, pattern, is_source);
        let scores = readings.iter().map(|reading| strsim::normalized_levenshtein(reading, group));
        scores.fold(0.0, f64::max)
    };
    let patterns = mapping.rules.iter().flat_map(|rule| {
        let patterns = if is_source { rule.operation.sources() } else { rule.operation.targets() };
        patterns
            .into_iter()
            .map(|pattern| (alike(&pattern.to_string()), pattern.to_string(), rule.table.clone()))
    });
    let (score, pattern, table) = patterns.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score >= 0.6).then(|| format!("[{table}] {pattern}"))
}

/// Returns a pattern as groups read: `{n}` for its indices, and each text of its choices.
fn readings(mapping: &Mapping, pattern: &str, is_source: bool) -> Vec<String> {
    let with_numbers = mapping
        .ranges
        .keys()
        .fold(pattern.to_owned(), |text, index| text.replace(&format!("{{{index}}}"), "{n}"));
    mapping.choices.iter().fold(vec![with_numbers], |readings, (name, texts)| {
        let hole = format!("{{{name}}}");
        if !pattern.contains(&hole) || readings.len().saturating_mul(texts.len()) > READINGS {
            return readings;
        }
        let text_of = |(source, target): &Text| Arc::clone(if is_source { source } else { target });
        let fill = |reading: String| {
            texts.iter().map(|pair| reading.replace(&hole, &text_of(pair))).collect::<Vec<_>>()
        };
        readings.into_iter().flat_map(fill).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_numbers_are_one_group() {
        assert_eq!(group_of("blocks.11.attn.q_norm.weight"), "blocks.{n}.attn.q_norm.weight");
        assert_eq!(group_of("stage2.blocks.0.norm1.weight"), "stage2.blocks.{n}.norm1.weight");
        assert_eq!(group_of("head"), "head");
    }
}
