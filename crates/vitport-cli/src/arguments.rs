//! The command line as clap sees it. Values are texts and numbers here; [`Facts::request`] makes of them what the library
//! wants.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use vitport::convert::Request;
use vitport::folder::layout::{DEFAULT_SHARD_SIZE, parse_size};
use vitport::identify::{Hints, LabelChoice};
use vitport::image::{CropMode, Filter};
use vitport::labels::LabelSet;
use vitport_checkpoint::{Dtype, escape};

use crate::commands::batch::Shard;
use crate::failure::Failure;
use crate::limits::LimitArguments;

/// Bytes that a rule file may have; the built-in ones have some thousands.
const MAX_RULES: u64 = 1 << 20;

/// Carry a vision model from timm or Microsoft's CvT to a Hugging Face transformers folder, and prove that it is still the
/// same model.
#[derive(Debug, Parser)]
#[command(name = "vitport", version, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Arguments {
    /// Options that every command has.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command has.
#[derive(Debug, Args)]
pub struct Common {
    /// Print one JSON document on standard output and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors and what was asked for
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more: where every fact came from
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to colour the output
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to colour the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Tells the streams.
    pub fn write_global(self) {
        match self {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Convert a model into a transformers folder
    Convert(Box<Convert>),
    /// Convert many models, one for each line of a file
    Batch(Batch),
    /// Show what convert would do, tensor by tensor; write nothing
    Plan(Box<Plan>),
    /// Show what is in a checkpoint
    Inspect(Inspect),
    /// Run source and folder on a picture and compare them in everything
    Verify(Box<Verify>),
    /// Run a folder's model on pictures
    Classify(Classify),
    /// Compare two checkpoints or folders, tensor by tensor
    Diff(Diff),
    /// List every known architecture and tag, and what it becomes
    Models(Models),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Facts about a model that the source may leave open. Each overrides one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Facts about the model")]
pub struct Facts {
    /// Architecture, with or without a pretrained tag: vit_base_patch16_224.augreg_in21k, cvt-13
    #[arg(long, value_name = "NAME[.TAG]", alias = "cvt_model")]
    pub arch: Option<String>,
    /// Attention heads: one number for a ViT, one a stage for a CvT (1,3,6)
    #[arg(long, value_name = "N", alias = "num_heads", value_delimiter = ',')]
    pub num_heads: Option<Vec<u64>>,
    /// Picture size in pixels: 384, or HEIGHTxWIDTH
    #[arg(long, value_name = "SIZE", alias = "image_size", value_parser = picture_size)]
    pub image_size: Option<[u64; 2]>,
    /// Class names: a file, imagenet-1k, imagenet-12k, imagenet-21k-goog, imagenet-21k-miil, imagenet-22k,
    /// imagenet-22k-ms, or none
    #[arg(long, value_name = "FILE|SET|none")]
    pub labels: Option<String>,
    /// Mean of each channel on a 0 to 1 scale: 0.5 or 0.485,0.456,0.406
    #[arg(long, value_name = "R,G,B", value_parser = channels)]
    pub mean: Option<[f64; 3]>,
    /// Standard deviation of each channel on a 0 to 1 scale
    #[arg(long, value_name = "R,G,B", value_parser = deviations)]
    pub std: Option<[f64; 3]>,
    /// Share of the resized picture that the crop keeps
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    pub crop_pct: Option<f64>,
    /// What is cut off: center or squash
    #[arg(long, value_name = "MODE", value_parser = crop_mode)]
    pub crop_mode: Option<CropMode>,
    /// How pictures are resized: bicubic, bilinear, lanczos, nearest, box, hamming
    #[arg(long, value_name = "NAME", value_parser = interpolation)]
    pub interpolation: Option<Filter>,
    /// Epsilon of the layer norms
    #[arg(long, value_name = "EPS", value_parser = epsilon)]
    pub layer_norm_eps: Option<f64>,
    /// Leave the classification head out
    #[arg(long)]
    pub no_head: bool,
    /// The nested part of the checkpoint that holds the weights
    #[arg(long, value_name = "ROOT")]
    pub key: Option<String>,
    /// Dtype of the written weights; as in the source if it is not given
    #[arg(long, value_name = "DTYPE", value_parser = dtype)]
    pub dtype: Option<Dtype>,
    /// A rule file instead of the built-in one
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// How much the file may ask for.
    #[command(flatten)]
    pub limits: LimitArguments,
}

/// Where the model comes from.
#[derive(Debug, Args)]
pub struct SourceArgument {
    /// A weight file (.pth .pt .bin .safetensors), a folder that holds one, a timm name, or a repository on the Hub
    #[arg(value_name = "SOURCE", conflicts_with_all = ["vit_name", "cvt_file_name"])]
    pub source: Option<OsString>,
    /// The original ViT script's name for SOURCE
    #[arg(long = "vit_name", value_name = "NAME", hide = true, conflicts_with = "cvt_file_name")]
    pub vit_name: Option<OsString>,
    /// The original CvT script's name for SOURCE
    #[arg(long = "cvt_file_name", value_name = "FILE", hide = true)]
    pub cvt_file_name: Option<OsString>,
}

/// How a SOURCE is had that is no path.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "The Hub")]
pub struct Hub {
    /// Branch, tag or commit of a repository on the Hub
    #[arg(long, value_name = "REV")]
    pub revision: Option<String>,
    /// Use only what is in the cache
    #[arg(long)]
    pub offline: bool,
}

/// `vitport convert`.
#[derive(Debug, Args)]
pub struct Convert {
    /// Where the model comes from.
    #[command(flatten)]
    pub source: SourceArgument,
    /// Folder to make; the model's name if it is not given
    #[arg(short, long, value_name = "OUT", alias = "pytorch_dump_folder_path")]
    pub out: Option<PathBuf>,
    /// Replace OUT if it is a model folder
    #[arg(long)]
    pub force: bool,
    /// Most bytes in one weight file
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = shard_size)]
    pub max_shard_size: u64,
    /// Do not wait until the files are on the disk
    #[arg(long)]
    pub no_fsync: bool,
    /// Do not run the networks
    #[arg(long, conflicts_with_all = ["image", "strict", "report", "keep_anyway"])]
    pub no_verify: bool,
    /// Publish the folder even if the networks disagree
    #[arg(long)]
    pub keep_anyway: bool,
    /// Add the source's exact network as code, for trust_remote_code=True (CvT)
    #[arg(long)]
    pub with_exact_code: bool,
    /// Write no model card; with --force, keep the README.md that is there
    #[arg(long)]
    pub no_card: bool,
    /// How both networks are compared.
    #[command(flatten)]
    pub weighing: Weighing,
    /// Facts about the model.
    #[command(flatten)]
    pub facts: Facts,
    /// How a SOURCE is had that is no path.
    #[command(flatten)]
    pub hub: Hub,
}

/// `vitport batch`.
#[derive(Debug, Args)]
pub struct Batch {
    /// One JSON object a line: {"source": …, "out": …} and the names of convert's options; - for standard input
    #[arg(value_name = "JOBS.jsonl")]
    pub jobs_file: PathBuf,
    /// Conversions at a time
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = workers)]
    pub jobs: usize,
    /// Leave out what an earlier run has done
    #[arg(long)]
    pub resume: bool,
    /// Only this share of the jobs: 0/4 to 3/4, or 1/4 to 4/4
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Where to write what was done; JOBS.results.jsonl if it is not given, with the shard in its name
    #[arg(long, value_name = "FILE")]
    pub results: Option<PathBuf>,
}

