//! Standard output: the output of a command, and nothing else. Everything else goes to stderr.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use crate::terminal;

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(crate) struct StdoutError(pub(crate) std::io::Error);

/// Writes to standard output; untrusted text is escaped for a terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stdout {
    pub(crate) terminal: bool,
}

impl Stdout {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal() }
    }

    /// A line of trusted text.
    pub(crate) fn line(self, text: &str) -> Result<(), StdoutError> {
        self.write(format!("{text}\n").as_bytes())
    }

    /// Bytes of a program, exact to the byte unless a terminal would read them.
    pub(crate) fn untrusted(self, bytes: &[u8]) -> Result<(), StdoutError> {
        if self.terminal {
            self.write(terminal::safe(&String::from_utf8_lossy(bytes)).as_bytes())
        } else {
            self.write(bytes)
        }
    }

    /// A value as indented JSON.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<(), StdoutError> {
        // Through a value, in which names are in order: as what a gateway answers is printed.
        let value = serde_json::to_value(value).map_err(|error| StdoutError(error.into()))?;
        let text = serde_json::to_string_pretty(&value).map_err(|error| StdoutError(error.into()))?;
        // JSON escapes control characters below a space itself; a terminal heeds some above.
        if self.terminal { self.line(&terminal::safe(&text)) } else { self.line(&text) }
    }

    fn write(self, bytes: &[u8]) -> Result<(), StdoutError> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(StdoutError)
    }
}
