//! The GitHub App was installed, removed or suspended, or its repositories changed.

use serde::{Deserialize, Serialize};

use super::repository::private_unless_told;

/// What happened to an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallationAction {
    /// The App was installed.
    Created,
    /// The App was removed.
    Deleted,
    /// The App may do nothing until it is unsuspended.
    Suspended,
    /// It may again.
    Unsuspended,
    /// The account's owner accepted what the App newly asks for.
    PermissionsAccepted,
}

/// The account that installed the App.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The forge's numeric id.
    pub id: u64,
    /// Its name.
    pub login: String,
}

/// A repository of an installation, as the installation's events name it: without a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledRepository {
    /// The forge's numeric id.
    pub forge_id: u64,
    /// Owner and name.
    pub full_name: String,
    /// Whether it is private.
    #[serde(default = "private_unless_told")]
    pub private: bool,
}

/// The App was installed, removed or suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// The installation's id.
    pub id: u64,
    /// What happened.
    pub action: InstallationAction,
    /// Whose it is.
    pub account: Account,
    /// The App.
    #[serde(default)]
    pub app_id: Option<u64>,
    /// Its repositories, where the event lists them.
    #[serde(default)]
    pub repositories: Vec<InstalledRepository>,
    /// Who did this, by the forge's name.
    #[serde(default)]
    pub sender: Option<String>,
}

/// The App's installation gained or lost repositories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallationRepositories {
    /// The installation's id.
    pub id: u64,
    /// Whose it is.
    pub account: Account,
    /// The App.
    #[serde(default)]
    pub app_id: Option<u64>,
    /// New ones.
    #[serde(default)]
    pub added: Vec<InstalledRepository>,
    /// Those that are gone.
    #[serde(default)]
    pub removed: Vec<InstalledRepository>,
    /// Who did this, by the forge's name.
    #[serde(default)]
    pub sender: Option<String>,
}
