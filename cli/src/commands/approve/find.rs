//! Which delivery is meant: by an id, by a part of one, or by the number of a pull request.
//!
//! A part that could mean two deliveries means none.

use reqwest::Method;
use serde_json::Value;

use super::deliveries::{self, verdict};
use crate::{
    api::{Api, ApiError},
    args::ApproveArgs,
    fields::{line, text},
};

/// The digits of a delivery's whole id.
const WHOLE_ID: usize = 64;
/// So many deliveries are looked through, newest first: ten requests.
const MOST_SEARCHED: usize = 1000;
/// So many are listed where several are meant.
const MOST_LISTED: usize = 10;

/// Why no delivery is meant, or more than one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FindError {
    #[error("no delivery has an id that begins with {part}, or a job whose id begins or ends with it")]
    NoSuchId { part: String },
    #[error("{part} could mean several deliveries; write more of the id:\n{found}")]
    AmbiguousId { part: String, found: String },
    #[error("no delivery of pull request {number} is held")]
    NoSuchPull { number: u64 },
    #[error("pull request {number} of several repositories is held; name one with --repo:\n{found}")]
    AmbiguousPull { number: u64, found: String },
    /// The command line asks for one of the two.
    #[error("neither a delivery nor a pull request is named")]
    Nothing,
}

/// The delivery that is meant.
pub(super) async fn find(api: &Api, args: &ApproveArgs) -> anyhow::Result<Value> {
    let repo = args.repo.as_deref();
    if let Some(id) = args.id.as_deref().filter(|id| id.len() == WHOLE_ID) {
        let delivery = api.json(api.request(Method::GET, &["deliveries", id]), "delivery").await?;
        if repo.is_some_and(|repo| text(&delivery, "repo") != Some(repo)) {
            return Err(ApiError::NotFound { what: "delivery to this repository" }.into());
        }
        return Ok(delivery);
    }
    let listed = deliveries::fetch(api, repo, MOST_SEARCHED).await?.deliveries;
    let found = match (&args.id, args.pull) {
        (Some(part), _) => by_part(&listed, part)?,
        (None, Some(number)) => by_pull(&listed, number)?,
        (None, None) => return Err(FindError::Nothing.into()),
    };
    Ok(found.clone())
}

/// The only delivery that a part of an id means.
fn by_part<'a>(listed: &'a [Value], part: &str) -> Result<&'a Value, FindError> {
    let found: Vec<&Value> = listed.iter().filter(|delivery| is_meant(delivery, part)).collect();
    match found.as_slice() {
        [] => Err(FindError::NoSuchId { part: part.to_owned() }),
        [delivery] => Ok(*delivery),
        [..] => Err(FindError::AmbiguousId { part: part.to_owned(), found: lines(&found) }),
    }
}

