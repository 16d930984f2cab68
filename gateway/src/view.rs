//! What `/api/v1` shows: jobs, repositories, deliveries, tokens. These are wire formats: fields are
//! added, never changed.

use hooks::Incoming;
use jiff::Timestamp;
use jobs::{
    Cause, CommitSha, Delivery, Fault, Filter, Forks, Job, JobId, Label, Links, Problem, ProblemKind,
    PullRequests, Repo, RepoEvent, RepoId, SkipCi, State, Timings, TokenId, Trigger, Verdict, WorkerName,
    accounts::{Scope, TokenRecord},
    bucket::Entry,
};
use serde::Serialize;

use crate::{at_forge::WebhookTold, gateway::Gateway, problems::fix, viewers::ViewerView};

/// A list, and where the next page begins.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// The cursor of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A job; what is not known is absent.
#[derive(Debug, Serialize)]
pub(crate) struct JobView {
    pub(crate) id: JobId,
    pub(crate) state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<Fault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repo: Option<RepoId>,
    pub(crate) url: String,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha: Option<CommitSha>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) args: Option<Vec<String>>,
    pub(crate) label: Label,
    pub(crate) trigger: Trigger,
    pub(crate) attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) worker: Option<WorkerName>,
    pub(crate) created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) timings_ms: Timings,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peak_memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prepared: Option<bool>,
    /// As text; what is not UTF-8 is shown as U+FFFD. The bytes are at `/result`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) omitted_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rerun_of: Option<JobId>,
    /// Only where one job is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<StatusView>,
}

impl From<&Entry<Job>> for JobView {
    fn from(entry: &Entry<Job>) -> Self {
        let job = &entry.value;
        let result = job.result.as_ref();
        Self {
            id: job.id,
            state: job.state,
            cause: job.cause,
            fault: job.fault,
            message: job.message.clone(),
            exit_code: job.exit_code,
            repo: job.repo,
            url: job.url.clone(),
            reference: job.reference.clone(),
            sha: job.sha.clone(),
            name: job.name.clone(),
            args: job.args.clone(),
            label: job.label.clone(),
            trigger: job.trigger,
            attempt: job.attempt,
            worker: job.worker.clone(),
            created_at: entry.created_at(),
            started_at: entry.started_at(),
            finished_at: entry.finished_at(),
            timings_ms: job.timings_ms,
            peak_memory_bytes: job.peak_memory_bytes,
            prepared: job.prepared,
            result: result.map(|result| String::from_utf8_lossy(&result.head()).into_owned()),
            result_bytes: result.map(|result| result.bytes),
            omitted_bytes: result.map(|result| result.omitted_bytes),
            rerun_of: job.rerun_of,
            status: None,
        }
    }
}

/// What became of a job's status at the forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct StatusView {
    pub(crate) context: String,
    pub(crate) state: StatusWord,
    /// One sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    /// One sentence: what mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

/// Whether the forge shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StatusWord {
    /// The forge took it.
    Posted,
    /// It will be posted, or tried again.
    Waiting,
    /// The forge does not take it.
    Refused,
    /// This registration posts none.
    Silent,
}

impl StatusWord {
    /// As it is on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Silent => "silent",
        }
    }
}

/// A registered repository.
#[derive(Debug, Serialize)]
pub(crate) struct RepoView {
    pub(crate) id: RepoId,
    pub(crate) url: String,
    pub(crate) forge: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) branches: Filter,
    pub(crate) paths: Filter,
    pub(crate) events: Vec<RepoEvent>,
    pub(crate) links: Links,
    pub(crate) forks: Forks,
    pub(crate) label: Label,
    /// Who sees its jobs besides its owner.
    pub(crate) viewers: Vec<ViewerView>,
    /// Whether this registration posts statuses.
    pub(crate) posts: bool,
    /// Why it posts no statuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) posts_reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) problems: Vec<ProblemView>,
    pub(crate) skip_ci: SkipCi,
    pub(crate) pull_requests: PullRequests,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) removing_since: Option<Timestamp>,
    /// Other registrations of the same URL; when it is made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) also_registered: Vec<OtherRegistration>,
    pub(crate) webhook_url: String,
    /// Shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    /// How it went with the webhook at the forge; shown once, when one was wished for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhook: Option<WebhookTold>,
    /// The installation of the GitHub App that brought it, or lends it tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) installation: Option<u64>,
}

impl RepoView {
    /// Without the secret, and without the viewers, whose addresses it does not know.
    pub(crate) fn of(repo: &Repo, public_url: &url::Url) -> Self {
        let webhook = public_url.join(&format!("webhooks/{}", repo.id)).expect("an id is a path");
        Self {
            id: repo.id,
            url: repo.url.clone(),
            forge: repo.forge.clone(),
            name: repo.name.clone(),
            branches: repo.branches.clone(),
            paths: repo.paths.clone(),
            events: repo.events.clone(),
            links: repo.links,
            forks: repo.forks,
            label: repo.label.clone(),
            viewers: Vec::new(),
            posts: Gateway::is_posting(repo),
            posts_reason: None,
            problems: repo.problems.iter().map(ProblemView::from).collect(),
            skip_ci: repo.skip_ci,
            pull_requests: repo.pull_requests,
            api_url: repo.api_url.clone(),
            removing_since: repo.removing_since,
            also_registered: Vec::new(),
            webhook_url: webhook.into(),
            secret: None,
            webhook: None,
            installation: repo.installation,
        }
    }
}