/// How both networks are compared.
#[derive(Debug, Args)]
#[command(next_help_heading = "Weighing")]
pub struct Weighing {
    /// Picture to run both networks on (JPEG, PNG or WebP); a built-in one if it is not given
    #[arg(long, value_name = "PATH|URL")]
    pub image: Option<OsString>,
    /// Count a known deviation as a failure
    #[arg(long)]
    pub strict: bool,
    /// Write a report: one page for .html, otherwise JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `vitport verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Where the model comes from: a file, a folder or a name
    #[arg(value_name = "SOURCE")]
    pub source: OsString,
    /// The transformers folder
    pub folder: PathBuf,
    /// How both networks are compared.
    #[command(flatten)]
    pub weighing: Weighing,
    /// Facts about the model.
    #[command(flatten)]
    pub facts: Facts,
    /// How a SOURCE is had that is no path.
    #[command(flatten)]
    pub hub: Hub,
}

/// `vitport classify`.
#[derive(Debug, Args)]
pub struct Classify {
    /// A transformers folder of a class that vitport runs
    pub folder: PathBuf,
    /// Pictures (JPEG, PNG or WebP)
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<OsString>,
    /// How much the weights' file may ask for.
    #[command(flatten)]
    pub limits: LimitArguments,
}

/// `vitport plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// Where the model comes from.
    #[command(flatten)]
    pub source: SourceArgument,
    /// Facts about the model.
    #[command(flatten)]
    pub facts: Facts,
    /// How a SOURCE is had that is no path.
    #[command(flatten)]
    pub hub: Hub,
    /// Print the rule file that SOURCE is planned by, as a beginning for one's own (--rules), and nothing else
    #[arg(long)]
    pub print_rules: bool,
}

