//! The URL that a repository is cloned from.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use url::Url;

/// The longest URL taken, in bytes: far above what a forge makes, far below a record's size.
const MAX_URL_BYTES: usize = 1024;

/// An http or https URL that a repository is cloned from, without credentials, query or fragment.
///
/// Whether its host may be reached is not decided here, but where it is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CloneUrl(pub(super) Url);

/// Why a text is not a URL that we clone from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// ssh, git, file, `ext::` and whatever else git would run or read.
    #[error("only http and https repositories can be cloned")]
    Scheme,
    /// `git@host:path`.
    #[error("this is an ssh address; give the https URL of the repository")]
    Scp,
    /// Credentials in a URL end in logs and process lists.
    #[error("a clone URL must not hold a user or a password")]
    Credentials,
    /// Nothing that git would send.
    #[error("a clone URL must not have a query or a fragment")]
    Query,
    /// A space, a control character, a backslash, an encoded slash.
    #[error("a clone URL must not hold spaces, control characters, backslashes or encoded slashes")]
    Characters,
    /// Only a host, or empty or dotted segments.
    #[error("the URL does not name a repository")]
    NoRepository,
    /// Longer than any forge's.
    #[error("the URL is longer than {MAX_URL_BYTES} bytes")]
    TooLong,
    /// What the URL parser said.
    #[error("not a URL: {0}")]
    NotAUrl(url::ParseError),
}

impl CloneUrl {
    /// The host, in lower case, as the URL has it (IPv6 in brackets).
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Host and, unless it is the scheme's own, port: what a credential is bound to.
    pub fn authority(&self) -> String {
        match self.0.port() {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().to_owned(),
        }
    }

    /// The URL for those who fetch.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// The URL as text, normalised.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Owner (of GitLab with all its groups, `a/b`) and name (without `.git`): what the forge's API
    /// wants. `None` when the path has but one segment.
    pub fn owner_and_name(&self) -> Option<(String, String)> {
        let path = decoded(self.bare_path());
        let (owner, name) = path.rsplit_once('/')?;
        Some((owner.to_owned(), name.to_owned()))
    }

    /// The last segment of the path, without `.git`: what people call the repository.
    pub fn last_segment(&self) -> String {
        let path = decoded(self.bare_path());
        path.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// Host, port and path without scheme, case and `.git`: equal for two URLs of one repository.
    ///
    /// The path is compared without case because the forges take it so.
    pub fn identity(&self) -> String {
        format!("{}/{}", self.authority(), self.bare_path()).to_lowercase()
    }

    /// Whether both name the same repository.
    pub fn same_repository(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }

    /// The path without slashes around it and without `.git`.
    pub(super) fn bare_path(&self) -> &str {
        let path = self.0.path().trim_matches('/');
        path.strip_suffix(".git").unwrap_or(path)
    }
}

impl FromStr for CloneUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        if text.len() > MAX_URL_BYTES {
            return Err(BadUrl::TooLong);
        }
        // Before parsing: the URL parser drops tabs and newlines and turns backslashes around.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(BadUrl::Characters);
        }
        let url = match text.split_once("://") {
            Some((scheme, _)) if is_http(scheme) => Url::parse(text),
            Some((scheme, _))
                if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.:".contains(&b)) =>
            {
                return Err(BadUrl::Scheme);
            }
            Some(_) | None => {
                refuse_what_has_no_scheme(text)?;
                Url::parse(&format!("https://{text}"))
            }
        };
        let mut url = url.map_err(BadUrl::NotAUrl)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadUrl::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadUrl::Query);
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if decoded(&path).chars().any(|c| c.is_control() || c == '\\')
            || path.to_ascii_lowercase().contains("%2f")
        {
            return Err(BadUrl::Characters);
        }
        let mut segments = path.split('/').skip(1);
        let nameless = path.is_empty() || path.ends_with("/.git") || segments.any(str::is_empty);
        if nameless || url.host_str().is_none_or(str::is_empty) {
            return Err(BadUrl::NoRepository);
        }
        url.set_path(&path);
        // Encoded it is longer, and what is kept is read again.
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(BadUrl::TooLong);
        }
        Ok(Self(url))
    }
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// `host/path` and `host:3000/path` mean https; git's other forms without `://` are refused.
fn refuse_what_has_no_scheme(text: &str) -> Result<(), BadUrl> {
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let remote_helper = host.contains("::") && !host.starts_with('[');
    if text.starts_with(['/', '.', '-', '~']) || remote_helper {
        return Err(BadUrl::Scheme);
    }
    let after_colon =
        host.rsplit_once(']').map_or(host, |(_, rest)| rest).split_once(':').map(|(_, port)| port);
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match after_colon {
        Some(_) if is_http(host.split(':').next().unwrap_or_default()) => Err(BadUrl::NoRepository),
        Some("") if path.starts_with('/') || host.eq_ignore_ascii_case("file:") => Err(BadUrl::Scheme),
        Some(port) if !is_port(port) || path.is_empty() => Err(BadUrl::Scp),
        Some(_) | None if host.contains('@') => Err(BadUrl::Credentials),
        Some(_) | None => Ok(()),
    }
}

