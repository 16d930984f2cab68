//! Renders a live log: whole lines for each source. On a terminal error output is dimmed, and a status line
//! below shows the phase of the job.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jobs::{LogSource, Phase};

use crate::{
    events::Event,
    out::{Stdout, StdoutError},
    record, terminal,
};

/// Where the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogTarget {
    /// `logs`: the log is the output.
    Stdout,
    /// `submit --wait`: the result is the output.
    Stderr,
    /// `run`: the program's standard output is the result, and is streamed.
    Split,
}

const DIM: &str = "\x1b[2m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";
/// How often the spinner of the status line moves.
const TICK: Duration = Duration::from_millis(100);

/// Shows the events of one job.
#[derive(Debug)]
pub(crate) struct LogView {
    to: LogTarget,
    out: Stdout,
    terminal: bool,
    bar: ProgressBar,
    /// Lines without their end yet, by phase and source.
    partial_lines: Vec<(Phase, LogSource, String)>,
}

impl LogView {
    pub(crate) fn new(to: LogTarget) -> Self {
        let out = Stdout::new();
        let terminal = match to {
            LogTarget::Stdout => out.terminal,
            LogTarget::Stderr | LogTarget::Split => std::io::stderr().is_terminal(),
        };
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(
            ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is a constant"),
        );
        bar.enable_steady_tick(TICK);
        Self { to, out, terminal, bar, partial_lines: Vec::new() }
    }

    /// One of several on the same terminal, where a status line has no place.
    pub(crate) fn without_status(to: LogTarget) -> Self {
        let view = Self::new(to);
        view.bar.finish_and_clear();
        Self { bar: ProgressBar::hidden(), ..view }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &Event) -> Result<(), StdoutError> {
        match event {
            Event::Log(line) => self.chunk(line.phase, line.source, line.text.as_bytes()),
            Event::State(job) => {
                self.bar.set_message(terminal::safe(&record::sentence(job)).into_owned());
                Ok(())
            }
        }
    }

    /// Shows a chunk of the log. A result that a program reads is passed on exact to the byte.
    pub(crate) fn chunk(&mut self, phase: Phase, source: LogSource, bytes: &[u8]) -> Result<(), StdoutError> {
        if self.to == LogTarget::Split {
            self.bar.set_message(phase.as_str());
        }
        if self.is_result(phase, source) && !self.out.terminal {
            return self.write(phase, source, bytes);
        }
        let mut text = self.take_partial_line(phase, source) + &String::from_utf8_lossy(bytes);
        if let Some(end) = text.rfind('\n') {
            let rest = text.split_off(end + 1);
            self.write_lines(phase, source, &text)?;
            text = rest;
        }
        if !text.is_empty() {
            self.partial_lines.push((phase, source, text));
        }
        Ok(())
    }

    fn is_result(&self, phase: Phase, source: LogSource) -> bool {
        self.to == LogTarget::Split && phase == Phase::Run && source == LogSource::Stdout
    }

    fn take_partial_line(&mut self, phase: Phase, source: LogSource) -> String {
        let at = self.partial_lines.iter().position(|(p, s, _)| (*p, *s) == (phase, source));
        at.map(|at| self.partial_lines.swap_remove(at).2).unwrap_or_default()
    }

    /// Flushes lines without an end, and removes the status line.
    pub(crate) fn end(mut self) -> Result<(), StdoutError> {
        for (phase, source, text) in std::mem::take(&mut self.partial_lines) {
            self.write_lines(phase, source, &(text + "\n"))?;
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    fn write_lines(&self, phase: Phase, source: LogSource, text: &str) -> Result<(), StdoutError> {
        if self.terminal {
            self.write(phase, source, styled(source, text).as_bytes())
        } else {
            self.write(phase, source, text.as_bytes())
        }
    }

    fn write(&self, phase: Phase, source: LogSource, bytes: &[u8]) -> Result<(), StdoutError> {
        let to_stdout = self.to == LogTarget::Stdout || self.is_result(phase, source);
        self.bar.suspend(|| {
            if to_stdout && self.terminal {
                // Dressed text has been made safe, and holds our own colours.
                Stdout { terminal: false }.untrusted(bytes)
            } else if to_stdout {
                self.out.untrusted(bytes)
            } else {
                std::io::stderr().lock().write_all(bytes).map_err(StdoutError)
            }
        })
    }
}

/// Lines for a terminal: escaped, and coloured by source.
fn styled(source: LogSource, text: &str) -> String {
    let safe = terminal::safe(text);
    let colour = match source {
        LogSource::Stdout => return safe.into_owned(),
        LogSource::Stderr => DIM,
        LogSource::Gitfaas => CYAN,
    };
    safe.split_inclusive('\n')
        .map(|line| match line.strip_suffix('\n') {
            Some(line) => format!("{colour}{line}{PLAIN}\n"),
            None => format!("{colour}{line}{PLAIN}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_output_is_dimmed_line_by_line_and_cannot_end_its_dimming() {
        assert_eq!(styled(LogSource::Stderr, "a\x1b[0mb\nc"), "\x1b[2ma^[[0mb\x1b[0m\n\x1b[2mc\x1b[0m");
        assert_eq!(styled(LogSource::Stdout, "plain\n"), "plain\n");
    }
}