/// `vitport inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A checkpoint file, or a folder that holds one
    pub file: PathBuf,
    /// Print the sha256 of each tensor's values (row-major, little-endian)
    #[arg(long)]
    pub hash: bool,
    /// Only the tensors of this nested part, under their bare names
    #[arg(long, value_name = "ROOT")]
    pub key: Option<String>,
    /// With --json, print an object with all the evidence, not only the list of tensors
    #[arg(long)]
    pub evidence: bool,
    /// Leave out the list of tensors
    #[arg(long, conflicts_with_all = ["hash", "json"])]
    pub summary: bool,
    /// How much the file may ask for.
    #[command(flatten)]
    pub limits: LimitArguments,
}

/// `vitport diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// A checkpoint file or folder
    pub a: PathBuf,
    /// Another one
    pub b: PathBuf,
    /// How much the files may ask for.
    #[command(flatten)]
    pub limits: LimitArguments,
}

/// `vitport models`.
#[derive(Debug, Args)]
pub struct Models {
    /// Only names that hold this text; * and ? are wildcards
    pub pattern: Option<String>,
    /// Only models that can be converted
    #[arg(long)]
    pub convertible: bool,
    /// Only this family: vit (timm's) or cvt (Microsoft's)
    #[arg(long, value_name = "NAME")]
    pub family: Option<String>,
    /// Only what becomes a class whose name holds this text
    #[arg(long, value_name = "CLASS")]
    pub becomes: Option<String>,
    /// Only licences that hold this text, or unknown
    #[arg(long, value_name = "LICENCE")]
    pub license: Option<String>,
    /// Order of the rows
    #[arg(long, value_name = "BY", default_value = "table")]
    pub sort: SortBy,
    /// Last row first
    #[arg(long)]
    pub reverse: bool,
}

/// Order of the rows of `vitport models`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// timm's own order
    Table,
    /// By name
    Name,
    /// Smallest first
    Params,
    /// Fewest first
    Classes,
    /// Smallest picture first
    Image,
    /// By licence, unknown ones first
    License,
    /// By what they become
    Becomes,
}

