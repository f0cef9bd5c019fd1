//! Writes the `config.json` of a folder that timm opens (timm/models/_hub.py, `save_config_for_hf`): the architecture that is nearest
//! to the facts, the arguments that make it the network, its preprocessing, and the names of its classes. A network of another framework
//! is described by the same keys.

use serde_json::{Map, Value, json};

use super::super::framework;
use super::super::source::{Described, Unheld, WrittenConfig};
use super::TimmDefinition;
use super::field::{Field, Kind, RESNET_STEM};
use super::registry::{self, Architecture};
use super::structure::Sign;
use crate::facts::{FactError, Facts, is_same};
use crate::preprocessing::Preprocessing;

/// Counts as many arguments as a fact that timm's architecture does not have and no argument says.
const UNHELD: usize = 1000;

/// Lists the facts that are not compared with an architecture's: the config says the first two by keys of their own, and timm's functions
/// make an EfficientNet's stem without taking an argument for it.
const OF_ITS_OWN: [&str; 4] = ["num_classes", "img_size", "stem_chs", "stem_kernel"];

/// Names the fact of which an architecture may have another value: verification measures what that does.
const MAY_DIFFER: &str = "norm_eps";

/// Says why timm's network has another value.
const NO_ARGUMENT: &str = "no argument in timm's config.json changes it";

/// Says how an architecture becomes a network.
struct Call {
    architecture: &'static Architecture,
    arguments: Map<String, Value>,
    unheld: Vec<Unheld>,
}

impl Call {
    fn cost(&self) -> usize {
        self.arguments.len() + UNHELD * self.unheld.len()
    }
}

impl TimmDefinition {
    /// Returns the config with which timm makes the network of these facts.
    ///
    /// # Errors
    /// Returns [`FactError::NoTarget`] if none of timm's architectures becomes it, whatever the arguments.
    pub(super) fn write(&self, described: &Described<'_>) -> Result<WrittenConfig, FactError> {
        if !self.id.starts_with(&format!("{}/", described.framework)) {
            return Ok(self.write_for_another(described));
        }
        let facts = described.facts;
        let all = self.modules.iter().flat_map(|module| registry::architectures_of(module));
        let (mut best, mut least): (Option<Call>, Option<Vec<&str>>) = (None, None);
        for architecture in all {
            match self.call(architecture, facts) {
                Ok(call) if best.as_ref().is_none_or(|best| call.cost() < best.cost()) => best = Some(call),
                Err(lacking) if least.as_ref().is_none_or(|least| lacking.len() < least.len()) => {
                    least = Some(lacking);
                }
                Ok(_) | Err(_) => {}
            }
        }
        let Some(Call { architecture, arguments, unheld }) = best else {
            return Err(self.no_architecture(&least.unwrap_or_default(), facts));
        };
        let config = self.config(described, Some(architecture), arguments);
        let opened_by = vec!["timm.create_model(\"local-dir:{out}\", pretrained=True)".to_owned()];
        Ok(WrittenConfig { config, unheld, opened_by })
    }

