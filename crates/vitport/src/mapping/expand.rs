//! From a mapping and the source's tensors to a plan: every rule is written out for every value of its variables, and the
//! result is compared with the source (is every tensor used, is every needed one there) and with the target network's own
//! list.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;
use vitport_checkpoint::{Dims, Dtype};

use super::bindings::Bindings;
use super::expected;
use super::instances::Instance;
use super::inverse::uncast;
use super::language::Mapping;
use super::nearest::nearest_pattern;
use super::operations::{Context, Made, rename};
use super::pattern::{Template, Value};
use super::problems::{Problem, Problems, WITH_NEAREST, grouped};
use super::rule::Rule;
use super::sources::{SourceTensor, Sources};
use crate::nn::Network;
use crate::plan::{Dropped, Part, Parts, Plan, Target};

impl Mapping {
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
        let filler = cast.or(filler).unwrap_or(Dtype::F32);
        Expansion { cast, filler, ..Expansion::new(self, source, bindings) }.plan(keeps_rest)
    }

    /// Returns the plan of those rules whose tensors are there, and what is wrong with the others: of a checkpoint that may lack
    /// tensors, or have others.
    pub fn plan_of_present(&self, source: &Sources, bindings: &Bindings) -> (Plan, Vec<Problem>) {
        let filler = source.iter().map(|tensor| tensor.dtype).find(|dtype| dtype.is_float());
        let filler = filler.unwrap_or(Dtype::F32);
        Expansion { filler, ..Expansion::new(self, source, bindings) }
            .expand(self.keeps_rest())
            .plan_and_problems()
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
            let (mut name, mut has_any) = (String::new(), false);
            let written_out = self.write_out(rule, bindings, &mut 0, &mut |instance| {
                let mut is_there = |template: &Template| {
                    template.fill(&mut name, instance.values).is_ok() && source.has(&name)
                };
                has_any |= instance.sources.iter().all(&mut is_there);
            });
            written_out.is_ok() && has_any
        };
        (self.rules.iter().filter(is_live).map(Rule::describe).collect(), all)
    }
}

/// Holds a plan in the making.
pub(super) struct Expansion<'a> {
    mapping: &'a Mapping,
    /// Says what is read.
    source: &'a Sources,
    /// Says whether and of what the rules are inverted.
    direction: Direction<'a>,
    /// Says whether they must be what they were, and have the dtypes that they had.
    keeps_dtypes: bool,
    bindings: &'a Bindings,
    cast: Option<Dtype>,
    /// Gives the dtype of tensors that no source holds.
    filler: Dtype,
    /// Says how many names the rules so far stand for.
    names: usize,
    /// Says for each source tensor whether a rule uses it.
    used: Vec<bool>,
    /// Gives the memory for a name that is looked up.
    name: String,
    /// Lists every shape of a target, once.
    shapes: HashSet<Arc<[u64]>, RandomState>,
    /// Lists, for each rule, the names that it needs and that are not there.
    missing: BTreeMap<String, Vec<String>>,
    /// Holds the position of the first source in the file, and the target.
    made: Vec<(u32, Target)>,
    dropped: Vec<Dropped>,
    problems: Vec<Problem>,
}

/// Says which way the rules are read.
#[derive(Clone, Copy)]
enum Direction<'a> {
    /// Makes targets of sources.
    There,
    /// Makes these again, of which the mapping made the tensors that are read.
    Back(&'a Sources),
    /// Makes sources of which nothing is known but what the targets show.
    BackToUnknown,
}

/// Holds tensors that an instance of a rule reads.
type Tensors<'a> = SmallVec<[&'a SourceTensor; 2]>;

/// Holds the position of the first of them, and the tensors.
type Found<'a> = (Option<usize>, Tensors<'a>);

