//! The model card of a converted folder: README.md, with what the Hub asks for at its head and, below, what the model is, how it is
//! used, how far it was seen to be the same, and, folded, the evidence for that.
//!
//! A card says nothing that the conversion does not know: a licence that nobody stated is left out, and so is a comparison
//! that was not made. Names, labels and reasons come from files of strangers; `metadata` quotes them for YAML and
//! `markdown` for Markdown, so that no text can end the block that it stands in. A card holds no time and no path of the
//! machine that made it, so the same conversion gives the same card.

mod body;
mod evidence;
mod markdown;
mod metadata;
mod numbers;
mod usage;

pub use crate::front_matter::CARD as FILE_NAME;

use crate::frameworks::transformers::Task;
use crate::model::Prepared;
use crate::verify::Report;

/// Holds what a card is written from.
#[derive(Clone, Copy)]
pub struct Card<'a> {
    /// Gives the source, the model and the plan.
    pub prepared: &'a Prepared,
    /// Says what verification found, if the folder was verified.
    pub report: Option<&'a Report>,
    /// Lists what is unusual about the source, a sentence each.
    pub warnings: &'a [String],
    /// Says whether the folder holds code that gives the source's exact network.
    pub exact_code: bool,
}

impl Card<'_> {
    /// Returns the text of README.md.
    pub fn text(&self) -> String {
        let mut text = metadata::front_matter(self);
        body::write(&mut text, self);
        text
    }

    /// Returns the transformers class of the folder: `ViTForImageClassification`.
    fn class(&self) -> &str {
        let class = self.prepared.model.config.get("architectures").and_then(|list| list.get(0));
        class.and_then(|class| class.as_str()).unwrap_or("AutoModel")
    }

    /// Returns what the folder is used for.
    fn task(&self) -> Task {
        let model = &self.prepared.model;
        model.target.task(&model.config)
    }
}
