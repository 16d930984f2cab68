//! An installation of posters for one test.

use std::{sync::Arc, time::Duration};

use jobs::{
    Claim, CommitStatus, Job, JobId, JobSpec, Label, Ledger, Outcome, RepoId, Trigger, UserId,
    grants::StatusGrant, queue::FairScheduler, slot_limit::SlotLimit, streams,
};
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use worker::{grants::Grants, metrics::Metrics, reporter::Reporter};

use crate::{
    double::{Forge, gateway},
    support::Nats,
};

pub(crate) const CONTEXT: &str = "gitfaas/push";
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An installation with a forge of this kind and one poster for each name.
pub(crate) struct Desk {
    pub(crate) ledger: Ledger,
    pub(crate) forge: Forge,
    grant: StatusGrant,
    pub(crate) metrics: Metrics,
    pub(crate) repo: RepoId,
    pub(crate) stop: CancellationToken,
    pub(crate) grace_over: CancellationToken,
    pub(crate) posters: Vec<JoinHandle<()>>,
    nats: Arc<Nats>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Github,
    GithubApp,
    Gitea,
}

impl Desk {
    pub(crate) async fn open(kind: Kind, posters: &[&str]) -> Self {
        let nats = Arc::new(Nats::start());
        let ledger = nats.ledger().await;
        let forge = Forge::start().await;
        let (metrics, stop, grace_over) =
            (Metrics::new(), CancellationToken::new(), CancellationToken::new());
        let grant = StatusGrant {
            forge: if kind == Kind::Gitea { "gitea" } else { "github" }.into(),
            api_url: forge.url.clone(),
            owner: "o".to_owned(),
            name: "n".to_owned(),
            target_url: "https://faas.example/jobs/1?key=k".to_owned(),
            token: "t0ken".to_owned(),
            checks: kind == Kind::GithubApp,
        };
        let (repo, running) = (RepoId::new(), Vec::new());
        let mut desk = Self { ledger, forge, grant, metrics, repo, stop, grace_over, posters: running, nats };
        for name in posters {
            desk.add_poster(name).await;
        }
        desk
    }

    pub(crate) async fn add_poster(&mut self, name: &str) {
        gateway(&self.ledger, name, self.grant.clone()).await;
        let reporter = poster(self.ledger.clone(), name, self.metrics.clone());
        self.posters.push(tokio::spawn(reporter.run(self.stop.clone(), self.grace_over.clone())));
    }

    /// A poster in a process of its own: when that is shut down, its connections and all that it does
    /// are gone at once.
    pub(crate) async fn process_with_poster(&self, name: &'static str) -> Runtime {
        gateway(&self.ledger, name, self.grant.clone()).await;
        let process = Runtime::new().unwrap();
        let (nats, metrics) = (Arc::clone(&self.nats), self.metrics.clone());
        let (stop, grace_over) = (self.stop.clone(), self.grace_over.clone());
        process.spawn(async move { poster(nats.ledger().await, name, metrics).run(stop, grace_over).await });
        process
    }

    /// Kills NATS, starts it again, and waits until it answers and posters had a moment to notice.
    pub(crate) async fn restart_nats(&mut self) {
        let nats = Arc::get_mut(&mut self.nats).expect("no process shares it");
        nats.stop();
        nats.start_again();
        let looking = async { while self.ledger.js.get_stream(streams::STATUSES).await.is_err() {} };
        tokio::time::timeout(PATIENCE, looking).await.expect("nats never answers again");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    /// A job of a push of a commit.
    pub(crate) async fn push(&self, sha: &str) -> JobId {
        let new = JobSpec {
            trigger: Trigger::Push,
            repo: Some(self.repo),
            sha: Some(sha.parse().unwrap()),
            context: Some(CONTEXT.to_owned()),
            ..JobSpec::call(UserId::new(), "https://forge.example/o/n")
        };
        self.ledger.submit(new).await.unwrap().value.spec.id
    }

    pub(crate) async fn claim(&self) -> Claim {
        let waiting = FairScheduler::default()
            .pick(&self.ledger, &Label::default(), 100, SlotLimit::Unlimited, |_| true)
            .await
            .unwrap()
            .next()
            .unwrap();
        self.ledger.claim(&waiting, &"w1".parse().unwrap()).await.unwrap().unwrap()
    }

    pub(crate) async fn finish(&self, job: JobId, outcome: &Outcome) {
        let as_is = |job: Job| job;
        self.ledger.finish(job, 1, outcome, &as_is).await.unwrap().unwrap();
    }

    /// What the ledger says was posted, once it is as `holds` says.
    pub(crate) async fn commit(&self, sha: &str, holds: impl Fn(&CommitStatus) -> bool) -> CommitStatus {
        let key = streams::commit_key(self.repo, &sha.parse().unwrap(), CONTEXT);
        let looking = async {
            loop {
                let entry = self.ledger.commits.get(&key).await.unwrap().unwrap();
                if !entry.value.is_claimed() && holds(&entry.value) {
                    return entry.value;
                }
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("the entry never says so")
    }

    /// Until every message is acknowledged.
    pub(crate) async fn quiet(&self) {
        let looking = async {
            let stream = self.ledger.js.get_stream(streams::STATUSES).await.unwrap();
            loop {
                let info = stream.consumer_info(streams::STATUS_POSTERS).await.unwrap();
                if info.num_pending == 0 && info.num_ack_pending == 0 {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("a message is never acknowledged");
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn poster(ledger: Ledger, name: &str, metrics: Metrics) -> Reporter {
    let grants = Grants::new(ledger.client.clone(), &name.parse().unwrap());
    Reporter::new(ledger, grants, &"127.0.0.1".parse().unwrap(), None, metrics).unwrap()
}
