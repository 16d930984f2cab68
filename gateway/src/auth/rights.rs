//! Rights as extractors: a handler says in its first argument who may call it, and cannot run for anybody
//! else. [`crate::routes`] takes no handler whose first argument is not a [`Right`].

use std::{marker::PhantomData, ops::Deref, sync::Arc};

use axum::extract::{FromRef, FromRequestParts, RawPathParams};
use http::{HeaderMap, request::Parts};
use jobs::{Job, Repo, accounts::Scope, bucket::Entry};
use serde::Deserialize;

use crate::{
    audit::Doer,
    auth::{
        access_watch::Way,
        identity::{Access, Identity},
    },
    error::ApiError,
    extract::Query,
    http::credentials::session,
};

/// What proves that a request may be answered. Only extractors of this file, and those that change how
/// their refusal is told, are one.
pub(crate) trait Right {}

/// The scope that a token must have.
pub(crate) trait Needs: Send + 'static {
    /// `None`: any token will do.
    const SCOPE: Option<Scope>;
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $scope:expr;)*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name;

        impl Needs for $name {
            const SCOPE: Option<Scope> = $scope;
        })*
    };
}

scopes! {
    /// Any token.
    AnyScope = None;
    /// `jobs:read`.
    JobsRead = Some(Scope::JobsRead);
    /// `jobs:write`.
    JobsWrite = Some(Scope::JobsWrite);
    /// `repos`.
    Repos = Some(Scope::Repos);
}

/// The identity, if its token has the scope.
pub(crate) fn with_scope<S: Needs>(identity: Identity) -> Result<Identity, ApiError> {
    if let Some(scope) = S::SCOPE {
        identity.needs(scope)?;
    }
    Ok(identity)
}

macro_rules! identities {
    ($($name:ident)*) => {
        $(impl<S> Right for $name<S> {}

        impl<S> From<&$name<S>> for Doer {
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

/// Whoever shows a bearer token with the scope `S`. Never by cookie: one comes along with what another site
/// sends.
#[derive(Debug)]
pub(crate) struct Caller<S> {
    pub(crate) identity: Identity,
    scope: PhantomData<S>,
}

impl<S: Needs, State: Send + Sync> FromRequestParts<State> for Caller<S>
where
    Arc<Access>: FromRef<State>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        let identity = Arc::<Access>::from_ref(state).caller(&parts.headers).await?;
        Ok(Self { identity: with_scope::<S>(identity)?, scope: PhantomData })
    }
}

/// Whoever shows a bearer token, or the session's cookie of a page, with the scope `S`. For reading alone.
#[derive(Debug)]
pub(crate) struct Reader<S> {
    pub(crate) identity: Identity,
    scope: PhantomData<S>,
}

impl<S: Needs, State: Send + Sync> FromRequestParts<State> for Reader<S>
where
    Arc<Access>: FromRef<State>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        let identity = Arc::<Access>::from_ref(state).reader(&parts.headers).await?;
        Ok(Self { identity: with_scope::<S>(identity)?, scope: PhantomData })
    }
}

/// Whoever has the cookie of a session with the scope `S`, on a page. What changes something must carry the
/// session's word besides: [`crate::html::form::checked`].
#[derive(Debug)]
pub(crate) struct SessionCaller<S> {
    pub(crate) identity: Identity,
    /// The cookie's value.
    pub(crate) cookie: String,
    scope: PhantomData<S>,
}

impl<S: Needs, State: Send + Sync> FromRequestParts<State> for SessionCaller<S>
where
    Arc<Access>: FromRef<State>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        let session = session(&parts.headers).ok_or(ApiError::Unauthorized("sign in first"))?;
        let identity = Arc::<Access>::from_ref(state).bearer_of(&session).await?;
        Ok(Self { identity: with_scope::<S>(identity)?, cookie: session, scope: PhantomData })
    }
}

/// An admin, with a token that may all that an admin may. For reading alone.
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
async fn id_of<State: Send + Sync>(parts: &mut Parts, state: &State) -> String {
    let named = RawPathParams::from_request_parts(parts, state).await;
    let id = named.iter().flatten().find(|(name, _)| *name == "id").map(|(_, id)| id.to_owned());
    id.unwrap_or_default()
}

/// The job of the path, for a caller who may end or repeat it: `jobs:write`, and it is the caller's own, or of
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
        let id = id_of(parts, state).await;
        let entry = Arc::<Access>::from_ref(state).own_job(&caller, &id).await?;
        Ok(Self { caller, entry })
    }
}

/// The job of the path, for whoever has the key of its link, or may see it with `jobs:read`.
pub(crate) struct ReadJob {
    pub(crate) entry: Entry<Job>,
    /// How the reader came.
    pub(crate) way: Way,
    /// Of the link.
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
        let id = id_of(parts, state).await;
        let headers: &HeaderMap = &parts.headers;
        let (entry, way) = Arc::<Access>::from_ref(state).read_job(headers, &id, key.as_deref()).await?;
        Ok(Self { entry, way, key })
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
        let id = id_of(parts, state).await;
        let entry = Arc::<Access>::from_ref(state).own_repo(&caller, &id).await?;
        Ok(Self { caller, entry })
    }
}
