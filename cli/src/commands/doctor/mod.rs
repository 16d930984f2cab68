//! `gitfaas doctor`: whether this machine can do what the service asks of it. One line a check.

mod disk;
mod docker;
mod limits;
mod nats;
mod owners;
mod secrets;

use std::process::ExitCode;

use serde::Serialize;

use crate::{args::DoctorArgs, config, exit::CommandResult, out::Stdout, terminal};

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// It works, and something will be missing.
    Warn,
    /// It does not work.
    Fail,
}

/// A check: what, its status, and a message; unless it is ok, with what to do.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    #[serde(rename = "verdict")]
    status: Status,
    #[serde(rename = "sentence")]
    message: String,
}

impl Check {
    fn ok(what: &'static str, message: impl Into<String>) -> Self {
        Self { what, status: Status::Ok, message: message.into() }
    }

    fn warn(what: &'static str, message: impl Into<String>) -> Self {
        Self { what, status: Status::Warn, message: message.into() }
    }

    fn fail(what: &'static str, message: impl Into<String>) -> Self {
        Self { what, status: Status::Fail, message: message.into() }
    }

    fn line(&self) -> String {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        format!("{status:4}  {:14}  {}", self.what, terminal::safe(&self.message).replace('\n', " "))
    }
}

pub(super) async fn doctor(args: DoctorArgs) -> CommandResult {
    let data_dir = config::data_dir(&config::var)?;
    let out = Stdout::new();
    let mut checks = Vec::new();
    let mut report = |found: Vec<Check>| {
        if !args.json.json {
            found.iter().try_for_each(|check| out.line(&check.line()))?;
        }
        checks.extend(found);
        anyhow::Ok(())
    };
    report(disk::checks(&data_dir))?;
    report(secrets::checks(&config::var, &data_dir))?;
    report(nats::checks(&config::var, &data_dir).await)?;
    report(vec![owners::limits(&config::var)])?;
    report(docker::checks(&config::var).await)?;
    if args.json.json {
        out.json(&checks)?;
    }
    let failed = checks.iter().any(|check| check.status == Status::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_one_line_whatever_its_sentence_holds() {
        let check = Check::fail("Docker", "cannot be reached:\nno such file\x1b[2J; start it");
        insta::assert_snapshot!(check.line(), @"FAIL  Docker          cannot be reached: no such file^[[2J; start it");
    }
}
