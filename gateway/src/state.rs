//! The services that handlers receive: one for each room, with only its own dependencies.
//!
//! [`Gateway::open`] builds them. A handler extracts the services that it uses (`State<Arc<Jobs>>`), so that
//! its signature shows what it can access.

use std::{ops::Deref, sync::Arc};

use anyhow::Context as _;
use axum::extract::FromRef;
use hooks::{checks::CheckClient, forge_api::ForgeApi, ls_remote::RefLister, status::StatusClient};
use jobs::{
    Ledger, Repo,
    accounts::{TokenRecord, User},
    bucket::Bucket,
    function::NameEntry,
    sessions::Sessions,
    streams,
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    audit::AuditLog,
    auth::{bearer_tokens::BearerTokens, identity::Access, last_used::LastUsed, tokens::ApiTokens},
    config::Config,
    crypto::{keyring::Keyring, record_key, record_verifier::RecordVerifier, sealed::SecretSize},
    deliveries::{Deliveries, rejected::RejectedDeliveries},
    functions::{Functions, VersionCache, access::FunctionAccess, aliases::Aliases, built::BuiltVersions},
    grants::Grants,
    http::rate_limit::Limits,
    index::{
        Index,
        caught_up::{CatchingUp, CaughtUp},
        mirror::Mirror,
    },
    jobs::{Jobs, capacity::Capacity},
    login::{Login, SignIns},
    meta,
    metrics::Metrics,
    page_urls::PageUrls,
    reconcile::{
        ref_poll::{PollSummary, RefPoll},
        status_check::StatusCheck,
    },
    records,
    records::JobRecords,
    repos::{Registrations, installation::GithubApp, secrets::SecretStore},
    usage::{Budgets, RefCounts, Reservations},
};

/// A gateway's services. Cheap to clone, never changed after the start.
#[derive(Clone)]
pub struct Gateway(Arc<Services>);

/// All services of a gateway.
pub struct Services {
    pub(crate) config: Arc<Config>,
    pub(crate) public_url: Url,
    pub(crate) ledger: Ledger,
    pub(crate) index: Arc<Index>,
    pub(crate) caught_up: CaughtUp,
    pub(crate) repos: Arc<Mirror<Repo>>,
    pub(crate) names: Arc<Mirror<NameEntry>>,
    pub(crate) tokens: Arc<Mirror<TokenRecord>>,
    pub(crate) users: Arc<Mirror<User>>,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) audit: AuditLog,
    pub(crate) job_records: Arc<JobRecords>,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) capacity: Arc<Capacity>,
    pub(crate) secret_store: Arc<SecretStore>,
    pub(crate) access: Arc<Access>,
    pub(crate) api_tokens: Arc<ApiTokens>,
    pub(crate) functions: Arc<Functions>,
    pub(crate) login: Arc<Login>,
    pub(crate) sign_ins: Arc<SignIns>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) registrations: Arc<Registrations>,
    pub(crate) aliases: Arc<Aliases>,
    pub(crate) deliveries: Arc<Deliveries>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) ref_poll: Arc<RefPoll>,
    pub(crate) status_check: Arc<StatusCheck>,
    /// Streaming responses end with this.
    pub(crate) stop: CancellationToken,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gateway")
    }
}

impl Deref for Gateway {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}

