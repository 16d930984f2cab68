//! Jobs from calls.

pub(crate) mod capacity;
pub(crate) mod labels;
pub(crate) mod submit;
