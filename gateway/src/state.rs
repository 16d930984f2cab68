//! The parts that every request uses.

use std::sync::Arc;

use anyhow::Context as _;
use hooks::{checks::CheckClient, forge_api::ForgeApi, heads::Heads, status::StatusClient};
use jobs::{
    Job, JobId, Ledger, Repo, SecretEvent,
    accounts::{TokenRecord, User},
    bucket::{Bucket, Entry},
    streams,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    api::{secrets, secrets::SecretSize},
    auth::last_used::LastUsed,
    config::Config,
    crypto::keyring::Keyring,
    deliveries::rejected::LastRefused,
    http::rate_limit::Limits,
    index::{Change, Index, Sync, mirror::Mirror},
    jobs::capacity::Room,
    login::Login,
    metrics::Metrics,
    reconcile::ref_poll::Filled,
    records,
    records::Records,
    repos::installation::GithubApp,
    usage::{RefCounts, Usage},
};

/// `repos/at.<sha256>`: the registration that posts a repository's statuses; see [`crate::repos::status_owner`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct At {
    pub(crate) repo: jobs::RepoId,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// A sealed secret of a repository: `secrets/<repo id>.<name>`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SealedSecret {
    pub(crate) sealed: String,
    /// What it may be given to.
    #[serde(default = "secrets::usual_events")]
    pub(crate) events: Vec<SecretEvent>,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// Everything a request may use. Cheap to share, never changed after the start.
pub struct Gateway {
    pub(crate) config: Config,
    pub(crate) public_url: Url,
    pub(crate) ledger: Ledger,
    pub(crate) posting: Bucket<At>,
    pub(crate) secrets: Bucket<SealedSecret>,
    /// How long each of them is.
    pub(crate) secret_sizes: Arc<Mirror<SecretSize>>,
    pub(crate) filled: Bucket<Filled>,
    /// Asks git servers for their refs.
    pub(crate) git_heads: Heads,
    pub(crate) index: Arc<Index>,
    /// Which records of jobs are believed.
    pub(crate) records: Arc<Records>,
    pub(crate) repos: Arc<Mirror<Repo>>,
    pub(crate) tokens: Arc<Mirror<TokenRecord>>,
    pub(crate) users: Arc<Mirror<User>>,
    /// Notes the use of API tokens.
    pub(crate) last_used: LastUsed,
    pub(crate) keys: Keyring,
    pub(crate) limits: Limits,
    /// Providers and sessions.
    pub(crate) login: Login,
    /// The operator's GitHub App, where there is one.
    pub(crate) app: Option<GithubApp>,
    /// What the gateway itself asks of forges.
    pub(crate) forges: ForgeApi,
    /// Reads back what forges show.
    pub(crate) statuses: StatusClient,
    /// Reads back what GitHub shows for its App.
    pub(crate) checks: CheckClient,
    pub(crate) metrics: Metrics,
    pub(crate) refused: LastRefused,
    /// Whether the ledger has room for new jobs.
    pub(crate) room: Room,
    /// Promises of place for what owners are about to store.
    pub(crate) usage: Usage,
    /// How many refs are known of each registration.
    pub(crate) ref_counts: RefCounts,
    /// True once the index has read what lay in the streams at the start.
    pub(crate) caught_up: (watch::Receiver<bool>, watch::Receiver<bool>),
    /// Long answers end with this.
    pub(crate) stop: CancellationToken,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gateway")
    }
}

impl Gateway {
    /// Opens keys and index on a ledger whose streams exist. Nothing runs yet; see
    /// [`crate::reconcile::background::start`].
    pub(crate) async fn open(
        config: Config,
        public_url: Url,
        ledger: Ledger,
        stop: CancellationToken,
    ) -> anyhow::Result<(Self, [watch::Sender<bool>; 2])> {
        let (file, next) = (config.master_key_file.as_deref(), config.next_master_key_file.as_deref());
        let keys = Keyring::open(&ledger, file, next, &config.data_dir).await?;
        let limits = Limits::new(&config.limits);
        let (metrics, secrets) = (Metrics::default(), Bucket::open(&ledger.js, streams::SECRETS).await?);
        let (key, mark) = (records::open(&secrets, &keys).await?, records::mark(&ledger).await?);
        let ledger = ledger.signing(key.clone());
        let records = Arc::new(Records::new(key, mark, metrics.doubted.clone()));
        let index = Index::open(&config.data_dir)
            .with_context(|| format!("cannot open the index in {}", config.data_dir.display()))?
            .believing(Arc::clone(&records));
        let app = GithubApp::open(&config)?;
        let forges = ForgeApi::new(&config.clone_allow, config.ca_bundle.as_deref())?;
        let statuses = StatusClient::new(&config.clone_allow, config.ca_bundle.as_deref())?;
        let checks = CheckClient::new(&config.clone_allow, config.ca_bundle.as_deref())?;
        let login = Login::open(&config, &public_url, &ledger, keys.in_use()).await?;
        let (jobs_read, jobs_seen) = watch::channel(false);
        let (deliveries_read, deliveries_seen) = watch::channel(false);
        let gateway = Self {
            posting: Bucket::open(&ledger.js, streams::REPOS).await?,
            secrets,
            filled: Bucket::open(&ledger.js, streams::HEADS).await?,
            git_heads: Heads::new(&config.clone_allow, config.ca_bundle.as_deref())?,
            index: Arc::new(index),
            records,
            repos: Arc::default(),
            tokens: Arc::default(),
            users: Arc::default(),
            last_used: LastUsed::default(),
            metrics,
            refused: LastRefused::default(),
            room: Room::default(),
            usage: Usage::default(),
            ref_counts: RefCounts::default(),
            secret_sizes: Arc::default(),
            caught_up: (jobs_seen, deliveries_seen),
            config,
            public_url,
            ledger,
            keys,
            limits,
            login,
            app,
            forges,
            statuses,
            checks,
            stop,
        };
        Ok((gateway, [jobs_read, deliveries_read]))
    }

    /// Whether lists are complete.
    pub(crate) fn has_caught_up(&self) -> bool {
        *self.caught_up.0.borrow() && *self.caught_up.1.borrow()
    }

    /// Notes an own write in the index, so that the next list has it. Without it the list has it a
    /// moment later, so trouble here fails no request.
    pub(crate) fn note(&self, entry: &Entry<Job>) {
        let change = Change::Put(Box::new(entry.clone()));
        if let Err(error) = self.index.take_jobs(&[change], None, Sync::Later) {
            let error: anyhow::Error = error.into();
            tracing::warn!(error = format!("{error:#}"), "an own write was not noted");
        }
    }

    /// The page of a job, as a link for people.
    pub(crate) fn page(&self, job: JobId) -> Url {
        self.public_url.join(&format!("jobs/{job}")).expect("an id is a path")
    }
}
