//! Reads modules by the tables of a definition: each must stand in a place that the definition knows and be of a class that it
//! computes there, and each attribute is a fact, a value that the definition computes with, or known to change nothing. Hooks of
//! the forward pass are refused, also on modules around the network.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;
use vitport_checkpoint::{SavedModule, escape};

use super::super::source::one_of;
use super::table::{At, Class, Role, Says, compared};
use super::{SavedModules, calls, names};
use crate::facts::{Evidence, FactError, Facts, Origin, is_same};

/// Lists modules around a network that hand on what they get.
const TRANSPARENT: [&str; 7] = [
    "torch.nn.parallel.data_parallel.DataParallel",
    "torch.nn.parallel.distributed.DistributedDataParallel",
    "torch._dynamo.eval_frame.OptimizedModule",
    "torch.optim.swa_utils.AveragedModel",
    "timm.utils.model_ema.ModelEma",
    "timm.utils.model_ema.ModelEmaV2",
    "timm.utils.model_ema.ModelEmaV3",
];

/// Begins the names of the dicts of hooks that run with a forward pass.
const HOOKS: &str = "_forward_";

/// Limits the characters of a value in a message.
const SHOWN: usize = 60;

/// Holds what was told of one fact.
#[derive(Debug)]
enum Told {
    /// Says one value, and the places that say it: the first as it is, and all as a pattern.
    Once { value: Value, first: String, all: String },
    /// Says a value a stage, with the first place that says it, and all as a pattern.
    ByStage { values: BTreeMap<u64, (Value, String)>, all: String },
}

impl SavedModules {
    /// Adds what modules say of a network of `family`, whose modules are declared in the tables of `roles`, each for the classes of
    /// one framework. Facts that are as `usual` has
    /// them are left out: the weights say nothing else. Returns the attributes whose names no code reads, such as a person's own
    /// notes, each as `the saved module: NAME`.
    ///
    /// # Errors
    /// Returns [`FactError::NoTarget`] for a module, an attribute or a value that the tables do not have, for facts that are not
    /// the same throughout the network, and if there is more in the file than is kept of it.
    pub(in super::super) fn read(
        &self,
        family: &str,
        roles: &[&[Role]],
        usual: impl Fn(&str) -> Option<Value>,
        evidence: &mut Evidence,
    ) -> Result<Vec<String>, FactError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        self.check_around(family)?;
        let facts = evidence.facts();
        let paths = self.modules.iter().map(|module| module.path.as_str()).collect();
        let mut reading = Reading {
            family,
            modules: self,
            facts: &facts,
            paths,
            told: BTreeMap::new(),
            unread: BTreeSet::new(),
        };
        for module in &self.modules {
            reading.module(module, roles)?;
        }
        let unread = reading.unread.into_iter().map(|path| Origin::Attribute(path).to_string()).collect();
        for (fact, told) in reading.told {
            let (value, all) = match told {
                Told::Once { value, all, .. } => (value, all),
                Told::ByStage { values, all } => {
                    (values.into_values().map(|(value, _)| value).collect(), all)
                }
            };
            if usual(fact).is_none_or(|usual| !is_same(&usual, &value)) || evidence.has(fact) {
                evidence.add(fact, value, Origin::Attribute(all));
            }
        }
        Ok(unread)
    }

    /// Refuses a file of which not everything is kept, and a network inside of modules that could do more than hand on.
    fn check_around(&self, family: &str) -> Result<(), FactError> {
        if self.is_cut {
            return Err(FactError::NoTarget {
                what: format!("{} that was saved whole, with more next to it than is read", one_of(family)),
                why: "what is not read may change what the network computes".to_owned(),
                tensor: None,
                instead: "save its state dict, and give options where vitport asks".to_owned(),
            });
        }
        for module in &self.around {
            let shadows = |name: &str| name.starts_with(HOOKS) || ["forward", "module"].contains(&name);
            if let Some((name, value)) = module.attributes.iter().find(|(name, _)| shadows(name)) {
                return Err(own_code(family, module, name, &value.to_string()));
            }
        }
        let other = self.around.iter().find(|module| !TRANSPARENT.contains(&module.class.as_str()));
        other.map_or(Ok(()), |module| {
            Err(FactError::NoTarget {
                what: format!("{} inside a module of class {}", one_of(family), shown(&module.class)),
                why: "vitport does not know what that class does with images or outputs".to_owned(),
                tensor: Some(named(&module.path, None)),
                instead: "give --key with the path of the network inside it, to convert that alone"
                    .to_owned(),
            })
        })
    }
}

/// Reads the modules of one network.
struct Reading<'a> {
    family: &'a str,
    modules: &'a SavedModules,
    facts: &'a Facts,
    /// Holds the paths of all modules.
    paths: HashSet<&'a str>,
    told: BTreeMap<&'static str, Told>,
    /// Holds the attributes that no code reads, with a `*` for each number in their paths.
    unread: BTreeSet<String>,
}

