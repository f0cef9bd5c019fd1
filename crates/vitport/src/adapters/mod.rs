//! LoRA adapters of peft next to the weights that they are added to, in the same file or in one of their own (`separate`).
//!
//! Each pair of an adapter is added in float64 to its weight, which is rounded once to its own dtype, as peft's `merge_and_unload`
//! does in the adapters' dtype (peft/tuners/lora/layer.py, `get_delta_weight`). Layers that were trained as a whole
//! (`modules_to_save`) take the place of the original ones. What peft computes in another way is refused by name: DoRA, adapters of
//! embeddings, adapters with a bias, other methods than LoRA.

mod product;
mod separate;
mod settings;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use foldhash::fast::RandomState;
use vitport_checkpoint::{Tensor, escape};

pub use self::separate::Adapter;
use self::separate::{FILES, Laid};
use self::settings::Settings;
use crate::facts::{Fact, FactError, Origin, Question};
use crate::options::FactOptions;
use crate::pipeline::ConvertError;
use crate::plan::Dropped;
use crate::source::{Source, SourceError};
use crate::state_dict::StateDict;

/// Lists parts of names of adapters that are not a pair of matrices: what stands in a name, and what it is.
const OTHERS: [(&str, &str); 12] = [
    (".lora_magnitude_vector", "DoRA, which scales each row of the sum"),
    (".lora_embedding_", "LoRA of an embedding"),
    (".lora_E", "AdaLoRA"),
    (".lora_", "LoRA that is not kept as peft keeps it"),
    (".hada_", "LoHa"),
    (".lokr_", "LoKr"),
    (".ia3_", "IA³"),
    (".oft_", "OFT"),
    (".boft_", "BOFT"),
    (".vera_", "VeRA"),
    (".randlora_", "RandLora"),
    (".prefix_encoder.", "prefix tuning"),
];

/// Says what to do about adapters that are not merged here.
const INSTEAD: &str =
    "merge them with peft's `merge_and_unload()` and save the state dict of what it returns";

/// Describes a network after its adapters were added to its weights.
#[derive(Debug)]
pub struct Merged {
    /// Holds the network's tensors, without adapters.
    pub state_dict: StateDict,
    /// Counts the tensors that adapters were added to.
    pub merged: usize,
    /// Says which they are, and by which factor.
    pub facts: Vec<Fact>,
    /// Lists layers in whose place others were trained.
    pub replaced: Vec<Dropped>,
    /// Asks for the factor, where nothing says it; then nothing was added.
    pub question: Option<Question>,
}

/// Refuses a folder whose adapters lie in a file next to that of the weights and were not asked for.
///
/// # Errors
/// Returns [`FactError::NoTarget`].
pub fn refuse_apart(source: &Source) -> Result<(), FactError> {
    let is_open = source.adapter.is_none() && source.path.is_dir();
    let Some(file) = source.checkpoint.files().first().filter(|_| is_open) else {
        return Ok(());
    };
    let is_apart = |name: &&str| !file.path.ends_with(name) && source.path.join(name).is_file();
    match FILES.iter().find(|name| is_apart(name)) {
        None => Ok(()),
        Some(name) => Err(FactError::NoTarget {
            what: "a folder with adapters of peft next to its weights".to_owned(),
            why: "it does not say whether they should be merged into the weights".to_owned(),
            tensor: Some((*name).to_owned()),
            instead: format!(
                "to add them, run `vitport convert {} --adapter {}`; for the network without them, give the file of the weights",
                quoted(&file.path),
                quoted(&source.path)
            ),
        }),
    }
}

/// Refuses adapters without the weights that they are added to.
///
/// # Errors
/// Returns [`FactError::NoTarget`].
pub fn refuse_alone(source: &Source, state_dict: &StateDict) -> Result<(), FactError> {
    match state_dict.iter().find(|(name, _)| name.contains(".lora_A.")) {
        None => Ok(()),
        Some((name, _)) => Err(alone(source, name)),
    }
}

fn alone(source: &Source, tensor: &str) -> FactError {
    let base = Settings::base_of(&source.checkpoint)
        .map_or_else(|| "BASE".to_owned(), |base| quoted(Path::new(&base)));
    let command = format!("vitport convert {base} --adapter {}", quoted(&source.path));
    FactError::NoTarget {
        what: "a file of LoRA adapters without the weights that they were trained on".to_owned(),
        why: "adapters alone are not a whole network".to_owned(),
        tensor: Some(tensor.to_owned()),
        instead: match base.as_str() {
            "BASE" => format!("run `{command}`, with the path of those weights in place of BASE"),
            _ => format!("run `{command}`, or with the path of those weights on this machine"),
        },
    }
}

/// Returns a path as a shell takes it.
fn quoted(path: &Path) -> String {
    let shown = escape(&path.display().to_string()).to_string();
    shlex::try_quote(&shown).map_or_else(|_| shown.clone(), |quoted| quoted.into_owned())
}

