//! From rules and a state dict to a plan: every rule is written out for every value of its variables, and the result is
//! held against the source (is every tensor used, is every needed one there) and against the target network's own list.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use vitport_checkpoint::{Dims, Dtype, Tensor};

use super::language::{Action, Dimension, Rule, Rules};
use super::nearest::nearest_pattern;
use super::pattern::{Pattern, Side, Text, Values};
use super::problems::{Problem, Problems, grouped};
use crate::plan::{Dropped, Operation, Part, Plan, Target};
use crate::state_dict::StateDict;

/// Names that all rules of a file together may stand for: some hundred times what the largest vision model has, and few enough
/// that a rule file whose choices multiply is refused at once.
const MOST_NAMES: usize = 200_000;

/// Groups of names that are shown beside the rule that comes nearest; looking for it takes time.
const WITH_NEAREST: usize = 32;

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

/// A tensor that the target network has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Name in the state dict as it lies on disk.
    pub name: String,
    /// Shape.
    pub shape: Dims,
}

impl Expected {
    /// A name and a shape.
    pub fn new(name: impl Into<String>, shape: impl AsRef<[u64]>) -> Self {
        Self { name: name.into(), shape: shape.as_ref().into() }
    }
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
        expected: &[Expected],
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
        let is_live = |rule: &&Rule| {
            let is_met = |c: &super::language::Condition| bindings.flags.get(&c.flag) == Some(&c.wanted);
            let sources = rule.action.sources();
            let has_all = |values: &Values| {
                sources
                    .iter()
                    .all(|pattern| pattern.fill(values, Side::Source).is_ok_and(|name| source.has(&name)))
            };
            let mut has_any = false;
            let walked = self.each_instance(rule, bindings, &mut |values| {
                has_any |= has_all(values);
                Ok(())
            });
            rule.conditions.iter().all(is_met) && walked.is_ok() && has_any
        };
        (self.rules.iter().filter(is_live).map(Rule::describe).collect(), all)
    }

    /// Calls `each` with every value of a rule's variables. A range's count may depend on other variables
    /// (`b = "blocks.{s}"`).
    fn each_instance(
        &self,
        rule: &Rule,
        bindings: &Bindings,
        each: &mut dyn FnMut(&Values) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut values = Values::default();
        for (name, text) in &bindings.texts {
            let text: Arc<str> = text.as_str().into();
            values.push(&name.as_str().into(), (Arc::clone(&text), text));
        }
        let mut open = rule.variables();
        open.retain(|name| !bindings.texts.contains_key(name));
        let mut bound: BTreeSet<String> = bindings.texts.keys().cloned().collect();
        let mut order: Vec<Open> = Vec::with_capacity(open.len());
        while !open.is_empty() {
            let is_ready = |name: &String| match self.ranges.get(name) {
                Some(count) => count.variables().iter().all(|variable| bound.contains(*variable)),
                None => true,
            };
            let Some(name) = open.iter().find(|name| is_ready(name)).cloned() else {
                return Err(format!(
                    "the ranges {open:?} depend on one another or on a variable the rule does not use"
                ));
            };
            open.remove(&name);
            order.push((name.as_str().into(), 0));
            bound.insert(name);
        }
        self.each_below(&mut order, &mut values, bindings, each)
    }

    /// Gives the first open variable each of its texts in turn, and the others below it.
    fn each_below(
        &self,
        open: &mut [Open],
        values: &mut Values,
        bindings: &Bindings,
        each: &mut dyn FnMut(&Values) -> Result<(), String>,
    ) -> Result<(), String> {
        let Some(((name, given), below)) = open.split_first_mut() else {
            return each(values);
        };
        let texts = self.texts_of(name, values, bindings)?;
        *given = given.saturating_add(texts.len());
        if *given > MOST_NAMES {
            return Err(too_many());
        }
        for text in texts.iter() {
            values.push(name, text.clone());
            self.each_below(below, values, bindings, each)?;
            values.pop();
        }
        Ok(())
    }

    fn texts_of(&self, name: &str, values: &Values, bindings: &Bindings) -> Result<Cow<'_, [Text]>, String> {
        if let Some(texts) = self.choices.get(name) {
            return Ok(Cow::Borrowed(texts));
        }
        let Some(range) = self.ranges.get(name) else {
            return Err(format!("{{{name}}} is no range, no choice, and the family does not define it"));
        };
        let count = range.fill(values, Side::Source)?;
        let Some(&end) = bindings.counts.get(&count) else {
            return Err(format!("{{{name}}} runs up to `{count}`, which the family does not define"));
        };
        if end > MOST_NAMES as u64 {
            return Err(too_many());
        }
        let text = |index: u64| Arc::<str>::from(index.to_string());
        Ok((0..end).map(text).map(|text| (Arc::clone(&text), text)).collect())
    }
}

/// A variable that has no text yet, and how many it has been given so far.
type Open = (Arc<str>, usize);

