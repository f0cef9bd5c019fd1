//! Writes the manual pages of `vitport` and of its commands into a folder, for a release's archive:
//!
//! ```sh
//! cargo run --release -p vitport-cli --example man_pages -- FOLDER
//! ```

use std::io::{Error, ErrorKind, Result};
use std::path::PathBuf;

fn main() -> Result<()> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "give the folder that the pages are to be written into",
        ));
    };
    std::fs::create_dir_all(&folder)?;
    clap_mangen::generate_to(vitport_cli::declaration(), folder)
}
