//! Inputs on a real server: what was stored comes back to the byte, or an error.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use jobs::{
    Input, InputHead, JobId, JobSpec, Ledger, Outcome, UserId,
    input::{InputError, StoredInput},
};
use support::Nats;
use test_case::test_case;

fn input(bytes: usize) -> Input {
    let head = InputHead { content_type: Some("x/y".to_owned()), ..InputHead::default() };
    Input { head, body: (0..bytes).map(|n| (n % 251) as u8).collect::<Vec<_>>().into() }
}

async fn store(ledger: &Ledger, input: &Input) -> StoredInput {
    let (owner, job) = (UserId::new(), JobId::new());
    ledger.inputs.store(owner, job, input).await.unwrap();
    StoredInput { owner, job }
}

#[test_case(0 ; "nothing")]
#[test_case(1 << 20 ; "a megabyte")]
#[test_case(25 << 20 ; "the longest")]
#[tokio::test]
async fn what_was_stored_comes_back(bytes: usize) {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let input = input(bytes);
    let StoredInput { owner, job } = store(&ledger, &input).await;
    let fetched = ledger.inputs.fetch(owner, job, &input.describe()).await.unwrap();
    assert!(fetched == input, "{} bytes came back", fetched.body.len());
    let beginning = ledger.inputs.beginning(owner, job, &input.describe(), 1024).await.unwrap();
    assert_eq!(beginning, input.body[..bytes.min(1024)]);
    // A store that was broken off and is done again stores nothing twice.
    let messages = async || ledger.js.get_stream("INPUTS").await.unwrap().cached_info().state.messages;
    let before = messages().await;
    ledger.inputs.store(owner, job, &input).await.unwrap();
    assert_eq!(messages().await, before);
}

#[tokio::test]
async fn what_is_another_input_or_none_is_an_error() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let (short, long) = (input(10), input(600_000));
    let (of_short, of_long) = (store(&ledger, &short).await, store(&ledger, &long).await);
    let fetch = async |of: StoredInput, described: &Input| {
        ledger.inputs.fetch(of.owner, of.job, &described.describe()).await.unwrap_err()
    };
    assert!(matches!(fetch(of_long, &short).await, InputError::Damaged { .. }), "a record of another");
    assert!(matches!(fetch(of_short, &long).await, InputError::Gone { .. }), "one that is shorter");
    let nobodys = StoredInput { owner: UserId::new(), ..of_short };
    assert!(matches!(fetch(nobodys, &short).await, InputError::Gone { .. }), "of another owner");
    let mut far = short.describe();
    far.bytes = u64::MAX - far.head_bytes - 4;
    let too_long = ledger.inputs.fetch(of_short.owner, of_short.job, &far).await.unwrap_err();
    assert!(matches!(too_long, InputError::Damaged { .. }), "longer than any");
}

#[tokio::test]
async fn a_forgotten_job_takes_its_input_along_and_no_other() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let input = input(600_000);
    let spec = JobSpec {
        input: Some(input.describe()),
        ..JobSpec::call(UserId::new(), "https://example.com/r.git")
    };
    ledger.inputs.store(spec.owner, spec.id, &input).await.unwrap();
    let other = store(&ledger, &input).await;
    assert!(ledger.inputs.stored_at(other).await.unwrap().is_some());
    let id = ledger.submit(spec).await.unwrap().value.spec.id;
    let ended = ledger.end(id, &Outcome::service(jobs::Cause::Lost, "no worker")).await.unwrap().unwrap();
    assert_eq!(ledger.inputs.stored().await.unwrap().len(), 2);
    assert!(ledger.forget(&ended).await.unwrap());
    assert_eq!(ledger.inputs.stored().await.unwrap().into_iter().collect::<Vec<_>>(), [other]);
    ledger.inputs.remove(other.job).await.unwrap();
    assert_eq!(ledger.inputs.stored_at(other).await.unwrap(), None);
}
