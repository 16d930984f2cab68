//! What travels between the parts of gitfaas, and the ledger it is kept in.
//!
//! This crate owns the vocabulary (ids, manifest, record, outcome) and everything that is stored
//! in NATS JetStream: names of streams and buckets, and submit, claim and finish as
//! compare-and-set. Forges, their URLs, refs and events are types here, and so are requests and answers of the
//! REST API (the feature `api`), because gateways and their clients share them. It sends no request to any
//! forge, and knows nothing of HTTP or Docker.

pub mod accounts;
pub mod active_owners;
#[cfg(feature = "api")]
pub mod api;
pub mod audit;
mod beginning;
pub mod bucket;
pub mod call_settings;
pub mod cgi;
mod commit_status;
pub mod connect;
mod delivery;
mod ending;
mod filter;
pub mod forge;
mod forget;
pub mod function;
pub mod git_ref;
pub mod grants;
mod http_syntax;
mod id;
pub mod idempotency;
pub mod incoming;
pub mod input;
pub mod lease;
pub mod ledger;
pub mod lock;
pub mod log;
pub mod manifest;
mod outcome;
mod phase;
mod presence;
pub mod queue;
pub mod reconcile;
mod reconnect;
pub mod record;
mod ref_head;
mod repo;
mod requeue;
pub mod result;
mod secret;
pub mod sessions;
pub mod settings;
pub mod signed;
pub mod slot_limit;
mod stored;
mod stored_json;
pub mod stores;
pub mod streams;
pub mod units;
pub mod usage;

pub use call_settings::{CallAccess, CallSettings, SigningSecret};
pub use commit_status::{ClaimedStatus, CommitStatus, Posted, RepostReason, StatusIssues};
pub use delivery::{CommitApproval, Delivery, DeliveryApproval, DeliveryPlan, DeliveryReason, Verdict};
pub use filter::{Filter, NotAGlob};
pub use forge::{CloneUrl, Forge};
pub use function::FunctionName;
pub use git_ref::{GitRef, RefName};
pub use id::{
    CommitSha, JobId, Label, NotACommit, NotAWord, NotAnId, RepoId, SessionId, TokenId, UserId, WorkerName,
};
pub use idempotency::IdempotencyKey;
pub use incoming::{Incoming, Push};
pub use input::{Input, InputHead};
pub use ledger::{Claim, Ledger, LedgerError};
pub use outcome::{Cause, CommitState, Fault, Outcome, State, commit_state};
pub use phase::{LogSource, Phase};
pub use presence::Presence;
pub use reconnect::reconnected;
pub use record::{FunctionCall, Job, JobInput, JobSpec, JobStatus, NewJob, QueueClass, Timings, Trigger};
pub use ref_head::{RefHead, SeenPush, head_key, push_key};
pub use repo::{
    Forks, PageAccess, Problem, ProblemKind, PullRequests, Repo, RepoEvent, SkipCi, UnverifiedRight,
};
pub use result::JobResult;
pub use secret::Secret;
pub use signed::{RecordKey, SecretEvent, Signature, SignatureError};
pub use stored::Stored;
pub use stored_json::StoredJson;