/// Something that its owner has to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ProblemView {
    /// `status`, `token`, `webhook`, or `signature`: of deliveries that are not signed as they should be.
    pub(crate) about: &'static str,
    pub(crate) message: String,
    pub(crate) since: Timestamp,
    /// What mends it.
    pub(crate) fix: &'static str,
}

impl From<&Problem> for ProblemView {
    fn from(problem: &Problem) -> Self {
        Self {
            about: match problem.about {
                ProblemKind::Status => "status",
                ProblemKind::Token => "token",
                ProblemKind::Webhook => "webhook",
            },
            message: problem.message.clone(),
            since: problem.since,
            fix: fix(problem.about),
        }
    }
}

/// Another registration of the same URL; whose it is, where the caller may know.
#[derive(Debug, Serialize)]
pub(crate) struct OtherRegistration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<RepoId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    pub(crate) posts: bool,
}

/// A repository as its viewers see it: which one it is, and nothing of how it is set up.
#[derive(Debug, Serialize)]
pub(crate) struct ViewedRepo {
    id: RepoId,
    url: String,
    forge: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    role: &'static str,
}

impl ViewedRepo {
    pub(crate) fn of(repo: &Repo) -> Self {
        Self {
            id: repo.id,
            url: repo.url.clone(),
            forge: repo.forge.clone(),
            name: repo.name.clone(),
            role: "viewer",
        }
    }
}

/// A signed delivery and what was decided about it.
#[derive(Debug, Serialize)]
pub(crate) struct DeliveryView {
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repo: Option<RepoId>,
    pub(crate) hook: String,
    pub(crate) event: String,
    /// What it is about, where it is about a ref; `sha` is what an approval names.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha: Option<CommitSha>,
    /// Of a pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pull: Option<u64>,
    pub(crate) received_at: Timestamp,
    /// Absent while it is being taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) jobs: Vec<JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replay_of: Option<String>,
    /// Nobody sent it: the forge's refs were compared.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) made_up: bool,
}

impl From<&Entry<Delivery>> for DeliveryView {
    fn from(entry: &Entry<Delivery>) -> Self {
        let delivery = &entry.value;
        let About { reference, sha, pull, made_up } = about(delivery);
        Self {
            id: entry.key.clone(),
            repo: delivery.repo,
            hook: delivery.hook.clone(),
            event: delivery.event.clone(),
            reference,
            sha,
            pull,
            received_at: delivery.received_at.unwrap_or(entry.written_at),
            verdict: delivery.verdict,
            reason: delivery.reason.clone(),
            jobs: delivery.jobs.clone(),
            replay_of: delivery.replay_of.clone(),
            made_up,
        }
    }
}

/// What a delivery is about.
#[derive(Default)]
struct About {
    reference: Option<String>,
    sha: Option<CommitSha>,
    pull: Option<u64>,
    made_up: bool,
}

fn about(delivery: &Delivery) -> About {
    match delivery.incoming.clone().map(serde_json::from_value) {
        Some(Ok(Incoming::Push(push))) => {
            let reference = Some(push.reference.to_string());
            About { reference, sha: push.after, pull: None, made_up: push.made_up }
        }
        Some(Ok(Incoming::PullRequest(pull))) => {
            let (reference, number) = (Some(pull.reference()), Some(pull.number));
            About { reference, sha: Some(pull.head_sha), pull: number, made_up: false }
        }
        Some(Ok(Incoming::Rerequested(asked))) => About { sha: Some(asked.sha), ..About::default() },
        Some(Ok(
            Incoming::Ping
            | Incoming::Installation(_)
            | Incoming::InstallationRepositories(_)
            | Incoming::Ignored(_),
        ))
        | Some(Err(_))
        | None => About::default(),
    }
}

/// An API token; its text is shown once, when it is made.
#[derive(Debug, Serialize)]
pub(crate) struct TokenView {
    pub(crate) id: TokenId,
    pub(crate) name: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
    /// An hour late at most; absent of one that was never used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_used_at: Option<Timestamp>,
    /// The token that made it, with which it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) made_by: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

impl From<&TokenRecord> for TokenView {
    fn from(record: &TokenRecord) -> Self {
        Self {
            id: record.id,
            name: record.name.clone(),
            scopes: record.scopes.clone(),
            created_at: record.made_at(),
            expires_at: record.expires_at,
            last_used_at: record.last_used_at,
            made_by: record.made_by.last().copied(),
            token: None,
        }
    }
}
