//! From a mapping and the source's tensors to a plan: every rule is written out for every value of its variables, and the
//! result is compared with the source (is every tensor used, is every needed one there) and with the target network's own
//! list.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde_json::Value as Json;
use smallvec::{SmallVec, smallvec};
use vitport_checkpoint::{Dims, Dtype};

use super::actions::{Action, Dimension, Rule};
use super::expected;
use super::instances::{MOST_NAMES, too_many};
use super::language::Mapping;
use super::nearest::nearest_pattern;
use super::pattern::{Side, Template, Value};
use super::problems::{Problem, Problems, WITH_NEAREST, grouped};
use super::sources::{SourceTensor, Sources};
use super::views::{check_factors, one_view, padded, permuted, stacked, transposed, whole};
use crate::facts::Facts;
use crate::nn::Network;
use crate::plan::{Dropped, Operation, Part, Parts, Plan, Target};

/// What the variables, flags and counts of a mapping's rules stand for in one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bindings {
    /// Counts that ranges run up to and shapes are made of, such as `depth` and `embed_dim`. A list counts its entries, and an
    /// entry has its number after a dot: `depth.2`.
    pub counts: BTreeMap<String, u64>,
    /// Flags for `when` and `unless`, such as `head`, and likewise `qkv_bias.2`.
    pub flags: BTreeMap<String, bool>,
    /// Texts for variables that are no range and no choice, such as `base`.
    pub texts: BTreeMap<String, String>,
}

impl Bindings {
    /// Returns every fact that is a number, a yes or no, or a list of these.
    fn of_facts(facts: &Facts) -> Self {
        let mut bindings = Self::default();
        for fact in facts.iter() {
            bindings.bind(fact.name.to_owned(), &fact.value);
        }
        bindings
    }

    fn bind(&mut self, name: String, value: &Json) {
        match value {
            Json::Bool(flag) => {
                self.flags.insert(name, *flag);
            }
            Json::Number(number) => {
                self.counts.extend(number.as_u64().map(|count| (name, count)));
            }
            Json::Array(list) => {
                self.counts.insert(name.clone(), list.len() as u64);
                for (index, entry) in list.iter().enumerate() {
                    self.bind(format!("{name}.{index}"), entry);
                }
            }
            _ => {}
        }
    }
}

impl Mapping {
    /// Returns what the rules' variables stand for.
    ///
    /// # Errors
    /// Returns what is wrong with `[texts]`, in words.
    pub fn bindings(&self, facts: &Facts) -> Result<Bindings, String> {
        let mut bindings = Bindings::of_facts(facts);
        for (name, expression) in &self.texts {
            let value = expression.value(name, facts, &self.to).map_err(|error| error.to_string())?;
            let text = value.as_str().ok_or_else(|| format!("[texts] {name} is {value}, not a text"))?;
            bindings.texts.insert(name.clone(), text.to_owned());
        }
        Ok(bindings)
    }

    /// Returns the plan that this mapping makes of the source's tensors.
    ///
    /// Float tensors are written as `cast` if it is given, else in their own dtype; integers and booleans always in their
    /// own. The plan must make exactly the parameters and buffers of `target`.
    ///
    /// # Errors
    /// Returns everything that is wrong, at once.
    pub fn plan(
        &self,
        source: &Sources,
        bindings: &Bindings,
        cast: Option<Dtype>,
        target: &Network,
    ) -> Result<Plan, Problems> {
        let plan = self.expand(source, bindings, cast, false)?;
        let problems = expected::compare(self, &plan.targets, target.parameters());
        if problems.is_empty() { Ok(plan) } else { Err(Problems { list: problems }) }
    }