impl Gateway {
    /// Opens keys and index on a ledger whose streams exist. Nothing runs yet; see
    /// [`crate::background::start`].
    pub(crate) async fn open(
        config: Config,
        public_url: Url,
        ledger: Ledger,
        stop: CancellationToken,
    ) -> anyhow::Result<(Self, CatchingUp)> {
        let (file, next) = (config.master_key_file.as_deref(), config.next_master_key_file.as_deref());
        let keys = Arc::new(Keyring::open(&ledger, file, next, &config.data_dir).await?);
        let metrics = Arc::<Metrics>::default();
        let secrets = Bucket::open(&ledger.js, streams::SECRETS).await?;
        let (key, mark) = (record_key::open(&secrets, &keys).await?, records::mark(&ledger).await?);
        let ledger = ledger.signing(key.clone());
        let verifier = Arc::new(RecordVerifier::new(key, mark, metrics.unverified.clone()));
        let index = Index::open(&config.data_dir, Arc::clone(&verifier))
            .await
            .with_context(|| format!("cannot open the index in {}", config.data_dir.display()))?;
        let index = Arc::new(index);
        let github = Arc::new(config.github.clone());
        let (clone_allow, ca_bundle) = (&config.clone_allow, config.ca_bundle.as_deref());
        let app = GithubApp::open(&github, clone_allow, ca_bundle)?.map(Arc::new);
        let limits = Arc::new(Limits::new(&config.limits));
        let repos = Arc::<Mirror<Repo>>::default();
        let names = Arc::<Mirror<NameEntry>>::default();
        let (tokens, users) = (Arc::<Mirror<TokenRecord>>::default(), Arc::<Mirror<User>>::default());
        let page_urls = PageUrls { public_url: public_url.clone(), keys: Arc::clone(&keys) };
        let audit = AuditLog { ledger: ledger.clone() };
        let (caught_up, catching_up) = CaughtUp::begin();
        let job_records = Arc::new(JobRecords {
            ledger: ledger.clone(),
            index: Arc::clone(&index),
            verifier,
            max_queue_time: config.max_queue_time,
        });
        let sizes: Arc<Mirror<SecretSize>> = Arc::default();
        let budgets = Arc::new(Budgets {
            settings: config.owners.clone(),
            ledger: ledger.clone(),
            index: Arc::clone(&index),
            users: Arc::clone(&users),
            repos: Arc::clone(&repos),
            tokens: Arc::clone(&tokens),
            secret_sizes: Arc::clone(&sizes),
            secrets: secrets.clone(),
            metrics: Arc::clone(&metrics),
            ref_counts: RefCounts::default(),
            reservations: Reservations::default(),
        });
        let capacity = Arc::new(Capacity::new(ledger.clone(), Arc::clone(&metrics)));
        let secret_store =
            Arc::new(SecretStore { secrets, sizes, keys: Arc::clone(&keys), budgets: Arc::clone(&budgets) });
        let bearer_tokens =
            Arc::new(BearerTokens::new(keys.in_use().signing_seed(), &meta::installation_id(&ledger).await?));
        let access = Arc::new(Access {
            ledger: ledger.clone(),
            limits: Arc::clone(&limits),
            last_used: LastUsed::default(),
            sessions: Sessions::open(&ledger.js).await?,
            bearer_tokens: Arc::clone(&bearer_tokens),
            job_records: Arc::clone(&job_records),
            keys: Arc::clone(&keys),
            repos: Arc::clone(&repos),
        });
        let api_tokens = Arc::new(ApiTokens {
            ledger: ledger.clone(),
            tokens: Arc::clone(&tokens),
            audit: audit.clone(),
            budgets: Arc::clone(&budgets),
            access: Arc::clone(&access),
        });
        let function_access = Arc::new(FunctionAccess {
            ledger: ledger.clone(),
            keys: Arc::clone(&keys),
            limits: Arc::clone(&limits),
            access: Arc::clone(&access),
            settings: config.functions,
        });
        let settings = Arc::new(config.login.clone());
        let login =
            Login::open(&settings, &github, (clone_allow, ca_bundle), &public_url, &ledger, bearer_tokens);
        let login = Arc::new(login.await?);
        let sign_ins = Arc::new(SignIns {
            settings,
            login: Arc::clone(&login),
            keys: Arc::clone(&keys),
            public_url: public_url.clone(),
            ledger: ledger.clone(),
            users: Arc::clone(&users),
            audit: audit.clone(),
            budgets: Arc::clone(&budgets),
        });
        let jobs = Arc::new(Jobs {
            ledger: ledger.clone(),
            index: Arc::clone(&index),
            job_records: Arc::clone(&job_records),
            access: Arc::clone(&access),
            budgets: Arc::clone(&budgets),
            capacity: Arc::clone(&capacity),
            audit: audit.clone(),
            max_input_bytes: config.max_input_bytes,
        });
        let aliases = Arc::new(Aliases {
            js: ledger.js.clone(),
            aliases: ledger.aliases.clone(),
            built: BuiltVersions { ledger: ledger.clone() },
        });
        let functions = Arc::new(Functions {
            ledger: ledger.clone(),
            access: function_access,
            keys: Arc::clone(&keys),
            limits: Arc::clone(&limits),
            repos: Arc::clone(&repos),
            job_records: Arc::clone(&job_records),
            jobs: Arc::clone(&jobs),
            max_input_bytes: config.max_input_bytes,
            stop: stop.clone(),
            aliases: Arc::clone(&aliases),
            versions: VersionCache::default(),
        });
        let registrations = Arc::new(Registrations {
            github: Arc::clone(&github),
            clone_allow: clone_allow.clone(),
            public_functions: config.functions.public_functions,
            public_url: public_url.clone(),
            ledger: ledger.clone(),
            status_owners: Bucket::open(&ledger.js, streams::REPOS).await?,
            keys: Arc::clone(&keys),
            app: app.clone(),
            forges: ForgeApi::new(clone_allow, ca_bundle)?,
            repos: Arc::clone(&repos),
            names: Arc::clone(&names),
            users: Arc::clone(&users),
            limits: Arc::clone(&limits),
            index: Arc::clone(&index),
            access: Arc::clone(&access),
            audit: audit.clone(),
            budgets: Arc::clone(&budgets),
            jobs: Arc::clone(&jobs),
            secret_store: Arc::clone(&secret_store),
        });
        let deliveries = Arc::new(Deliveries {
            github,
            ledger: ledger.clone(),
            index: Arc::clone(&index),
            repos: Arc::clone(&repos),
            metrics: Arc::clone(&metrics),
            limits: Arc::clone(&limits),
            rejected: RejectedDeliveries::default(),
            registrations: Arc::clone(&registrations),
            jobs: Arc::clone(&jobs),
            job_records: Arc::clone(&job_records),
            budgets: Arc::clone(&budgets),
            secret_store: Arc::clone(&secret_store),
            capacity: Arc::clone(&capacity),
            access: Arc::clone(&access),
            audit: audit.clone(),
        });
        let grants = Arc::new(Grants {
            ledger: ledger.clone(),
            job_records: Arc::clone(&job_records),
            registrations: Arc::clone(&registrations),
            secret_store: Arc::clone(&secret_store),
            page_urls: page_urls.clone(),
        });
        let ref_poll = Arc::new(RefPoll {
            clone_allow: clone_allow.clone(),
            ledger: ledger.clone(),
            ref_lister: RefLister::new(clone_allow, ca_bundle)?,
            baselines: Bucket::open(&ledger.js, streams::HEADS).await?,
            repos: Arc::clone(&repos),
            app,
            metrics: Arc::clone(&metrics),
            deliveries: Arc::clone(&deliveries),
            registrations: Arc::clone(&registrations),
            budgets: Arc::clone(&budgets),
            stop: stop.clone(),
        });
        let status_check = Arc::new(StatusCheck {
            statuses: StatusClient::new(clone_allow, ca_bundle)?,
            checks: CheckClient::new(clone_allow, ca_bundle)?,
            ledger: ledger.clone(),
            index: Arc::clone(&index),
            registrations: Arc::clone(&registrations),
            page_urls: page_urls.clone(),
            metrics: Arc::clone(&metrics),
        });
        let services = Services {
            config: Arc::new(config),
            public_url,
            ledger,
            index,
            caught_up,
            repos,
            names,
            tokens,
            users,
            keys,
            limits,
            metrics,
            audit,
            job_records,
            budgets,
            capacity,
            secret_store,
            access,
            api_tokens,
            functions,
            login,
            sign_ins,
            jobs,
            registrations,
            aliases,
            deliveries,
            grants,
            ref_poll,
            status_check,
            stop,
        };
        Ok((Self(Arc::new(services)), catching_up))
    }

    /// Polls every registered repository now and submits synthetic pushes without debouncing.
    ///
    /// # Errors
    /// NATS is unreachable; pushes that were submitted until then stay so.
    pub async fn poll_refs(&self) -> anyhow::Result<PollSummary> {
        self.ref_poll.poll_all().await
    }
}

/// Lets handlers extract single services.
macro_rules! services {
    ($($field:ident: $service:ty,)*) => {
        $(impl FromRef<Gateway> for $service {
            fn from_ref(gateway: &Gateway) -> Self {
                gateway.$field.clone()
            }
        })*
    };
}

services! {
    ledger: Ledger,
    index: Arc<Index>,
    keys: Arc<Keyring>,
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
    audit: AuditLog,
    job_records: Arc<JobRecords>,
    budgets: Arc<Budgets>,
    secret_store: Arc<SecretStore>,
    access: Arc<Access>,
    api_tokens: Arc<ApiTokens>,
    functions: Arc<Functions>,
    login: Arc<Login>,
    sign_ins: Arc<SignIns>,
    jobs: Arc<Jobs>,
    registrations: Arc<Registrations>,
    deliveries: Arc<Deliveries>,
}
