//! Below which path a repository's forge is served, and where its API may be.
//!
//! The caller who registers a repository may give the API's address. The same server also serves files that
//! its users wrote, so not every address there is the forge's own.

use url::Url;

use super::clone_url::{CloneUrl, decoded};

/// What forges call their API: Gitea, GitHub Enterprise, GitLab.
const API_NAMES: [&str; 3] = ["api/v1/", "api/v3/", "api/v4/"];

impl CloneUrl {
    /// Owner and name below the forge whose API is at `api`: what comes before the repository in the path of
    /// a forge that lies below one is not the owner's.
    pub fn owner_and_name_at(&self, api: &Url) -> Option<(String, String)> {
        let (owner, name) = self.owner_and_name()?;
        let root = api.path().rfind("/api/").map_or("", |end| &api.path()[..end]);
        let root = decoded(root.trim_matches('/'));
        let below = owner.strip_prefix(&root).and_then(|rest| rest.strip_prefix('/'));
        Some((below.filter(|_| !root.is_empty()).map_or(owner.clone(), str::to_owned), name))
    }

    /// Whether this repository's forge may have its API at `api`: on the same server, at its root or in a
    /// folder that contains the repository, under a name that forges use. Anything else on that server may be
    /// a file of one of its users.
    pub fn may_have_api_at(&self, api: &Url) -> bool {
        let same_server = api.scheme() == self.0.scheme()
            && api.host_str() == self.0.host_str()
            && api.port_or_known_default() == self.0.port_or_known_default();
        let is_below =
            |root: &Url| api.path().strip_prefix(root.path()).is_some_and(|rest| API_NAMES.contains(&rest));
        same_server && self.forge_roots().iter().any(is_below)
    }

    /// What a forge's numbers are numbers of: the server, and the folder that the forge with its API at `api`
    /// lies in. Two forges of one server count for themselves.
    pub fn number_scope(&self, api: &Url) -> String {
        let root = api.path().rfind("/api/").map_or("", |end| &api.path()[..end]);
        format!("{}{root}", self.authority()).to_lowercase()
    }

    /// The URLs that the forge may be served from: the host itself, then every prefix of the path that leaves
    /// two segments for owner and name. Each ends with a slash.
    pub fn forge_roots(&self) -> Vec<Url> {
        let segments: Vec<&str> = self.bare_path().split('/').collect();
        let root = |count: usize| {
            let mut path = String::from("/");
            for segment in &segments[..count] {
                path.push_str(segment);
                path.push('/');
            }
            self.0.join(&path).ok()
        };
        (0..=segments.len().saturating_sub(2)).filter_map(root).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("https://host/a/pi", "https://host/api/v1/" => true; "at the root")]
    #[test_case("https://host/git/a/pi", "https://host/git/api/v4/" => true; "in a folder")]
    #[test_case("https://host/a/pi", "https://host/b/x/raw/branch/main/api/v1/" => false; "a file of a user's")]
    #[test_case("https://host/a/pi", "https://host/a/api/v1/" => false; "in the owner's folder")]
    #[test_case("https://host/a/pi", "https://host/" => false; "no name of an API")]
    #[test_case("https://host/a/pi", "http://host/api/v1/" => false; "in clear")]
    #[test_case("https://host/a/pi", "https://host:8443/api/v1/" => false; "another server")]
    fn where_an_api_may_be(url: &str, api: &str) -> bool {
        url.parse::<CloneUrl>().unwrap().may_have_api_at(&api.parse().unwrap())
    }

    #[test_case("https://host/a/pi", "https://host/api/v1/" => "host")]
    #[test_case("https://host/a/pi", "https://api.host/" => "host"; "an API on a host of its own")]
    #[test_case("https://host/b/x/raw/main/y/z", "https://host/b/x/raw/main/api/v1/" => "host/b/x/raw/main")]
    fn what_numbers_are_of(url: &str, api: &str) -> String {
        url.parse::<CloneUrl>().unwrap().number_scope(&api.parse().unwrap())
    }

    #[test_case("https://host/git/a/b", "https://host/git/api/v1/" => Some(("a".into(), "b".into())); "Gitea below a path")]
    #[test_case("https://host/lab/gr/sub/b", "https://host/lab/api/v4/" => Some(("gr/sub".into(), "b".into())); "GitLab below a path")]
    #[test_case("https://host/gr/sub/b", "https://host/api/v4/" => Some(("gr/sub".into(), "b".into())); "GitLab at the root")]
    #[test_case("https://github.com/a/b", "https://api.github.com/" => Some(("a".into(), "b".into())); "GitHub")]
    #[test_case("https://host/gitlab-org/b", "https://host/gitlab/api/v4/" => Some(("gitlab-org".into(), "b".into())); "a group that only begins alike")]
    fn below_the_api(url: &str, api: &str) -> Option<(String, String)> {
        url.parse::<CloneUrl>().unwrap().owner_and_name_at(&api.parse().unwrap())
    }

    #[test]
    fn where_a_forge_may_lie() {
        let roots = |url: &str| -> Vec<String> {
            url.parse::<CloneUrl>().unwrap().forge_roots().into_iter().map(String::from).collect()
        };
        assert_eq!(roots("https://host/a/b.git"), ["https://host/"]);
        assert_eq!(roots("https://host/git/a/b"), ["https://host/", "https://host/git/"]);
        assert_eq!(roots("https://host/b"), ["https://host/"]);
    }
}
