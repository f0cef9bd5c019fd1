//! Fetches one model into the shared cache and prints where it lies:
//! `cargo run -p vitport --features hub --example hub_fetch -- ENDPOINT CACHE org/name[@revision] [--offline]`.
//! A token is read from the standard input, if there is one.

use std::io::Read as _;
use std::process::ExitCode;

use vitport::hub::{FetchEvent, HubConfig, Progress, RepoId, Token, fetch_model};

struct ToStderr;

impl Progress for ToStderr {
    #[allow(clippy::print_stderr)]
    fn event(&self, event: FetchEvent<'_>) {
        if !matches!(event, FetchEvent::Received { .. }) {
            eprintln!("{event:?}");
        }
    }
}

#[allow(clippy::print_stdout, clippy::print_stderr)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(endpoint), Some(cache), Some(name)) = (arguments.first(), arguments.get(1), arguments.get(2))
    else {
        eprintln!("usage: hub_fetch ENDPOINT CACHE org/name[@revision] [--offline]");
        return ExitCode::from(2);
    };
    let mut token = String::new();
    let _ = std::io::stdin().read_to_string(&mut token);
    let config = HubConfig {
        endpoint: endpoint.clone(),
        token: Token::new(&token),
        offline: arguments.iter().any(|argument| argument == "--offline"),
        ..HubConfig::new(cache)
    };
    match RepoId::parse(name).and_then(|id| fetch_model(&config, &id, &ToStderr)) {
        Ok(snapshot) => {
            println!("{}", snapshot.source().display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(6)
        }
    }
}
