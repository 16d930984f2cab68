//! Who asks, and what he may see.
//!
//! Every check reads token and user from the leader, so a revoked token is refused by every gateway
//! with the next request. Somebody else's things are "no such job", as if they did not exist.

use std::sync::Arc;

use futures_util::future::try_join_all;
use http::{HeaderMap, header};
use jiff::Timestamp;
use jobs::{
    Job, JobId, Ledger, Links, Repo, RepoId, SessionId, TokenId,
    accounts::{Scope, User, token_hash, token_id},
    audit::{By, Log},
    bucket::{BucketError, Entry},
    sessions::{Session, Sessions},
};

use crate::{
    audit::Doer,
    auth::{
        access_watch::Way,
        bearers::{Bearers, is_of_login},
        last_used::LastUsed,
    },
    crypto::{keyring::Keyring, keys::equal},
    error::ApiError,
    http::{
        credentials::{bearer, session, shown},
        rate_limit::Limits,
    },
    index::{JobFilter, mirror::Mirror},
    records::JobRecords,
};

/// A user who showed a token.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) user: User,
    pub(crate) token: TokenId,
    /// The sign-in that the token belongs to; an API token belongs to none.
    pub(crate) session: Option<SessionId>,
    /// When the API token ends, and with it what it makes. A person's sign-in limits nothing.
    pub(crate) expires_at: Option<Timestamp>,
    /// The API tokens that what it makes does not outlive, itself last. A person's sign-in has none.
    pub(crate) lineage: Vec<TokenId>,
    scopes: Vec<Scope>,
}

impl Identity {
    /// One who signed in.
    pub(crate) fn of_session(user: User, token: TokenId, session: Session) -> Self {
        Self {
            user,
            token,
            session: Some(session.id),
            expires_at: session.until,
            lineage: session.made_by,
            scopes: session.scopes,
        }
    }

    /// What the token may be used for.
    pub(crate) fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Refuses a token that was narrowed.
    pub(crate) fn needs(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        let word = scope.as_str();
        Err(ApiError::Forbidden(format!("this token does not have the scope {word}")))
    }

    /// Whether he may see and do everything, with this token.
    pub(crate) fn is_admin(&self) -> bool {
        self.user.admin && self.scopes.contains(&Scope::Admin)
    }

    /// Whether a repository is his, or everything is.
    pub(crate) fn owns(&self, repo: &Repo) -> bool {
        repo.owner == self.user.id || self.is_admin()
    }

    /// Whether he sees a repository's jobs.
    pub(crate) fn sees(&self, repo: &Repo) -> bool {
        self.owns(repo) || repo.is_viewed_by(&self.user)
    }
}

/// Finds out who asks, and what of others they may see.
pub(crate) struct Access {
    pub(crate) ledger: Ledger,
    pub(crate) limits: Arc<Limits>,
    pub(crate) last_used: LastUsed,
    pub(crate) sessions: Sessions,
    pub(crate) bearers: Arc<Bearers>,
    pub(crate) job_records: Arc<JobRecords>,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) repos: Arc<Mirror<Repo>>,
}

impl Access {
    /// Who the bearer of `token` is, if he may ask for more at the moment.
    pub(crate) async fn bearer_of(&self, token: &str) -> Result<Identity, ApiError> {
        let caller = self.identified(token).await?;
        self.limits.user(caller.user.id, token)?;
        Ok(caller)
    }

