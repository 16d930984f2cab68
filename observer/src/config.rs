//! The observer's settings.

use std::net::SocketAddr;

use jobs::settings::{GITFAAS_OBSERVER_LISTEN, Problems, Reader};

/// What the observer needs to know besides where NATS is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where `/metrics`, `/healthz` and `/readyz` are answered.
    pub listen: SocketAddr,
}

impl Config {
    /// Reads the settings through `var`.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn read(var: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Reader::new(var);
        let listen = env.value(GITFAAS_OBSERVER_LISTEN);
        env.finish(|| Some(Self { listen }))
    }
}
