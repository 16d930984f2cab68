//! Detects the kind of forge by asking the host.
//!
//! Gitea and Forgejo publish their version at `/api/v1/version`; GitLab has `/api/v4/version`, which answers
//! an anonymous request with a JSON error. No credential is sent. A forge may be served below a path, so
//! every prefix of the clone URL's path is tried that leaves owner and name.

use http::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::ForgeApi;
use jobs::{CloneUrl, Forge};

/// How many beginnings of a path are tried: a forge at the root, below one folder, or below two.
const MAX_ROOTS: usize = 3;

/// A forge that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// Its kind.
    pub forge: Forge,
    /// Where its API is.
    pub api: Url,
}

impl ForgeApi {
    /// Asks the host of `url` what it is; `None` when it is no forge that tells, or does not answer.
    pub async fn detect(&self, url: &CloneUrl) -> Option<Detected> {
        for root in url.forge_roots().into_iter().take(MAX_ROOTS) {
            for (forge, api) in [(Forge::Gitea, "api/v1/"), (Forge::Gitlab, "api/v4/")] {
                let api = root.join(api).ok()?;
                if self.tells_version(forge, &api).await {
                    return Some(Detected { forge, api });
                }
            }
        }
        None
    }

    async fn tells_version(&self, forge: Forge, api: &Url) -> bool {
        let Ok(url) = api.join("version") else { return false };
        let Ok(answer) = self.api.ask_anonymously(Method::GET, url).await else { return false };
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match answer.status {
            StatusCode::OK => said["version"].is_string(),
            StatusCode::UNAUTHORIZED => forge == Forge::Gitlab && said["message"].is_string(),
            _ => false,
        }
    }
}