    /// Who the bearer of `token` is; counted for nobody.
    pub(crate) async fn identified(&self, token: &str) -> Result<Identity, ApiError> {
        if is_of_login(token) {
            return self.signed_in_caller(token).await;
        }
        let unknown = || ApiError::Unauthorized("this token is not valid");
        let id = token_id(token).ok_or_else(unknown)?;
        let accounts = &self.ledger.accounts;
        let entry = accounts.tokens.get(&id.to_string()).await?.ok_or_else(unknown)?;
        let record = &entry.value;
        if !equal(record.hash.as_bytes(), token_hash(token).as_bytes()) {
            return Err(unknown());
        }
        if record.expires_at.is_some_and(|expires_at| expires_at <= Timestamp::now()) {
            return Err(ApiError::Unauthorized("this token has expired"));
        }
        // Its makers are asked of the leader too: whoever revoked one of them knows that this one is over,
        // even if the gateway that did it had not heard of this one yet.
        let key = record.user.to_string();
        let makers = self.are_there(&record.made_by);
        let (user, are_there) = tokio::try_join!(accounts.users.get(&key), makers)?;
        if !are_there {
            return Err(ApiError::Unauthorized("the token that made this one was revoked"));
        }
        let user = user.ok_or_else(unknown)?.value;
        self.last_used.note(&accounts.tokens, &entry);
        let record = entry.value;
        let lineage = [record.made_by, vec![id]].concat();
        Ok(Identity {
            user,
            token: id,
            session: None,
            expires_at: record.expires_at,
            lineage,
            scopes: record.scopes,
        })
    }

    /// Whether all these API tokens are still there, by what the leader says.
    pub(crate) async fn are_there(&self, tokens: &[TokenId]) -> Result<bool, BucketError> {
        let get = async |token: &TokenId| self.ledger.accounts.tokens.get(&token.to_string()).await;
        let found = try_join_all(tokens.iter().map(get)).await?;
        Ok(found.iter().all(Option::is_some))
    }

    /// Who asks, by bearer token.
    pub(crate) async fn caller(&self, headers: &HeaderMap) -> Result<Identity, ApiError> {
        let token = bearer(headers)
            .ok_or(ApiError::Unauthorized("a bearer token is needed: Authorization: Bearer gft_…"))?;
        self.bearer_of(token).await
    }

    /// Who reads, by bearer token or by the session of a page. Never for writes: a cookie comes along
    /// with what another site sends.
    pub(crate) async fn reader(&self, headers: &HeaderMap) -> Result<Identity, ApiError> {
        match session(headers) {
            Some(token) if !headers.contains_key(header::AUTHORIZATION) => self.bearer_of(&token).await,
            Some(_) | None => self.caller(headers).await,
        }
    }

    /// A repository that the caller owns. Who only views it is told so.
    pub(crate) async fn own_repo(&self, caller: &Identity, id: &str) -> Result<Entry<Repo>, ApiError> {
        let entry = self.seen_repo(caller, id).await?;
        if caller.owns(&entry.value) {
            return Ok(entry);
        }
        Err(ApiError::Forbidden("only an owner of the repository may do that".to_owned()))
    }

    /// A repository that the caller owns or views.
    pub(crate) async fn seen_repo(&self, caller: &Identity, id: &str) -> Result<Entry<Repo>, ApiError> {
        let found = self.repo(id).await?;
        found.filter(|entry| caller.sees(&entry.value)).ok_or(ApiError::NotFound("repository"))
    }

    /// A repository, whoever's; not one that is being removed, which takes nothing any more.
    pub(crate) async fn repo(&self, id: &str) -> Result<Option<Entry<Repo>>, ApiError> {
        Ok(self.any_repo(id).await?.filter(|entry| !entry.value.is_removing()))
    }

    /// A repository, whoever's, also while it is being removed.
    async fn any_repo(&self, id: &str) -> Result<Option<Entry<Repo>>, ApiError> {
        match id.parse::<RepoId>() {
            Ok(id) => Ok(self.ledger.repos.get(&id.to_string()).await?),
            Err(_) => Ok(None),
        }
    }

    /// A repository that the caller owns or views, also while it is being removed.
    pub(crate) async fn shown_repo_entry(
        &self,
        caller: &Identity,
        id: &str,
    ) -> Result<Entry<Repo>, ApiError> {
        let found = self.any_repo(id).await?;
        found.filter(|entry| caller.sees(&entry.value)).ok_or(ApiError::NotFound("repository"))
    }

    async fn job(&self, id: &str) -> Result<Entry<Job>, ApiError> {
        let missing = || ApiError::NotFound("job");
        let id: JobId = id.parse().map_err(|_| missing())?;
        self.ledger.job(id).await?.ok_or_else(missing)
    }

