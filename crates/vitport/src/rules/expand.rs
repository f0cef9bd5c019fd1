//! From rules and a state dict to a plan: every rule is written out for every value of its variables, and the result is
//! held against the source (is every tensor used, is every needed one there) and against the target network's own list.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::{SmallVec, smallvec};
use vitport_checkpoint::{Dims, Dtype, Positions, Tensor};

use super::expected::Expected;
use super::instances::{MOST_NAMES, too_many};
use super::language::{Action, Dimension, Rule, Rules};
use super::nearest::nearest_pattern;
use super::pattern::{Side, Template, Value};
use super::problems::{Problem, Problems, WITH_NEAREST, grouped};
use crate::plan::{Dropped, Operation, Part, Parts, Plan, Target};
use crate::state_dict::StateDict;

/// What a family lends to its rule file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bindings {
    /// Counts that ranges run up to and shapes are made of, such as `layers` and `width`.
    pub counts: BTreeMap<String, u64>,
    /// Flags for `when` and `unless`, such as `head`.
    pub flags: BTreeMap<String, bool>,
    /// Texts for holes that are no range and no choice, such as `base`.
    pub texts: BTreeMap<String, String>,
}

impl Rules {
    /// The plan that these rules make of a state dict.
    ///
    /// Float tensors are written as `cast` if it is given, else in their own dtype; integers and booleans always in their
    /// own. `expected` is the target network's own list of tensors: the plan must make exactly those.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn plan(
        &self,
        source: &StateDict,
        bindings: &Bindings,
        cast: Option<Dtype>,
        expected: &Expected,
    ) -> Result<Plan, Problems> {
        let filler = source.iter().map(|(_, tensor)| tensor.dtype).find(|dtype| dtype.is_float());
        let mut expansion = Expansion {
            rules: self,
            source,
            bindings,
            cast,
            filler: cast.or(filler).unwrap_or(Dtype::F32),
            names: 0,
            used: vec![false; source.len()],
            name: String::new(),
            shapes: HashSet::default(),
            missing: BTreeMap::new(),
            made: Vec::with_capacity(expected.len()),
            dropped: Vec::new(),
            problems: Vec::new(),
        };
        for rule in &self.rules {
            expansion.rule(rule);
        }
        expansion.finish(expected)
    }

    /// The rules that make something of this state dict under these bindings, and all rules, as a person would point at
    /// them: what a lint needs to find rules that no fixture ever uses.
    pub fn live_and_all(
        &self,
        source: &StateDict,
        bindings: &Bindings,
    ) -> (BTreeSet<String>, BTreeSet<String>) {
        let all = self.rules.iter().map(Rule::describe).collect();
        let has_any = |rule: &Rule| {
            let instances = self.instances(rule, bindings)?;
            let sources = instances.bind(&rule.action.sources(), Side::Source)?;
            let (mut name, mut has_any) = (String::new(), false);
            instances.each(&mut |values| {
                has_any |= sources
                    .iter()
                    .all(|source_name| source_name.fill(&mut name, values).is_ok() && source.has(&name));
                Ok(())
            })?;
            Ok::<_, String>(has_any)
        };
        let is_live = |rule: &&Rule| {
            let is_met = |c: &super::language::Condition| bindings.flags.get(&c.flag) == Some(&c.wanted);
            rule.conditions.iter().all(is_met) && has_any(rule) == Ok(true)
        };
        (self.rules.iter().filter(is_live).map(Rule::describe).collect(), all)
    }
}

