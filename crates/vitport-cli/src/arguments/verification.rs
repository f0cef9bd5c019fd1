//! Declares the options that say how both networks are compared.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// Says how both networks are compared.
#[derive(Debug, Args)]
#[command(next_help_heading = "Verification")]
pub struct VerifyOptions {
    /// Run both networks on this image (JPEG, PNG or WebP); by default on a built-in one
    #[arg(long, value_name = "PATH|URL")]
    pub image: Option<OsString>,
    /// Count a known deviation as a failure
    #[arg(long)]
    pub strict: bool,
    /// Accept these known deviations with --strict, such as crop-rounding
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// Write a report: one page for .html, otherwise JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write an in-toto statement: the hashes of the folder's and the source's files, and the verdict
    #[arg(long, value_name = "FILE")]
    pub attest: Option<PathBuf>,
}
