//! Authenticates callers, and decides what each may see.
//!
//! Every check reads token and user from the leader, so a revoked token is refused by every gateway
//! with the next request. What a caller may not see is answered as "no such job", as if it did not exist.

use std::sync::Arc;

use futures_util::future::try_join_all;
use http::{HeaderMap, header};
use jiff::Timestamp;
use jobs::{
    FunctionName, Job, JobId, Ledger, PageAccess, Repo, RepoId, SessionId, TokenId,
    accounts::{Scope, User, token_hash, token_id},
    audit::{By, Log},
    bucket::{BucketError, Entry},
    sessions::{Session, Sessions},
};

use crate::{
    audit::Actor,
    auth::{
        access_watch::JobAccess,
        bearer_tokens::{BearerTokens, is_session_token},
        last_used::LastUsed,
    },
    crypto::{keyring::Keyring, keys::equal},
    error::ApiError,
    http::{
        credentials::{bearer_token, presented_token, session_cookie},
        rate_limit::Limits,
    },
    index::{JobFilter, mirror::Mirror},
    records::JobRecords,
};

/// An authenticated user, with the token that was presented.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) user: User,
    pub(crate) token: TokenId,
    /// The session that the token belongs to; an API token belongs to none.
    pub(crate) session: Option<SessionId>,
    /// When the API token expires, and with it everything created with it. An interactive session has no limit.
    pub(crate) expires_at: Option<Timestamp>,
    /// The API token's ancestors and itself, last: what is created with it ends when any of them does. An
    /// interactive session has none.
    pub(crate) lineage: Vec<TokenId>,
    scopes: Vec<Scope>,
    /// The repositories whose functions the token may call; `None` is all that the user owns or views.
    functions: Option<Vec<RepoId>>,
}

impl Identity {
    /// The identity of a session.
    pub(crate) fn from_session(user: User, token: TokenId, session: Session) -> Self {
        Self {
            user,
            token,
            session: Some(session.id),
            expires_at: session.until,
            lineage: session.made_by,
            scopes: session.scopes,
            functions: None,
        }
    }

    /// The token's scopes.
    pub(crate) fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Refuses a token without this scope.
    pub(crate) fn require_scope(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scopes.iter().any(|own| own.covers(scope)) {
            return Ok(());
        }
        let word = scope.as_str();
        Err(ApiError::Forbidden(format!("this token does not have the scope {word}")))
    }

    /// Refuses a token that may only call functions: its holder may be a stranger, who learns nothing of its user.
    pub(crate) fn require_other_than_invoke(&self) -> Result<(), ApiError> {
        if self.scopes.iter().any(|scope| *scope != Scope::Invoke) {
            return Ok(());
        }
        Err(ApiError::Forbidden("this token may only call functions".to_owned()))
    }

    /// Whether the user is an admin and the token has the admin scope.
    pub(crate) fn is_admin(&self) -> bool {
        self.user.admin && self.scopes.contains(&Scope::Admin)
    }

    /// Whether the caller owns the repository, or is an admin.
    pub(crate) fn owns(&self, repo: &Repo) -> bool {
        repo.owner == self.user.id || self.is_admin()
    }

    /// Whether the caller may call the repository's functions, with a token that has a scope for calls.
    pub(crate) fn can_call(&self, repo: &Repo) -> bool {
        let is_bound_to_others = self.functions.as_ref().is_some_and(|bound| !bound.contains(&repo.id));
        !is_bound_to_others && self.can_view(repo)
    }

    /// Whether the caller may view the repository and its jobs.
    pub(crate) fn can_view(&self, repo: &Repo) -> bool {
        self.owns(repo) || repo.is_viewed_by(&self.user)
    }
}

/// Authenticates callers and authorizes access to jobs and repositories.
pub(crate) struct Access {
    pub(crate) ledger: Ledger,
    pub(crate) limits: Arc<Limits>,
    pub(crate) last_used: LastUsed,
    pub(crate) sessions: Sessions,
    pub(crate) bearer_tokens: Arc<BearerTokens>,
    pub(crate) job_records: Arc<JobRecords>,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) repos: Arc<Mirror<Repo>>,
}

