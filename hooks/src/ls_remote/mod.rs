//! Lists the branches and tags of a git server, as `git ls-remote` does, over smart HTTP.
//!
//! Nothing is fetched. Protocol version 2 is requested, because there only branches and tags are sent;
//! answers in an older version are parsed too. A response is limited in bytes and time, every address is
//! checked ([`crate::address`]), and a credential is sent to the URL's own host alone.

mod pkt_line;
mod refs;

use std::path::Path;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use jobs::{CloneUrl, CommitSha, GitRef, Secret};
use reqwest::{RequestBuilder, Response, StatusCode};
use url::Url;

use crate::address::{Allow, ClientError, Timeouts, client};
use refs::{Advertisement, LS_REFS};

/// The longest answer that is read, in bytes. It is held in memory until it is understood; servers of the old
/// versions send their pull requests as well, so it is more than [`MAX_REFS`] need.
const MAX_BYTES: usize = 8 << 20;
/// Branches and tags of one repository; each takes up to 1 KiB of memory.
const MAX_REFS: usize = 20_000;
/// Time limit of a request; servers of the largest repositories answer within seconds.
const WHOLE: Duration = Duration::from_secs(30);

/// A branch or tag, and what it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRef {
    /// Which.
    pub reference: GitRef,
    /// The object; of an annotated tag the tag itself, as in a push's `after`.
    pub id: CommitSha,
    /// Of an annotated tag, what it was put on.
    pub tagged: Option<CommitSha>,
}

/// What a git server has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteRefs {
    /// Branches and tags, in the server's order. Those with a name that we do not take are left out.
    pub refs: Vec<RemoteRef>,
    /// The branch that `HEAD` points to, if the server says so and the branch exists.
    pub default_branch: Option<GitRef>,
}

/// How to authenticate, by HTTP basic authentication.
#[derive(Debug, Clone)]
pub struct Login {
    /// Such as `x-access-token`.
    pub user: String,
    /// Never in a URL.
    pub token: Secret,
}

/// Why the refs of a server could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListRefsError {
    /// No connection, or an address that may not be reached.
    #[error("the git server cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// Private, gone or broken.
    #[error("the git server answered {0}")]
    Status(StatusCode),
    /// Not a git server, or one that speaks the "dumb" protocol.
    #[error("this is not a git server with smart HTTP")]
    NotSmart,
    /// Longer than is read.
    #[error("the list of refs is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// More than are kept.
    #[error("the repository has more than {MAX_REFS} branches and tags")]
    TooMany,
    /// The response violates the protocol.
    #[error("the answer is garbled: {0}")]
    Garbled(&'static str),
    /// The server refused, with this message.
    #[error("the git server refused: {0}")]
    Refused(String),
}

/// A client that lists the refs of git servers. One for the whole process.
#[derive(Debug, Clone)]
pub struct RefLister {
    client: reqwest::Client,
}

impl RefLister {
    /// Reaches public addresses and what `allow` adds.
    pub fn new(allow: &Allow, ca: Option<&Path>) -> Result<Self, ClientError> {
        let timeouts = Timeouts { whole: WHOLE, ..Timeouts::default() };
        Ok(Self { client: client(allow, ca, timeouts)? })
    }

    /// All branches and tags, and which is the default branch.
    pub async fn list(&self, url: &CloneUrl, login: Option<&Login>) -> Result<RemoteRefs, ListRefsError> {
        let service = below(url.as_url(), "/info/refs");
        let asked = self.client.get(service).query(&[("service", "git-upload-pack")]);
        let answer = sent(asked, login).await?;
        let kind = answer.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes());
        if kind != Some(b"application/x-git-upload-pack-advertisement") {
            return Err(ListRefsError::NotSmart);
        }
        // A renamed repository is redirected; the second request goes where the first was answered.
        let at = answer.url().clone();
        match refs::advertisement(&bounded(answer).await?)? {
            Advertisement::Refs(refs) => Ok(refs),
            Advertisement::AskForRefs => self.ls_refs(url, &at, login).await,
        }
    }

    async fn ls_refs(
        &self,
        url: &CloneUrl,
        at: &Url,
        login: Option<&Login>,
    ) -> Result<RemoteRefs, ListRefsError> {
        let base = at.path().strip_suffix("/info/refs").ok_or(ListRefsError::NotSmart)?;
        let mut service = at.clone();
        service.set_query(None);
        service.set_path(&format!("{base}/git-upload-pack"));
        let is_own_host = at.origin() == url.as_url().origin();
        let asked = self
            .client
            .post(service)
            .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
            .header(ACCEPT, "application/x-git-upload-pack-result")
            .body(LS_REFS);
        let answer = sent(asked, login.filter(|_| is_own_host)).await?;
        refs::listed(&bounded(answer).await?)
    }
}

/// reqwest takes the credential off again where a redirect leads to another host.
async fn sent(request: RequestBuilder, login: Option<&Login>) -> Result<Response, ListRefsError> {
    let request = match login {
        Some(login) => request.basic_auth(&login.user, Some(login.token.expose())),
        None => request,
    };
    let answer = request.header("git-protocol", "version=2").send().await;
    let answer = answer.map_err(|error| ListRefsError::Unreachable(error.without_url()))?;
    if answer.status() == StatusCode::OK { Ok(answer) } else { Err(ListRefsError::Status(answer.status())) }
}

fn below(url: &Url, path: &str) -> Url {
    let mut below = url.clone();
    below.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    below
}

async fn bounded(mut answer: Response) -> Result<Vec<u8>, ListRefsError> {
    let mut bytes = Vec::new();
    let broken = |error: reqwest::Error| ListRefsError::Unreachable(error.without_url());
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        if bytes.len() + chunk.len() > MAX_BYTES {
            return Err(ListRefsError::TooLong);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
