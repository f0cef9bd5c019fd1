//! What a definition of timm's depends on. A field is the only place that declares a fact: its name, its key in the `model_args` of
//! hub folders, its name in timm's registry, and how either value is read. Everything else reads fields generically.

use serde_json::{Map, Value, json};

pub(super) use super::super::literal::Literal;
use super::layers;
use super::registry::Architecture;

/// Lists of what timm makes the widths of gated MLPs multiples (`swiglu_align_to`), rounding up.
const ALIGNMENTS: [u64; 2] = [8, 64];

/// Describes something that a definition depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// Gives the fact's name.
    pub fact: &'static str,
    /// Names its key in `model_args`, and how that value is read.
    pub config_key: Option<(&'static str, Kind)>,
    /// Gives its name in the registry, and how its value is read.
    pub registry: Option<(&'static str, Kind)>,
    /// Says what the weights show of it: `{name} has {value} {words}`.
    pub words: Option<&'static str>,
    /// Says what it is where the weights show nothing of it.
    pub otherwise: Option<Literal>,
    /// Names the arguments with any of which the architecture says nothing of it.
    pub decided_by: &'static [&'static str],
    /// Says whether timm's constructor takes a class as the argument, which no `config.json` holds.
    pub takes_class: bool,
    /// Gives a part of the names of architectures whose functions give the argument themselves, and fail where it is given once more.
    pub given_to: Option<&'static str>,
}