impl<'a> Expansion<'a> {
    pub(super) fn new(mapping: &'a Mapping, source: &'a Sources, bindings: &'a Bindings) -> Self {
        Self {
            mapping,
            source,
            direction: Direction::There,
            keeps_dtypes: true,
            bindings,
            cast: None,
            filler: Dtype::F32,
            names: 0,
            used: vec![false; source.len()],
            name: String::new(),
            shapes: HashSet::default(),
            missing: BTreeMap::new(),
            made: Vec::with_capacity(source.len()),
            dropped: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Inverts the rules: of what the mapping made, these tensors are made again.
    pub(super) fn back_to(self, originals: &'a Sources) -> Self {
        Self { direction: Direction::Back(originals), ..self }
    }

    /// Inverts the rules where nothing is known of what is made but the names: zeros stand for what was left out.
    pub(super) fn without_originals(self) -> Self {
        Self { direction: Direction::BackToUnknown, keeps_dtypes: false, ..self }
    }

    /// Lets what is made again have the dtype of what it is made of.
    pub(super) fn in_any_dtype(self) -> Self {
        Self { keeps_dtypes: false, ..self }
    }

    /// Returns the plan of all rules. `keeps_rest` keeps tensors that no rule uses under their own names.
    pub(super) fn plan(self, keeps_rest: bool) -> Result<Plan, Problems> {
        match self.expand(keeps_rest).plan_and_problems() {
            (plan, problems) if problems.is_empty() => Ok(plan),
            (_, list) => Err(Problems { list }),
        }
    }

    /// Writes out all rules.
    fn expand(mut self, keeps_rest: bool) -> Self {
        let mapping = self.mapping;
        for rule in &mapping.rules {
            self.rule(rule);
        }
        if keeps_rest {
            self.keep_rest();
        }
        self
    }

    fn rule(&mut self, rule: &Rule) {
        let (mapping, bindings, mut names) = (self.mapping, self.bindings, self.names);
        let written_out = mapping.write_out(rule, bindings, &mut names, &mut |instance| {
            if let Err(problem) = self.instance(rule, instance) {
                self.problems.push(problem);
            }
        });
        self.names = names;
        if let Err(reason) = written_out {
            self.problems.push(Problem::Rule { rule: rule.describe(), reason });
        }
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
            self.mark_used(position);
            let shape = self.shared(&tensor.shape);
            let (name, parts) = (Arc::clone(&tensor.name), tensor.parts.clone());
            let target = Target { name, dtype: tensor.dtype, shape, parts, operation: tensor.operation };
            if let Err(problem) = self.make(Some(position), target) {
                self.problems.push(problem);
            }
        }
    }

    /// Makes what one instance of a rule makes. A source that is missing is noted and no problem here.
    fn instance(&mut self, rule: &Rule, instance: &Instance<'_>) -> Result<(), Problem> {
        let Instance { sources, targets, values } = *instance;
        let operation = &*rule.operation;
        let context =
            Context { fills_lost: !self.keeps_dtypes, rule, bindings: self.bindings, filler: self.filler };
        let (position, made, names) = match (self.direction, operation.reason_to_drop()) {
            (Direction::There, None) => {
                let Some((position, tensors)) = self.use_all(rule, sources, values)? else { return Ok(()) };
                for (tensor, reason) in operation.left_out(&tensors, &context)? {
                    self.dropped.extend(dropped(&tensor, reason));
                }
                (position, operation.make(&tensors, &context)?, targets)
            }
            (Direction::There, Some(reason)) => {
                for tensor in self.use_present(rule, sources, values)? {
                    self.dropped.extend(dropped(tensor, reason));
                }
                return Ok(());
            }
            (Direction::Back(originals), None) => {
                let Some(originals) = self.look_up(originals, rule, sources, values)? else {
                    self.use_present(rule, targets, values)?;
                    return Ok(());
                };
                // Of what no source holds nothing is made again, so that it may be missing.
                if sources.is_empty() {
                    self.use_present(rule, targets, values)?;
                    return Ok(());
                }
                let Some((position, tensors)) = self.use_all(rule, targets, values)? else { return Ok(()) };
                let made = operation.invert(&tensors, &originals, &context)?;
                let made = if self.keeps_dtypes { uncast(made, &originals)? } else { made };
                (position, made, sources)
            }
            (Direction::Back(_), Some(_)) => return Ok(()),
            (Direction::BackToUnknown, None) => {
                let Some((position, tensors)) = self.use_all(rule, targets, values)? else { return Ok(()) };
                let shapes = operation.source_shapes(&tensors, &context)?;
                let dtype = tensors.first().map_or(self.filler, |tensor| tensor.dtype);
                let unknown = |shape: Dims| SourceTensor {
                    name: "".into(),
                    dtype,
                    shape,
                    parts: Parts::new(),
                    operation: rename::TABLE,
                };
                let originals: Vec<SourceTensor> = shapes.into_iter().map(unknown).collect();
                let originals: Tensors<'_> = originals.iter().collect();
                (position, operation.invert(&tensors, &originals, &context)?, sources)
            }
            (Direction::BackToUnknown, Some(_)) => match operation.made_again(&context)? {
                Some(made) => (None, vec![made], sources),
                None => return Ok(()),
            },
        };
        for (template, Made { dtype, shape, parts, operation }) in names.iter().zip(made) {
            self.fill_name(rule, template, values)?;
            let (name, shape) = (self.name.as_str().into(), self.shared(&shape));
            self.make(position, Target { name, dtype, shape, parts, operation })?;
        }
        Ok(())
    }

    /// Uses all tensors of these names, and returns them with the position of the first; none if some are missing, which is
    /// noted.
    fn use_all(
        &mut self,
        rule: &Rule,
        names: &[Template],
        values: &[Value<'_>],
    ) -> Result<Option<Found<'a>>, Problem> {
        let source = self.source;
        let (mut first, mut tensors) = (None, Tensors::new());
        for template in names {
            self.fill_name(rule, template, values)?;
            match source.entry(&self.name) {
                Some((position, tensor)) => {
                    self.mark_used(position);
                    first.get_or_insert(position);
                    tensors.push(tensor);
                }
                None => self.missing.entry(rule.describe()).or_default().push(self.name.clone()),
            }
        }
        Ok((tensors.len() == names.len()).then_some((first, tensors)))
    }

    /// Uses those tensors of these names that are there, and returns them.
    fn use_present(
        &mut self,
        rule: &Rule,
        names: &[Template],
        values: &[Value<'_>],
    ) -> Result<Tensors<'a>, Problem> {
        let source = self.source;
        let mut tensors = Tensors::new();
        for template in names {
            self.fill_name(rule, template, values)?;
            if let Some((position, tensor)) = source.entry(&self.name) {
                self.mark_used(position);
                tensors.push(tensor);
            }
        }
        Ok(tensors)
    }

    /// Returns the originals of these names; none if some are not there.
    fn look_up(
        &mut self,
        originals: &'a Sources,
        rule: &Rule,
        names: &[Template],
        values: &[Value<'_>],
    ) -> Result<Option<Tensors<'a>>, Problem> {
        let mut tensors = Tensors::new();
        for template in names {
            self.fill_name(rule, template, values)?;
            tensors.extend(originals.entry(&self.name).map(|(_, tensor)| tensor));
        }
        Ok((tensors.len() == names.len()).then_some(tensors))
    }

    fn mark_used(&mut self, position: usize) {
        if let Some(used) = self.used.get_mut(position) {
            *used = true;
        }
    }

    /// Makes the name of an instance in `self.name`.
    fn fill_name(&mut self, rule: &Rule, template: &Template, values: &[Value<'_>]) -> Result<(), Problem> {
        let broken = |reason| Problem::Rule { rule: rule.describe(), reason };
        template.fill(&mut self.name, values).map_err(broken)
    }

    /// Returns the shape, in the memory of the first target that has it.
    fn shared(&mut self, shape: &[u64]) -> Arc<[u64]> {
        if let Some(shared) = self.shapes.get(shape) {
            return Arc::clone(shared);
        }
        let shape: Arc<[u64]> = shape.into();
        self.shapes.insert(Arc::clone(&shape));
        shape
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

    /// Returns what the rules made, and everything that is wrong with it.
    fn plan_and_problems(mut self) -> (Plan, Vec<Problem>) {
        let unused = self.source.iter().zip(&self.used).filter(|(_, used)| !**used);
        let unmapped: Vec<String> = unused.map(|(tensor, _)| tensor.name.to_string()).collect();
        for (number, (group, names)) in grouped(unmapped).into_iter().enumerate() {
            let nearest =
                (number < WITH_NEAREST).then(|| nearest_pattern(self.mapping, &group, true)).flatten();
            self.problems.push(Problem::Unmapped { group, names, nearest });
        }
        let missing = std::mem::take(&mut self.missing);
        for (rule, names) in missing.into_iter().filter(|_| !self.mapping.is_partial()) {
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
        (Plan { targets, dropped: self.dropped, ..Plan::default() }, self.problems)
    }
}

/// Returns the tensors of the file that a dropped one is made of.
fn dropped(tensor: &SourceTensor, reason: &str) -> Vec<Dropped> {
    let size = tensor.dtype.size();
    let of_part = |(name, part): (&str, &Part)| Dropped {
        name: name.to_owned(),
        tensors: 1,
        bytes: part.elements().saturating_mul(size),
        reason: reason.to_owned(),
    };
    tensor.names_in_file().zip(&tensor.parts).map(of_part).collect()
}
