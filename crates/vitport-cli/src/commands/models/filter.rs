//! Decides which models are listed.

use glob::Pattern;
use vitport::catalogue::{self, KnownModel};
use vitport_checkpoint::escape;

use crate::arguments::ModelsArguments;
use crate::failure::Failure;

/// Says what a name has to be like: hold a text, be one, or match one with the wildcards `*` and `?`. Case does not matter.
enum Filter {
    Holds(String),
    Is(String),
    Matches(Box<Pattern>),
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// A usage failure for wildcards that mean nothing.
    fn new(text: &str) -> Result<Self, Failure> {
        let text = text.to_lowercase();
        if !text.contains(['*', '?', '[']) {
            return Ok(Self::Holds(text));
        }
        let pattern = Pattern::new(&text).map_err(|error| {
            Failure::usage(format!("`{}`: {}; * and ? are wildcards", escape(&text), error.msg))
        })?;
        Ok(Self::Matches(Box::new(pattern)))
    }

    fn accepts(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        match self {
            Self::Holds(text) => name.contains(text),
            Self::Is(text) => name == *text,
            Self::Matches(pattern) => pattern.matches(&name),
        }
    }
}

/// Holds the filters of the command line; what is not given accepts everything.
pub struct Filters {
    name: Option<Filter>,
    family: Option<Filter>,
    becomes: Option<Filter>,
    license: Option<Filter>,
    only_convertible: bool,
}

impl Filters {
    /// Reads the filters.
    ///
    /// # Errors
    /// A usage failure for wildcards that mean nothing.
    pub fn new(arguments: &ModelsArguments) -> Result<Self, Failure> {
        let filter = |text: &Option<String>| text.as_deref().map(Filter::new).transpose();
        Ok(Self {
            name: filter(&arguments.pattern)?,
            // A family's name is meant whole: `vit` is not `repvit`.
            family: match arguments.family.as_deref() {
                Some(name) if !name.contains(['*', '?', '[']) => Some(Filter::Is(name.to_lowercase())),
                _ => filter(&arguments.family)?,
            },
            // And so is a class's, if there is one of that name: `ViTModel` is not `DINOv3ViTModel`.
            becomes: match arguments.becomes.as_deref() {
                Some(name) if is_class(name) => Some(Filter::Is(name.to_lowercase())),
                _ => filter(&arguments.becomes)?,
            },
            license: filter(&arguments.license)?,
            only_convertible: arguments.convertible,
        })
    }

    /// Returns whether a model passes all of them.
    pub fn accept(&self, row: &KnownModel) -> bool {
        self.accept_but_for_conversion(row) && (!self.only_convertible || row.becomes.class().is_some())
    }

    /// Returns whether a model passes all filters but the one for what can be converted.
    pub fn accept_but_for_conversion(&self, row: &KnownModel) -> bool {
        let accepts =
            |filter: &Option<Filter>, text: &str| filter.as_ref().is_none_or(|filter| filter.accepts(text));
        let class = row.becomes.class();
        accepts(&self.name, &row.name)
            && accepts(&self.family, row.family)
            && self.becomes.as_ref().is_none_or(|filter| class.is_some_and(|class| filter.accepts(class)))
            && accepts(&self.license, row.license.as_deref().unwrap_or("unknown"))
    }
}

/// Returns whether some model becomes a class of that name.
fn is_class(name: &str) -> bool {
    catalogue::models()
        .any(|model| model.becomes.class().is_some_and(|class| class.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::Filter;

    #[test]
    fn filters_are_texts_or_wildcards() {
        let matches = |pattern: &str, name: &str| Filter::new(pattern).unwrap().accepts(name);
        assert!(matches("tiny", "vit_tiny_patch16_224.augreg_in21k"));
        assert!(matches("vit_*_224.*", "vit_tiny_patch16_224.augreg_in21k"));
        assert!(matches("DeiT3_?mall*", "deit3_small_patch16_224.fb_in1k"));
        assert!(!matches("vit_*_224", "vit_tiny_patch16_224.augreg_in21k"));
        assert!(matches("*", ""));
        assert!(!matches("?", ""));
        assert!(Filter::new("vit_[ab").is_err());
    }
}