impl Access {
    /// The identity behind `token`, counted against the user's rate limit.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Identity, ApiError> {
        let caller = self.identify(token).await?;
        self.limits.check_user(caller.user.id, token)?;
        Ok(caller)
    }

    /// The identity behind `token`, without counting it against a rate limit.
    pub(crate) async fn identify(&self, token: &str) -> Result<Identity, ApiError> {
        if is_session_token(token) {
            return self.session_identity(token).await;
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
        // The token's ancestors are read from the leader too: revoking one of them ends this one,
        // even if the gateway that revoked it did not know of this one yet.
        let key = record.user.to_string();
        let makers = self.all_exist(&record.made_by);
        let (user, all_there) = tokio::try_join!(accounts.users.get(&key), makers)?;
        if !all_there {
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
            functions: record.functions,
        })
    }

    /// Whether all these API tokens still exist, as the leader has them.
    pub(crate) async fn all_exist(&self, tokens: &[TokenId]) -> Result<bool, BucketError> {
        let get = async |token: &TokenId| self.ledger.accounts.tokens.get(&token.to_string()).await;
        let found = try_join_all(tokens.iter().map(get)).await?;
        Ok(found.iter().all(Option::is_some))
    }

    /// The caller, by bearer token.
    pub(crate) async fn bearer_caller(&self, headers: &HeaderMap) -> Result<Identity, ApiError> {
        let token = bearer_token(headers)
            .ok_or(ApiError::Unauthorized("a bearer token is needed: Authorization: Bearer gft_…"))?;
        self.authenticate(token).await
    }

    /// The caller of a read, by bearer token or by the session cookie. Never for writes: browsers send
    /// cookies along with cross-site requests.
    pub(crate) async fn reader(&self, headers: &HeaderMap) -> Result<Identity, ApiError> {
        match session_cookie(headers) {
            Some(token) if !headers.contains_key(header::AUTHORIZATION) => self.authenticate(&token).await,
            Some(_) | None => self.bearer_caller(headers).await,
        }
    }

    /// A repository that the caller owns. A viewer is answered 403.
    pub(crate) async fn owned_repo(&self, caller: &Identity, id: &str) -> Result<Entry<Repo>, ApiError> {
        let entry = self.visible_repo(caller, id).await?;
        if caller.owns(&entry.value) {
            return Ok(entry);
        }
        Err(ApiError::Forbidden("only an owner of the repository may do that".to_owned()))
    }

    /// A repository that the caller owns or views, by its id or by the name of its function.
    pub(crate) async fn visible_repo(&self, caller: &Identity, id: &str) -> Result<Entry<Repo>, ApiError> {
        let entry = self.visible_repo_with_removing(caller, id).await?;
        Some(entry).filter(|entry| !entry.value.is_removing()).ok_or(ApiError::NotFound("repository"))
    }

    /// A repository of any owner; not one that is being removed, which accepts nothing any more.
    pub(crate) async fn repo(&self, id: &str) -> Result<Option<Entry<Repo>>, ApiError> {
        Ok(self.any_repo(id).await?.filter(|entry| !entry.value.is_removing()))
    }

    /// A repository of any owner, also while it is being removed.
    async fn any_repo(&self, id: &str) -> Result<Option<Entry<Repo>>, ApiError> {
        match id.parse::<RepoId>() {
            Ok(id) => Ok(self.ledger.repos.get(&id.to_string()).await?),
            Err(_) => Ok(None),
        }
    }

    /// A repository of any owner, by its id or by the name of its function. A name that it had leads to it for as
    /// long as calls are led on.
    async fn repo_or_function(&self, text: &str) -> Result<Option<Entry<Repo>>, ApiError> {
        match text.parse::<FunctionName>() {
            Ok(name) => match self.ledger.names.lookup(&name).await? {
                Some(target) => self.any_repo(&target.repo().to_string()).await,
                None => Ok(None),
            },
            Err(_) => self.any_repo(text).await,
        }
    }

    /// A repository that the caller owns or views, also while it is being removed.
    pub(crate) async fn visible_repo_with_removing(
        &self,
        caller: &Identity,
        id: &str,
    ) -> Result<Entry<Repo>, ApiError> {
        let found = self.repo_or_function(id).await?;
        found.filter(|entry| caller.can_view(&entry.value)).ok_or(ApiError::NotFound("repository"))
    }

    async fn job(&self, id: &str) -> Result<Entry<Job>, ApiError> {
        let missing = || ApiError::NotFound("job");
        let id: JobId = id.parse().map_err(|_| missing())?;
        self.ledger.job(id).await?.ok_or_else(missing)
    }

    /// The repository of a job, while it is registered.
    pub(crate) async fn repo_of(&self, job: &Job) -> Result<Option<Repo>, ApiError> {
        let Some(repo) = job.spec.repo else { return Ok(None) };
        Ok(self.ledger.repos.get(&repo.to_string()).await?.map(|entry| entry.value))
    }

    /// A job that the caller may see: the caller's own, or one of a repository that the caller owns or views.
    /// A job stays visible to its owner who is no viewer any more; what it may still do, `rerun_for` and the
    /// grants decide.
    pub(crate) async fn visible_job(&self, caller: &Identity, id: &str) -> Result<Entry<Job>, ApiError> {
        let mut entry = self.job(id).await?;
        let missing = || ApiError::NotFound("job");
        if !caller.is_admin() {
            // Owner and repository decide only where a gateway signed them.
            entry = self.job_records.verified(entry).ok_or_else(missing)?;
        }
        if self.can_view_job(caller, &entry.value).await? { Ok(entry) } else { Err(missing()) }
    }

    pub(crate) async fn can_view_job(&self, caller: &Identity, job: &Job) -> Result<bool, ApiError> {
        let own = job.spec.owner == caller.user.id || caller.is_admin();
        Ok(own || self.repo_of(job).await?.is_some_and(|repo| caller.can_view(&repo)))
    }

    /// A job that the caller may cancel or rerun: viewers may only read.
    pub(crate) async fn owned_job(&self, caller: &Identity, id: &str) -> Result<Entry<Job>, ApiError> {
        let entry = self.visible_job(caller, id).await?;
        let own = entry.value.spec.owner == caller.user.id || caller.is_admin();
        if own || self.repo_of(&entry.value).await?.is_some_and(|repo| caller.owns(&repo)) {
            return Ok(entry);
        }
        Err(ApiError::Forbidden("only its owner may do that".to_owned()))
    }

    /// Whether the key of a job's link gives access now: for a job of a bare URL always, for a job of a
    /// registered repository while its registration exists and allows it. The setting is removed with the
    /// registration, so links of a removed one give no access: they must never give more than before.
    pub(crate) async fn is_link_enabled(&self, job: &Job) -> Result<bool, ApiError> {
        match job.spec.repo {
            None => Ok(true),
            Some(_) => Ok(self.repo_of(job).await?.is_some_and(|repo| repo.links == PageAccess::Key)),
        }
    }

    /// A job, read with its link's key or by a caller who may see it; and with which credential.
    pub(crate) async fn read_job(
        &self,
        headers: &HeaderMap,
        id: &str,
        key: Option<&str>,
    ) -> Result<(Entry<Job>, JobAccess), ApiError> {
        if let Some(key) = key {
            let fits = id.parse::<JobId>().is_ok_and(|job| self.keys.is_link(job, key));
            if fits {
                let entry =
                    self.job_records.verified(self.job(id).await?).ok_or(ApiError::NotFound("job"))?;
                if self.is_link_enabled(&entry.value).await? {
                    return Ok((entry, JobAccess::Link));
                }
            }
            if !headers.contains_key(header::AUTHORIZATION) && session_cookie(headers).is_none() {
                return Err(ApiError::NotFound("job"));
            }
        }
        let caller = self.reader(headers).await?;
        let scope = Scope::JobsRead;
        caller.require_scope(scope)?;
        let token = presented_token(headers).unwrap_or_default();
        Ok((self.visible_job(&caller, id).await?, JobAccess::Token { user: caller.user.id, token, scope }))
    }

    /// The filter of the jobs that the caller sees in lists.
    pub(crate) fn visible_jobs(&self, caller: &Identity) -> JobFilter {
        if caller.is_admin() {
            return JobFilter { everyone: true, ..JobFilter::default() };
        }
        let repos = self.repos.find(|repo| caller.can_view(repo));
        let repos = repos.into_iter().map(|entry| entry.value.id).collect();
        JobFilter { owner: Some(caller.user.id), repos, ..JobFilter::default() }
    }
}

impl From<&Identity> for Actor {
    fn from(caller: &Identity) -> Self {
        let by = caller.session.map_or(By::Token(caller.token), By::Session);
        let log = if caller.is_admin() { Log::Admins } else { Log::Users };
        Self { user: Some(caller.user.id), by: Some(by), log }
    }
}
