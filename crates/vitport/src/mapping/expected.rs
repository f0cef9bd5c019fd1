//! What a plan makes, compared with the target network's own parameters and buffers.

use std::collections::HashMap;

use super::language::Mapping;
use super::nearest::nearest_pattern;
use super::problems::{Problem, WITH_NEAREST, grouped};
use crate::nn::Parameter;
use crate::plan::Target;

/// Returns every way in which `targets` are not exactly the tensors that the network reads.
pub(super) fn compare(mapping: &Mapping, targets: &[Target], parameters: &[Parameter]) -> Vec<Problem> {
    let mut made: HashMap<&str, &Target> = targets.iter().map(|target| (&*target.name, target)).collect();
    let (mut absent, mut unfit) = (Vec::new(), Vec::new());
    for parameter in parameters {
        match made.remove(parameter.name()) {
            None => absent.push(parameter.name().to_owned()),
            Some(target) => {
                let wanted: Vec<u64> = parameter.shape().iter().map(|&size| size as u64).collect();
                if *target.shape != *wanted {
                    unfit.push((target.name.to_string(), &target.shape, wanted));
                }
            }
        }
    }
    let mut strange: Vec<String> = made.into_keys().map(str::to_owned).collect();
    strange.sort_unstable();
    unfit.sort_unstable();
    let mut problems = Vec::new();
    for (group, names) in grouped(strange) {
        problems.push(Problem::NotInTarget { group, names });
    }
    for (number, (group, names)) in grouped(absent).into_iter().enumerate() {
        let nearest = (number < WITH_NEAREST).then(|| nearest_pattern(mapping, &group, false)).flatten();
        problems.push(Problem::NotMade { group, names, nearest });
    }
    for (name, shape, wanted) in unfit {
        let reason = format!("its shape would be {shape:?}, but the target network needs {wanted:?}");
        problems.push(Problem::Unfit { name, reason });
    }
    problems
}