/// Undoes percent-encoding; what is not UTF-8 then becomes U+FFFD.
pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl fmt::Display for CloneUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for CloneUrl {
    type Error = BadUrl;

    fn try_from(text: String) -> Result<Self, BadUrl> {
        text.parse()
    }
}

impl From<CloneUrl> for String {
    fn from(url: CloneUrl) -> Self {
        url.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use test_case::test_case;

    #[test_case("https://github.com/a/b" => "https://github.com/a/b")]
    #[test_case("HTTPS://GitHub.com/A/B.git/" => "https://github.com/A/B.git"; "case and slash")]
    #[test_case("github.com/a/b" => "https://github.com/a/b"; "no scheme")]
    #[test_case("localhost:3000/a/b.git" => "https://localhost:3000/a/b.git"; "no scheme but a port")]
    #[test_case("[::1]:3000/a/b" => "https://[::1]:3000/a/b"; "no scheme v6")]
    #[test_case("http://host:80/a" => "http://host/a"; "the scheme's own port")]
    #[test_case("http://0x7f.1/a" => "http://127.0.0.1/a"; "odd address")]
    #[test_case("https://host/a/../b" => "https://host/b"; "dots are undone")]
    #[test_case("https://host/a@b" => "https://host/a@b"; "at sign in the path")]
    #[test_case("https://host/gr/sub/näme" => "https://host/gr/sub/n%C3%A4me"; "not ASCII")]
    fn read(text: &str) -> String {
        text.parse::<CloneUrl>().unwrap().to_string()
    }

    #[test]
    fn what_is_read_once_is_read_again() {
        let fits = format!("https://host/{}", "é".repeat(168));
        let kept = fits.parse::<CloneUrl>().unwrap();
        assert_eq!(kept.to_string().parse(), Ok(kept));
        // 351 bytes, and 1027 when they are encoded.
        let grows = format!("https://host/{}", "é".repeat(169));
        assert_eq!(grows.parse::<CloneUrl>(), Err(BadUrl::TooLong));
    }

    #[test_case("file:///etc/passwd" => BadUrl::Scheme; "file")]
    #[test_case("file:/etc/passwd" => BadUrl::Scheme; "file with one slash")]
    #[test_case("ssh://git@host/a/b" => BadUrl::Scheme; "ssh")]
    #[test_case("git://host/a/b" => BadUrl::Scheme; "git")]
    #[test_case("git+ssh://host/a/b" => BadUrl::Scheme; "git over ssh")]
    #[test_case("ext::sh" => BadUrl::Scheme; "ext")]
    #[test_case("ext::https://host/a" => BadUrl::Scheme; "ext with a URL")]
    #[test_case("/srv/git/a" => BadUrl::Scheme; "path")]
    #[test_case("../a" => BadUrl::Scheme; "relative path")]
    #[test_case("-oProxyCommand=sh" => BadUrl::Scheme; "looks like a flag")]
    #[test_case("--upload-pack=sh/a" => BadUrl::Scheme; "looks like a long flag")]
    #[test_case("git@github.com:a/b.git" => BadUrl::Scp; "scp")]
    #[test_case("github.com:a/b.git" => BadUrl::Scp; "scp without user")]
    #[test_case("https://user@host/a" => BadUrl::Credentials; "user")]
    #[test_case("https://user:pass@host/a" => BadUrl::Credentials; "password")]
    #[test_case("https://:pass@host/a" => BadUrl::Credentials; "password alone")]
    #[test_case("user@host/a" => BadUrl::Credentials; "user without scheme")]
    #[test_case("https://host/a?x=1" => BadUrl::Query; "query")]
    #[test_case("https://host/a#x" => BadUrl::Query; "fragment")]
    #[test_case("https://host/a b" => BadUrl::Characters; "space")]
    #[test_case(" https://host/a" => BadUrl::Characters; "leading space")]
    #[test_case("https://ho\nst/a" => BadUrl::Characters; "newline")]
    #[test_case("https://host\\a" => BadUrl::Characters; "backslash")]
    #[test_case("https://host/a%2fb" => BadUrl::Characters; "encoded slash")]
    #[test_case("https://host/a%0ab" => BadUrl::Characters; "encoded newline")]
    #[test_case("https://host" => BadUrl::NoRepository; "only a host")]
    #[test_case("https://host/" => BadUrl::NoRepository; "only a slash")]
    #[test_case("https://host/.git" => BadUrl::NoRepository; "only dot git")]
    #[test_case("https://host/a/.git" => BadUrl::NoRepository; "a working copy's dot git")]
    #[test_case("https://host//a" => BadUrl::NoRepository; "empty segment")]
    #[test_case("https:host" => BadUrl::NoRepository; "no slashes")]
    #[test_case("https:///" => BadUrl::NotAUrl(url::ParseError::EmptyHost); "no host")]
    #[test_case("" => BadUrl::NotAUrl(url::ParseError::EmptyHost); "empty")]
    fn refused(text: &str) -> BadUrl {
        text.parse::<CloneUrl>().unwrap_err()
    }

    #[test_case("https://github.com/a/b", "https://GITHUB.com/A/b.git/" => true)]
    #[test_case("https://host/a/b", "http://host/a/b" => true; "scheme")]
    #[test_case("https://host/a/b", "https://host:3000/a/b" => false; "port")]
    #[test_case("https://host/a/b", "https://host/a/c" => false; "name")]
    #[test_case("https://host/a/b", "https://other/a/b" => false; "host")]
    #[test_case("https://host/a/b.git", "https://host/a/b.git.git" => false; "only one suffix")]
    fn same(one: &str, other: &str) -> bool {
        one.parse::<CloneUrl>().unwrap().same_repository(&other.parse().unwrap())
    }

    #[test_case("https://github.com/a/b.git" => Some(("a".into(), "b".into())))]
    #[test_case("https://gitlab.com/gr/sub/b" => Some(("gr/sub".into(), "b".into())); "nested groups")]
    #[test_case("https://host/n%C3%A4/b" => Some(("nä".into(), "b".into())); "decoded")]
    #[test_case("https://host/b.git" => None; "one segment")]
    fn owner_and_name(text: &str) -> Option<(String, String)> {
        text.parse::<CloneUrl>().unwrap().owner_and_name()
    }

    proptest! {
        #[test]
        fn what_reads_reads_back_the_same(text in "(https?://)?[a-z.]{1,9}(:[0-9]{1,4})?(/[ -~]{0,9}){0,3}") {
            if let Ok(url) = text.parse::<CloneUrl>() {
                prop_assert_eq!(url.as_str().parse::<CloneUrl>(), Ok(url.clone()));
                prop_assert!(url.as_url().username().is_empty());
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<CloneUrl>();
        }
    }
}