fn is_meant(delivery: &Value, part: &str) -> bool {
    if text(delivery, "id").is_some_and(|id| id.starts_with(part)) {
        return true;
    }
    // A duplicate names the job of the delivery that it repeats.
    let is_duplicate = delivery["verdict"] == "duplicate";
    let mut jobs = delivery["jobs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    !is_duplicate && jobs.any(|job| job.starts_with(part) || job.ends_with(part))
}

/// The newest held delivery of a pull request, if only one repository has one of that number.
fn by_pull(listed: &[Value], number: u64) -> Result<&Value, FindError> {
    let mut found: Vec<&Value> = Vec::new();
    for delivery in listed.iter().filter(|delivery| is_held_pull(delivery, number)) {
        if found.iter().all(|newer| newer["repo"] != delivery["repo"]) {
            found.push(delivery);
        }
    }
    match found.as_slice() {
        [] => Err(FindError::NoSuchPull { number }),
        [delivery] => Ok(*delivery),
        [..] => Err(FindError::AmbiguousPull { number, found: lines(&found) }),
    }
}

fn is_held_pull(delivery: &Value, number: u64) -> bool {
    let reference = format!("refs/pull/{number}/head");
    delivery["verdict"] == "held" && text(delivery, "ref") == Some(reference.as_str())
}

/// Deliveries to choose from, a line each.
fn lines(deliveries: &[&Value]) -> String {
    let shown: Vec<String> =
        deliveries.iter().take(MOST_LISTED).map(|delivery| described(delivery)).collect();
    let more = if deliveries.len() > MOST_LISTED { "\n  …" } else { "" };
    shown.join("\n") + more
}

fn described(delivery: &Value) -> String {
    let field = |name: &str| text(delivery, name).unwrap_or_default();
    let about = text(delivery, "ref").unwrap_or(field("event"));
    let repo = text(delivery, "repo").map(|repo| format!(" of repository {repo}")).unwrap_or_default();
    line(&format!("  {} {about}{repo}, {}", field("id"), verdict(delivery)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use test_case::test_case;

    use super::*;

    fn listed() -> Vec<Value> {
        vec![
            json!({"id": "f382f1de05", "repo": "r1", "ref": "refs/pull/12/head", "verdict": "held", "jobs": []}),
            json!({"id": "f382f1de04", "repo": "r1", "ref": "refs/pull/12/head", "verdict": "held", "jobs": []}),
            json!({"id": "b1946ac903", "repo": "r2", "ref": "refs/pull/7/head", "verdict": "held", "jobs": []}),
            json!({"id": "26ab0db902", "repo": "r1", "ref": "refs/pull/7/head", "verdict": "held", "jobs": []}),
            json!({"id": "6c0a2b1101", "repo": "r1", "ref": "refs/heads/main", "verdict": "duplicate",
                   "jobs": ["0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10"]}),
            json!({"id": "d0b425e000", "repo": "r1", "ref": "refs/heads/main", "verdict": "accepted",
                   "jobs": ["0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10"]}),
            json!({"id": "0198abcd00", "event": "installation", "verdict": "held", "jobs": []}),
            json!({"id": "77777777ff", "repo": "r2", "ref": "refs/pull/1/head", "verdict": "accepted", "jobs": []}),
        ]
    }

    fn id(found: Result<&Value, FindError>) -> Option<String> {
        found.ok().map(|delivery| delivery["id"].as_str().unwrap().to_owned())
    }

    #[test_case("b1946ac903" => Some("b1946ac903".to_owned()) ; "all of it")]
    #[test_case("b194" => Some("b1946ac903".to_owned()) ; "its beginning")]
    #[test_case("ac903" => None ; "the end of a delivery's id")]
    #[test_case("f382f1de" => None ; "two deliveries")]
    #[test_case("f382f1de05" => Some("f382f1de05".to_owned()) ; "enough of one of two")]
    #[test_case("0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10" => Some("d0b425e000".to_owned()) ; "a job")]
    #[test_case("0198c9f4" => Some("d0b425e000".to_owned()) ; "the beginning of a job")]
    #[test_case("5a7f2b10" => Some("d0b425e000".to_owned()) ; "the end of a job")]
    #[test_case("0198" => None ; "a job and a delivery")]
    #[test_case("6c0a" => Some("6c0a2b1101".to_owned()) ; "a duplicate by its own id")]
    #[test_case("eeee" => None ; "nothing")]
    fn by_a_part(part: &str) -> Option<String> {
        id(by_part(&listed(), part))
    }

    #[test_case(12 => Some("f382f1de05".to_owned()) ; "the newest")]
    #[test_case(7 => None ; "two repositories")]
    #[test_case(1 => None ; "not held")]
    fn by_number(number: u64) -> Option<String> {
        id(by_pull(&listed(), number))
    }

    #[test]
    fn what_could_be_meant_is_listed() {
        let several = by_pull(&listed(), 7).unwrap_err();
        insta::assert_snapshot!(several, @r"
        pull request 7 of several repositories is held; name one with --repo:
          b1946ac903 refs/pull/7/head of repository r2, held
          26ab0db902 refs/pull/7/head of repository r1, held
        ");
        let several = by_part(&listed(), "0198").unwrap_err();
        insta::assert_snapshot!(several, @r"
        0198 could mean several deliveries; write more of the id:
          d0b425e000 refs/heads/main of repository r1, accepted
          0198abcd00 installation, held
        ");
    }
}
