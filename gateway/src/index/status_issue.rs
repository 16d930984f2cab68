//! Commits whose status at the forge is to be checked.

/// What tells one doubt about a commit from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusIssue {
    /// How often the end was refused; 0: it was posted.
    pub(crate) refusals: u32,
    /// The revision of the record that was posted.
    pub(crate) revision: u64,
}

/// How often an end is said again that was refused.
pub(crate) const MAX_REFUSALS: u32 = 4;