impl Reading<'_> {
    fn module(&mut self, module: &SavedModule, tables: &[&[Role]]) -> Result<(), FactError> {
        let placed = tables.iter().copied().flatten().find_map(|role| {
            let place = role.place(&module.path)?;
            Some((role, role.classes.iter().find(|class| class.is_called(&module.class))?, place))
        });
        let Some((role, class, (pattern, numbers))) = placed else { return Err(self.unknown_class(module)) };
        let mut tells_by_attribute = false;
        let own =
            module.attributes.iter().map(|(name, value)| (name.as_str(), compared(value), value.to_string()));
        let called = calls::attributes(module, class.calls).into_iter();
        let called = called.map(|(name, value)| (name, value.clone(), value.to_string()));
        for (name, _) in &module.attributes {
            let path = joined(&module.path, name);
            if self.paths.contains(path.as_str()) || self.modules.tensors.contains(&path) {
                return Err(self.hidden(module, name));
            }
        }
        for (name, value, text) in own.chain(called) {
            let named = |(own, _): &&(&str, Says)| *own == name;
            let place = Place { module, pattern, numbers: &numbers, name, text: &text };
            // Every module has it, and evaluation is what is converted.
            let says = match role.says.iter().chain(class.says).find(named) {
                Some((_, says)) => *says,
                None if name == "training" => Says::Nothing,
                None if name.starts_with(HOOKS) || name == "forward" => {
                    return Err(own_code(self.family, module, name, &text));
                }
                None if names::is_read(name) => {
                    return Err(self.unknown_attribute(module, name, &text));
                }
                None => {
                    self.unread.insert(place.of_all());
                    continue;
                }
            };
            self.attribute(says, value, &place)?;
            let tells = class.means.map(|(fact, _)| fact);
            tells_by_attribute |=
                matches!(says, Says::Tells(fact, _) | Says::Fact(fact, _) if Some(fact) == tells);
        }
        self.means(class, tells_by_attribute, module, pattern)
    }

    /// Takes what the class alone tells.
    fn means(
        &mut self,
        class: &Class,
        is_told: bool,
        module: &SavedModule,
        pattern: &'static str,
    ) -> Result<(), FactError> {
        let Some((fact, value)) = class.means.filter(|_| !is_told) else { return Ok(()) };
        let own = module.class.rsplit('.').next().unwrap_or_default();
        let all = format!("{pattern} is a {}", shown(own));
        self.tell(fact, value.into(), format!("{} is a {}", escape(&module.path), shown(own)), all)
    }

    fn attribute(&mut self, says: Says, value: Value, place: &Place<'_>) -> Result<(), FactError> {
        match says {
            Says::Nothing => Ok(()),
            Says::Is(wanted) => {
                let wanted: Vec<Value> = wanted.iter().map(|literal| (*literal).into()).collect();
                match wanted.iter().any(|wanted| is_same(wanted, &value)) {
                    true => Ok(()),
                    false => Err(self.other_value(place, wanted.first())),
                }
            }
            Says::Follows(from) => {
                let at = At {
                    facts: self.facts,
                    module: place.module,
                    numbers: place.numbers,
                    modules: self.modules,
                };
                match from(&at) {
                    Some(wanted) if is_close(&wanted, &value) => Ok(()),
                    wanted => Err(self.other_value(place, wanted.as_ref())),
                }
            }
            Says::All(several) => {
                several.iter().try_for_each(|says| self.attribute(*says, value.clone(), place))
            }
            Says::First(fact, read, from) => {
                let is_first = place.numbers.iter().all(|number| *number == 0);
                let says = if is_first { Says::Fact(fact, read) } else { Says::Follows(from) };
                self.attribute(says, value, place)
            }
            // A part that the network does not have says nothing of the fact.
            Says::Fact(..) | Says::Each(..) if value.is_null() => Ok(()),
            Says::Fact(fact, read) => {
                let value = read.read(&value).ok_or_else(|| self.other_value(place, None))?;
                self.tell(fact, value, place.path(), place.of_all())
            }
            Says::Each(fact, read) => {
                let value = read.read(&value).ok_or_else(|| self.other_value(place, None))?;
                let stage = place.numbers.first().copied().unwrap_or(0);
                self.tell_stage(fact, stage, value, place)
            }
            Says::Tells(fact, values) => {
                let known = values.iter().find(|(this, _)| is_same(&Value::from(*this), &value));
                let (_, meant) = known.ok_or_else(|| self.other_value(place, None))?;
                self.tell(fact, (*meant).into(), place.path(), place.of_all())
            }
        }
    }

    /// Takes a value of a fact, which all places must have alike.
    fn tell(
        &mut self,
        fact: &'static str,
        value: Value,
        first: String,
        all: String,
    ) -> Result<(), FactError> {
        match self.told.get(fact) {
            Some(Told::Once { value: known, first: before, .. }) if !is_same(known, &value) => {
                Err(self.several(fact, (known, before), (&value, &first)))
            }
            Some(_) => Ok(()),
            None => {
                self.told.insert(fact, Told::Once { value, first, all });
                Ok(())
            }
        }
    }

    fn tell_stage(
        &mut self,
        fact: &'static str,
        stage: u64,
        value: Value,
        place: &Place<'_>,
    ) -> Result<(), FactError> {
        let told = self.told.entry(fact);
        let told = told.or_insert_with(|| Told::ByStage { values: BTreeMap::new(), all: place.of_all() });
        let Told::ByStage { values, .. } = told else { return Ok(()) };
        let (known, before) = values.entry(stage).or_insert_with(|| (value.clone(), place.path()));
        if is_same(known, &value) {
            return Ok(());
        }
        let (known, before) = (known.clone(), before.clone());
        Err(self.several(fact, (&known, &before), (&value, &place.path())))
    }

    fn unknown_class(&self, module: &SavedModule) -> FactError {
        FactError::NoTarget {
            what: format!("{} with a module of class {}", one_of(self.family), shown(&module.class)),
            why: "vitport does not know it there, and it may change what the network computes".to_owned(),
            tensor: Some(named(&module.path, None)),
            instead: "if it changes nothing, save the network's state dict and convert that".to_owned(),
        }
    }

    fn unknown_attribute(&self, module: &SavedModule, name: &str, text: &str) -> FactError {
        let what = format!("{} whose {} is {}", one_of(self.family), escape(name), shown(text));
        FactError::NoTarget {
            what,
            why: "code of networks reads that name, and what it means here is not known".to_owned(),
            tensor: Some(named(&module.path, Some(name))),
            instead: "if it changes nothing, delete the attribute or save the network's state dict"
                .to_owned(),
        }
    }

    fn hidden(&self, module: &SavedModule, name: &str) -> FactError {
        FactError::NoTarget {
            what: format!("{} with an attribute that hides its {}", one_of(self.family), escape(name)),
            why: "Python finds the attribute first, so that the weights of that name are not used".to_owned(),
            tensor: Some(named(&module.path, Some(name))),
            instead: "if it changes nothing, delete the attribute or save the network's state dict"
                .to_owned(),
        }
    }

    fn other_value(&self, place: &Place<'_>, wanted: Option<&Value>) -> FactError {
        let why = match wanted {
            Some(wanted) => format!("{} computes with {wanted} there", one_of(self.family)),
            None => "vitport does not know what it means there".to_owned(),
        };
        FactError::NoTarget {
            what: format!("{} whose {} is {}", one_of(self.family), escape(place.name), shown(place.text)),
            why,
            tensor: Some(named(&place.module.path, Some(place.name))),
            instead: "no class that vitport writes holds it".to_owned(),
        }
    }

    fn several(&self, fact: &str, (one, there): (&Value, &str), (other, here): (&Value, &str)) -> FactError {
        FactError::NoTarget {
            what: format!("{} with several values of {fact}", one_of(self.family)),
            why: format!("it is {one} by {there} and {other} by {here}, and the network has one for all"),
            tensor: None,
            instead: "no class that vitport writes holds it".to_owned(),
        }
    }
}