struct Expansion<'a> {
    rules: &'a Rules,
    source: &'a StateDict,
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
        for condition in &rule.conditions {
            match self.bindings.flags.get(&condition.flag) {
                Some(set) if *set == condition.wanted => {}
                Some(_) => return,
                None => return self.broken(rule, format!("the family has no flag `{}`", condition.flag)),
            }
        }
        if let Err(reason) = self.write_out(rule) {
            self.broken(rule, reason);
        }
    }

    /// Every instance of a rule.
    fn write_out(&mut self, rule: &Rule) -> Result<(), String> {
        let (rules, bindings) = (self.rules, self.bindings);
        let instances = rules.instances(rule, bindings)?;
        let sources = instances.bind(&rule.action.sources(), Side::Source)?;
        let targets = instances.bind(&rule.action.targets(), Side::Target)?;
        let names = sources.len().saturating_add(targets.len());
        instances.each(&mut |values| {
            self.names = self.names.saturating_add(names);
            if self.names > MOST_NAMES {
                return Err(too_many());
            }
            if let Err(problem) = self.instance(rule, &sources, &targets, values) {
                self.problems.push(problem);
            }
            Ok(())
        })
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
        let state_dict: &'a StateDict = self.source;
        let mut tensors: SmallVec<[&'a Arc<Tensor>; 2]> = SmallVec::new();
        let mut first = None;
        for source in sources {
            source.fill(&mut self.name, values).map_err(broken)?;
            match (state_dict.entry(&self.name), &rule.action) {
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
                self.dropped.push(dropped(tensor, reason.clone()));
                return Ok(());
            }
            (Action::Rename { .. }, [tensor]) => {
                let shape = self.shared(&tensor.shape);
                (tensor.dtype, shape, smallvec![whole(tensor)], Operation::Rename)
            }
            (Action::Transpose { .. }, [tensor]) => {
                let view = Arc::new(transposed(tensor)?);
                let shape = self.shared(&view.shape);
                (tensor.dtype, shape, smallvec![whole(&view)], Operation::Transpose)
            }
            (Action::Permute { axes, .. }, [tensor]) => {
                let (shape, view) = permuted(tensor, axes)?;
                let (shape, view) = (self.shared(&shape), Arc::new(view));
                (tensor.dtype, shape, smallvec![whole(&view)], Operation::Permute)
            }
            (Action::Reshape { shape, .. }, [tensor]) => {
                let shape = self.shape(shape).map_err(broken)?;
                (tensor.dtype, self.shared(&shape), smallvec![whole(tensor)], Operation::Reshape)
            }
            (Action::Split { .. }, [tensor]) => {
                let names = targets.iter().map(|target| self.target_name(rule, target, values));
                let names = names.collect::<Result<SmallVec<[_; 4]>, _>>()?;
                return self.split(first, tensor, &names);
            }
            (Action::Concat { .. }, tensors) => {
                let (shape, dtype) = stacked(tensors)?;
                let parts = tensors.iter().copied().map(whole).collect();
                (dtype, self.shared(&shape), parts, Operation::Concat)
            }
            (Action::Pad { rows, .. }, [tensor]) => {
                let (shape, zeros) = padded(tensor, *rows)?;
                let parts = smallvec![Part::Zeros { elements: zeros }, whole(tensor)];
                (tensor.dtype, self.shared(&shape), parts, Operation::Pad)
            }
            (Action::Fold { .. }, [tensor, factors]) => {
                check_factors(tensor, factors)?;
                let shape = self.shared(&tensor.shape);
                let part = Part::ScaledRows { tensor: Arc::clone(tensor), factors: Arc::clone(factors) };
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
        tensor: &Arc<Tensor>,
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
            let part = Part::Slice { tensor: Arc::clone(tensor), first: index * elements, elements };
            let target = Target {
                name: Arc::clone(name),
                dtype: tensor.dtype,
                shape: Arc::clone(&shape),
                parts: smallvec![part],
                operation: Operation::Split,
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
                None => Err(format!("the family defines no count `{name}`")),
            },
        }
    }

    fn finish(mut self, expected: &Expected) -> Result<Plan, Problems> {
        let mut unmapped = Vec::new();
        for ((name, tensor), _) in self.source.iter().zip(&self.used).filter(|(_, used)| !**used) {
            match self.source.beside(tensor) {
                Some(reason) => self.dropped.push(dropped(tensor, reason)),
                None => unmapped.push(name.to_owned()),
            }
        }
        for (number, (group, names)) in grouped(unmapped).into_iter().enumerate() {
            let nearest =
                (number < WITH_NEAREST).then(|| nearest_pattern(self.rules, &group, true)).flatten();
            self.problems.push(Problem::Unmapped { group, names, nearest });
        }
        for (rule, names) in std::mem::take(&mut self.missing) {
            for (group, names) in grouped(names) {
                self.problems.push(Problem::Missing { group, names, rule: rule.clone() });
            }
        }
        self.made.sort_by_cached_key(|(position, _)| *position);
        let targets: Vec<Target> = self.made.into_iter().map(|(_, target)| target).collect();
        let mut made = Positions::with_capacity(targets.len());
        for (place, target) in targets.iter().enumerate() {
            let name_at = |place: usize| targets.get(place).map(|target| &*target.name);
            if made.insert(&target.name, place, name_at).is_some() {
                self.problems.push(Problem::MadeTwice { name: target.name.to_string() });
            }
        }
        if self.problems.is_empty() {
            self.problems = expected.compare(self.rules, &targets, &made);
        }
        if self.problems.is_empty() {
            return Ok(Plan { targets, dropped: self.dropped });
        }
        Err(Problems { list: self.problems })
    }
}

fn dropped(tensor: &Tensor, reason: String) -> Dropped {
    Dropped { name: tensor.name.to_string(), bytes: tensor.bytes(), reason }
}

fn whole(tensor: &Arc<Tensor>) -> Part {
    Part::Slice { tensor: Arc::clone(tensor), first: 0, elements: tensor.elements() }
}

/// The view with its last two axes exchanged; no byte moves.
fn transposed(tensor: &Tensor) -> Result<Tensor, Problem> {
    let mut view = tensor.clone();
    let axes = view.shape.len();
    if axes < 2 || view.strides.len() != axes {
        let reason = format!("shape {:?} has no two axes to exchange", tensor.shape);
        return Err(Problem::Unfit { name: tensor.name.to_string(), reason });
    }
    view.shape.swap(axes - 2, axes - 1);
    view.strides.swap(axes - 2, axes - 1);
    Ok(view)
}

/// The view with its axes in another order, and the shape that it has once those of each group are one axis; no byte moves.
fn permuted(tensor: &Tensor, axes: &[Vec<usize>]) -> Result<(Dims, Tensor), Problem> {
    let unfit = || {
        let wanted = axes.iter().map(Vec::len).sum::<usize>();
        let reason =
            format!("shape {:?} does not have the {wanted} axes that are put into order", tensor.shape);
        Problem::Unfit { name: tensor.name.to_string(), reason }
    };
    let count = axes.iter().map(Vec::len).sum::<usize>();
    if tensor.shape.len() != count || tensor.strides.len() != count {
        return Err(unfit());
    }
    let mut view = tensor.clone();
    let take =
        |from: &[u64]| axes.iter().flatten().map(|&axis| from.get(axis).copied()).collect::<Option<_>>();
    view.shape = take(&tensor.shape).ok_or_else(unfit)?;
    view.strides = take(&tensor.strides).ok_or_else(unfit)?;
    let joined = |group: &Vec<usize>| {
        let sizes = group.iter().filter_map(|&axis| tensor.shape.get(axis));
        sizes.fold(1_u64, |product, &size| product.saturating_mul(size))
    };
    Ok((axes.iter().map(joined).collect(), view))
}

/// Shape and dtype of tensors put one after another along their first axis.
fn stacked(tensors: &[&Arc<Tensor>]) -> Result<(Dims, Dtype), Problem> {
    let unfit = |tensor: &Tensor, reason: String| Problem::Unfit { name: tensor.name.to_string(), reason };
    let Some((first, others)) = tensors.split_first() else {
        return Err(Problem::Unfit {
            name: String::new(),
            reason: "there is nothing to concatenate".to_owned(),
        });
    };
    let Some((rows, columns)) = first.shape.split_first() else {
        return Err(unfit(first, "a scalar has no rows to concatenate".to_owned()));
    };
    let mut total = *rows;
    for tensor in others {
        match tensor.shape.split_first() {
            Some((rows, rest)) if rest == columns && tensor.dtype == first.dtype => {
                total = total.saturating_add(*rows);
            }
            _ => {
                let (shape, dtype) = (&tensor.shape, tensor.dtype);
                let reason = format!("{dtype} {shape:?} cannot follow {} {:?}", first.dtype, first.shape);
                return Err(unfit(tensor, reason));
            }
        }
    }
    let mut shape = Dims::from_slice(&[total]);
    shape.extend_from_slice(columns);
    Ok((shape, first.dtype))
}

/// Shape with `rows` more on the last but one axis, and how many zeros that takes. The axes before it must be 1 long, or
/// the zeros would not all lie before the source.
fn padded(tensor: &Tensor, rows: u64) -> Result<(Dims, u64), Problem> {
    let unfit = || Problem::Unfit {
        name: tensor.name.to_string(),
        reason: format!("shape {:?} has no single run of rows that could be padded", tensor.shape),
    };
    let mut shape = tensor.shape.clone();
    let [leading @ .., length, width] = shape.as_mut_slice() else { return Err(unfit()) };
    if leading.iter().any(|&dim| dim != 1) {
        return Err(unfit());
    }
    *length = length.checked_add(rows).ok_or_else(unfit)?;
    let zeros = width.checked_mul(rows).ok_or_else(unfit)?;
    Ok((shape, zeros))
}

/// One float factor a row, and float rows.
fn check_factors(tensor: &Tensor, factors: &Tensor) -> Result<(), Problem> {
    let rows = tensor.shape.first().copied();
    let fits = rows.is_some() && factors.shape.len() == 1 && factors.shape.first().copied() == rows;
    if fits && tensor.dtype.is_float() && factors.dtype.is_float() {
        return Ok(());
    }
    let reason = format!(
        "{} {:?} does not hold one factor a row of {} ({} {:?})",
        factors.dtype, factors.shape, tensor.name, tensor.dtype, tensor.shape
    );
    Err(Problem::Unfit { name: factors.name.to_string(), reason })
}