    /// Returns what the rules make, whatever the target. `keeps_rest` keeps tensors that no rule uses under their own names.
    pub(super) fn expand(
        &self,
        source: &Sources,
        bindings: &Bindings,
        cast: Option<Dtype>,
        keeps_rest: bool,
    ) -> Result<Plan, Problems> {
        let filler = source.iter().map(|tensor| tensor.dtype).find(|dtype| dtype.is_float());
        let mut expansion = Expansion {
            mapping: self,
            source,
            bindings,
            cast,
            filler: cast.or(filler).unwrap_or(Dtype::F32),
            names: 0,
            used: vec![false; source.len()],
            name: String::new(),
            shapes: HashSet::default(),
            missing: BTreeMap::new(),
            made: Vec::with_capacity(source.len()),
            dropped: Vec::new(),
            problems: Vec::new(),
        };
        for rule in &self.rules {
            expansion.rule(rule);
        }
        if keeps_rest {
            expansion.keep_rest();
        }
        expansion.finish()
    }

    /// Returns the rules that make something of these tensors, and all rules, as a person would point at them: what a lint
    /// needs to find rules that no fixture ever uses.
    pub fn live_and_all(
        &self,
        source: &Sources,
        bindings: &Bindings,
    ) -> (BTreeSet<String>, BTreeSet<String>) {
        let all = self.rules.iter().map(Rule::describe).collect();
        let is_live = |rule: &&Rule| {
            let has_any = || {
                let instances = self.instances(rule, bindings)?;
                let sources = instances.bind(&rule.action.sources(), Side::Source)?;
                let flags = instances.bind_flags(rule)?;
                let (mut name, mut has_any) = (String::new(), false);
                instances.each(&mut |values| {
                    if instances.holds(&flags, values, &mut name)? {
                        let mut is_there = |source_name: &Template| {
                            source_name.fill(&mut name, values).is_ok() && source.has(&name)
                        };
                        has_any |= sources.iter().all(&mut is_there);
                    }
                    Ok(())
                })?;
                Ok::<_, String>(has_any)
            };
            has_any() == Ok(true)
        };
        (self.rules.iter().filter(is_live).map(Rule::describe).collect(), all)
    }
}

struct Expansion<'a> {
    mapping: &'a Mapping,
    source: &'a Sources,
    bindings: &'a Bindings,
    cast: Option<Dtype>,
    /// Dtype of tensors that no source holds.
    filler: Dtype,
    /// How many names the rules so far stand for.
    names: usize,
    /// For each source tensor, whether a rule uses it.
    used: Vec<bool>,
    /// Room for a name that is looked up.
    name: String,
    /// Every shape of a target, once.
    shapes: HashSet<Arc<[u64]>, RandomState>,
    /// Rule → source names that it needs and the checkpoint lacks.
    missing: BTreeMap<String, Vec<String>>,
    /// Position of the first source in the file, and the target.
    made: Vec<(u32, Target)>,
    dropped: Vec<Dropped>,
    problems: Vec<Problem>,
}

impl<'a> Expansion<'a> {
    fn rule(&mut self, rule: &Rule) {
        if let Err(reason) = self.write_out(rule) {
            self.broken(rule, reason);
        }
    }

    /// Every instance of a rule whose flags are as they must be.
    fn write_out(&mut self, rule: &Rule) -> Result<(), String> {
        let (mapping, bindings) = (self.mapping, self.bindings);
        let instances = mapping.instances(rule, bindings)?;
        let flags = instances.bind_flags(rule)?;
        let mut flag = String::new();
        if flags.iter().all(|(name, _)| name.is_constant()) && !instances.holds(&flags, &[], &mut flag)? {
            return Ok(());
        }
        let sources = instances.bind(&rule.action.sources(), Side::Source)?;
        let targets = instances.bind(&rule.action.targets(), Side::Target)?;
        let names = sources.len().saturating_add(targets.len());
        instances.each(&mut |values| {
            self.names = self.names.saturating_add(names);
            if self.names > MOST_NAMES {
                return Err(too_many());
            }
            if instances.holds(&flags, values, &mut flag)?
                && let Err(problem) = self.instance(rule, &sources, &targets, values)
            {
                self.problems.push(problem);
            }
            Ok(())
        })
    }

