//! Runs `vitport classify`: a folder's model on images, as transformers would run it.

use std::path::Path;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Serialize;
use vitport::verify::{Classifier, Guess};
use vitport_checkpoint::escape;

use crate::arguments::{ClassifyArguments, HubOptions};
use crate::document::Document;
use crate::failure::{Failure, FailureKind};
use crate::output::Printer;
use crate::show::guess::{bar, name, percent};
use crate::source::open_image;
use crate::terminal::message::error_line;
use crate::terminal::style::BOLD;
use crate::terminal::table::{Align, Table};

/// Classifies.
pub fn run(arguments: &ClassifyArguments, output: &Printer) -> Result<(), Failure> {
    let classifier = Classifier::open(&arguments.folder, &arguments.limits.limits())?;
    let count = usize::from(arguments.top_k);
    let results: Vec<Result<Vec<Guess>, Failure>> = arguments
        .images
        .par_iter()
        .map(|image| Ok(classifier.top(&open_image(image, &HubOptions::default(), output)?.decoded, count)?))
        .collect();
    let mut first_failure = None;
    let mut documents = Vec::new();
    for (image, result) in arguments.images.iter().zip(results) {
        let shown = escape(&Path::new(image).display().to_string()).to_string();
        match result {
            Ok(guesses) if output.is_json() => {
                let top5 = guesses.iter().take(5).cloned().collect();
                documents.push(ImageDocument::Classified { image: shown, top5, top: guesses });
            }
            Ok(guesses) => {
                if arguments.images.len() > 1 {
                    output.print(format!("{BOLD}{shown}{BOLD:#}"))?;
                }
                output.print(table(&guesses).text())?;
            }
            Err(failure) => {
                if output.is_json() {
                    documents.push(ImageDocument::Failed {
                        image: shown,
                        error: failure.message.clone(),
                        kind: failure.kind,
                    });
                }
                match &first_failure {
                    None => first_failure = Some(failure),
                    Some(_) if output.watch().is_some() => {}
                    Some(_) => error_line(&failure.message),
                }
            }
        }
    }
    if output.is_json() {
        output.document(&ClassifyDocument { images: documents })?;
        // The document has said it; the exit code still must.
        return first_failure.map_or(Ok(()), |failure| Err(failure.already_reported()));
    }
    first_failure.map_or(Ok(()), Err)
}

/// Describes what a folder's model says of images: `vitport classify`.
#[derive(Serialize, JsonSchema)]
pub struct ClassifyDocument {
    /// Lists the images, in the order in which they were given.
    images: Vec<ImageDocument>,
}

impl Document for ClassifyDocument {
    const SCHEMA: &'static str = "vitport/classify/2";
}

/// Describes what came of one image.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum ImageDocument {
    /// Gives its most probable classes.
    Classified {
        /// Gives the image, as it was given.
        image: String,
        /// Lists the five most probable classes, the most probable first.
        top5: Vec<Guess>,
        /// Lists as many as `--top-k` asks for.
        top: Vec<Guess>,
    },
    /// Says why it has none.
    Failed {
        /// Gives the image, as it was given.
        image: String,
        /// Says what is wrong.
        error: String,
        /// Says what kind of error it is.
        kind: FailureKind,
    },
}

fn table(guesses: &[Guess]) -> Table {
    let mut table = Table::new([("", Align::Left), ("", Align::Right), ("", Align::Left)]);
    for guess in guesses {
        table.row([name(guess, 40), percent(guess), bar(guess, 16)]);
    }
    table
}