    /// The registration that a job is of, while there is one.
    pub(crate) async fn repo_of(&self, job: &Job) -> Result<Option<Repo>, ApiError> {
        let Some(repo) = job.repo else { return Ok(None) };
        Ok(self.ledger.repos.get(&repo.to_string()).await?.map(|entry| entry.value))
    }

    /// A job that the caller may see: his own, or one of a repository that he owns or views. His own stays
    /// his when he is no viewer any more; what it may still do, `rerun_for` and the grants decide.
    pub(crate) async fn seen_job(&self, caller: &Identity, id: &str) -> Result<Entry<Job>, ApiError> {
        let mut entry = self.job(id).await?;
        let missing = || ApiError::NotFound("job");
        if !caller.is_admin() {
            // Owner and repository decide only where a gateway signed them.
            entry = self.job_records.believed(entry).ok_or_else(missing)?;
        }
        if self.is_seen(caller, &entry.value).await? { Ok(entry) } else { Err(missing()) }
    }

    pub(crate) async fn is_seen(&self, caller: &Identity, job: &Job) -> Result<bool, ApiError> {
        let own = job.owner == caller.user.id || caller.is_admin();
        Ok(own || self.repo_of(job).await?.is_some_and(|repo| caller.sees(&repo)))
    }

    /// A job that the caller may end or repeat: viewers only look.
    pub(crate) async fn own_job(&self, caller: &Identity, id: &str) -> Result<Entry<Job>, ApiError> {
        let entry = self.seen_job(caller, id).await?;
        let own = entry.value.owner == caller.user.id || caller.is_admin();
        if own || self.repo_of(&entry.value).await?.is_some_and(|repo| caller.owns(&repo)) {
            return Ok(entry);
        }
        Err(ApiError::Forbidden("only its owner may do that".to_owned()))
    }

    /// Whether the key of a job's link opens it now: that of a bare URL's job always, that of a registration's
    /// while the registration is there and says so. What it said last goes with it, so the links of one that is
    /// gone open nothing: they must not open more than before.
    pub(crate) async fn opens_with_link(&self, job: &Job) -> Result<bool, ApiError> {
        match job.repo {
            None => Ok(true),
            Some(_) => Ok(self.repo_of(job).await?.is_some_and(|repo| repo.links == Links::Key)),
        }
    }

    /// A job for whoever has its link's key, else for a caller who may see it; and how the reader came.
    pub(crate) async fn read_job(
        &self,
        headers: &HeaderMap,
        id: &str,
        key: Option<&str>,
    ) -> Result<(Entry<Job>, Way), ApiError> {
        if let Some(key) = key {
            let fits = id.parse::<JobId>().is_ok_and(|job| self.keys.is_link(job, key));
            if fits {
                let entry =
                    self.job_records.believed(self.job(id).await?).ok_or(ApiError::NotFound("job"))?;
                if self.opens_with_link(&entry.value).await? {
                    return Ok((entry, Way::Link));
                }
            }
            if !headers.contains_key(header::AUTHORIZATION) && session(headers).is_none() {
                return Err(ApiError::NotFound("job"));
            }
        }
        let caller = self.reader(headers).await?;
        let scope = Scope::JobsRead;
        caller.needs(scope)?;
        let token = shown(headers).unwrap_or_default();
        Ok((self.seen_job(&caller, id).await?, Way::Token { user: caller.user.id, token, scope }))
    }

    /// Which jobs the caller sees in lists.
    pub(crate) fn visible(&self, caller: &Identity) -> JobFilter {
        if caller.is_admin() {
            return JobFilter { everyone: true, ..JobFilter::default() };
        }
        let repos = self.repos.find(|repo| caller.sees(repo));
        let repos = repos.into_iter().map(|entry| entry.value.id).collect();
        JobFilter { owner: Some(caller.user.id), repos, ..JobFilter::default() }
    }
}

impl From<&Identity> for Doer {
    fn from(caller: &Identity) -> Self {
        let by = caller.session.map_or(By::Token(caller.token), By::Session);
        let log = if caller.is_admin() { Log::Admins } else { Log::Users };
        Self { user: Some(caller.user.id), by: Some(by), log }
    }
}