fn too_many() -> String {
    format!("the values of its variables make more than {MOST_NAMES} names")
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
    /// Rule → source names that it needs and the checkpoint lacks.
    missing: BTreeMap<String, Vec<String>>,
    /// Position of the first source in the file, and the target.
    made: Vec<(usize, Target)>,
    dropped: Vec<Dropped>,
    problems: Vec<Problem>,
}

impl Expansion<'_> {
    fn rule(&mut self, rule: &Rule) {
        for condition in &rule.conditions {
            match self.bindings.flags.get(&condition.flag) {
                Some(set) if *set == condition.wanted => {}
                Some(_) => return,
                None => return self.broken(rule, format!("the family has no flag `{}`", condition.flag)),
            }
        }
        let (rules, bindings) = (self.rules, self.bindings);
        let sources = rule.action.sources();
        let patterns = sources.len().saturating_add(rule.action.targets().len());
        let walked = rules.each_instance(rule, bindings, &mut |values| {
            self.names = self.names.saturating_add(patterns);
            if self.names > MOST_NAMES {
                return Err(too_many());
            }
            if let Err(problem) = self.instance(rule, &sources, values) {
                self.problems.push(problem);
            }
            Ok(())
        });
        if let Err(reason) = walked {
            self.broken(rule, reason);
        }
    }

    fn broken(&mut self, rule: &Rule, reason: String) {
        self.problems.push(Problem::Rule { rule: rule.describe(), reason });
    }

    /// One rule with one set of values. A source that is missing is noted and no problem here.
    fn instance(&mut self, rule: &Rule, patterns: &[&Pattern], values: &Values) -> Result<(), Problem> {
        let broken = |reason: String| Problem::Rule { rule: rule.describe(), reason };
        let target_name = |pattern: &Pattern| pattern.fill(values, Side::Target).map_err(broken);
        let mut tensors = Vec::with_capacity(patterns.len());
        let mut first = None;
        for pattern in patterns {
            pattern.fill_into(&mut self.name, values, Side::Source).map_err(broken)?;
            match (self.source.entry(&self.name), &rule.action) {
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
        if tensors.len() < patterns.len() {
            return Ok(());
        }
        let position = first.unwrap_or(usize::MAX);
        match (&rule.action, tensors.as_slice()) {
            (Action::Drop { reason, .. }, [tensor]) => {
                self.dropped.push(dropped(tensor, reason.clone()));
            }
            (Action::Rename { target, .. }, [tensor]) => {
                let parts = vec![whole(tensor)];
                let shape = tensor.shape.clone();
                self.make(position, target_name(target)?, tensor.dtype, shape, parts, Operation::Rename)?;
            }
            (Action::Transpose { target, .. }, [tensor]) => {
                let view = transposed(tensor)?;
                let (shape, parts) = (view.shape.clone(), vec![whole(&view)]);
                self.make(position, target_name(target)?, tensor.dtype, shape, parts, Operation::Transpose)?;
            }
            (Action::Permute { target, axes, .. }, [tensor]) => {
                let (shape, view) = permuted(tensor, axes)?;
                let parts = vec![whole(&view)];
                self.make(position, target_name(target)?, tensor.dtype, shape, parts, Operation::Permute)?;
            }
            (Action::Reshape { target, shape, .. }, [tensor]) => {
                let shape = self.shape(shape).map_err(broken)?;
                let parts = vec![whole(tensor)];
                self.make(position, target_name(target)?, tensor.dtype, shape, parts, Operation::Reshape)?;
            }
            (Action::Split { targets, .. }, [tensor]) => {
                let names = targets.iter().map(target_name).collect::<Result<Vec<_>, _>>()?;
                self.split(position, tensor, names)?;
            }
            (Action::Concat { target, .. }, tensors) => {
                let (shape, dtype) = stacked(tensors)?;
                let parts = tensors.iter().copied().map(whole).collect();
                self.make(position, target_name(target)?, dtype, shape, parts, Operation::Concat)?;
            }
            (Action::Pad { target, rows, .. }, [tensor]) => {
                let (shape, zeros) = padded(tensor, *rows)?;
                let parts = vec![Part::Zeros { elements: zeros }, whole(tensor)];
                self.make(position, target_name(target)?, tensor.dtype, shape, parts, Operation::Pad)?;
            }
            (Action::Fold { target, .. }, [tensor, factors]) => {
                check_factors(tensor, factors)?;
                let (shape, dtype) = (tensor.shape.clone(), tensor.dtype);
                let (tensor, factors) = (Tensor::clone(tensor), Tensor::clone(factors));
                let parts = vec![Part::ScaledRows { tensor, factors }];
                self.make(position, target_name(target)?, dtype, shape, parts, Operation::Fold)?;
            }
            (Action::Zeros { target, shape }, _) => {
                let shape = self.shape(shape).map_err(broken)?;
                let elements = shape.iter().fold(1_u64, |product, &dim| product.saturating_mul(dim));
                let parts = vec![Part::Zeros { elements }];
                self.make(position, target_name(target)?, self.filler, shape, parts, Operation::Fill)?;
            }
            (Action::Identity { target, size }, _) => {
                let size = self.dimension(size).map_err(broken)?;
                let parts = vec![Part::Identity { size }];
                self.make(
                    position,
                    target_name(target)?,
                    self.filler,
                    [size, size].as_slice().into(),
                    parts,
                    Operation::Fill,
                )?;
            }
            _ => return Err(broken("it has another number of sources than it needs".to_owned())),
        }
        Ok(())
    }

    fn split(&mut self, position: usize, tensor: &Tensor, names: Vec<String>) -> Result<(), Problem> {
        let shares = names.len() as u64;
        let rows = tensor.shape.first().copied().unwrap_or(0);
        let Some(share) = rows.checked_div(shares).filter(|share| share * shares == rows && rows > 0) else {
            let reason =
                format!("shape {:?} cannot be split into {shares} equal shares of rows", tensor.shape);
            return Err(Problem::Unfit { name: tensor.name.to_string(), reason });
        };
        let mut shape = tensor.shape.clone();
        if let Some(first) = shape.first_mut() {
            *first = share;
        }
        let elements = tensor.elements() / shares;
        for (index, name) in (0_u64..).zip(names) {
            let part = Part::Slice { tensor: tensor.clone(), first: index * elements, elements };
            self.make(position, name, tensor.dtype, shape.clone(), vec![part], Operation::Split)?;
        }
        Ok(())
    }

    fn make(
        &mut self,
        position: usize,
        name: String,
        dtype: Dtype,
        shape: Dims,
        parts: Vec<Part>,
        operation: Operation,
    ) -> Result<(), Problem> {
        let dtype = match self.cast {
            Some(cast) if dtype.is_float() => cast,
            _ if matches!(dtype, Dtype::F8E4M3 | Dtype::F8E5M2) => {
                let reason =
                    format!("transformers computes nothing in {dtype}; give --dtype f32, f16 or bf16");
                return Err(Problem::Unfit { name, reason });
            }
            _ if dtype == Dtype::C64 => {
                let reason = "its numbers are complex, and the target network has none".to_owned();
                return Err(Problem::Unfit { name, reason });
            }
            _ => dtype,
        };
        let target = Target { name, dtype, shape, parts, operation };
        let filled = target.parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.elements()));
        if filled != target.elements() {
            let reason = format!("{filled} elements cannot take the shape {:?}", target.shape);
            return Err(Problem::Unfit { name: target.name, reason });
        }
        self.made.push((position, target));
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

    fn finish(mut self, expected: &[Expected]) -> Result<Plan, Problems> {
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
        let mut shapes = Shapes::with_capacity_and_hasher(targets.len(), RandomState::default());
        for target in &targets {
            if shapes.insert(&target.name, &target.shape).is_some() {
                self.problems.push(Problem::MadeTwice { name: target.name.clone() });
            }
        }
        if self.problems.is_empty() {
            self.problems = compare(self.rules, shapes, expected);
        }
        if self.problems.is_empty() {
            return Ok(Plan { targets, dropped: self.dropped });
        }
        Err(Problems { list: self.problems })
    }
}

