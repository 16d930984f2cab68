//! Which delivery is meant: by an id, by a part of one, or by the number of a pull request.
//!
//! A part that could mean two deliveries means none.

use jobs::{Verdict, api::Delivery};
use reqwest::Method;

use super::deliveries::{self, is_held, verdict};
use crate::{
    answer::Answer,
    api::{Api, ApiError},
    args::ApproveArgs,
    fields::line,
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
pub(super) async fn find(api: &Api, args: &ApproveArgs) -> anyhow::Result<Answer<Delivery>> {
    let repo = args.repo.as_deref();
    if let Some(id) = args.id.as_deref().filter(|id| id.len() == WHOLE_ID) {
        let delivery: Answer<Delivery> =
            api.json(api.request(Method::GET, &["deliveries", id]), "delivery").await?;
        let is_of = |repo: &str| delivery.repo.is_some_and(|id| id.to_string() == repo);
        if repo.is_some_and(|repo| !is_of(repo)) {
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
fn by_part<'a>(listed: &'a [Answer<Delivery>], part: &str) -> Result<&'a Answer<Delivery>, FindError> {
    let found: Vec<&Answer<Delivery>> = listed.iter().filter(|delivery| is_meant(delivery, part)).collect();
    match found.as_slice() {
        [] => Err(FindError::NoSuchId { part: part.to_owned() }),
        [delivery] => Ok(*delivery),
        [..] => Err(FindError::AmbiguousId { part: part.to_owned(), found: lines(&found) }),
    }
}

fn is_meant(delivery: &Delivery, part: &str) -> bool {
    if delivery.id.starts_with(part) {
        return true;
    }
    // A duplicate names the job of the delivery that it repeats.
    let is_duplicate = delivery.verdict.as_ref().is_some_and(|verdict| *verdict == Verdict::Duplicate);
    let mut jobs = delivery.jobs.iter().map(ToString::to_string);
    !is_duplicate && jobs.any(|job| job.starts_with(part) || job.ends_with(part))
}

/// The newest held delivery of a pull request, if only one repository has one of that number.
fn by_pull(listed: &[Answer<Delivery>], number: u64) -> Result<&Answer<Delivery>, FindError> {
    let mut found: Vec<&Answer<Delivery>> = Vec::new();
    for delivery in listed.iter().filter(|delivery| is_held_pull(delivery, number)) {
        if found.iter().all(|newer| newer.repo != delivery.repo) {
            found.push(delivery);
        }
    }
    match found.as_slice() {
        [] => Err(FindError::NoSuchPull { number }),
        [delivery] => Ok(*delivery),
        [..] => Err(FindError::AmbiguousPull { number, found: lines(&found) }),
    }
}

fn is_held_pull(delivery: &Delivery, number: u64) -> bool {
    let reference = format!("refs/pull/{number}/head");
    is_held(delivery) && delivery.reference.as_deref() == Some(reference.as_str())
}

/// Deliveries to choose from, a line each.
fn lines(deliveries: &[&Answer<Delivery>]) -> String {
    let shown: Vec<String> =
        deliveries.iter().take(MOST_LISTED).map(|delivery| described(delivery)).collect();
    let more = if deliveries.len() > MOST_LISTED { "\n  …" } else { "" };
    shown.join("\n") + more
}

fn described(delivery: &Delivery) -> String {
    let about = delivery.reference.as_ref().unwrap_or(&delivery.event);
    let repo = delivery.repo.map(|repo| format!(" of repository {repo}")).unwrap_or_default();
    line(&format!("  {} {about}{repo}, {}", delivery.id, verdict(delivery)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use test_case::test_case;

    use super::*;
    use crate::samples;

    const R1: &str = "01a20c67-cee4-71df-9c2a-6c034687e69b";
    const R2: &str = "01a20c68-cee4-71df-9c2a-6c034687e69b";

    fn listed() -> Vec<Answer<Delivery>> {
        let listed = [
            json!({"id": "f382f1de05", "repo": R1, "ref": "refs/pull/12/head", "verdict": "held", "jobs": []}),
            json!({"id": "f382f1de04", "repo": R1, "ref": "refs/pull/12/head", "verdict": "held", "jobs": []}),
            json!({"id": "b1946ac903", "repo": R2, "ref": "refs/pull/7/head", "verdict": "held", "jobs": []}),
            json!({"id": "26ab0db902", "repo": R1, "ref": "refs/pull/7/head", "verdict": "held", "jobs": []}),
            json!({"id": "6c0a2b1101", "repo": R1, "ref": "refs/heads/main", "verdict": "duplicate",
                   "jobs": ["0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10"]}),
            json!({"id": "d0b425e000", "repo": R1, "ref": "refs/heads/main", "verdict": "accepted",
                   "jobs": ["0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10"]}),
            json!({"id": "0198abcd00", "event": "installation", "verdict": "held", "jobs": []}),
            json!({"id": "77777777ff", "repo": R2, "ref": "refs/pull/1/head", "verdict": "accepted", "jobs": []}),
        ];
        listed.into_iter().map(samples::delivery).collect()
    }

    fn id(found: Result<&Answer<Delivery>, FindError>) -> Option<String> {
        found.ok().map(|delivery| delivery.id.clone())
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
          b1946ac903 refs/pull/7/head of repository 01a20c68-cee4-71df-9c2a-6c034687e69b, held
          26ab0db902 refs/pull/7/head of repository 01a20c67-cee4-71df-9c2a-6c034687e69b, held
        ");
        let several = by_part(&listed(), "0198").unwrap_err();
        insta::assert_snapshot!(several, @r"
        0198 could mean several deliveries; write more of the id:
          d0b425e000 refs/heads/main of repository 01a20c67-cee4-71df-9c2a-6c034687e69b, accepted
          0198abcd00 installation, held
        ");
    }
}
