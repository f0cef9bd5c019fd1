//! The exit codes stand in one table, which the help, README.md and docs/errors.md show. The two pages are written anew by
//!
//! ```sh
//! VITPORT_WRITE_DOCS=1 cargo test -p vitport-cli --test it exit_codes::
//! ```

use std::path::Path;

const BEGIN: &str = "<!-- exit codes: made from the program's own table -->\n";
const END: &str = "<!-- end of the exit codes -->";

fn table() -> String {
    let mut table = "| exit | meaning | kinds of error |\n|---|---|---|\n".to_owned();
    for (code, meaning, kinds) in vitport_cli::exit_codes() {
        let kinds: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
        table += &format!("| {code} | {meaning} | {} |\n", kinds.join(", "));
    }
    table
}

#[test]
fn every_page_has_the_table() {
    for page in ["README.md", "docs/errors.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap_or_else(|| panic!("{page} has no table"));
        let (there, after) = rest.split_once(END).unwrap();
        if std::env::var_os("VITPORT_WRITE_DOCS").is_some() {
            std::fs::write(&path, [before, BEGIN, &table(), END, after].concat()).unwrap();
        } else {
            assert!(
                there == table(),
                "{page} is stale: the first lines of this file say how it is written anew"
            );
        }
    }
}

#[test]
fn the_help_has_them_and_every_kind_has_one() {
    let help = vitport_cli::declaration().render_help().to_string();
    for (code, meaning, _) in vitport_cli::exit_codes() {
        assert!(help.contains(&format!("  {code}  {meaning}")), "{help}");
    }
    let codes: Vec<u8> = vitport_cli::exit_codes().into_iter().map(|(code, ..)| code).collect();
    for (kind, code) in vitport_cli::program::error_kinds() {
        assert!(codes.contains(&code), "{kind}");
    }
}
