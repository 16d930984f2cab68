//! Registered repositories.

use std::sync::Arc;

use hooks::{address::Allow, forge_api::ForgeApi};
use jobs::{Ledger, Repo, accounts::User, bucket::Bucket, function::NameEntry};
use url::Url;

use crate::{
    audit::AuditLog,
    auth::identity::Access,
    crypto::keyring::Keyring,
    http::rate_limit::Limits,
    index::{Index, mirror::Mirror},
    jobs::Jobs,
    repos::{installation::GithubApp, secrets::SecretStore, settings::Github, status_owner::StatusOwner},
    usage::Budgets,
};

mod call_settings;
pub(crate) mod credentials;
mod default_branch;
pub(crate) mod forge_kind;
pub(crate) mod forge_webhook;
pub(crate) mod function_name;
pub(crate) mod installation;
pub(crate) mod permission;
pub(crate) mod problems;
pub(crate) mod ref_baseline;
pub(crate) mod register;
pub(crate) mod removal;
pub(crate) mod rename;
pub(crate) mod reports_status;
pub(crate) mod request;
pub(crate) mod secrets;
pub(crate) mod settings;
pub(crate) mod status_owner;
mod update;
pub(crate) mod viewers;

/// Registers repositories, and talks to their forges.
pub(crate) struct Registrations {
    pub(crate) github: Arc<Github>,
    pub(crate) clone_allow: Allow,
    /// Whether owners may open their functions to everybody.
    pub(crate) public_functions: bool,
    pub(crate) public_url: Url,
    pub(crate) ledger: Ledger,
    pub(crate) status_owners: Bucket<StatusOwner>,
    pub(crate) keys: Arc<Keyring>,
    /// The operator's GitHub App, where there is one.
    pub(crate) app: Option<Arc<GithubApp>>,
    /// Client of the forges' APIs.
    pub(crate) forges: ForgeApi,
    pub(crate) repos: Arc<Mirror<Repo>>,
    pub(crate) names: Arc<Mirror<NameEntry>>,
    pub(crate) users: Arc<Mirror<User>>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) index: Arc<Index>,
    pub(crate) access: Arc<Access>,
    pub(crate) audit: AuditLog,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) secret_store: Arc<SecretStore>,
}
