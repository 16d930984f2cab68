//! Rights as extractors: a handler states in its first argument the right that a caller needs, and does not run
//! without it. [`crate::routes`] takes no handler whose first argument is not a [`Right`].

use std::{marker::PhantomData, ops::Deref, sync::Arc};

use axum::extract::{FromRef, FromRequestParts, RawPathParams};
use http::{HeaderMap, request::Parts};
use jobs::{Job, Repo, accounts::Scope, bucket::Entry};
use serde::Deserialize;

use crate::{
    audit::Actor,
    auth::{
        access_watch::JobAccess,
        identity::{Access, Identity},
    },
    error::ApiError,
    extract::Query,
    http::credentials::session_cookie,
};

/// Proof that a request is authorized. Implemented only by the extractors of this file, and by those that wrap
/// one to change the shape of its rejection.
pub(crate) trait Right {}

/// The scope that a token must have.
pub(crate) trait RequiredScope: Send + 'static {
    /// `None`: any token is enough, but one that may only call functions.
    const SCOPE: Option<Scope>;
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $scope:expr;)*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name;

        impl RequiredScope for $name {
            const SCOPE: Option<Scope> = $scope;
        })*
    };
}

scopes! {
    /// Any token, but one that may only call functions.
    AnyScope = None;
    /// `jobs:read`.
    JobsRead = Some(Scope::JobsRead);
    /// `jobs:write`.
    JobsWrite = Some(Scope::JobsWrite);
    /// `repos`.
    Repos = Some(Scope::Repos);
}

/// The identity, if its token has the scope.
pub(crate) fn with_scope<S: RequiredScope>(identity: Identity) -> Result<Identity, ApiError> {
    match S::SCOPE {
        Some(scope) => identity.require_scope(scope)?,
        None => identity.require_other_than_invoke()?,
    }
    Ok(identity)
}

macro_rules! identities {
    ($($name:ident)*) => {
        $(impl<S> Right for $name<S> {}

        impl<S> From<&$name<S>> for Actor {
            fn from(right: &$name<S>) -> Self {
                Self::from(&right.identity)
            }
        }

        impl<S> Deref for $name<S> {
            type Target = Identity;

            fn deref(&self) -> &Identity {
                &self.identity
            }
        })*
    };
}

identities! { Caller Reader SessionCaller }

/// A caller with a bearer token that has the scope `S`. Never by cookie: browsers send cookies along with
/// cross-site requests.
#[derive(Debug)]
pub(crate) struct Caller<S> {
    pub(crate) identity: Identity,
    scope: PhantomData<S>,
}

impl<S: RequiredScope, State: Send + Sync> FromRequestParts<State> for Caller<S>
where
    Arc<Access>: FromRef<State>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        let identity = Arc::<Access>::from_ref(state).bearer_caller(&parts.headers).await?;
        Ok(Self { identity: with_scope::<S>(identity)?, scope: PhantomData })
    }
}

/// A caller with a bearer token or a session cookie that has the scope `S`. For reads alone.
#[derive(Debug)]
pub(crate) struct Reader<S> {
    pub(crate) identity: Identity,
    scope: PhantomData<S>,
}

impl<S: RequiredScope, State: Send + Sync> FromRequestParts<State> for Reader<S>
where
    Arc<Access>: FromRef<State>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        let identity = Arc::<Access>::from_ref(state).reader(&parts.headers).await?;
        Ok(Self { identity: with_scope::<S>(identity)?, scope: PhantomData })
    }
}

/// A caller with a session cookie that has the scope `S`, on a page. What changes something must carry the
/// session's word besides: [`crate::html::form::checked`].
#[derive(Debug)]
pub(crate) struct SessionCaller<S> {
    pub(crate) identity: Identity,
    /// The cookie's value.
    pub(crate) cookie: String,
    scope: PhantomData<S>,
}

impl<S: RequiredScope, State: Send + Sync> FromRequestParts<State> for SessionCaller<S>
where
    Arc<Access>: FromRef<State>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        let session = session_cookie(&parts.headers).ok_or(ApiError::Unauthorized("sign in first"))?;
        let identity = Arc::<Access>::from_ref(state).authenticate(&session).await?;
        Ok(Self { identity: with_scope::<S>(identity)?, cookie: session, scope: PhantomData })
    }
}

/// An admin, with a token that has the admin scope. For reads alone.
#[derive(Debug)]
pub(crate) struct AdminReader;

impl Right for AdminReader {}

impl<State: Send + Sync> FromRequestParts<State> for AdminReader
where
    Arc<Access>: FromRef<State>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        let identity = Arc::<Access>::from_ref(state).reader(&parts.headers).await?;
        match identity.is_admin() {
            true => Ok(Self),
            false => Err(ApiError::Forbidden("an admin's token is needed".to_owned())),
        }
    }
}

/// The `{id}` of a path.
async fn path_id<State: Send + Sync>(parts: &mut Parts, state: &State) -> String {
    let named = RawPathParams::from_request_parts(parts, state).await;
    let id = named.iter().flatten().find(|(name, _)| *name == "id").map(|(_, id)| id.to_owned());
    id.unwrap_or_default()
}

/// The job of the path, for a caller who may cancel or rerun it: `jobs:write`, and it is the caller's own, or of
/// a repository that the caller owns.
#[derive(Debug)]
pub(crate) struct OwnJob {
    pub(crate) caller: Identity,
    pub(crate) entry: Entry<Job>,
}

impl Right for OwnJob {}

impl<State: Send + Sync> FromRequestParts<State> for OwnJob
where
    Arc<Access>: FromRef<State>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        let caller = Caller::<JobsWrite>::from_request_parts(parts, state).await?.identity;
        let id = path_id(parts, state).await;
        let entry = Arc::<Access>::from_ref(state).owned_job(&caller, &id).await?;
        Ok(Self { caller, entry })
    }
}

/// The job of the path, for a caller who has the key of its link, or may see it with `jobs:read`.
pub(crate) struct ReadJob {
    pub(crate) entry: Entry<Job>,
    /// With which credential it is read.
    pub(crate) access: JobAccess,
    /// The key of the link.
    pub(crate) key: Option<String>,
}

impl Right for ReadJob {}

/// The key of a job's link.
#[derive(Deserialize)]
struct LinkKey {
    key: Option<String>,
}

impl<State: Send + Sync> FromRequestParts<State> for ReadJob
where
    Arc<Access>: FromRef<State>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        let Query(LinkKey { key }) = Query::from_request_parts(parts, state).await?;
        let id = path_id(parts, state).await;
        let headers: &HeaderMap = &parts.headers;
        let (entry, access) = Arc::<Access>::from_ref(state).read_job(headers, &id, key.as_deref()).await?;
        Ok(Self { entry, access, key })
    }
}

/// The repository of the path, for a caller who owns it, with the scope `repos`.
#[derive(Debug)]
pub(crate) struct OwnedRepo {
    pub(crate) caller: Identity,
    pub(crate) entry: Entry<Repo>,
}

impl Right for OwnedRepo {}

impl<State: Send + Sync> FromRequestParts<State> for OwnedRepo
where
    Arc<Access>: FromRef<State>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        let caller = Caller::<Repos>::from_request_parts(parts, state).await?.identity;
        let id = path_id(parts, state).await;
        let entry = Arc::<Access>::from_ref(state).owned_repo(&caller, &id).await?;
        Ok(Self { caller, entry })
    }
}