/// Shapes by name.
type Shapes<'a> = HashMap<&'a str, &'a [u64], RandomState>;

/// Holds what is made against what the target network has.
fn compare(rules: &Rules, mut made: Shapes<'_>, expected: &[Expected]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (mut absent, mut unfit) = (Vec::new(), Vec::new());
    for wanted in expected {
        match made.remove(wanted.name.as_str()) {
            None => absent.push(wanted.name.clone()),
            Some(shape) if *shape != *wanted.shape => {
                unfit.push((wanted.name.clone(), shape, wanted.shape.as_slice()));
            }
            Some(_) => {}
        }
    }
    let mut strange: Vec<String> = made.into_keys().map(str::to_owned).collect();
    strange.sort_unstable();
    unfit.sort_unstable();
    for (group, names) in grouped(strange) {
        problems.push(Problem::NotInTarget { group, names });
    }
    for (number, (group, names)) in grouped(absent).into_iter().enumerate() {
        let nearest = (number < WITH_NEAREST).then(|| nearest_pattern(rules, &group, false)).flatten();
        problems.push(Problem::NotMade { group, names, nearest });
    }
    for (name, shape, other) in unfit {
        let reason = format!("its shape would be {shape:?}, but the target network needs {other:?}");
        problems.push(Problem::Unfit { name, reason });
    }
    problems
}

fn dropped(tensor: &Tensor, reason: String) -> Dropped {
    Dropped { name: tensor.name.to_string(), bytes: tensor.bytes(), reason }
}

fn whole(tensor: &Tensor) -> Part {
    Part::Slice { tensor: tensor.clone(), first: 0, elements: tensor.elements() }
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
fn stacked(tensors: &[&Tensor]) -> Result<(Dims, Dtype), Problem> {
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
