//! Live events of a job. A `state` event is a [`super::Job`], a `log` event a [`LogEvent`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{LogSource, Phase};

/// Where the live events of a job begin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FollowJob {
    /// From the job's link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// As Last-Event-ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// A piece of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogEvent<'a> {
    /// Where it begins in the log of the attempt, in bytes.
    #[serde(default)]
    pub offset: u64,
    /// Who wrote it.
    #[serde(default = "gitfaas")]
    pub source: LogSource,
    /// What the attempt was doing.
    #[serde(default = "run")]
    pub phase: Phase,
    /// The text; what is not UTF-8 is shown as U+FFFD.
    #[schema(value_type = String)]
    pub text: Cow<'a, str>,
}

fn gitfaas() -> LogSource {
    LogSource::Gitfaas
}

fn run() -> Phase {
    Phase::Run
}
