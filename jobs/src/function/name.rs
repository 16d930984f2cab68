//! The name that a function is called by.
//!
//! A name is one label of a host name (RFC 1035: 63 bytes of letters, digits and hyphens), because a function may
//! get a host of its own. `--` stands between a repository's function and a folder of it, and nowhere else.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::RepoId;

/// The longest name, in bytes: a label of a host name (RFC 1035, section 2.3.4).
pub const MAX_FUNCTION_NAME_BYTES: usize = 63;
/// Between a repository's function and the folder of another one in the same repository.
const FOLDER_SEPARATOR: &str = "--";
/// Hosts and paths of the service itself. `xn`, because `xn--…` is a name in another script (RFC 5890).
const RESERVED: [&str; 6] = ["admin", "api", "assets", "mcp", "www", "xn"];
/// What a repository is called whose name has no letter or digit that a name may have.
const UNNAMED: &str = "function";
/// The last number that is tried for a name that is taken: each costs a round trip.
const MAX_NUMBER: u32 = 100;

/// `<function>`, or `<function>--<folder>`: lower-case letters, digits and single hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(
    feature = "api",
    derive(utoipa::ToSchema),
    schema(value_type = String, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
)]
pub struct FunctionName(String);

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFunctionName {
    /// Other characters, too long, or none.
    #[error(
        "must be 1 to {MAX_FUNCTION_NAME_BYTES} lower-case letters, digits and hyphens, beginning and ending with a letter or digit"
    )]
    NotASlug,
    /// A name of the service itself.
    #[error("{0} is reserved")]
    Reserved(String),
    /// `--` where there is no folder.
    #[error("`--` is reserved for functions in folders")]
    Separator,
    /// The id of a repository, which goes before a name wherever either is taken.
    #[error("must not look like an id")]
    AnId,
}

impl FunctionName {
    /// The name of a repository's own function, which has no `--`.
    ///
    /// # Errors
    /// It is not one.
    pub fn of_repository(text: &str) -> Result<Self, BadFunctionName> {
        let name: Self = text.parse()?;
        match name.folder() {
            None => Ok(name),
            Some(_) => Err(BadFunctionName::Separator),
        }
    }

    /// The names to try for a repository whose URL ends with `segment`, in this order: made from it, then with
    /// `-2`, `-3` and so on. The same segment gives the same names.
    pub fn candidates(segment: &str) -> impl Iterator<Item = Self> + use<> {
        let base = slug(segment.strip_suffix(".git").unwrap_or(segment));
        (1..=MAX_NUMBER).filter_map(move |number| {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let room = base.len().min(MAX_FUNCTION_NAME_BYTES - suffix.len());
            Self::of_repository(&format!("{}{suffix}", base[..room].trim_end_matches('-'))).ok()
        })
    }

    /// A name that nobody else's repository gets.
    pub(super) fn of_id(repo: RepoId) -> Self {
        Self(format!("f-{repo}"))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the repository's own function.
    pub fn repository(&self) -> &str {
        self.0.split_once(FOLDER_SEPARATOR).map_or(&self.0, |(repository, _)| repository)
    }

    /// The folder, of a function in one.
    pub fn folder(&self) -> Option<&str> {
        Some(self.0.split_once(FOLDER_SEPARATOR)?.1)
    }
}

/// Lower-case letters and digits of `text`; what stands between them becomes one hyphen.
fn slug(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let lower = text.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { UNNAMED.to_owned() } else { words.join("-") }
}

/// Whether a text is a slug: a label of a host name, in lower case.
pub(super) fn is_slug(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().last()];
    text.len() <= MAX_FUNCTION_NAME_BYTES
        && ends.iter().all(|end| end.is_some_and(is_word))
        && text.bytes().all(|byte| is_word(byte) || byte == b'-')
}

impl FromStr for FunctionName {
    type Err = BadFunctionName;

