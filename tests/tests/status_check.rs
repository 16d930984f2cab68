//! What the forge shows in the end is what it was told last, whatever it stores late or refuses at first.

use std::time::Duration;

use tests::{Commit, FakeForge, Function, Service, fake_forge::Outage, waiting::within};

/// A request is given up after 10 s; by now the end of the job was posted.
const LATE: Duration = Duration::from_secs(25);
/// The first look comes 20 s after a post, and an end that was refused is said again after 30 s.
const MENDED_WITHIN: Duration = Duration::from_secs(100);

/// The states of a commit's statuses, once they are as `holds` says.
async fn states(forge: &FakeForge, commit: &Commit, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
    let states = || forge.statuses(commit).into_iter().map(|status| status.state).collect::<Vec<_>>();
    let mut news = forge.watch();
    let looking = async {
        while !holds(&states()) {
            news.changed().await.expect("the forge lives");
        }
    };
    within(MENDED_WITHIN, "the statuses to be so", looking, async || states()).await;
    states()
}

async fn metrics(service: &Service) -> String {
    service.anybody().get("/metrics").await.text().await.expect("a text")
}

#[tokio::test]
async fn a_pending_that_the_forge_stores_late_does_not_stand_above_the_end() {
    let service = Service::start().await;
    let repository = service.registered("hello").await;
    service.forge.outages([Outage::Late(LATE)]);
    let commit = repository.push(Function::python("print(1)")).await;
    let told = states(&service.forge, &commit, |told| told == ["success", "pending", "success"]).await;
    assert_eq!(told.len(), 3);
    let metrics = metrics(&service).await;
    assert!(metrics.contains(r#"statuses_compared_total{result="differs"} 1"#), "{metrics}");
}

#[tokio::test]
async fn an_end_that_the_forge_refuses_at_first_is_said_again() {
    let service = Service::start().await;
    let repository = service.registered("hello").await;
    let program = "import sys, time\ntime.sleep(2)\nsys.exit(3)";
    let commit = repository.push(Function::python(program)).await;
    states(&service.forge, &commit, |told| told == ["pending"]).await;
    service.forge.refuses_statuses_with(&[404]);
    assert_eq!(service.forge.final_status_within(MENDED_WITHIN, &commit).await.state, "failure");
    let metrics = metrics(&service).await;
    assert!(metrics.contains(r#"statuses_compared_total{result="refused"} 1"#), "{metrics}");
}
