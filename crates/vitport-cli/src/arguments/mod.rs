//! Declares the command line as clap sees it: what was typed, not yet what it means. The modules above make of it what the
//! library wants.

mod facts;
pub mod legacy;
mod limits;
mod shard;
mod source;
mod values;
mod verification;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::facts::FactArguments;
pub use self::limits::LimitOptions;
pub use self::shard::JobShard;
pub use self::source::{HubOptions, SourceArgument, is_address};
pub use self::verification::VerifyOptions;

/// Convert a vision model of timm, torchvision or Microsoft's CvT to a Hugging Face transformers folder, and verify that it is still
/// the same model.
#[derive(Debug, Parser)]
#[command(name = "vitport", version, arg_required_else_help = true, after_help = crate::failure::exit_codes_help())]
pub struct Arguments {
    /// Holds the options that every command has.
    #[command(flatten)]
    pub common: Common,
    /// Says what to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Holds the options that every command has.
#[derive(Debug, Args)]
pub struct Common {
    /// Print one JSON document on standard output and nothing else there
    #[arg(long, global = true, help_heading = "Every command")]
    pub json: bool,
    /// Print nothing but errors and what was asked for
    #[arg(short, long, global = true, help_heading = "Every command", conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more: where every fact came from
    #[arg(short, long, global = true, help_heading = "Every command")]
    pub verbose: bool,
    /// Never ask on the terminal: an open question is an error
    #[arg(long, global = true, help_heading = "Every command")]
    pub no_input: bool,
    /// Choose when to colour the output
    #[arg(long, global = true, help_heading = "Every command", value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// Says when to colour the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// Colour on a terminal, unless NO_COLOR is set
    Auto,
    /// Colour always
    Always,
    /// Colour never
    Never,
}

impl Color {
    /// Sets it for all output of the process.
    pub fn write_global(self) {
        match self {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// Says what to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Convert a model into a transformers folder
    Convert(Box<ConvertArguments>),
    /// Convert many models, one for each line of a file
    Batch(BatchArguments),
    /// Show what convert would do, tensor by tensor; write nothing
    Plan(Box<PlanArguments>),
    /// Show what is in a checkpoint
    Inspect(InspectArguments),
    /// Run the source and the folder on an image, and compare outputs, weights, settings and pixels
    Verify(Box<VerifyArguments>),
    /// Run a folder's model on images
    Classify(ClassifyArguments),
    /// Compare two checkpoints or folders, tensor by tensor
    Diff(DiffArguments),
    /// List every known architecture and tag, and what it becomes
    Models(ModelsArguments),
    /// Put many JSON reports on one page
    Report(ReportArguments),
    /// Print a completion script for a shell
    Completions {
        /// Name the shell
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Returns the name of a command that converts a source, if none is given.
    pub fn without_source(&self) -> Option<&'static str> {
        let (name, source) = match self {
            Self::Convert(arguments) => ("convert", &arguments.source),
            Self::Plan(arguments) => ("plan", &arguments.source),
            _ => return None,
        };
        source.given().is_none().then_some(name)
    }

    /// Returns the limits on what the command's files may ask for, where it opens any.
    pub fn limits_mut(&mut self) -> Option<&mut LimitOptions> {
        match self {
            Self::Convert(arguments) => Some(&mut arguments.facts.limits),
            Self::Plan(arguments) => Some(&mut arguments.facts.limits),
            Self::Verify(arguments) => Some(&mut arguments.facts.limits),
            Self::Inspect(arguments) => Some(&mut arguments.limits),
            Self::Classify(arguments) => Some(&mut arguments.limits),
            Self::Diff(arguments) => Some(&mut arguments.limits),
            Self::Batch(_) | Self::Models(_) | Self::Report(_) | Self::Completions { .. } => None,
        }
    }
}

/// Holds the arguments of `vitport convert`.
#[derive(Debug, Args)]
pub struct ConvertArguments {
    /// Says where the model comes from.
    #[command(flatten)]
    pub source: SourceArgument,
    /// Choose the framework to convert to; for all but transformers, SOURCE is a transformers folder
    #[arg(
        long,
        value_name = "FRAMEWORK",
        default_value = "transformers",
        conflicts_with_all = FACTS_OF_SOURCES
    )]
    pub to: Destination,
    /// Make this folder; it has the model's name by default
    #[arg(short, long, value_name = "OUT", alias = "pytorch_dump_folder_path")]
    pub out: Option<PathBuf>,
    /// Replace OUT if it is a model folder
    #[arg(long)]
    pub force: bool,
    /// Limit the size of one weight file [default: 5GB]
    #[arg(long, value_name = "SIZE", value_parser = values::shard_size)]
    pub max_shard_size: Option<u64>,
    /// Do not wait until the files are on the disk
    #[arg(long)]
    pub no_fsync: bool,
    /// Do not run the networks to compare them
    #[arg(long, conflicts_with_all = ["image", "strict", "allow", "report", "attest", "keep_anyway"])]
    pub no_verify: bool,
    /// Publish the folder even if the networks disagree
    #[arg(long)]
    pub keep_anyway: bool,
    /// Add the source's exact network as code for trust_remote_code=True, where transformers' class deviates
    #[arg(long)]
    pub with_exact_code: bool,
    /// Write no model card; with --force, keep the README.md that is there
    #[arg(long)]
    pub no_card: bool,
    /// Says how both networks are compared.
    #[command(flatten)]
    pub verification: VerifyOptions,
    /// Holds facts about the model.
    #[command(flatten)]
    pub facts: FactArguments,
    /// Says how a SOURCE that is not a path is fetched.
    #[command(flatten)]
    pub hub: HubOptions,
}

/// Lists the options that say something of a source that is not a transformers folder, or of a folder that is to be one.
const FACTS_OF_SOURCES: [&str; 19] = [
    "adapter",
    "arch",
    "like",
    "num_heads",
    "image_size",
    "resample_to",
    "labels",
    "mean",
    "std",
    "crop_pct",
    "crop_mode",
    "interpolation",
    "layer_norm_eps",
    "target",
    "no_head",
    "drop",
    "key",
    "mapping",
    "dtype",
];

/// Names a framework whose folders can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Destination {
    /// Make a folder of Hugging Face transformers
    Transformers,
    /// Make a folder of timm, as `timm.create_model("local-dir:OUT", pretrained=True)` opens it
    Timm,
    /// Make a folder with torchvision's names of tensors, and the Python that makes the network
    Torchvision,
    /// Make a folder with Microsoft's names of tensors: a CvT or a Swin
    Microsoft,
    /// Make a folder with Meta's names of tensors: a ConvNeXt of either version
    Meta,
    /// Make a folder with Google's names of arrays in `model.npz`: a ViT
    Jax,
}