    fn from_str(text: &str) -> Result<Self, BadFunctionName> {
        if !is_slug(text) {
            return Err(BadFunctionName::NotASlug);
        }
        if text.parse::<RepoId>().is_ok() {
            return Err(BadFunctionName::AnId);
        }
        let (repository, folder) = match text.split_once(FOLDER_SEPARATOR) {
            Some((repository, folder)) => (repository, Some(folder)),
            None => (text, None),
        };
        if folder.is_some_and(|folder| !is_slug(folder) || folder.contains(FOLDER_SEPARATOR)) {
            return Err(BadFunctionName::Separator);
        }
        match RESERVED.contains(&repository) {
            true => Err(BadFunctionName::Reserved(repository.to_owned())),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for FunctionName {
    type Error = BadFunctionName;

    fn try_from(text: String) -> Result<Self, BadFunctionName> {
        text.parse()
    }
}

impl From<FunctionName> for String {
    fn from(name: FunctionName) -> Self {
        name.0
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("pi" => Ok(("pi", None)))]
    #[test_case("7" => Ok(("7", None)) ; "one digit")]
    #[test_case("pi-2" => Ok(("pi-2", None)))]
    #[test_case("pi--resize" => Ok(("pi", Some("resize"))) ; "a folder")]
    #[test_case("api-2" => Ok(("api-2", None)) ; "a reserved word with more")]
    #[test_case("" => Err(BadFunctionName::NotASlug) ; "empty")]
    #[test_case("-pi" => Err(BadFunctionName::NotASlug) ; "a hyphen first")]
    #[test_case("pi-" => Err(BadFunctionName::NotASlug) ; "a hyphen last")]
    #[test_case("Pi" => Err(BadFunctionName::NotASlug) ; "upper case")]
    #[test_case("p.i" => Err(BadFunctionName::NotASlug) ; "a dot splits a subject")]
    #[test_case("p*" => Err(BadFunctionName::NotASlug) ; "a wildcard")]
    #[test_case("p_i" => Err(BadFunctionName::NotASlug) ; "no letter of a host name")]
    #[test_case("pi\n" => Err(BadFunctionName::NotASlug) ; "a newline")]
    #[test_case("größe" => Err(BadFunctionName::NotASlug) ; "not ASCII")]
    #[test_case("a--b--c" => Err(BadFunctionName::Separator) ; "two folders")]
    #[test_case("a---b" => Err(BadFunctionName::Separator) ; "three hyphens")]
    #[test_case("www" => Err(BadFunctionName::Reserved("www".to_owned())))]
    #[test_case("api--x" => Err(BadFunctionName::Reserved("api".to_owned())) ; "a folder of a reserved one")]
    #[test_case("01890a5d-ac96-774b-bcce-b302099a8057" => Err(BadFunctionName::AnId) ; "an id")]
    #[test_case("f-01890a5d-ac96-774b-bcce-b302099a8057" => Ok(("f-01890a5d-ac96-774b-bcce-b302099a8057", None)) ; "made of an id")]
    #[test_case("xn--mnchen-3ya" => Err(BadFunctionName::Reserved("xn".to_owned())) ; "another script")]
    fn reads(text: &'static str) -> Result<(&'static str, Option<&'static str>), BadFunctionName> {
        let name: FunctionName = text.parse()?;
        assert_eq!(name.as_str(), text);
        let folder = text.split_once("--").map(|(_, folder)| folder);
        assert_eq!(name.folder(), folder);
        Ok((text.split("--").next().filter(|it| *it == name.repository()).unwrap(), folder))
    }

    #[test]
    fn a_name_is_as_long_as_a_label_of_a_host() {
        assert!("x".repeat(63).parse::<FunctionName>().is_ok());
        assert_eq!("x".repeat(64).parse::<FunctionName>(), Err(BadFunctionName::NotASlug));
        assert_eq!(
            format!("{}--{}", "x".repeat(31), "y".repeat(30)).parse::<FunctionName>().unwrap().0.len(),
            63
        );
        assert!(format!("{}--{}", "x".repeat(31), "y".repeat(31)).parse::<FunctionName>().is_err());
    }

    #[test]
    fn a_repository_has_no_folder_in_its_name() {
        assert_eq!(FunctionName::of_repository("a--b"), Err(BadFunctionName::Separator));
    }

    #[test_case("pi.git" => vec!["pi", "pi-2", "pi-3"] ; "plain")]
    #[test_case("My_Function.v2" => vec!["my-function-v2", "my-function-v2-2", "my-function-v2-3"] ; "slugged")]
    #[test_case("a--b" => vec!["a-b", "a-b-2", "a-b-3"] ; "no separator by accident")]
    #[test_case("api" => vec!["api-2", "api-3", "api-4"] ; "a reserved word counts as taken")]
    #[test_case("日本" => vec!["function", "function-2", "function-3"] ; "nothing is left")]
    #[test_case("" => vec!["function", "function-2", "function-3"] ; "empty")]
    fn tries_in_this_order(segment: &str) -> Vec<String> {
        FunctionName::candidates(segment).take(3).map(String::from).collect()
    }

    #[test]
    fn a_long_name_is_cut_for_its_number() {
        let long = format!("{}-{}", "x".repeat(60), "y".repeat(10));
        let names: Vec<String> = FunctionName::candidates(&long).take(2).map(String::from).collect();
        assert_eq!(names, [format!("{}-yy", "x".repeat(60)), format!("{}-2", "x".repeat(60))]);
    }

    #[test]
    fn bytes_that_are_no_name_are_not_read() {
        assert!(serde_json::from_str::<FunctionName>("\"a.b\"").is_err());
        assert_eq!(serde_json::from_str::<FunctionName>("\"pi\"").unwrap().as_str(), "pi");
    }
}
