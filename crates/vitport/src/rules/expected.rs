//! The target network's own list of tensors, and what a plan makes held against it. A network repeats itself, and so the list
//! says once what is in each of its layers.

use vitport_checkpoint::{Dims, Positions};

use super::language::Rules;
use super::nearest::nearest_pattern;
use super::problems::{Problem, WITH_NEAREST, grouped};
use crate::plan::Target;

/// Names, as they lie on disk, and shapes of the target network's tensors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    groups: Vec<Group>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Group {
    One(String, Dims),
    /// Tensors behind each of `stem0.`, `stem1.` … up to the count.
    Layers(String, u64, Vec<(String, Dims)>),
}

impl Expected {
    /// Adds one tensor.
    pub fn push(&mut self, name: impl Into<String>, shape: impl AsRef<[u64]>) {
        self.groups.push(Group::One(name.into(), shape.as_ref().into()));
    }

    /// Adds the tensors of `count` layers: `{stem}{layer}.{name}` for each of the names.
    pub fn push_layers(&mut self, stem: String, count: u64, tensors: Vec<(String, Dims)>) {
        self.groups.push(Group::Layers(stem, count, tensors));
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        let counts = self.groups.iter().map(|group| match group {
            Group::One(..) => 1,
            Group::Layers(_, count, tensors) => {
                usize::try_from(*count).unwrap_or(usize::MAX).saturating_mul(tensors.len())
            }
        });
        counts.fold(0, usize::saturating_add)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `each` with the name and the shape of every tensor, in order.
    pub fn for_each(&self, mut each: impl FnMut(&str, &[u64])) {
        let mut name = String::new();
        for group in &self.groups {
            match group {
                Group::One(name, shape) => each(name, shape),
                Group::Layers(stem, count, tensors) => {
                    for layer in 0..*count {
                        name.clear();
                        name.push_str(stem);
                        name.push_str(itoa::Buffer::new().format(layer));
                        name.push('.');
                        let length = name.len();
                        for (rest, shape) in tensors {
                            name.truncate(length);
                            name.push_str(rest);
                            each(&name, shape);
                        }
                    }
                }
            }
        }
    }

    /// Holds `targets`, whose positions are `made`, against the list.
    pub(super) fn compare(&self, rules: &Rules, targets: &[Target], made: &Positions) -> Vec<Problem> {
        let mut problems = Vec::new();
        let (mut absent, mut unfit) = (Vec::new(), Vec::new());
        let mut is_wanted = vec![false; targets.len()];
        self.for_each(|name, shape| {
            let place = made.find(name, |place| targets.get(place).map(|target| &*target.name));
            let found = place.and_then(|place| Some((targets.get(place)?, is_wanted.get_mut(place)?)));
            match found.filter(|(_, is_wanted)| !**is_wanted) {
                None => absent.push(name.to_owned()),
                Some((target, is_wanted)) => {
                    *is_wanted = true;
                    if *target.shape != *shape {
                        unfit.push((name.to_owned(), &*target.shape, Dims::from_slice(shape)));
                    }
                }
            }
        });
        let strange = targets.iter().zip(is_wanted).filter(|(_, is_wanted)| !is_wanted);
        let mut strange: Vec<String> = strange.map(|(target, _)| target.name.to_string()).collect();
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
}

impl<N: Into<String>, S: AsRef<[u64]>> FromIterator<(N, S)> for Expected {
    fn from_iter<T: IntoIterator<Item = (N, S)>>(tensors: T) -> Self {
        let mut list = Self::default();
        for (name, shape) in tensors {
            list.push(name, shape);
        }
        list
    }
}