/// Says how a value becomes a fact's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Takes a whole number.
    Number,
    /// Takes one number for both edges, or height and width.
    Pair,
    /// Takes a list of whole numbers, or one for all.
    Numbers,
    /// Takes a list of so many whole numbers, or one for each of them.
    Each(usize),
    /// Takes a list with a number for each entry of this fact; timm reads no further ones.
    ForEach(&'static str),
    /// Takes one edge of windows, or lists of edges and of stages that are all alike, as the one number; others as they are.
    Windows,
    /// Takes yes or no.
    Flag,
    /// Takes anything, as whether it is not null.
    IsSome,
    /// Takes a table or null, as whether there is anything in it.
    IsFilled,
    /// Takes a number or null, as whether it is not null.
    IsNumber,
    /// Takes a number or null, as whether it is neither null nor 0, which is false in Python.
    IsTrue,
    /// Takes a number from 1 on or null, as whether it is not null.
    IsFactor,
    /// Takes a whole number, or null for this one.
    NumberOr(u64),
    /// Takes yes or no, or null for whether the pooling is one of these.
    FlagOrPooling(&'static [&'static str]),
    /// Takes a number, as whether it is above 0.
    IsPositive,
    /// Takes a text.
    Text,
    /// Takes this text for yes, and one of these for no.
    Word(&'static str, &'static [&'static str]),
    /// Takes the name of an activation, or its class.
    Activation,
    /// Takes a real number.
    Real,
    /// Takes timm's name of relative positions. Those that begin with `mlp` are made by an MLP, and in its mode `swin` if that is in the
    /// name; all others are a table.
    RelativePositions,
    /// Takes the name of a class, as whether it is another than this one.
    OtherThan(&'static str),
    /// Takes a number that this fact is made of, as what the weights show the fact to be.
    Known(&'static str),
    /// Takes the sum of this fact, a list, as what the weights show the fact to be; another sum is a list of its own.
    SumOf(&'static str),
    /// Takes the widths inside a ResNet's blocks by stage, as the channels that come out of its stem of 64 and of each stage.
    Planes,
    /// Takes EfficientNet's stages in timm's notation, as the number of blocks of each.
    BlockCounts,
    /// Takes the same as the stride of each stage.
    BlockStrides,
    /// Takes the same as the number behind a letter, which all blocks of a stage have.
    BlockNumbers(char),
    /// Takes the same as whether one of these stands in some block.
    HasBlock(&'static [&'static str]),
    /// Takes the same as whether some block has an activation of its own, has one after its last convolution, or does not add an input
    /// that has its shape.
    HasOtherBlock,
    /// Takes a ratio to another fact, whose product is rounded down.
    RatioOf(&'static str),
    /// Takes a norm by name, class or `functools.partial`, as its epsilon. timm's own norms have this one.
    NormEps(f64),
}

/// Counts the channels of the stem of timm's ResNet, which no argument changes.
pub(super) const RESNET_STEM: u64 = 64;

impl Kind {
    /// Returns whether null is a value, and not the absence of one.
    pub fn reads_null(self) -> bool {
        matches!(
            self,
            Kind::IsSome
                | Kind::IsFilled
                | Kind::IsNumber
                | Kind::IsTrue
                | Kind::IsFactor
                | Kind::NumberOr(_)
        )
    }

    /// Returns a value as the fact has it; none if it is of another kind. `known` are facts by name.
    pub fn read(self, value: &Value, known: &Map<String, Value>) -> Option<Value> {
        let whole = |value: &Value| value.as_u64();
        Some(match self {
            Kind::Number => json!(whole(value)?),
            Kind::Real => json!(value.as_f64()?),
            Kind::Flag => json!(value.as_bool()?),
            Kind::IsSome => json!(!value.is_null()),
            Kind::IsFilled if value.is_null() => json!(false),
            Kind::IsFilled => json!(!value.as_object()?.is_empty()),
            Kind::IsNumber => json!(!(value.is_number() || value.is_null()).then_some(value)?.is_null()),
            Kind::IsTrue => json!(Kind::IsNumber.read(value, known)? == true && value.as_f64() != Some(0.0)),
            Kind::IsFactor => {
                let is_below = value.as_f64().is_some_and(|factor| factor < 1.0);
                Kind::IsNumber.read(value, known).filter(|_| !is_below)?
            }
            Kind::NumberOr(otherwise) if value.is_null() => json!(otherwise),
            Kind::NumberOr(_) => json!(whole(value)?),
            Kind::FlagOrPooling(_) => json!(value.as_bool()?),
            Kind::IsPositive => json!(value.as_f64()? > 0.0),
            Kind::Text => json!(value.as_str()?),
            Kind::Word(yes, no) => {
                let text = value.as_str()?;
                json!((text == yes || no.contains(&text)).then_some(text == yes)?)
            }
            Kind::RelativePositions => match value.as_str()? {
                name if !name.starts_with("mlp") => json!("bias"),
                name if name.contains("swin") => json!("mlp_swin"),
                _ => json!("mlp"),
            },
            Kind::OtherThan(class) => json!(value.as_str()? != class),
            Kind::Activation => {
                json!(layers::activation_name(value.as_str().or_else(|| class(value, "name"))?)?)
            }
            Kind::Numbers => match value {
                Value::Array(list) => json!(list.iter().map(whole).collect::<Option<Vec<_>>>()?),
                one => json!([whole(one)?]),
            },
            Kind::ForEach(fact) => {
                let wanted = known.get(fact).and_then(Value::as_array).map_or(0, Vec::len);
                let numbers = Kind::Numbers.read(value.as_array().map(|_| value)?, known)?;
                numbers.as_array().is_some_and(|numbers| numbers.len() >= wanted).then_some(numbers)?
            }
            Kind::Windows => {
                let mut edges = Vec::new();
                edges_of(value, 2, &mut edges)?;
                let first = *edges.first()?;
                if edges.iter().all(|edge| *edge == first) { json!(first) } else { value.clone() }
            }
            Kind::Each(count) if !value.is_array() => json!(vec![whole(value)?; count]),
            Kind::Each(_) => Kind::Numbers.read(value, known)?,
            Kind::Pair => match value.as_array().map(Vec::as_slice) {
                Some([height, width]) => json!([whole(height)?, whole(width)?]),
                Some(_) => return None,
                None => json!([whole(value)?, whole(value)?]),
            },
            Kind::RatioOf(fact) => {
                let width = known.get(fact)?.as_u64()? as f64;
                let part = (width * value.as_f64()?) as u64;
                // A packed gate takes half of what the ratio says.
                let is_packed = known.get("mlp_layer").is_some_and(|layer| layer == "SwiGLUPacked");
                let part = if is_packed { part / 2 } else { part };
                let is_gated = known.get("swiglu_mlp").is_some_and(|gated| gated == true);
                let shown = known.get("mlp_dim").and_then(whole).filter(|_| is_gated);
                let is_aligned = |shown: &u64| {
                    ALIGNMENTS.into_iter().any(|step| part.checked_next_multiple_of(step) == Some(*shown))
                };
                json!(shown.filter(is_aligned).unwrap_or(part))
            }
            Kind::Known(fact) => value.as_u64().and_then(|_| known.get(fact)).cloned()?,
            Kind::SumOf(fact) => {
                let parts = known.get(fact)?;
                let sum: Option<u64> = parts.as_array()?.iter().map(whole).sum();
                if sum == Some(whole(value)?) { parts.clone() } else { json!([whole(value)?]) }
            }
            Kind::Planes => {
                let expansion = if known.get("bottleneck")?.as_bool()? { 4 } else { 1 };
                let outputs = value.as_array()?.iter().map(|planes| whole(planes)?.checked_mul(expansion));
                json!(std::iter::once(Some(RESNET_STEM)).chain(outputs).collect::<Option<Vec<u64>>>()?)
            }
            Kind::BlockCounts => json!(stages(value, repetitions)?),
            Kind::BlockStrides => {
                json!(stages(value, |block| token(block, 's'))?)
            }
            Kind::BlockNumbers(letter) => json!(numbers_of_stages(value, letter)?),
            Kind::HasBlock(parts) => {
                let blocks = value.as_array()?.iter().filter_map(Value::as_array).flatten();
                let has = |block: &str| parts.iter().any(|part| block.contains(part));
                json!(blocks.filter_map(Value::as_str).any(has))
            }
            Kind::HasOtherBlock => {
                let stages = value.as_array()?.iter().filter_map(Value::as_array);
                json!(stages.map(Vec::as_slice).any(has_other_block))
            }
            Kind::NormEps(eps) => json!(norm_eps(value, eps)?),
        })
    }
}

/// Adds the numbers of a list of lists, or of one number; none for anything else, or where lists lie deeper.
fn edges_of(value: &Value, depth: usize, edges: &mut Vec<u64>) -> Option<()> {
    match value {
        Value::Array(list) if depth > 0 => list.iter().try_for_each(|each| edges_of(each, depth - 1, edges)),
        one => {
            edges.push(one.as_u64().filter(|edge| *edge > 0)?);
            Some(())
        }
    }
}

/// Returns what is read of each stage of an EfficientNet: a list of blocks in timm's notation, `ir_r2_k3_s2_e6_c24`, or with their
/// repetitions before them, `2x ir_k3_s2_e6_c24`. Counts add up; of strides only the first is not 1.
fn stages(value: &Value, read: impl Fn(&str) -> Option<u64>) -> Option<Vec<u64>> {
    let stage = |blocks: &Value| {
        let read: Option<Vec<u64>> = blocks.as_array()?.iter().map(|block| read(block.as_str()?)).collect();
        Some(read?.into_iter())
    };
    let is_stride = read("ir_s2") == Some(2);
    let of_stage = |blocks: &Value| {
        let mut values = stage(blocks)?;
        if is_stride {
            values.next().filter(|_| values.all(|stride| stride == 1))
        } else {
            Some(values.sum())
        }
    };
    value.as_array()?.iter().map(of_stage).collect()
}

/// Returns the number behind a letter of each stage, 1 where it is not there; none where the blocks of one have several.
fn numbers_of_stages(value: &Value, letter: char) -> Option<Vec<u64>> {
    let of_block = |block: &str| {
        let numbers = block.split(['_', ' ']).filter_map(|part| part.strip_prefix(letter));
        let mut numbers = numbers.filter(|number| number.starts_with(|first: char| first.is_ascii_digit()));
        numbers.next().map_or(Some(1), |number| number.parse().ok())
    };
    let of_stage = |blocks: &Value| {
        let mut numbers = blocks.as_array()?.iter().map(|block| of_block(block.as_str()?));
        let first = numbers.next()??;
        numbers.all(|number| number == Some(first)).then_some(first)
    };
    value.as_array()?.iter().map(of_stage).collect()
}

/// Returns whether some block of a stage has an activation of its own (`nsw`, `act_layer=SiLU`), has one after its last convolution and
/// adds nothing (`dsa`), or adds nothing (`noskip`) where it is not the stage's first.
fn has_other_block(blocks: &[Value]) -> bool {
    let blocks = blocks.iter().filter_map(Value::as_str);
    blocks.enumerate().any(|(number, block)| {
        let tokens = || block.split(['_', ' ']);
        let is_own = |token: &str| token.starts_with('n') && !token.starts_with("noskip");
        let is_repeated = repetitions(block) != Some(1);
        tokens().any(|token| token == "dsa" || token.starts_with("layer=") || is_own(token))
            || block.contains("noskip") && (number > 0 || is_repeated)
    })
}

/// Returns how often a block in timm's notation stands there.
fn repetitions(block: &str) -> Option<u64> {
    let repeated = block.split_once("x ").and_then(|(count, _)| count.parse().ok());
    Some(repeated.or_else(|| token(block, 'r')).unwrap_or(1))
}

/// Returns the number behind a letter in timm's notation of a block.
fn token(block: &str, letter: char) -> Option<u64> {
    block.split('_').find_map(|part| part.strip_prefix(letter)?.parse().ok())
}

/// Returns the name of a class without its module, where a value records one under `key`.
fn class<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()?.rsplit('.').next()
}

/// Returns the epsilon of a layer norm, of which the name, the class or a `functools.partial` is recorded.
fn norm_eps(value: &Value, of_timm: f64) -> Option<f64> {
    if let Some(name) = value.as_str() {
        return matches!(name, "layernorm" | "layernormfp32").then_some(of_timm);
    }
    let key = if value.get("partial").is_some() { "partial" } else { "name" };
    let is_timm = value.get(key)?.as_str()?.starts_with("timm.");
    (class(value, key)? == "LayerNorm").then_some(())?;
    // torch.nn.LayerNorm's default.
    let usual = if is_timm { of_timm } else { 1e-5 };
    match (value.get("arguments").and_then(Value::as_array), value.get("keywords").and_then(Value::as_object))
    {
        (Some(arguments), _) if !arguments.is_empty() => None,
        (_, Some(keywords)) if keywords.keys().any(|keyword| keyword != "eps") => None,
        (_, Some(keywords)) => keywords.get("eps").map_or(Some(usual), Value::as_f64),
        _ => Some(usual),
    }
}

impl Field {
    /// Stands for a field that nothing tells.
    const NOTHING: Self = Self {
        fact: "",
        config_key: None,
        registry: None,
        words: None,
        otherwise: None,
        decided_by: &[],
        takes_class: false,
        given_to: None,
    };

    /// Returns a field that only an argument tells.
    pub const fn argument(fact: &'static str, name: &'static str, kind: Kind) -> Self {
        Self { fact, config_key: Some((name, kind)), ..Self::NOTHING }
    }

    /// Returns a field whose keys in `model_args` and in the registry have the fact's own name.
    pub const fn plain(fact: &'static str, kind: Kind) -> Self {
        Self { fact, config_key: Some((fact, kind)), registry: Some((fact, kind)), ..Self::NOTHING }
    }

    /// Returns a field that only the registry tells.
    pub const fn of_registry(fact: &'static str, name: &'static str, kind: Kind) -> Self {
        Self { fact, registry: Some((name, kind)), ..Self::NOTHING }
    }

    /// Returns a field that has another name in `model_args` and in the registry.
    pub const fn named(fact: &'static str, name: &'static str, kind: Kind) -> Self {
        Self { config_key: Some((name, kind)), ..Self::of_registry(fact, name, kind) }
    }

    /// Returns a field of a part that the weights show and that is usually not there.
    pub const fn part(self, words: &'static str) -> Self {
        self.shown(words).otherwise(Literal::NO)
    }

    /// Returns the same field, which the weights show.
    pub const fn shown(self, words: &'static str) -> Self {
        Self { words: Some(words), ..self }
    }

    /// Returns the same field with the value that it has where the weights show nothing of it.
    pub const fn otherwise(self, value: Literal) -> Self {
        Self { otherwise: Some(value), ..self }
    }

    /// Returns the same field, of which the architecture says nothing where one of these arguments is stated.
    pub const fn decided_by(self, arguments: &'static [&'static str]) -> Self {
        Self { decided_by: arguments, ..self }
    }

    /// Returns the same field, whose argument is a class: saved arguments may have it, and no config that is written.
    pub const fn of_class(self) -> Self {
        Self { takes_class: true, ..self }
    }

    /// Returns the same field, whose argument timm's functions give themselves to architectures with this part in their name.
    pub const fn given_to(self, part: &'static str) -> Self {
        Self { given_to: Some(part), ..self }
    }

    /// Returns the same field under another key in `model_args`.
    pub const fn config_key(self, name: &'static str, kind: Kind) -> Self {
        Self { config_key: Some((name, kind)), ..self }
    }

    /// Returns what the registry says of an architecture.
    pub fn of_architecture(&self, architecture: &Architecture) -> Option<Value> {
        let (name, kind) = self.registry?;
        let known = match kind {
            Kind::RatioOf(fact) => architecture.get(fact).map(|value| (fact.to_owned(), value.clone())),
            _ => None,
        };
        match architecture.get(name) {
            Some(value) => kind.read(value, &known.into_iter().collect()),
            None if matches!(kind, Kind::IsSome | Kind::IsFilled) => Some(json!(false)),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_by_name_class_and_partial() {
        let partial =
            |name: &str, keywords: Value| json!({ "partial": name, "arguments": [], "keywords": keywords });
        let cases = [
            (json!("layernorm"), Some(1e-6)),
            (json!("rmsnorm"), None),
            (json!("layernorm2d"), None),
            (json!({ "name": "torch.nn.modules.normalization.LayerNorm" }), Some(1e-5)),
            (json!({ "name": "timm.layers.norm.LayerNorm" }), Some(1e-6)),
            (partial("torch.nn.modules.normalization.LayerNorm", json!({ "eps": 1e-3 })), Some(1e-3)),
            (partial("torch.nn.modules.normalization.LayerNorm", json!({ "bias": false })), None),
            (partial("torch.nn.modules.batchnorm.BatchNorm2d", json!({})), None),
            (json!(5), None),
        ];
        for (value, eps) in cases {
            assert_eq!(Kind::NormEps(1e-6).read(&value, &Map::new()), eps.map(|eps| json!(eps)), "{value}");
        }
    }

    #[test]
    fn blocks_that_compute_otherwise() {
        let cases = [
            (json!([["ds_r1_k3_s1_c16_noskip"], ["ir_r2_k3_s2_e6_c24_se0.25"]]), false),
            (json!([["ds_c16_s1_k3_noskip=True"], ["3x ir_c24_s2_k3_e3"]]), false),
            (json!([["ir_r2_k3_s2_e6_c24_noskip"]]), true),
            (json!([["2x ir_c24_s2_k3_e6_noskip=True"]]), true),
            (json!([["ir_r1_k3_s2_e6_c24"], ["ir_r1_k3_s1_e6_c24", "ir_r1_k3_s1_e6_c24_noskip"]]), true),
            (json!([["ds_r1_k3_s1_c16"], ["ir_r2_k3_s2_e6_c24_nre"]]), true),
            (json!([["ir_c40_s2_act_layer=SiLU_k3_e6_se0.5"]]), true),
            (json!([["dsa_r1_k3_s1_c64"]]), true),
        ];
        for (blocks, is_other) in cases {
            assert_eq!(Kind::HasOtherBlock.read(&blocks, &Map::new()), Some(json!(is_other)), "{blocks}");
        }
    }

    #[test]
    fn values_of_another_kind_are_not_read() {
        let read = |kind: Kind, value: Value| kind.read(&value, &Map::new());
        assert_eq!(read(Kind::IsNumber, json!(1e-5)), Some(json!(true)));
        assert_eq!(read(Kind::IsNumber, Value::Null), Some(json!(false)));
        assert_eq!(read(Kind::IsNumber, json!("1e-5")), None);
        let fillings = [json!({}), Value::Null, json!({ "attn_layer": "se" }), json!("se")];
        let filled = fillings.map(|value| read(Kind::IsFilled, value));
        assert_eq!(filled, [Some(json!(false)), Some(json!(false)), Some(json!(true)), None]);
        let is_true = |value: Value| read(Kind::IsTrue, value);
        assert_eq!(
            [json!(0.1), json!(0), Value::Null].map(is_true),
            [true, false, false].map(|is| Some(json!(is)))
        );
        let factors = [json!(1), json!(0.5), json!(0)].map(|value| read(Kind::IsFactor, value));
        assert_eq!(factors, [Some(json!(true)), None, None]);
        assert_eq!(read(Kind::NumberOr(128), Value::Null), Some(json!(128)));
        assert_eq!(read(Kind::Word("learn", &["none"]), json!("none")), Some(json!(false)));
        assert_eq!(read(Kind::Word("learn", &["none"]), json!("rope")), None);
        assert_eq!(read(Kind::Number, json!(-1)), None);
        let windows = [json!(7), json!([7, 7]), json!([[7, 7], [7, 7]]), json!([7, 7, 14, 7]), json!([4, 2])];
        let read_as = [json!(7), json!(7), json!(7), json!([7, 7, 14, 7]), json!([4, 2])];
        assert_eq!(windows.map(|value| read(Kind::Windows, value)), read_as.map(Some));
        for value in [json!([]), json!(0), json!("7"), json!([[[7]]]), json!([7, null]), Value::Null] {
            assert_eq!(read(Kind::Windows, value.clone()), None, "{value}");
        }
        let stages: Map<String, Value> = [("depths".to_owned(), json!([2, 2]))].into_iter().collect();
        let for_each = |value: Value| Kind::ForEach("depths").read(&value, &stages);
        assert_eq!(for_each(json!([6, 6])), Some(json!([6, 6])));
        assert_eq!(for_each(json!([0, 0, 0, 0])), Some(json!([0, 0, 0, 0])));
        assert_eq!([json!([6]), json!(6), json!("6")].map(for_each), [None, None, None]);
        let class = json!({ "name": "timm.layers.activations.QuickGELU" });
        assert_eq!(read(Kind::Activation, class), Some(json!("quick_gelu")));
        assert_eq!(read(Kind::Activation, json!("swish")), Some(json!("silu")));
    }
}
