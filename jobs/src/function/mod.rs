//! Functions: what of registered repositories can be called, and by which names.

mod alias;
mod lookup;
mod name;
mod prune;
mod publish;
mod registry;
mod version;

pub use alias::{Alias, AliasMove, AliasMoveKind, AliasName, AliasTarget, BadAliasName, MAX_ALIAS_MOVES};
pub use lookup::NameTarget;
pub use name::{BadFunctionName, FunctionName, MAX_FUNCTION_NAME_BYTES};
pub use prune::MAX_VERSIONS;
pub use registry::{FormerName, NameEntry, Names, REMOVED_FOR, RENAMED_FOR};
pub use version::{GreenPush, LiveVersion, Version, live_key, version_key};