/// Refuses an alpha without adapters.
///
/// # Errors
/// Returns [`FactError::Contradiction`].
pub fn check_alpha(merged: usize, alpha: Option<f64>) -> Result<(), FactError> {
    match alpha.filter(|_| merged == 0) {
        None => Ok(()),
        Some(alpha) => {
            let reason = "there are no LoRA adapters next to its weights";
            Err(FactError::contradiction(format!("--lora-alpha {alpha}"), reason))
        }
    }
}

/// Adds adapters to the weights of a network: those among its tensors, or those of the source's own adapter. `outside` are the
/// tensors next to the network.
///
/// # Errors
/// Returns [`FactError::NoTarget`] for adapters that are not read, [`FactError::Contradiction`] for an alpha that does not fit, and
/// [`SourceError`] for tensors that cannot be read.
pub fn merge(
    source: &mut Source,
    state_dict: &StateDict,
    outside: &mut [Arc<Tensor>],
    options: &FactOptions,
) -> Result<Merged, ConvertError> {
    let Laid { state_dict, replaced: by_adapter, fact } = separate::laid(source, state_dict, outside)?;
    let Sorted { mut kept, pairs, mut replaced, adapter } =
        Sorted::of(&state_dict, !options.drop.is_empty())?;
    replaced.extend(by_adapter);
    let mut merged =
        Merged { state_dict: StateDict::default(), merged: 0, facts: Vec::new(), replaced, question: None };
    if !pairs.is_empty() {
        check_bases(source, &pairs, &kept)?;
        let settings = Settings::of(source, &adapter)?;
        match settings.alpha(options.lora_alpha)? {
            None => merged.question = Some(unknown_alpha(&pairs)),
            Some(alpha) => {
                let scaling = settings.scaling();
                let mut bases: HashMap<Arc<str>, &mut Arc<Tensor>, RandomState> =
                    kept.iter_mut().map(|(name, tensor)| (Arc::clone(name), tensor)).collect();
                for (layer, pair) in &pairs {
                    let Some(base) = bases.get_mut(format!("{layer}.weight").as_str()) else { continue };
                    let rank = pair.down.shape.first().copied().unwrap_or(1).max(1);
                    settings.check_rank(rank)?;
                    let factor = settings::factor(&alpha, &scaling, rank);
                    let bytes = product::added(&source.checkpoint, base, &pair.down, &pair.up, factor)?;
                    let added =
                        source.checkpoint.add(Arc::clone(&base.name), base.dtype, &base.shape, &bytes);
                    **base = Arc::new(added.map_err(SourceError::from)?);
                }
                merged.merged = pairs.len();
                merged.facts = vec![adapters_fact(&pairs), alpha, scaling];
                merged.facts.extend(fact);
            }
        }
    }
    merged.state_dict = StateDict::from_entries(kept).with_taken_prefix(state_dict.prefix());
    Ok(merged)
}

/// Refuses pairs without a weight that they are added to.
fn check_bases(
    source: &Source,
    pairs: &BTreeMap<String, Pair>,
    kept: &[(Arc<str>, Arc<Tensor>)],
) -> Result<(), FactError> {
    let names: HashSet<&str, RandomState> = kept.iter().map(|(name, _)| &**name).collect();
    let has_base = |layer: &str| names.contains(format!("{layer}.weight").as_str());
    let missing: Vec<&Pair> =
        pairs.iter().filter(|(layer, _)| !has_base(layer)).map(|(_, pair)| pair).collect();
    match missing.first() {
        None => Ok(()),
        Some(pair) if missing.len() == pairs.len() => Err(alone(source, &pair.down.name)),
        Some(pair) => Err(unread(&pair.down.name, "LoRA of a layer whose weight is not there")),
    }
}

/// Holds the two matrices of an adapter's layer.
struct Pair {
    /// Holds A, shape `[rank, …inputs]`.
    down: Arc<Tensor>,
    /// Holds B, shape `[outputs, rank, …]`.
    up: Arc<Tensor>,
}

/// Holds the tensors of a network with adapters, by what they are.
struct Sorted {
    kept: Vec<(Arc<str>, Arc<Tensor>)>,
    pairs: BTreeMap<String, Pair>,
    replaced: Vec<Dropped>,
    adapter: String,
}