    /// Keeps every tensor that no rule uses under its own name.
    fn keep_rest(&mut self) {
        let source = self.source;
        let unused: Vec<(usize, &SourceTensor)> = source
            .iter()
            .enumerate()
            .filter(|(position, _)| self.used.get(*position) == Some(&false))
            .collect();
        for (position, tensor) in unused {
            if let Some(used) = self.used.get_mut(position) {
                *used = true;
            }
            let shape = self.shared(&tensor.shape);
            let (name, parts) = (Arc::clone(&tensor.name), tensor.parts.clone());
            let target = Target { name, dtype: tensor.dtype, shape, parts, operation: tensor.operation };
            if let Err(problem) = self.make(Some(position), target) {
                self.problems.push(problem);
            }
        }
    }

    fn broken(&mut self, rule: &Rule, reason: String) {
        self.problems.push(Problem::Rule { rule: rule.describe(), reason });
    }

    /// One rule with one set of values. A source that is missing is noted and no problem here.
    fn instance(
        &mut self,
        rule: &Rule,
        sources: &[Template],
        targets: &[Template],
        values: &[Value<'_>],
    ) -> Result<(), Problem> {
        let broken = |reason: String| Problem::Rule { rule: rule.describe(), reason };
        let all: &'a Sources = self.source;
        let mut tensors: SmallVec<[&'a SourceTensor; 2]> = SmallVec::new();
        let mut first = None;
        for source in sources {
            source.fill(&mut self.name, values).map_err(broken)?;
            match (all.entry(&self.name), &rule.action) {
                (Some((position, tensor)), _) => {
                    tensors.push(tensor);
                    first.get_or_insert(position);
                    if let Some(used) = self.used.get_mut(position) {
                        *used = true;
                    }
                }
                (None, Action::Drop { .. }) => return Ok(()),
                (None, _) => self.missing.entry(rule.describe()).or_default().push(self.name.clone()),
            }
        }
        if tensors.len() < sources.len() {
            return Ok(());
        }
        let (dtype, shape, parts, operation): (_, _, Parts, _) = match (&rule.action, &*tensors) {
            (Action::Drop { reason, .. }, [tensor]) => {
                self.dropped.extend(dropped(tensor, reason));
                return Ok(());
            }
            (Action::Rename { .. }, [tensor]) => {
                let shape = self.shared(&tensor.shape);
                (tensor.dtype, shape, tensor.parts.clone(), tensor.operation)
            }
            (Action::Transpose { .. }, [tensor]) => {
                let view = Arc::new(transposed(one_view(tensor)?)?);
                let shape = self.shared(&view.shape);
                (tensor.dtype, shape, smallvec![whole(&view)], Operation::Transpose)
            }
            (Action::Permute { axes, .. }, [tensor]) => {
                let (shape, view) = permuted(one_view(tensor)?, axes)?;
                let (shape, view) = (self.shared(&shape), Arc::new(view));
                (tensor.dtype, shape, smallvec![whole(&view)], Operation::Permute)
            }
            (Action::Reshape { shape, .. }, [tensor]) => {
                let shape = self.shape(shape).map_err(broken)?;
                (tensor.dtype, self.shared(&shape), tensor.parts.clone(), Operation::Reshape)
            }
            (Action::Split { .. }, [tensor]) => {
                let names = targets.iter().map(|target| self.target_name(rule, target, values));
                let names = names.collect::<Result<SmallVec<[_; 4]>, _>>()?;
                return self.split(first, tensor, &names);
            }
            (Action::Concat { axes, .. }, tensors) => {
                let put_in_order = |tensor: &&SourceTensor| match axes {
                    None => Ok((*tensor).clone()),
                    Some(axes) => {
                        let (shape, view) = permuted(one_view(tensor)?, axes)?;
                        let parts = smallvec![whole(&Arc::new(view))];
                        Ok(SourceTensor { shape, parts, ..(*tensor).clone() })
                    }
                };
                let tensors = tensors.iter().map(put_in_order).collect::<Result<Vec<_>, Problem>>()?;
                let (shape, dtype) = stacked(&tensors)?;
                let parts = tensors.into_iter().flat_map(|tensor| tensor.parts).collect();
                (dtype, self.shared(&shape), parts, Operation::Concat)
            }
            (Action::Pad { rows, .. }, [tensor]) => {
                let (shape, zeros) = padded(tensor, *rows)?;
                let mut parts: Parts = smallvec![Part::Zeros { elements: zeros }];
                parts.extend(tensor.parts.iter().cloned());
                (tensor.dtype, self.shared(&shape), parts, Operation::Pad)
            }
            (Action::Fold { .. }, [tensor, factors]) => {
                check_factors(tensor, factors)?;
                let shape = self.shared(&tensor.shape);
                let (rows, factors) = (one_view(tensor)?, one_view(factors)?);
                let part = Part::ScaledRows { tensor: Arc::clone(rows), factors: Arc::clone(factors) };
                (tensor.dtype, shape, smallvec![part], Operation::Fold)
            }
            (Action::Zeros { shape, .. }, _) => {
                let shape = self.shape(shape).map_err(broken)?;
                let elements = shape.iter().fold(1_u64, |product, &dim| product.saturating_mul(dim));
                let part = Part::Zeros { elements };
                (self.filler, self.shared(&shape), smallvec![part], Operation::Fill)
            }
            (Action::Identity { size, .. }, _) => {
                let size = self.dimension(size).map_err(broken)?;
                let part = Part::Identity { size };
                (self.filler, self.shared(&[size, size]), smallvec![part], Operation::Fill)
            }
            _ => return Err(broken("it has another number of sources than it needs".to_owned())),
        };
        let Some(target) = targets.first() else { return Ok(()) };
        let name = self.target_name(rule, target, values)?;
        self.make(first, Target { name, dtype, shape, parts, operation })
    }

    fn target_name(
        &mut self,
        rule: &Rule,
        target: &Template,
        values: &[Value<'_>],
    ) -> Result<Arc<str>, Problem> {
        target
            .fill(&mut self.name, values)
            .map_err(|reason| Problem::Rule { rule: rule.describe(), reason })?;
        Ok(self.name.as_str().into())
    }

    /// The shape, in the memory of the first target that has it.
    fn shared(&mut self, shape: &[u64]) -> Arc<[u64]> {
        if let Some(known) = self.shapes.get(shape) {
            return Arc::clone(known);
        }
        let shape: Arc<[u64]> = shape.into();
        self.shapes.insert(Arc::clone(&shape));
        shape
    }

    fn split(
        &mut self,
        position: Option<usize>,
        tensor: &SourceTensor,
        names: &[Arc<str>],
    ) -> Result<(), Problem> {
        let shares = names.len() as u64;
        let rows = tensor.shape.first().copied().unwrap_or(0);
        let Some(share) = rows.checked_div(shares).filter(|share| share * shares == rows && rows > 0) else {
            let reason =
                format!("shape {:?} cannot be split into {shares} equal shares of rows", tensor.shape);
            return Err(Problem::Unfit { name: tensor.name.to_string(), reason });
        };
        let mut shape = Dims::from_slice(&tensor.shape);
        if let Some(first) = shape.first_mut() {
            *first = share;
        }
        let shape = self.shared(&shape);
        let elements = tensor.elements() / shares;
        for (index, name) in (0_u64..).zip(names) {
            let parts = tensor.cut(index * elements, elements).ok_or_else(|| Problem::Unfit {
                name: tensor.name.to_string(),
                reason: "it is made of factors, which cannot be split".to_owned(),
            })?;
            let operation = undone_concat(tensor, &parts, &shape).unwrap_or(Operation::Split);
            let target = Target {
                name: Arc::clone(name),
                dtype: tensor.dtype,
                shape: Arc::clone(&shape),
                parts,
                operation,
            };
            self.make(position, target)?;
        }
        Ok(())
    }

    /// Adds a target, whose dtype is still that of its source, which stands at `position`.
    fn make(&mut self, position: Option<usize>, target: Target) -> Result<(), Problem> {
        let unfit = |reason: String| Problem::Unfit { name: target.name.to_string(), reason };
        let dtype = match (self.cast, target.dtype) {
            (Some(cast), dtype) if dtype.is_float() => cast,
            (_, dtype @ (Dtype::F8E4M3 | Dtype::F8E5M2)) => {
                return Err(unfit(format!(
                    "transformers computes nothing in {dtype}; give --dtype f32, f16 or bf16"
                )));
            }
            (_, Dtype::C64) => {
                return Err(unfit("its numbers are complex, and the target network has none".to_owned()));
            }
            (_, dtype) => dtype,
        };
        let filled = target.parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.elements()));
        if filled != target.elements() {
            return Err(unfit(format!("{filled} elements cannot take the shape {:?}", target.shape)));
        }
        // What no source fills comes last.
        let position = position.and_then(|position| u32::try_from(position).ok()).unwrap_or(u32::MAX);
        self.made.push((position, Target { dtype, ..target }));
        Ok(())
    }

    fn shape(&self, shape: &[Dimension]) -> Result<Dims, String> {
        shape.iter().map(|dimension| self.dimension(dimension)).collect()
    }

    fn dimension(&self, dimension: &Dimension) -> Result<u64, String> {
        match dimension {
            Dimension::Number(number) => Ok(*number),
            Dimension::Count(name) => match self.bindings.counts.get(name) {
                Some(count) => Ok(*count),
                None => Err(format!("no fact is a count `{name}`")),
            },
        }
    }

    fn finish(mut self) -> Result<Plan, Problems> {
        let unused = self.source.iter().zip(&self.used).filter(|(_, used)| !**used);
        let unmapped: Vec<String> = unused.map(|(tensor, _)| tensor.name.to_string()).collect();
        for (number, (group, names)) in grouped(unmapped).into_iter().enumerate() {
            let nearest =
                (number < WITH_NEAREST).then(|| nearest_pattern(self.mapping, &group, true)).flatten();
            self.problems.push(Problem::Unmapped { group, names, nearest });
        }
        for (rule, names) in std::mem::take(&mut self.missing) {
            for (group, names) in grouped(names) {
                self.problems.push(Problem::Missing { group, names, rule: rule.clone() });
            }
        }
        self.made.sort_by_cached_key(|(position, _)| *position);
        let targets: Vec<Target> = self.made.into_iter().map(|(_, target)| target).collect();
        let mut made: HashSet<&str, RandomState> = HashSet::default();
        for target in &targets {
            if !made.insert(&target.name) {
                self.problems.push(Problem::MadeTwice { name: target.name.to_string() });
            }
        }
        if self.problems.is_empty() {
            return Ok(Plan { targets, dropped: self.dropped });
        }
        Err(Problems { list: self.problems })
    }
}

/// The tensors of the file that a dropped one is made of.
fn dropped(tensor: &SourceTensor, reason: &str) -> Vec<Dropped> {
    let size = tensor.dtype.size();
    let of_part = |(name, part): (&str, &Part)| Dropped {
        name: name.to_owned(),
        bytes: part.elements().saturating_mul(size),
        reason: reason.to_owned(),
    };
    tensor.names_in_file().zip(&tensor.parts).map(of_part).collect()
}

/// What was done to a tensor of the file that a layout put next to others and a split took out again whole; none for
/// another share.
fn undone_concat(tensor: &SourceTensor, share: &Parts, shape: &[u64]) -> Option<Operation> {
    match share.as_slice() {
        [Part::Slice { tensor: view, first: 0, elements }]
            if tensor.operation == Operation::Concat && *elements == view.elements() =>
        {
            let is_as_it_lies = view.is_contiguous() && *view.shape == *shape;
            Some(if is_as_it_lies { Operation::Rename } else { Operation::Permute })
        }
        _ => None,
    }
}
