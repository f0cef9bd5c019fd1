//! Every published model that vitport has heard of, and what each becomes or why it becomes nothing.

use crate::frameworks::FRAMEWORKS;
pub use crate::frameworks::{Becomes, Exactness, KnownModel};

/// Returns all models, by framework, in the framework's order.
pub fn models() -> impl Iterator<Item = KnownModel> {
    FRAMEWORKS.into_iter().flat_map(|framework| framework.known_models())
}
