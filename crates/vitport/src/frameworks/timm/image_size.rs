//! What is said of the size of an image next to the tensors whose shapes show it, and how both go together.

use serde_json::Value;

use super::super::framework;
use super::super::source::Inquiry;
use super::named::Named;
use super::registry::{self, Tag};
use super::saved_module::SavedConfig;
use super::statements::INPUT_SIZE;
use super::training::Training;
use super::{TimmConfig, TimmDefinition, arguments};
use crate::facts::{Evidence, Fact, FactError, Facts, Origin, Question, is_same};
use crate::options::FactOptions;

/// Holds heights and widths in pixels.
pub(super) struct SaidSize {
    /// Gives what an option says.
    wanted: Option<[u64; 2]>,
    /// Gives what the source says: its training, its config, or the module that was saved whole.
    stated: Option<[u64; 2]>,
}

impl SaidSize {
    /// Collects what is said.
    ///
    /// # Errors
    /// Returns [`FactError`] for a config or training arguments that cannot be.
    pub(super) fn of(inquiry: &Inquiry<'_>) -> Result<Self, FactError> {
        let trained = Training::of(inquiry.source)?.image_size();
        let configured =
            TimmConfig::of(inquiry.source)?.as_ref().map(arguments::image_size).transpose()?.flatten();
        let saved = || inquiry.modules.pair("patch_embed", "img_size");
        let stated = trained.or(configured).or_else(saved);
        Ok(Self { wanted: inquiry.options.image_size, stated })
    }

    /// Returns what the option says, or else the source.
    pub(super) fn any(&self) -> Option<[u64; 2]> {
        self.wanted.or(self.stated)
    }

