//! A live log as people see it: whole lines, whoever writes them. On a terminal error output is dimmed,
//! and a line below says what the job is doing.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jobs::{LogSource, Phase};

use crate::{
    events::Event,
    out::{Out, OutError},
    record, terminal,
};

/// Where the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// `logs`: it is what was asked for.
    Stdout,
    /// `submit --wait`: the result is what was asked for.
    Stderr,
    /// `run`: the program's output is the result, and comes at once.
    Split,
}

const DIM: &str = "\x1b[2m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";
/// How often the line below turns.
const TICK: Duration = Duration::from_millis(100);

/// Shows the events of one job.
#[derive(Debug)]
pub(crate) struct LogView {
    to: To,
    out: Out,
    terminal: bool,
    bar: ProgressBar,
    /// The begun lines, by who writes them.
    begun: Vec<(Phase, LogSource, String)>,
}

impl LogView {
    pub(crate) fn new(to: To) -> Self {
        let out = Out::new();
        let terminal = match to {
            To::Stdout => out.terminal,
            To::Stderr | To::Split => std::io::stderr().is_terminal(),
        };
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(
            ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is a constant"),
        );
        bar.enable_steady_tick(TICK);
        Self { to, out, terminal, bar, begun: Vec::new() }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &Event) -> Result<(), OutError> {
        match event {
            Event::Log(line) => self.piece(line.phase, line.source, line.text.as_bytes()),
            Event::State(job) => {
                self.bar.set_message(terminal::safe(&record::sentence(job)).into_owned());
                Ok(())
            }
        }
    }

    /// Shows a piece of the log. A result that a program reads is passed on exact to the byte.
    pub(crate) fn piece(&mut self, phase: Phase, source: LogSource, bytes: &[u8]) -> Result<(), OutError> {
        if self.to == To::Split {
            self.bar.set_message(phase.as_str());
        }
        if self.is_result(phase, source) && !self.out.terminal {
            return self.write(phase, source, bytes);
        }
        let mut text = self.take_begun(phase, source) + &String::from_utf8_lossy(bytes);
        if let Some(end) = text.rfind('\n') {
            let rest = text.split_off(end + 1);
            self.write_lines(phase, source, &text)?;
            text = rest;
        }
        if !text.is_empty() {
            self.begun.push((phase, source, text));
        }
        Ok(())
    }

    fn is_result(&self, phase: Phase, source: LogSource) -> bool {
        self.to == To::Split && phase == Phase::Run && source == LogSource::Stdout
    }

    fn take_begun(&mut self, phase: Phase, source: LogSource) -> String {
        let at = self.begun.iter().position(|(p, s, _)| (*p, *s) == (phase, source));
        at.map(|at| self.begun.swap_remove(at).2).unwrap_or_default()
    }

    /// Shows what has no line end, and takes the line below away.
    pub(crate) fn end(mut self) -> Result<(), OutError> {
        for (phase, source, text) in std::mem::take(&mut self.begun) {
            self.write_lines(phase, source, &(text + "\n"))?;
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    fn write_lines(&self, phase: Phase, source: LogSource, text: &str) -> Result<(), OutError> {
        if self.terminal {
            self.write(phase, source, dressed(source, text).as_bytes())
        } else {
            self.write(phase, source, text.as_bytes())
        }
    }

    fn write(&self, phase: Phase, source: LogSource, bytes: &[u8]) -> Result<(), OutError> {
        let to_stdout = self.to == To::Stdout || self.is_result(phase, source);
        self.bar.suspend(|| {
            if to_stdout && self.terminal {
                // Dressed text has been made safe, and holds our own colours.
                Out { terminal: false }.foreign(bytes)
            } else if to_stdout {
                self.out.foreign(bytes)
            } else {
                std::io::stderr().lock().write_all(bytes).map_err(OutError)
            }
        })
    }
}

/// Lines for a terminal: safe, and coloured by who wrote them.
fn dressed(source: LogSource, text: &str) -> String {
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
        assert_eq!(dressed(LogSource::Stderr, "a\x1b[0mb\nc"), "\x1b[2ma^[[0mb\x1b[0m\n\x1b[2mc\x1b[0m");
        assert_eq!(dressed(LogSource::Stdout, "plain\n"), "plain\n");
    }
}
