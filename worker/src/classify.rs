//! Classifies how a program ended: cause, whose fault it is, and the message that users read.

use std::time::Duration;

use jobs::{Cause, Outcome, units};

use crate::sandbox::{End, Exit, Limits};

/// The outcome of a run. What limited the program counts before what it then did.
pub fn classify(end: &End, limits: &Limits) -> Outcome {
    let failed = !end.is_success();
    if end.stopped {
        return Outcome::wished(Cause::Cancelled, "cancelled");
    }
    if end.output_exceeded {
        return Outcome::function(
            Cause::Output,
            format!("wrote more than {}", units::show_bytes(limits.output_bytes)),
        );
    }
    if end.timed_out {
        return if end.processes_refused {
            Outcome::function(
                Cause::Processes,
                format!("had too many processes until its {} were over", seconds(limits.time)),
            )
        } else {
            Outcome::function(Cause::Timeout, format!("timed out after {}", seconds(limits.time)))
        };
    }
    if end.oom_kills > 0 {
        return Outcome::function(
            Cause::Memory,
            format!("used more memory than {}", units::show_bytes(limits.memory_bytes)),
        );
    }
    if failed && end.disk_full {
        return Outcome::function(
            Cause::Disk,
            format!("filled its disk (/work has {}, /tmp 64m)", units::show_bytes(limits.disk_bytes)),
        );
    }
    if failed && end.processes_refused {
        return Outcome::function(Cause::Processes, "started too many processes");
    }
    match end.exit {
        Exit::Code(0) => Outcome::Finished,
        Exit::Code(code) => Outcome::function(Cause::Exit, format!("exit code {code}")),
        Exit::Signal(signal) => Outcome::function(Cause::Exit, format!("ended by signal {signal}")),
        Exit::NotStarted => {
            let why = end.sentence.as_deref().unwrap_or("no reason given");
            Outcome::function(Cause::Exit, format!("could not be started: {why}"))
        }
        Exit::Unknown => Outcome::service(Cause::Lost, "its container was ended from outside"),
    }
}

/// The code that the program ended with, if it did.
pub fn exit_code(end: &End) -> Option<i32> {
    match end.exit {
        Exit::Code(code) => Some(code),
        // As shells count.
        Exit::Signal(signal) => Some(128 + signal),
        Exit::NotStarted | Exit::Unknown => None,
    }
}

fn seconds(duration: Duration) -> String {
    units::show_duration(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Network;

    const LIMITS: Limits = Limits {
        time: Duration::from_secs(60),
        memory_bytes: 512 << 20,
        disk_bytes: 256 << 20,
        cpu_millis: 1000,
        output_bytes: 64 << 20,
        network: Network::None,
    };

    fn end(exit: Exit) -> End {
        End {
            exit,
            sentence: None,
            timed_out: false,
            stopped: false,
            oom_kills: 0,
            processes_refused: false,
            disk_full: false,
            output_exceeded: false,
            peak_memory_bytes: None,
            filled_bytes: None,
            duration: Duration::ZERO,
        }
    }

    fn told(end: &End) -> String {
        match classify(end, &LIMITS) {
            Outcome::Finished => "finished".to_owned(),
            Outcome::Built => unreachable!("it ran"),
            Outcome::Skipped { why } => why,
            Outcome::Failed { cause, message, .. } => format!("{}: {message}", cause.as_str()),
        }
    }

    #[test]
    fn each_end_has_its_own_cause() {
        let table = [
            end(Exit::Code(0)),
            end(Exit::Code(3)),
            end(Exit::Signal(11)),
            end(Exit::Unknown),
            End { timed_out: true, ..end(Exit::Signal(9)) },
            End { timed_out: true, processes_refused: true, ..end(Exit::Signal(9)) },
            End { oom_kills: 1, ..end(Exit::Signal(9)) },
            End { oom_kills: 1, ..end(Exit::Code(0)) },
            End { disk_full: true, ..end(Exit::Code(1)) },
            End { disk_full: true, ..end(Exit::Code(0)) },
            End { processes_refused: true, ..end(Exit::Code(1)) },
            End { output_exceeded: true, ..end(Exit::Signal(9)) },
            End { sentence: Some("no such file".to_owned()), ..end(Exit::NotStarted) },
        ];
        let told: Vec<String> = table.iter().map(told).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        finished
        exit: exit code 3
        exit: ended by signal 11
        lost: its container was ended from outside
        timeout: timed out after 60 s
        processes: had too many processes until its 60 s were over
        memory: used more memory than 512m
        memory: used more memory than 512m
        disk: filled its disk (/work has 256m, /tmp 64m)
        finished
        processes: started too many processes
        output: wrote more than 64m
        exit: could not be started: no such file
        ");
    }
}
