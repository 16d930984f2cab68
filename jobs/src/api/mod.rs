//! Requests and answers of the REST API, as gateway, command line and tests share them.
//!
//! These are wire formats: fields are added, never changed or reused. The order of the fields is the
//! order on the wire, what is not known is absent and never null, and times are RFC 3339 in UTC with as
//! many digits of a second as are known. A client ignores fields that it does not know, and takes words
//! that a newer gateway added to a closed set ([`OpenEnum`]).
//!
//! Doc comments are the descriptions in `/openapi.json`.

mod alias;
mod audit;
mod auth;
mod call_problem;
mod delivery;
mod device;
mod error;
mod event;
mod filter;
mod forge;
mod function;
mod job;
mod open_enum;
mod page;
pub mod published;
mod repo;
mod secret;
mod stats;
mod token;
mod usage;
mod webhook;

pub use alias::{Alias, AliasMove, AliasVersion, SetAlias};
pub use audit::{AuditEvent, AuditLog, ListAudit};
pub use auth::{RefreshRequest, SignedIn, WhoAmI};
pub use call_problem::{CallProblem, PROBLEM_JSON};
pub use delivery::{ApproveDelivery, Deliveries, Delivery, ListDeliveries, UnsignedDelivery};
pub use device::{DeviceCode, DeviceError, DeviceErrorCode, DeviceToken, GrantType, TokenRequest, TokenType};
pub use error::{Error, ErrorCode, ErrorDetail};
pub use event::{FollowJob, LogEvent};
pub use forge::Forge;
pub use function::{Function, FunctionRole};
pub use job::{
    ForgeStatus, Job, JobInput, JobKey, ListJobs, MAX_INPUT_BYTES, StatusState, SubmitJob, WaitForJob,
};
pub use open_enum::OpenEnum;
pub use page::Page;
pub use repo::{
    OtherRegistration, Problem, ProblemAbout, RemovedRepo, Repo, RepoRequest, ShownRepo, SigningSecret,
    ViewedRepo, Viewer, ViewerRole, WebhookResult,
};
pub use secret::{Secret, SetSecret};
pub use stats::Stats;
pub use token::{NewToken, Token};
pub use usage::{AtLimit, ShowUsage, Unit, Usage};
pub use webhook::DeliveryReceipt;

#[cfg(test)]
mod tests;
