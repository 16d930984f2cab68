//! Exit codes, and prints errors, in one place.

use std::process::ExitCode;

use jobs::settings::Problems;

/// Wrong configuration: `EX_USAGE` of `sysexits.h`.
const WRONG_CONFIGURATION: u8 = 64;

/// What every command ends with: its exit code, or why it could not be done.
pub(crate) type CommandResult = anyhow::Result<ExitCode>;

/// The code for the end of a job: the function's own where it has one, 1 where it failed otherwise.
pub(crate) fn of_function(exit: i32) -> ExitCode {
    ExitCode::from(u8::try_from(exit & 0xff).ok().filter(|code| *code != 0 || exit == 0).unwrap_or(1))
}

/// Prints an error, if it is one, and chooses the code.
pub(crate) fn code(done: CommandResult) -> ExitCode {
    let error = match done {
        Ok(code) => return code,
        Err(error) => error,
    };
    if let Some(problems) = error.downcast_ref::<Problems>() {
        eprint!("{problems}");
        return ExitCode::from(WRONG_CONFIGURATION);
    }
    if is_broken_pipe(&error) {
        // The reader of our output has closed it, as in `gitfaas logs ID | head`.
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {}", crate::terminal::safe(&chain(&error)));
    // A master key that is not this installation's is wrong configuration too.
    let wrong_key = error.chain().any(|cause| cause.is::<gateway::KeyError>());
    if wrong_key { ExitCode::from(WRONG_CONFIGURATION) } else { ExitCode::FAILURE }
}

/// An error and its causes; what one says that another says too is said once.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.iter().any(|earlier| earlier.contains(&cause)) {
            continue;
        }
        said.pop_if(|last| cause.contains(last.as_str()));
        said.push(cause);
    }
    said.join(": ")
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    };
    error.root_cause().downcast_ref::<crate::out::StdoutError>().is_some_and(|out| io(&out.0))
        || io(error.root_cause())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let refused = anyhow::anyhow!("authorization violation").context("nats: authorization violation");
        assert_eq!(
            chain(&refused.context("cannot connect")),
            "cannot connect: nats: authorization violation"
        );
    }

    #[test]
    fn a_function_s_code_is_ours_and_one_beyond_a_byte_is_never_success() {
        assert_eq!(of_function(0), ExitCode::SUCCESS);
        assert_eq!(of_function(3), ExitCode::from(3));
        assert_eq!(of_function(256), ExitCode::FAILURE);
        assert_eq!(of_function(-1), ExitCode::from(255));
    }
}
