//! Runs `vitport classify`: a folder's model on images, as transformers would run it.

use std::path::Path;

use rayon::prelude::*;
use serde_json::json;
use vitport::verify::{Classifier, Guess};
use vitport_checkpoint::escape;

use crate::arguments::{ClassifyArguments, HubOptions};
use crate::failure::Failure;
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
                let top5 = guesses.iter().take(5).collect::<Vec<_>>();
                documents.push(json!({ "image": shown, "top5": top5, "top": guesses }));
            }
            Ok(guesses) => {
                if arguments.images.len() > 1 {
                    output.print(format!("{BOLD}{shown}{BOLD:#}"))?;
                }
                output.print(table(&guesses).text())?;
            }
            Err(failure) => {
                if output.is_json() {
                    documents.push(json!({ "image": shown, "error": failure.message, "kind": failure.kind }));
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
        output.list(&documents)?;
        // The document has said it; the exit code still must.
        return first_failure.map_or(Ok(()), |failure| Err(failure.already_reported()));
    }
    first_failure.map_or(Ok(()), Err)
}

fn table(guesses: &[Guess]) -> Table {
    let mut table = Table::new([("", Align::Left), ("", Align::Right), ("", Align::Left)]);
    for guess in guesses {
        table.row([name(guess, 40), percent(guess), bar(guess, 16)]);
    }
    table
}
