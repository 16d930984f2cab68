//! Deliveries to the App's webhook that failed: GitHub is asked for them again, by one gateway.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod github;
mod support;

use futures_util::StreamExt as _;
use github::{FailedDelivery, Github};
use jobs::{bucket::from_watch, lock::Holder};
use reqwest::StatusCode;
use support::{PATIENCE, Service};

/// After so many renewals of the lock the other gateway has looked at it more than once: both have the
/// same beat.
const BEATS: usize = 3;

#[tokio::test]
async fn of_two_gateways_one_asks_for_a_lost_delivery_and_the_other_once_that_one_stopped() {
    let github = Github::start().await;
    github.known().failed_deliveries =
        vec![FailedDelivery { guid: "the-push", redelivery_status: StatusCode::ACCEPTED }];
    let variables = github.variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let holder = Service::with(&variables).await;
    tokio::time::timeout(PATIENCE, github.is_asked_to_redeliver(1)).await.unwrap();

    let other = holder.another_with(&variables).await;
    let first = other.ledger.locks.get("missed").await.unwrap().expect("it is held").value.process;
    let mut renewals = other.ledger.locks.watch(0).await.unwrap();
    let renewed = async {
        let mut beats = 0;
        while beats <= BEATS {
            let entry = renewals.next().await.unwrap().unwrap();
            if entry.key != "missed" {
                continue;
            }
            let lock = from_watch::<Holder>(&entry).unwrap().unwrap().value;
            assert_eq!(lock.process, first, "nobody takes it from one who renews it");
            // The first is what was there when the watch began.
            beats += 1;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.expect("the lock is renewed");
    assert_eq!(github.known().redeliveries, [1]);

    holder.stopped().await;
    tokio::time::timeout(PATIENCE, github.is_asked_times(2)).await.expect("the other goes on");
    assert_eq!(github.known().redeliveries, [1, 1]);
    let now = other.ledger.locks.get("missed").await.unwrap().expect("it is held again").value.process;
    assert_ne!(now, first);
}
