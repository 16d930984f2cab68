//! The operator's account at GitHub.

use jobs::Secret;
use url::Url;

/// The operator's account at GitHub.
#[derive(Debug, Clone)]
pub struct Github {
    /// Base address of the API, ending in a slash.
    pub api_url: Url,
    /// Posts statuses and clones what an admin registered.
    pub token: Option<Secret>,
    /// Secret of the webhook of a GitHub App or an organisation.
    pub webhook_secret: Option<Secret>,
    /// The GitHub App.
    pub app: Option<App>,
    /// Accounts whose installations of the App are accepted.
    pub accounts: Vec<String>,
}

/// The operator's GitHub App.
#[derive(Debug, Clone)]
pub struct App {
    /// Its id.
    pub id: u64,
    /// Its private key, in PEM form.
    pub key: Secret,
}

impl Github {
    /// The host (and port) that GitHub's repositories are cloned from: that of the API, without a
    /// leading `api.`.
    pub(crate) fn authority(&self) -> String {
        let host = self.api_url.host_str().unwrap_or_default();
        let host = host.strip_prefix("api.").unwrap_or(host);
        self.api_url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}
