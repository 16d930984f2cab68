//! A push whose delivery to the App was lost, because nobody was there to take it.

use http::StatusCode;
use tests::{
    Delivery, Function,
    installation::{installed, told},
    service::WEBHOOK_SECRET,
};

const HOOK: &str = "/webhooks/github";

#[tokio::test]
async fn a_delivery_that_was_lost_while_the_service_was_down_is_sent_again_and_makes_one_check_run() {
    let (mut service, repositories) = installed(&["lost"]).await;
    let repository = &repositories[0];
    assert!(service.up().stop().await.success(), "{}", service.up().tail());
    let commit = repository.push(Function::python("print('late, but here')")).await;
    let delivery = Delivery::of("push", &told(repository, &commit), WEBHOOK_SECRET);
    assert_eq!(delivery.try_send(&service, HOOK).await, None, "nobody is there");
    service.forge.failed_to_deliver(&format!("{}{HOOK}", service.url), &delivery);

    service.start_again().await;
    let run = service.forge.completed(&commit).await;
    assert_eq!((run.conclusion.as_deref(), run.sha.as_str()), (Some("success"), commit.sha.as_str()));
    assert_eq!(service.forge.tries(), [[0, 202]]);
    let (status, answer) = delivery.send(&service, HOOK).await;
    assert_eq!((status, answer["jobs"][0].as_str()), (StatusCode::ACCEPTED, Some(run.external_id.as_str())));
    assert_eq!((service.jobs("").await.len(), service.forge.check_runs(&commit).len()), (1, 1));
}
