//! Forges: their kinds, and the URLs of their repositories and APIs.
//!
//! Does no I/O: requests to a forge are made elsewhere.

mod api_location;
mod clone_url;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

pub use clone_url::{BadUrl, CloneUrl};

/// The kinds of forge, which differ in their webhooks, APIs and token headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forge {
    /// GitHub and GitHub Enterprise Server.
    Github,
    /// Gitea and Forgejo.
    Gitea,
    /// GitLab.
    Gitlab,
    /// A plain git server with our `post-receive`: signs like GitHub, takes no status.
    Plain,
}

impl Forge {
    /// The base URL of the API of the forge that serves `url`; a plain server has none. Repositories of Gitea
    /// are two folders deep, so what precedes them is the path of Gitea itself; a GitLab below a path cannot
    /// be told from one with a group of that name.
    pub fn api_url(self, url: &CloneUrl) -> Option<Url> {
        match self {
            Self::Github if url.host() == "github.com" => "https://api.github.com/".parse().ok(),
            Self::Github => url.0.join("/api/v3/").ok(),
            Self::Gitea => url.forge_roots().last()?.join("api/v1/").ok(),
            Self::Gitlab => url.0.join("/api/v4/").ok(),
            Self::Plain => None,
        }
    }

    /// The word in records, settings and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitea => "gitea",
            Self::Gitlab => "gitlab",
            Self::Plain => "plain",
        }
    }
}

impl fmt::Display for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no kind of forge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a kind of forge")]
pub struct NotAForge(String);

impl FromStr for Forge {
    type Err = NotAForge;

    fn from_str(text: &str) -> Result<Self, NotAForge> {
        let all = [Self::Github, Self::Gitea, Self::Gitlab, Self::Plain];
        all.into_iter().find(|forge| forge.as_str() == text).ok_or_else(|| NotAForge(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(Forge::Github, "https://github.com/a/b" => Some("https://api.github.com/".into()))]
    #[test_case(Forge::Github, "https://ghe.corp.example/a/b" => Some("https://ghe.corp.example/api/v3/".into()))]
    #[test_case(Forge::Gitea, "http://git.internal:3000/a/b" => Some("http://git.internal:3000/api/v1/".into()))]
    #[test_case(Forge::Gitlab, "https://gitlab.com/a/b" => Some("https://gitlab.com/api/v4/".into()))]
    #[test_case(Forge::Plain, "https://host/a/b" => None)]
    #[test_case(Forge::Gitea, "https://host/git/a/b" => Some("https://host/git/api/v1/".into()); "below a path")]
    fn api(forge: Forge, url: &str) -> Option<String> {
        forge.api_url(&url.parse().unwrap()).map(String::from)
    }

    #[test]
    fn the_word_of_each_kind_is_read_again() {
        for forge in [Forge::Github, Forge::Gitea, Forge::Gitlab, Forge::Plain] {
            assert_eq!(forge.as_str().parse(), Ok(forge));
            assert_eq!(serde_json::to_value(forge).unwrap(), forge.as_str());
        }
        assert_eq!("GitHub".parse::<Forge>(), Err(NotAForge("GitHub".to_owned())));
    }
}
