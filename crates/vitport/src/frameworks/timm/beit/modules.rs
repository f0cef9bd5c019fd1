//! The modules of a timm `Beit` that was saved whole: none are declared yet, so that such files are refused.

use super::super::super::saved_modules::Role;

/// Lists them.
pub(super) const MODULES: &[Role] = &[];
