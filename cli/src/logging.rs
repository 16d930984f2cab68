//! Sets up logging: to stderr, as lines or as JSON.

use jobs::settings::{GITFAAS_LOG, GITFAAS_LOG_FORMAT};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{args::Command, config};

/// Services log their work; a command logs warnings only. Errors of the NATS client are returned to us
/// too, and are logged once, by us.
const SERVICE: &str = "info,async_nats=off";
const COMMAND: &str = "warn,async_nats=off";

/// Starts logging. `GITFAAS_LOG` goes before `RUST_LOG`; `GITFAAS_LOG_FORMAT=json` is for collectors.
pub(crate) fn start(command: &Command) {
    let default = if command.is_service() { SERVICE } else { COMMAND };
    let wanted = GITFAAS_LOG.text(&config::var).or_else(|| config::var("RUST_LOG"));
    let filter = wanted.and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(default));
    let registry = tracing_subscriber::registry().with(filter);
    if GITFAAS_LOG_FORMAT.text(&config::var).as_deref() == Some("json") {
        registry.with(fmt::layer().json().with_writer(std::io::stderr)).init();
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        registry.with(fmt::layer().with_writer(std::io::stderr).with_ansi(colours)).init();
    }
}