    /// Fails where the option contradicts what the source says and its shapes allow.
    ///
    /// # Errors
    /// Returns [`FactError::Contradiction`].
    pub(super) fn check(&self, fits: impl Fn(&[u64; 2]) -> bool) -> Result<(), FactError> {
        match (self.wanted, self.stated.filter(fits)) {
            (Some(wanted), Some(stated)) if wanted != stated => Err(contradiction(
                wanted,
                format!(
                    "the source says {}x{} pixels, which go with its positions; --resample-to {}x{} resamples them",
                    stated[0], stated[1], wanted[0], wanted[1]
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Adds the size that the shape of a tensor shows. `holds` says what that tensor is.
    ///
    /// # Errors
    /// Returns [`FactError::Contradiction`] where the option says another.
    pub(super) fn settle(
        &self,
        image: [u64; 2],
        (tensor, holds): (&str, &str),
        evidence: &mut Evidence,
    ) -> Result<(), FactError> {
        let [height, width] = image;
        if let Some(wanted) = self.wanted.filter(|wanted| *wanted != image) {
            let [to_height, to_width] = wanted;
            let reason = format!(
                "its {holds} are those of {height}x{width} pixels; --resample-to {to_height}x{to_width} resamples them"
            );
            return Err(contradiction(wanted, reason));
        }
        let origin = match (self.stated, self.wanted) {
            (Some(_), _) => Origin::Weights(tensor.to_owned()),
            (None, Some(_)) => Origin::Option("--image-size"),
            // Other sizes may have as many positions.
            (None, None) => Origin::Convention(format!("a square has as many positions as {tensor}")),
        };
        evidence.add("img_size", image.to_vec(), origin);
        Ok(())
    }
}

fn contradiction([height, width]: [u64; 2], reason: String) -> FactError {
    FactError::contradiction(format!("--image-size {height}x{width}"), reason)
}

/// Holds the facts that a config states, by what becomes of those about the size.
pub(super) struct StatedSizes {
    /// Lists the facts that hold.
    pub kept: Vec<Fact>,
    /// Lists the sizes in whose place an option says another.
    pub overridden: Vec<Fact>,
    /// Names a size that nothing is made of.
    pub left: Option<String>,
}

impl TimmDefinition {
    /// Decides between the size of images that a config gives, for which timm's transform prepares them, and the size of the network, that
    /// of `facts` or an argument. A network whose positions are computed takes the images as they come. One for a single size refuses
    /// others, so what is said of the images is left; one that was told to take all resamples its positions for them, and both are kept,
    /// which contradict each other.
    pub(super) fn stated_sizes(
        &self,
        config: Option<&TimmConfig<'_>>,
        stated: Vec<Fact>,
        facts: &Facts,
        options: &FactOptions,
    ) -> StatedSizes {
        let is_size = |fact: &Fact| fact.name == "img_size";
        let is_of_images =
            |fact: &Fact| is_size(fact) && matches!(&fact.origin, Origin::Config(key) if key == INPUT_SIZE);
        let of_images = stated.iter().find(|fact| is_of_images(fact)).map(|fact| fact.value.clone());
        let of_argument = || stated.iter().find(|fact| is_size(fact) && !is_of_images(fact));
        let of_network = facts.get("img_size").or_else(of_argument).map(|fact| fact.value.clone());
        let differ = matches!((&of_images, &of_network), (Some(one), Some(other)) if !is_same(one, other));
        let says = |name: &str, value: bool| {
            config.and_then(|config| config.argument(name)).and_then(Value::as_bool) == Some(value)
        };
        // Positions that are no tensor are rotations.
        let has_rotations = self.fields().any(|field| field.fact == "rope_type");
        let is_shown = facts.get("img_size").is_some();
        let computes_positions = has_rotations && !is_shown && !says("dynamic_img_size", false);
        let takes_all = says("dynamic_img_size", true) || says("strict_img_size", false);
        // Then timm makes the network for images of this size.
        let is_fixed = config.is_some_and(TimmConfig::has_fixed_size);
        let mut sizes = StatedSizes { kept: Vec::new(), overridden: Vec::new(), left: None };
        for fact in stated {
            let is_overridden = is_size(&fact)
                && (options.image_size.is_some() || is_of_images(&fact) && options.resample_to.is_some());
            if is_overridden {
                sizes.overridden.push(fact);
            } else if differ && computes_positions && is_size(&fact) && !is_of_images(&fact) {
                sizes.left = Some(fact.origin.to_string());
            } else if differ && !computes_positions && !takes_all && !is_fixed && is_of_images(&fact) {
                sizes.left = Some(format!("config.json: {INPUT_SIZE}"));
            } else {
                sizes.kept.push(fact);
            }
        }
        sizes
    }

    /// Says the size of the image: by the weights, else by an option, the training arguments, the config, the
    /// module that was saved whole, or the tag that is named.
    /// A size of the arguments that is not that of the weights is a contradiction, unless an option decides: `overridden` is what the
    /// config says otherwise then.
    pub(super) fn image_size(
        &self,
        inquiry: &Inquiry<'_>,
        (config, saved): (Option<&TimmConfig<'_>>, Option<&SavedConfig>),
        overridden: Vec<Fact>,
        training: &mut Training,
        named: Option<&Named>,
        evidence: &mut Evidence,
    ) -> Result<(), FactError> {
        let wanted = inquiry.options.image_size;
        let of_tag = named.and_then(|named| {
            let origin = |tag: &Tag| match named.tag {
                Some(_) => registry::origin(&tag.full_name()),
                None => named.of_default_tag(&tag.full_name()),
            };
            let tag = named.tag.or_else(|| framework::tags_of(named.architecture.name).first().copied())?;
            let [_, height, width] = tag.input_size;
            Some(([height as u64, width as u64], origin(tag)))
        });
        let of_training =
            training.size.clone().map(|size| Fact::new("img_size", size.value.to_vec(), size.origin));
        if evidence.has("img_size") || evidence.is_asked("img_size") {
            if let (Some(fact), true, None) = (of_training, training.is_strict, wanted) {
                evidence.state(fact);
            } else {
                training.leave_other_size(evidence.facts().pair("img_size"));
            }
            let known = evidence.facts().pair("img_size");
            // The size that an option says was compared with shapes before; that of modules which were saved whole was not.
            if let (Some(wanted), Some(size), Some(fact)) = (wanted, known, evidence.facts().get("img_size"))
                && wanted != size
            {
                let ([height, width], [to_height, to_width]) = (size, wanted);
                let reason = format!(
                    "the network is for {height}x{width} pixels according to {}; --resample-to {to_height}x{to_width} makes it one for others",
                    fact.origin
                );
                return Err(contradiction(wanted, reason));
            }
            let of_architecture = named.and_then(|named| {
                let size = named.architecture.pair("img_size")?.map(|edge| edge as u64);
                Some((size, registry::origin(named.architecture.name)))
            });
            for (size, origin) in of_architecture.into_iter().chain(of_tag) {
                if known == Some(size) {
                    evidence.add("img_size", size.to_vec(), origin);
                }
            }
            return Ok(());
        }
        let of_config = config.map(arguments::image_size).transpose()?.flatten();
        let of_config = of_config
            .filter(|_| overridden.is_empty())
            .map(|size| Fact::new("img_size", size.to_vec(), Origin::Config(INPUT_SIZE.to_owned())));
        // A fine-tune keeps the `pretrained_cfg` of the weights that it began with, and its training may say otherwise.
        let of_module = saved.filter(|_| of_training.is_none()).and_then(|saved| {
            Some(Fact::new("img_size", saved.image_size()?.to_vec(), saved.origin("input_size")))
        });
        let stated: Vec<Fact> =
            of_training.into_iter().chain(overridden).chain(of_config).chain(of_module).collect();
        if let Some(size) = wanted {
            let fact = Fact::new("img_size", size.to_vec(), Origin::Option("--image-size"));
            let other = stated.into_iter().find(|other| !is_same(&other.value, &fact.value));
            evidence.state(match other {
                Some(other) => fact.in_place_of(other),
                None => fact,
            });
        } else if !stated.is_empty() {
            stated.into_iter().for_each(|fact| evidence.state(fact));
        } else if let Some((size, origin)) = of_tag {
            evidence.add("img_size", size.to_vec(), origin);
        } else {
            let what =
                format!("the size of the image cannot be inferred from the weights of this {}", self.family);
            let question = Question::new("img_size", what, "--image-size", "N");
            evidence.ask(question.with_candidates([224]).or("--arch NAME.TAG"));
        }
        Ok(())
    }
}
