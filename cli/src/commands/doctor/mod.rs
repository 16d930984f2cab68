//! `gitfaas doctor`: whether this machine can do what the service asks of it. One line a check.

mod docker;
mod limits;
mod machine;
mod nats;
mod owners;
mod secrets;

use std::process::ExitCode;

use serde::Serialize;

use crate::{args::DoctorArgs, config, exit::Done, out::Out, terminal};

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// It works, and something will be missing.
    Warn,
    /// It does not work.
    Fail,
}

/// A check: what, how it went, and a sentence; where it did not go well, with what to do.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    verdict: Verdict,
    sentence: String,
}

impl Check {
    fn ok(what: &'static str, sentence: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Ok, sentence: sentence.into() }
    }

    fn warn(what: &'static str, sentence: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Warn, sentence: sentence.into() }
    }

    fn fail(what: &'static str, sentence: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Fail, sentence: sentence.into() }
    }

    fn line(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        format!("{verdict:4}  {:14}  {}", self.what, terminal::safe(&self.sentence).replace('\n', " "))
    }
}

pub(super) async fn doctor(args: DoctorArgs) -> Done {
    let data_dir = config::data_dir(&config::var)?;
    let out = Out::new();
    let mut checks = Vec::new();
    let mut tell = |found: Vec<Check>| {
        if !args.json.json {
            found.iter().try_for_each(|check| out.line(&check.line()))?;
        }
        checks.extend(found);
        anyhow::Ok(())
    };
    tell(machine::checks(&data_dir))?;
    tell(secrets::checks(&config::var, &data_dir))?;
    tell(nats::checks(&config::var, &data_dir).await)?;
    tell(vec![owners::limits(&config::var)])?;
    tell(docker::checks(&config::var).await)?;
    if args.json.json {
        out.json(&checks)?;
    }
    let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
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