    /// Returns the config of another framework's network: the architecture that it is, if it is one, else what the weights do not show,
    /// as timm's arguments say it.
    fn write_for_another(&self, described: &Described<'_>) -> WrittenConfig {
        let facts = described.facts;
        let is_it = |architecture: &&'static Architecture| {
            self.call(architecture, facts).is_ok_and(|call| call.cost() == 0)
        };
        let all =
            self.modules.iter().flat_map(|module| framework::architectures_like(described.framework, module));
        let architecture = all.into_iter().find(is_it);
        let known = facts.to_config();
        let hidden = self.fields().filter(|field| {
            architecture.is_none() && field.words.is_none() && !OF_ITS_OWN.contains(&field.fact)
        });
        let arguments = hidden.filter_map(|field| {
            let ((key, kind), value) = (field.config_key?, facts.value(field.fact)?);
            Some((key.to_owned(), kind.write(value, &known)?))
        });
        let arguments = arguments.collect();
        let config = self.config(described, architecture, arguments);
        WrittenConfig { config, unheld: Vec::new(), opened_by: Vec::new() }
    }

    /// Returns the keys of timm's config.
    fn config(
        &self,
        described: &Described<'_>,
        architecture: Option<&'static Architecture>,
        mut arguments: Map<String, Value>,
    ) -> Map<String, Value> {
        let facts = described.facts;
        let classes = facts.number("num_classes").unwrap_or(0);
        let of_images = described.preprocessing.map(|preprocessing| preprocessing.size);
        let [height, width] = facts.pair("img_size").or(of_images).unwrap_or([224, 224]);
        let channels = facts.number("in_chans").unwrap_or(3);
        let is_of_another_size = self.has_field("img_size")
            && architecture
                .and_then(|architecture| architecture.pair("img_size"))
                .is_none_or(|size| size.map(|edge| edge as u64) != [height, width]);
        if is_of_another_size {
            arguments.insert("img_size".to_owned(), edges([height, width]));
        }
        let mut pretrained = json!({
            "tag": "",
            "custom_load": false,
            "fixed_input_size": self.has_field("img_size"),
            "input_size": [channels, height, width],
            "num_classes": classes,
        });
        if let Some(own) = pretrained.as_object_mut() {
            let of_images =
                described.preprocessing.map(|preparation| preprocessing_of(preparation, channels));
            own.extend(of_images.unwrap_or_default());
            own.extend(self.classifier().map(|name| ("classifier".to_owned(), json!(name))));
        }
        let mut config = Map::new();
        if let Some(architecture) = architecture {
            config.insert("architecture".to_owned(), json!(architecture.name));
        }
        config.insert("num_classes".to_owned(), json!(classes));
        if let Some(labels) = described.labels {
            config.insert("label_names".to_owned(), json!(labels));
        }
        if !arguments.is_empty() {
            config.insert("model_args".to_owned(), Value::Object(arguments));
        }
        config.insert("pretrained_cfg".to_owned(), pretrained);
        config
    }

    /// Returns the refusal of a network that no architecture becomes; `lacking` are the facts that the nearest has otherwise.
    fn no_architecture(&self, lacking: &[&str], facts: &Facts) -> FactError {
        let shown = |fact: &&str| facts.get(fact).map(|known| format!("{fact} {}", known.shown()));
        let wanted = lacking.iter().filter_map(shown).collect::<Vec<_>>().join(" and ");
        FactError::NoTarget {
            what: format!("{}, of {wanted},", self.description),
            why: "none of timm's architectures has that, and no argument of theirs makes it".to_owned(),
            tensor: None,
            instead: "timm has no such network".to_owned(),
        }
    }

    /// Returns the arguments that make an architecture the network.
    ///
    /// # Errors
    /// Returns the facts that it has otherwise whatever the arguments.
    fn call(&self, architecture: &'static Architecture, facts: &Facts) -> Result<Call, Vec<&'static str>> {
        let (mut arguments, mut unheld, mut lacking) = (Map::new(), Vec::new(), Vec::new());
        let known = facts.to_config();
        for field in self.fields().filter(|field| !OF_ITS_OWN.contains(&field.fact)) {
            let Some(wanted) = facts.value(field.fact) else { continue };
            let own = self.made_with(field, architecture, facts, None).or_else(|| default_of(field));
            let is_same_already =
                own.as_ref().is_some_and(|own| is_same(own, wanted) || is_same_class(own, wanted));
            if is_same_already || own.is_none() && field.config_key.is_none() {
                continue;
            }
            let key = field.config_key.filter(|_| !field.takes_class);
            match key.and_then(|(key, kind)| Some((key, kind.write(wanted, &known)?))) {
                Some((key, value)) => {
                    arguments.insert(key.to_owned(), value);
                }
                None => match own.filter(|_| field.fact == MAY_DIFFER) {
                    Some(held) => unheld.push(Unheld {
                        fact: field.fact,
                        wanted: wanted.clone(),
                        held,
                        why: NO_ARGUMENT.to_owned(),
                    }),
                    None => lacking.push(field.fact),
                },
            }
        }
        if lacking.is_empty() { Ok(Call { architecture, arguments, unheld }) } else { Err(lacking) }
    }

    fn has_field(&self, fact: &str) -> bool {
        self.fields().any(|field| field.fact == fact)
    }

    /// Returns the name of the linear layer that gives the logits, as `pretrained_cfg` has it.
    fn classifier(&self) -> Option<&'static str> {
        self.structure.signs.iter().find_map(|(_, sign)| match sign {
            Sign::Classes(name) => name.strip_suffix(".weight"),
            _ => None,
        })
    }
}

