//! Secrets, viewers, links, approvals, limits, strangers, the audit log, what browsers are told, a new master
//! key, and what a worker's credential is good for.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod approvals;
mod audit;
mod browsers;
mod call_settings;
mod invoke;
mod labels;
mod limits;
mod links;
mod rekey;
mod secrets;
mod signing;
mod stolen;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod viewers;

use jobs::{
    JobId,
    grants::{GrantReply, GrantRequest, JobGrant},
};
use support::Service;

/// Nobody answers there, and nobody is asked: the address is private.
pub(crate) const URL: &str = "https://127.0.0.1/a/pi.git";

/// What the worker `w1` is granted for a job that it claimed.
pub(crate) async fn granted(service: &Service, job: JobId, names: &[&str]) -> JobGrant {
    let secrets = names.iter().map(|name| (*name).to_owned()).collect();
    let bytes = serde_json::to_vec(&GrantRequest::Job { job, attempt: 1, secrets }).unwrap();
    let answer = service.ledger.client.request("grants.w1", bytes.into()).await.unwrap();
    match serde_json::from_slice(&answer.payload).unwrap() {
        GrantReply::Job(grant) => grant,
        other => panic!("{other:?}"),
    }
}
