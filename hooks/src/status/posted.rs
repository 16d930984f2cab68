//! Reads back the status that a forge shows for a commit: it may store a request long after it failed to
//! answer it.

use http::Method;
use jobs::{CommitSha, Forge};
use serde::Deserialize;
use url::Url;

use super::{CommitState, StatusClient, StatusError, Target, classify, client::credential_for, gitlab_state};
use crate::api::below;

/// Asked for at once; GitHub's most.
const PER_PAGE: usize = 100;
/// Pages read at most: GitHub keeps 1,000 statuses of a commit.
const MAX_PAGES: usize = 10;

/// Identifies a status: repository, commit and context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusKey {
    /// The repository's owner, from the registered URL; of GitLab with all its groups.
    pub owner: String,
    /// The repository's name, from the registered URL.
    pub name: String,
    /// The commit.
    pub sha: CommitSha,
    /// Which of the commit's statuses; compared without case.
    pub context: String,
}

/// The newest status of a commit and a context, as the forge shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedStatus {
    forge: Forge,
    word: String,
    target_url: Option<String>,
}

impl PostedStatus {
    /// Whether this is what was posted: the state, and the target URL where the forge lists one, which
    /// distinguishes two jobs that ended alike.
    pub fn is(&self, state: CommitState, target_url: &str) -> bool {
        let word = match self.forge {
            Forge::Github | Forge::Gitea | Forge::Plain => word(state),
            Forge::Gitlab => gitlab_state(state),
        };
        let same_page =
            self.target_url.as_deref().is_none_or(|shown| shown.is_empty() || shown == target_url);
        self.word == word && same_page
    }
}

/// The state as GitHub and Gitea name it.
fn word(state: CommitState) -> &'static str {
    match state {
        CommitState::Pending => "pending",
        CommitState::Success => "success",
        CommitState::Failure => "failure",
        CommitState::Error => "error",
    }
}

/// A status as forges list it.
#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    id: u64,
    /// GitHub's and Gitea's name of it; GitLab's is `name`.
    #[serde(alias = "name")]
    context: String,
    /// GitHub's.
    #[serde(default)]
    state: Option<String>,
    /// Gitea's and GitLab's.
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    target_url: Option<String>,
}

/// The combined status of GitHub and Gitea: the newest of each context.
#[derive(Deserialize)]
struct Combined {
    /// Gitea says `null` for none.
    #[serde(default)]
    statuses: Option<Vec<Listed>>,
}

impl StatusClient {
    /// Reads the status that the forge shows; `None` when it shows none. Each request takes ten seconds at
    /// most.
    ///
    /// # Errors
    /// As of a post; [`StatusError::Refused`] says that the token may not read.
    pub async fn posted(
        &self,
        target: &Target,
        key: &StatusKey,
    ) -> Result<Option<PostedStatus>, StatusError> {
        let credential = credential_for(target)?;
        for page in 1..=MAX_PAGES {
            let answer = self.api.ask(Method::GET, url(target, key, page)?, &credential).await?;
            if !answer.status.is_success() {
                return Err(classify(answer.status, &answer.headers, &answer.body));
            }
            let garbled = |_| StatusError::Retry { reason: "the list of statuses is garbled".to_owned() };
            let listed = match target.forge {
                Forge::Github | Forge::Gitea | Forge::Plain => {
                    let combined: Combined = serde_json::from_slice(&answer.body).map_err(garbled)?;
                    combined.statuses.unwrap_or_default()
                }
                Forge::Gitlab => serde_json::from_slice(&answer.body).map_err(garbled)?,
            };
            // A forge may list fewer at once than it was asked for.
            let is_last = listed.is_empty();
            let ours = listed.into_iter().filter(|status| status.context.eq_ignore_ascii_case(&key.context));
            if let Some(newest) = ours.max_by_key(|status| status.id) {
                return Ok(Some(PostedStatus {
                    forge: target.forge,
                    word: newest.state.or(newest.status).unwrap_or_default(),
                    target_url: newest.target_url,
                }));
            }
            if is_last {
                break;
            }
        }
        Ok(None)
    }
}

fn url(target: &Target, key: &StatusKey, page: usize) -> Result<Url, StatusError> {
    let StatusKey { owner, name, sha, context } = key;
    let sha = sha.as_str();
    let mut url = match target.forge {
        Forge::Github | Forge::Gitea => below(&target.api, ["repos", owner, name, "commits", sha, "status"])?,
        Forge::Gitlab => {
            let project = format!("{owner}/{name}");
            below(&target.api, ["projects", &project, "repository", "commits", sha, "statuses"])?
        }
        Forge::Plain => {
            return Err(StatusError::Refused { reason: "a plain git server shows no status".to_owned() });
        }
    };
    let mut query = url.query_pairs_mut();
    match target.forge {
        Forge::Github | Forge::Plain => query.append_pair("per_page", &PER_PAGE.to_string()),
        Forge::Gitea => query.append_pair("limit", &PER_PAGE.to_string()),
        Forge::Gitlab => query.append_pair("per_page", &PER_PAGE.to_string()).append_pair("name", context),
    };
    query.append_pair("page", &page.to_string());
    drop(query);
    Ok(url)
}
