//! After any silence: these really wait.

use std::time::{Duration, Instant};

use tests::Service;

use crate::hello;

/// On a loaded machine; a fault that shows only after a silence costs at least 5 s.
const AT_ONCE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_push_shows_at_once_after_eight_and_after_forty_five_seconds_of_silence() {
    let service = Service::start().await;
    let repository = service.registered("quiet").await;
    for silence_s in [0, 8, 45] {
        tokio::time::sleep(Duration::from_secs(silence_s)).await;
        let begun = Instant::now();
        let commit = repository.push(hello()).await;
        let first = service.forge.first_status_after(&commit, begun).await;
        assert_eq!(service.forge.final_status(&commit).await.state, "success");
        let statuses = service.forge.statuses(&commit);
        let last = statuses.last().unwrap().at - begun;
        assert!(first < AT_ONCE && last < AT_ONCE * 2, "after {silence_s} s: {first:?}, {last:?}");
        assert_eq!(statuses[0].state, "pending", "after {silence_s} s");
    }
}