/// Returns whether both name one class, which an architecture may give with arguments: `BatchNorm2d(eps=0.001)`. Its epsilon is a fact of
/// its own.
fn is_same_class(own: &Value, wanted: &Value) -> bool {
    own.as_str().and_then(|own| own.split_once('(')).is_some_and(|(class, _)| wanted.as_str() == Some(class))
}

/// Returns what a field is in an architecture of which the registry does not say it.
fn default_of(field: &Field) -> Option<Value> {
    match field.fact {
        // Every constructor of timm's takes three channels where nothing is said.
        "in_chans" => Some(json!(3)),
        _ => field.otherwise.map(Value::from),
    }
}

impl Kind {
    /// Returns a fact's value as the argument takes it; none if no argument says it. `known` are facts by name.
    fn write(self, value: &Value, known: &Map<String, Value>) -> Option<Value> {
        let flag = value.as_bool();
        Some(match self {
            Kind::Number
            | Kind::Real
            | Kind::NumberOr(_)
            | Kind::Flag
            | Kind::FlagOrPooling(_)
            | Kind::Text
            | Kind::RelativePositions
            | Kind::Numbers
            | Kind::ForEach(_)
            | Kind::Windows
            | Kind::Each(_) => value.clone(),
            Kind::Activation => value.clone(),
            Kind::Pair => match value.as_array().map(Vec::as_slice) {
                Some([height, width]) => edges([height.as_u64()?, width.as_u64()?]),
                _ => value.clone(),
            },
            // The weights say how large the scale is.
            Kind::IsNumber | Kind::IsTrue | Kind::IsFactor => {
                if flag? {
                    json!(1e-5)
                } else {
                    Value::Null
                }
            }
            Kind::Word(yes, no) => match flag? {
                true => json!(yes),
                false => json!(no.last()?),
            },
            Kind::RatioOf(whole) => {
                let whole = known.get(whole)?.as_u64()? as f64;
                let is_packed = known.get("mlp_layer").is_some_and(|layer| layer == "SwiGLUPacked");
                let size = value.as_u64()? as f64 * if is_packed { 2.0 } else { 1.0 };
                let ratio = size / whole;
                json!(if (whole * ratio).floor() < size { ratio.next_up() } else { ratio })
            }
            Kind::Planes => {
                let expansion = if known.get("bottleneck")?.as_bool()? { 4 } else { 1 };
                let (stem, outputs) = value.as_array()?.split_first()?;
                // timm's ResNet has four stages, whatever its arguments.
                (stem.as_u64()? == RESNET_STEM && outputs.len() == 4).then_some(())?;
                let planes = |output: &Value| {
                    let output = output.as_u64()?;
                    output.is_multiple_of(expansion).then_some(output / expansion)
                };
                json!(outputs.iter().map(planes).collect::<Option<Vec<u64>>>()?)
            }
            Kind::NormEps(of_timm) => (value.as_f64() == Some(of_timm)).then(|| json!("layernorm"))?,
            Kind::IsSome
            | Kind::IsFilled
            | Kind::IsPositive
            | Kind::OtherThan(_)
            | Kind::Known(_)
            | Kind::SumOf(_)
            | Kind::BlockCounts
            | Kind::BlockStrides
            | Kind::BlockNumbers(_)
            | Kind::HasOtherBlock
            | Kind::HasBlock(_) => {
                return None;
            }
        })
    }
}

/// Returns one number for two equal edges, else both.
fn edges([height, width]: [u64; 2]) -> Value {
    if height == width { json!(height) } else { json!([height, width]) }
}

/// Returns the keys of the preprocessing, of images of one channel with one mean and one standard deviation.
fn preprocessing_of(preprocessing: &Preprocessing, channels: u64) -> Map<String, Value> {
    let Preprocessing { crop_pct, crop_mode, interpolation, mean, std, .. } = preprocessing;
    let of_channels = |[red, green, blue]: &[f64; 3]| match channels == 1 && red == green && red == blue {
        true => json!([red]),
        false => json!([red, green, blue]),
    };
    let entries = [
        ("crop_mode", json!(crop_mode.name())),
        ("crop_pct", json!(crop_pct)),
        ("interpolation", json!(interpolation.name())),
        ("mean", of_channels(mean)),
        ("std", of_channels(std)),
    ];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