impl Destination {
    /// Returns its name, as the ids of definitions begin.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transformers => "transformers",
            Self::Timm => "timm",
            Self::Torchvision => "torchvision",
            Self::Microsoft => "microsoft",
            Self::Meta => "meta",
            Self::Jax => "jax",
        }
    }
}

/// Holds the arguments of `vitport batch`.
#[derive(Debug, Args)]
pub struct BatchArguments {
    /// Read the jobs, one JSON object a line: {"source": …, "out": …} and the names of convert's options; - for standard input
    #[arg(value_name = "JOBS.jsonl")]
    pub jobs_file: PathBuf,
    /// Run this many conversions at a time
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = values::workers)]
    pub jobs: usize,
    /// Skip jobs that an earlier run has done, where nothing has changed since
    #[arg(long)]
    pub resume: bool,
    /// Replace folders that exist, for all jobs that do not say otherwise
    #[arg(long)]
    pub force: bool,
    /// Give all jobs this option that do not say otherwise, such as dtype=bf16
    #[arg(long = "default", value_name = "NAME=VALUE")]
    pub defaults: Vec<String>,
    /// Choose how each job's end is logged: text, or on standard error one JSON object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Run only this share of the jobs: 0/4 to 3/4, or 1/4 to 4/4
    #[arg(long, value_name = "I/N")]
    pub shard: Option<JobShard>,
    /// Write what was done to this file; JOBS.results.jsonl by default, with the shard in its name
    #[arg(long, value_name = "FILE")]
    pub results: Option<PathBuf>,
}

/// Names how the jobs of a batch are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Log lines for people
    Text,
    /// Log a JSON object a line, on standard error
    Json,
}

