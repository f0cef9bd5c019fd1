//! Which of timm's architectures a checkpoint is, as far as anything says so: an option, the `config.json`, a record inside
//! the checkpoint, the file's name, or timm's table where all that fit the weights agree.

use vitport_checkpoint::escape;

use super::structure::Structure;
use crate::identify::{Hints, IdentifyError, Known, Origin};
use crate::source::Source;
use crate::zoo::{self, Architecture, Tag};

/// An architecture that something names.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub architecture: &'static Architecture,
    /// The tag, if it was named too.
    pub tag: Option<&'static Tag>,
    pub origin: Origin,
}

impl Named {
    /// The architecture's name, with the tag if it is known.
    pub fn name(&self) -> String {
        self.tag.map_or_else(|| self.architecture.name.clone(), Tag::full_name)
    }
}

/// The architecture that is named by the first of: `--arch`, `config.json`, a record in the checkpoint, the file's name.
/// The last two count only if the weights have that architecture's structure.
///
/// # Errors
/// [`IdentifyError::UnknownName`] or [`IdentifyError::NoTarget`] for a name that timm does not have here,
/// [`IdentifyError::Contradiction`] for an `--arch` that the weights are not.
pub(super) fn named(
    source: &Source,
    hints: &Hints,
    structure: &Structure,
) -> Result<Option<Named>, IdentifyError> {
    if let Some(name) = &hints.arch {
        let found = look_up(name, Origin::Option("--arch"))?;
        check_target(&found)?;
        if let Some(difference) = difference(found.architecture, structure) {
            let reason =
                format!("{difference}; name another architecture, or leave it out and give --num-heads");
            return Err(IdentifyError::Contradiction { option: format!("--arch {}", escape(name)), reason });
        }
        return Ok(Some(found));
    }
    if let Some(config) = &source.config {
        let mut found = look_up(&config.architecture, Origin::HubConfig("architecture"))?;
        check_target(&found)?;
        found.tag =
            config.tag().and_then(|tag| zoo::tags_of(&found.architecture.name).find(|row| row.tag == tag));
        return Ok(Some(found));
    }
    let recorded = ["arch", "args.model", "hyper_parameters.model_name"]
        .into_iter()
        .filter_map(|key| Some((source.recorded(key)?, Origin::Checkpoint(key.to_owned()))));
    let stem = source.stem();
    let by_file = std::iter::once((stem.as_str(), Origin::FileName(escape(&stem).to_string())));
    for (name, origin) in recorded.chain(by_file) {
        if let Some(found) = find(name, origin)
            && difference(found.architecture, structure).is_none()
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn find(name: &str, origin: Origin) -> Option<Named> {
    let found = zoo::find(name)?;
    let tag = (!found.default_tag).then_some(found.tag);
    Some(Named { architecture: found.architecture, tag, origin })
}

fn look_up(name: &str, origin: Origin) -> Result<Named, IdentifyError> {
    if let Some(found) = find(name, origin) {
        return Ok(found);
    }
    if let Some(module) = zoo::other_family(name) {
        return Err(IdentifyError::NoTarget {
            what: format!("timm's {name}"),
            why: format!("it is of timm's family `{module}`, which has no mapping here yet"),
            tensor: None,
            instead: "vitport converts timm's vision_transformer and deit models and Microsoft's CvT"
                .to_owned(),
        });
    }
    let suggestion = match zoo::suggest(name).as_slice() {
        [] => String::new(),
        names => format!(" (did you mean {}?)", names.join(", ")),
    };
    Err(IdentifyError::UnknownName { name: name.to_owned(), suggestion })
}

/// Refuses architectures whose difference from a plain ViT leaves no trace in the weights.
fn check_target(named: &Named) -> Result<(), IdentifyError> {
    let architecture = named.architecture;
    let structure = &architecture.structure;
    let refused = |what: &str, why: &str| {
        let row = zoo::tags_of(&architecture.name).next();
        let instead = match row.and_then(|row| row.target.as_deref()) {
            Some(class) => format!("{class} could hold it, which vitport does not write yet"),
            None => "no class in transformers holds it".to_owned(),
        };
        Err(IdentifyError::NoTarget {
            what: format!("timm's {} ({what})", architecture.name),
            why: why.to_owned(),
            tensor: None,
            instead,
        })
    };
    if structure.block != "Block" {
        return refused(&structure.block, "its blocks are not the pre-norm blocks of transformers' ViT");
    }
    if structure.attn.as_deref() != Some("Attention") || structure.mlp.as_deref() != Some("Mlp") {
        return refused("another attention or MLP", "transformers' ViT has plain ones");
    }
    if architecture.global_pool != "token" {
        let what = format!("global_pool {}", architecture.global_pool);
        return refused(&what, "ViTForImageClassification reads the class token");
    }
    Ok(())
}

/// Whether the weights have the structure of an architecture, class count apart; if not, the first difference in words.
pub(super) fn difference(architecture: &Architecture, structure: &Structure) -> Option<String> {
    let theirs = &architecture.structure;
    let name = &architecture.name;
    let numbers = [
        ("channels", architecture.embed_dim as u64, structure.width),
        ("blocks", architecture.depth as u64, structure.depth),
        ("channels in its MLP", architecture.mlp_dim as u64, structure.mlp),
        ("pixels in a patch's height", architecture.patch_size[0] as u64, structure.patch[0]),
        ("pixels in a patch's width", architecture.patch_size[1] as u64, structure.patch[1]),
    ];
    if let Some((what, expected, found)) = numbers.into_iter().find(|(_, expected, found)| expected != found)
    {
        return Some(format!("{name} has {expected} {what}, the weights {found}"));
    }
    let flags = [
        ("a position for the class token", !theirs.no_embed_class, structure.class_position),
        ("biases of queries, keys and values", theirs.qkv_bias, structure.qkv_bias),
        ("layer scale", theirs.layer_scale, structure.layer_scale.is_some()),
        ("a class token", theirs.class_token, true),
        ("register or distillation tokens", theirs.reg_tokens > 0 || theirs.dist_token, false),
        ("a norm before the first block", theirs.norm_pre, false),
    ];
    let has = |flag: bool| if flag { "has" } else { "has no" };
    let (what, expected, found) = flags.into_iter().find(|(_, expected, found)| expected != found)?;
    Some(format!("{name} {} {what}, the file {} such tensors", has(expected), has(found)))
}

/// Architectures whose structure the weights have.
pub(super) fn candidates(structure: &Structure) -> Vec<&'static Architecture> {
    zoo::architectures()
        .filter(|architecture| {
            architecture.global_pool == "token" && difference(architecture, structure).is_none()
        })
        .collect()
}

/// The number of attention heads of a bare file: what all architectures of this width and depth that fit have.
///
/// # Errors
/// [`IdentifyError::Undecided`] if they disagree or there are none.
pub(super) fn heads_of_all(structure: &Structure) -> Result<Known<u64>, IdentifyError> {
    let fitting = candidates(structure);
    let alike = || {
        let is_alike = |a: &&Architecture| {
            a.structure.block == "Block"
                && a.structure.class_token
                && a.structure.attn.as_deref() == Some("Attention")
                && (a.embed_dim as u64, a.depth as u64) == (structure.width, structure.depth)
        };
        zoo::architectures().filter(is_alike).collect::<Vec<_>>()
    };
    let (known, which) = match fitting.as_slice() {
        [] => (alike(), "its class-token architectures of this width and depth".to_owned()),
        [only] => (fitting.clone(), only.name.clone()),
        several => (several.to_vec(), format!("the {} architectures that fit", several.len())),
    };
    let mut counts: Vec<u64> = known.iter().map(|architecture| architecture.heads as u64).collect();
    counts.sort_unstable();
    counts.dedup();
    match counts.as_slice() {
        [heads] => Ok(Known::new(*heads, Origin::AllCandidates(which))),
        _ => {
            let divisors = (1..=64_u64)
                .filter(|heads| structure.width.is_multiple_of(*heads) && structure.width / heads >= 8);
            let shown = divisors.map(|heads| heads.to_string()).collect::<Vec<_>>().join(", ");
            Err(IdentifyError::Undecided {
                question: format!(
                    "the number of attention heads leaves no trace in the weights, and timm has no ViT of {} channels and {} blocks",
                    structure.width, structure.depth
                ),
                candidates: shown,
                option: "give --num-heads N, or --arch NAME if it is one of timm's".to_owned(),
            })
        }
    }
}