impl Sorted {
    /// Sorts the tensors of a network. `may_be_bare` says whether layers that are made for adapters may have none, since they were
    /// left out.
    fn of(state_dict: &StateDict, may_be_bare: bool) -> Result<Self, FactError> {
        let mut halves: BTreeMap<String, [Option<Arc<Tensor>>; 2]> = BTreeMap::new();
        let (mut kept, mut adapters, mut original) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut trained = Vec::new();
        for (name, tensor) in state_dict.entries() {
            if let Some((layer, half, adapter)) = half_of_pair(name) {
                note(&mut adapters, adapter);
                let slot = halves.entry(layer.to_owned()).or_default().get_mut(half);
                if let Some(slot) = slot {
                    *slot = Some(Arc::clone(tensor));
                }
            } else if name.contains(".lora_B.") && name.ends_with(".bias") {
                return Err(unread(name, "LoRA with a bias of its own"));
            } else if let Some((_, what)) = OTHERS.iter().find(|(part, _)| name.contains(part)) {
                return Err(unread(name, what));
            } else if let Some((layer, rest)) = name.split_once(".modules_to_save.") {
                let (adapter, parameter) = rest.split_once('.').unwrap_or((rest, ""));
                note(&mut adapters, adapter);
                trained.push((Arc::from(format!("{layer}.{parameter}")), Arc::clone(tensor)));
            } else if let Some((layer, parameter)) = name.split_once(".original_module.") {
                original.insert(format!("{layer}.{parameter}"), (Arc::clone(name), Arc::clone(tensor)));
            } else {
                kept.push((Arc::clone(name), Arc::clone(tensor)));
            }
        }
        if let [_, _, ..] = adapters.as_slice() {
            let what = format!("a network with several adapters ({})", adapters.join(", "));
            let why = "peft adds those that are active, which the file does not say".to_owned();
            let instead = "leave out those that are not meant: --drop '*.NAME.*'".to_owned();
            return Err(FactError::NoTarget { what, why, tensor: None, instead });
        }
        let mut replaced = Vec::new();
        for (name, _) in &trained {
            if let Some((old, tensor)) = original.remove(&**name as &str) {
                let name = format!("{}{old}", state_dict.prefix());
                let reason = "peft's modules_to_save were trained in its place".to_owned();
                replaced.push(Dropped { name, tensors: 1, bytes: tensor.bytes(), reason });
            }
        }
        kept.extend(trained);
        kept.extend(original.into_iter().map(|(name, (_, tensor))| (Arc::from(name), tensor)));
        let mut pairs = BTreeMap::new();
        for (layer, halves) in halves {
            match halves {
                [Some(down), Some(up)] => pairs.insert(layer, Pair { down, up }),
                [Some(only), None] | [None, Some(only)] => {
                    return Err(unread(&only.name, "half of a pair of LoRA"));
                }
                [None, None] => None,
            };
        }
        let is_bare = |tensor: &Tensor, name: &str| {
            tensor.name.contains(".base_layer.")
                && name.rsplit_once('.').is_none_or(|(layer, _)| !pairs.contains_key(layer))
        };
        if let Some((_, tensor)) = kept.iter().find(|(name, tensor)| !may_be_bare && is_bare(tensor, name)) {
            return Err(unread(&tensor.name, "a layer that is made for adapters, and no LoRA for it"));
        }
        Ok(Self { kept, pairs, replaced, adapter: adapters.pop().unwrap_or_default() })
    }
}

/// Returns the layer of a matrix of LoRA, 0 for A or 1 for B, and the adapter's name, which may be empty.
fn half_of_pair(name: &str) -> Option<(&str, usize, &str)> {
    let (half, (layer, rest)) = [".lora_A.", ".lora_B."]
        .iter()
        .enumerate()
        .find_map(|(half, part)| Some((half, name.split_once(part)?)))?;
    match rest {
        "weight" => Some((layer, half, "")),
        rest => Some((layer, half, rest.strip_suffix(".weight").filter(|adapter| !adapter.contains('.'))?)),
    }
}

fn note(adapters: &mut Vec<String>, name: &str) {
    if !adapters.iter().any(|known| known == name) {
        adapters.push(name.to_owned());
    }
}

/// Returns the refusal of adapters that are not merged here.
fn unread(tensor: &str, what: &str) -> FactError {
    FactError::NoTarget {
        what: "a network with adapters of peft next to its weights".to_owned(),
        why: format!("this is {what}, which vitport does not merge"),
        tensor: Some(tensor.to_owned()),
        instead: INSTEAD.to_owned(),
    }
}

/// Returns what was merged, as facts have it.
fn adapters_fact(pairs: &BTreeMap<String, Pair>) -> Fact {
    let mut ranks: Vec<u64> = pairs.values().filter_map(|pair| pair.down.shape.first().copied()).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let ranks = ranks.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let shown_by = pairs.values().next().map_or_else(String::new, |pair| pair.down.name.to_string());
    let count = pairs.len();
    let what = format!("LoRA of rank {ranks}, added to {count} weights in float64, rounded once");
    Fact::new("adapters", what, Origin::Weights(shown_by))
}

fn unknown_alpha(pairs: &BTreeMap<String, Pair>) -> Question {
    let shown_by = pairs.values().next().map_or("", |pair| &*pair.down.name);
    let what = format!(
        "LoRA adapters lie next to the weights ({shown_by}), and by which alpha they are multiplied is not known: no \
         adapter_config.json lies next to the file"
    );
    Question::new("lora_alpha", what, "--lora-alpha", "ALPHA")
}
