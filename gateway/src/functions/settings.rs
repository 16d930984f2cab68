//! What the operator says of functions.

use jobs::settings::{GITFAAS_PUBLIC_FUNCTIONS, Reader};

/// What the operator says of functions.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whether functions may be open to everybody.
    pub public_functions: bool,
}

impl Settings {
    /// Reads the settings.
    pub(crate) fn read(env: &mut Reader<'_>) -> Self {
        Self { public_functions: env.switch(GITFAAS_PUBLIC_FUNCTIONS) }
    }
}