/// Refuses code that a person added to a module.
fn own_code(family: &str, module: &SavedModule, name: &str, text: &str) -> FactError {
    let what = match name.starts_with(HOOKS) {
        true => format!("{} with a hook ({}: {})", one_of(family), escape(name), shown(text)),
        false => format!("{} with a {} of its own, {}", one_of(family), escape(name), shown(text)),
    };
    FactError::NoTarget {
        what,
        why: "it may change what the network computes, and vitport runs no code of a file".to_owned(),
        tensor: Some(named(&module.path, None)),
        instead: "if it changes nothing, remove it or save the network's state dict".to_owned(),
    }
}

/// Describes an attribute of a module.
struct Place<'a> {
    module: &'a SavedModule,
    pattern: &'static str,
    numbers: &'a [u64],
    name: &'a str,
    /// Gives its value as Python writes it.
    text: &'a str,
}

impl Place<'_> {
    /// Returns its path, such as `blocks.0.attn.num_heads`.
    fn path(&self) -> String {
        joined(&escape(&self.module.path).to_string(), self.name)
    }

    /// Returns its path with a `*` for each number.
    fn of_all(&self) -> String {
        joined(self.pattern, self.name)
    }
}

fn joined(path: &str, name: &str) -> String {
    match path {
        "" => escape(name).to_string(),
        path => format!("{path}.{}", escape(name)),
    }
}

/// Returns how messages name a module or an attribute of it.
fn named(path: &str, attribute: Option<&str>) -> String {
    match (path, attribute) {
        ("", None) => "the saved module itself".to_owned(),
        (path, None) => format!("the saved module's {}", escape(path)),
        (path, Some(name)) => format!("the saved module's {}", joined(path, name)),
    }
}

fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN).collect();
    escape(&start).to_string()
}

/// Returns whether two values are equal, real numbers up to the rounding of the power function.
fn is_close(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() <= 1e-12 * one.abs(),
        _ => is_same(one, other),
    }
}