impl Facts {
    /// What the library is asked for.
    ///
    /// # Errors
    /// A usage failure for a rule file that cannot be read.
    pub fn request(self) -> Result<Request, Failure> {
        let labels = self.labels.map(|labels| match labels.as_str() {
            "none" => LabelChoice::None,
            name => {
                LabelSet::from_name(name).map_or_else(|| LabelChoice::File(name.into()), LabelChoice::Set)
            }
        });
        let rules = self.rules.map(|path| match read_rules(&path) {
            Ok(text) => Ok((path.display().to_string(), text)),
            Err(error) => {
                let path = path.display().to_string();
                Err(Failure::usage(format!("{}: {error}; give a readable rule file", escape(&path))))
            }
        });
        Ok(Request {
            hints: Hints {
                arch: self.arch,
                num_heads: self.num_heads,
                image_size: self.image_size,
                labels,
                mean: self.mean,
                std: self.std,
                crop_pct: self.crop_pct,
                crop_mode: self.crop_mode,
                interpolation: self.interpolation,
                layer_norm_eps: self.layer_norm_eps,
                without_head: self.no_head,
            },
            root: self.key,
            rules: rules.transpose()?,
            dtype: self.dtype,
            limits: self.limits.limits(),
        })
    }
}

/// The text of a rule file, which may be a pipe, but not an endless one.
fn read_rules(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(MAX_RULES + 1).read_to_string(&mut text)?;
    match read as u64 > MAX_RULES {
        true => Err(std::io::Error::other(format!("it has more than {MAX_RULES} bytes"))),
        false => Ok(text),
    }
}

fn workers(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if (1..=1024).contains(&count) => Ok(count),
        _ => Err("a number of conversions at a time is 1 to 1024".to_owned()),
    }
}

fn picture_size(text: &str) -> Result<[u64; 2], String> {
    let edge = |text: &str| match text.trim().parse::<u64>() {
        Ok(edge) if (1..=65_536).contains(&edge) => Ok(edge),
        _ => Err("a picture size is one number of pixels, or HEIGHTxWIDTH, up to 65536".to_owned()),
    };
    match text.split_once(['x', 'X']) {
        Some((height, width)) => Ok([edge(height)?, edge(width)?]),
        None => edge(text).map(|edge| [edge, edge]),
    }
}

fn channels(text: &str) -> Result<[f64; 3], String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|number| number.trim().parse::<f64>()).collect();
    match numbers.as_deref() {
        Ok(&[one]) if one.is_finite() => Ok([one; 3]),
        Ok(&[red, green, blue]) if [red, green, blue].iter().all(|n| n.is_finite()) => Ok([red, green, blue]),
        _ => Err("give one number, or three with commas between them".to_owned()),
    }
}

fn deviations(text: &str) -> Result<[f64; 3], String> {
    let deviations = channels(text)?;
    match deviations.iter().all(|&deviation| deviation > 0.0) {
        true => Ok(deviations),
        false => Err("a standard deviation is above 0".to_owned()),
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(fraction) if fraction > 0.0 && fraction <= 16.0 => Ok(fraction),
        _ => Err("a crop fraction is above 0, most often 0.875 to 1".to_owned()),
    }
}

fn epsilon(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(epsilon) if epsilon > 0.0 && epsilon < 1.0 => Ok(epsilon),
        _ => Err("an epsilon is between 0 and 1, such as 1e-6".to_owned()),
    }
}

fn crop_mode(text: &str) -> Result<CropMode, String> {
    match CropMode::from_name(text) {
        mode if mode.name() == text => Ok(mode),
        _ => Err("crop modes are center, squash and border".to_owned()),
    }
}

fn interpolation(text: &str) -> Result<Filter, String> {
    let known = "interpolations are bicubic, bilinear, lanczos, nearest, box and hamming";
    Filter::from_name(text).ok_or_else(|| known.to_owned())
}

fn dtype(text: &str) -> Result<Dtype, String> {
    match text {
        "f32" | "float32" => Ok(Dtype::F32),
        "f16" | "float16" => Ok(Dtype::F16),
        "bf16" | "bfloat16" => Ok(Dtype::BF16),
        _ => Err("dtypes are f32, f16 and bf16".to_owned()),
    }
}

fn shard_size(text: &str) -> Result<u64, String> {
    match parse_size(text).map_err(|error| error.to_string())? {
        0 => Err(format!("a shard holds at least one byte; the default is {} bytes", DEFAULT_SHARD_SIZE)),
        size => Ok(size),
    }
}