/// Holds the arguments of `vitport verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Say where the model comes from: a file, a folder or a name; with --attestation, name the folder alone
    #[arg(value_name = "SOURCE")]
    pub source: OsString,
    /// Name the transformers folder
    #[arg(value_name = "FOLDER", required_unless_present = "attestation", conflicts_with = "attestation")]
    pub folder: Option<PathBuf>,
    /// Compare the folder's files with this attestation, by their hashes, and run no network
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image", "strict", "allow", "report", "attest"])]
    pub attestation: Option<PathBuf>,
    /// Says how both networks are compared.
    #[command(flatten)]
    pub verification: VerifyOptions,
    /// Holds facts about the model.
    #[command(flatten)]
    pub facts: FactArguments,
    /// Says how a SOURCE that is not a path is fetched.
    #[command(flatten)]
    pub hub: HubOptions,
}

/// Holds the arguments of `vitport report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// Read these reports: JSON of --report, or of --json
    #[arg(required = true, value_name = "FILES")]
    pub files: Vec<PathBuf>,
    /// Write the page here
    #[arg(short, long, value_name = "PAGE", default_value = "overview.html")]
    pub out: PathBuf,
}

/// Holds the arguments of `vitport classify`.
#[derive(Debug, Args)]
pub struct ClassifyArguments {
    /// Name a transformers folder of a class that vitport runs
    pub folder: PathBuf,
    /// Classify these images (JPEG, PNG or WebP)
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<OsString>,
    /// Show this many classes of each image, the most probable first
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..))]
    pub top_k: u16,
    /// Limits how much the weights' file may ask for.
    #[command(flatten)]
    pub limits: LimitOptions,
}

/// Holds the arguments of `vitport plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Says where the model comes from.
    #[command(flatten)]
    pub source: SourceArgument,
    /// Holds facts about the model.
    #[command(flatten)]
    pub facts: FactArguments,
    /// Says how a SOURCE that is not a path is fetched.
    #[command(flatten)]
    pub hub: HubOptions,
    /// Print the mapping that SOURCE is planned by, as a beginning for one's own (--mapping), and nothing else
    #[arg(long, alias = "print-rules")]
    pub print_mapping: bool,
}

/// Holds the arguments of `vitport inspect`.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// Name a checkpoint file, or a folder that holds one
    pub file: PathBuf,
    /// Print the sha256 of each tensor's values (row-major, little-endian)
    #[arg(long)]
    pub hash: bool,
    /// Show only the tensors of this nested part, under their bare names
    #[arg(long, value_name = "ROOT")]
    pub key: Option<String>,
    /// Change nothing, as before; --json has the evidence without it
    #[arg(long, hide = true)]
    pub evidence: bool,
    /// Leave out the list of tensors
    #[arg(long, conflicts_with_all = ["hash", "json"])]
    pub summary: bool,
    /// Limits how much the file may ask for.
    #[command(flatten)]
    pub limits: LimitOptions,
}

/// Holds the arguments of `vitport diff`.
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// Name a checkpoint file or folder
    pub a: PathBuf,
    /// Name another one
    pub b: PathBuf,
    /// Limits how much the files may ask for.
    #[command(flatten)]
    pub limits: LimitOptions,
}

/// Holds the arguments of `vitport models`.
#[derive(Debug, Args)]
pub struct ModelsArguments {
    /// List only names that contain this text; * and ? are wildcards
    pub pattern: Option<String>,
    /// List only models that can be converted
    #[arg(long)]
    pub convertible: bool,
    /// List only this family, such as vit or cvt
    #[arg(long, value_name = "NAME")]
    pub family: Option<String>,
    /// List only what becomes a class whose name contains this text
    #[arg(long, value_name = "CLASS")]
    pub becomes: Option<String>,
    /// List only licences that contain this text, or unknown
    #[arg(long, value_name = "LICENCE")]
    pub license: Option<String>,
    /// Choose the order of the rows
    #[arg(long, value_name = "BY", default_value = "table")]
    pub sort: SortBy,
    /// Put the last row first
    #[arg(long)]
    pub reverse: bool,
}

/// Names the order of the rows of `vitport models`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// Keep timm's own order
    Table,
    /// Sort by name
    Name,
    /// Put the smallest first
    Params,
    /// Put the fewest first
    Classes,
    /// Put the smallest image first
    Image,
    /// Sort by licence, unknown ones first
    License,
    /// Sort by what they become
    Becomes,
}
