//! Git servers that fail, hang or break off: our failure, tried again after 10 s and after 60 s, and in the
//! end no verdict on the function. One scenario is waited for to its end; of the others the first
//! return shows the same.

use futures_util::future::join_all;
use tests::{Function, Repository, Service, git_server::Fault, waiting::TAKEOVER};

/// What the sentence about every fetch that failed begins with.
const NOT_FETCHED: &str = "the repository could not be fetched: ";

/// A repository that misbehaves from the beginning.
async fn broken(service: &Service, name: &str, fault: Fault) -> Repository {
    let repository = service.forge.repository(name).await;
    repository.push(Function::python("print('mended')")).await;
    service.forge.breaks(&repository, fault);
    repository
}

#[tokio::test]
async fn out_of_reach_is_tried_again_and_in_the_end_no_verdict_on_the_function() {
    // Each that hangs holds its slot for the 20 s after which a silent forge is given up.
    let service = Service::start_with(&[("GITFAAS_WORKER_SLOTS", "4")]).await;
    let unreachable = service.submit("http://127.0.0.1:1/a/b").await;
    let faults = [
        ("fails", Fault::Status(500)),
        ("hangs", Fault::Hang),
        ("stalls", Fault::Stall),
        ("breaks-off-at-once", Fault::Truncate(0)),
        ("breaks-off-in-the-refs", Fault::Truncate(40)),
        ("breaks-off-in-the-pack", Fault::Truncate(400)),
    ];
    let mut repositories = Vec::new();
    for (name, fault) in faults {
        repositories.push(broken(&service, name, fault).await);
    }
    let jobs = join_all(repositories.iter().map(|repository| service.submit(&repository.url))).await;

    // Meanwhile the others are not kept waiting.
    let well = service.function("well", Function::python("print('well')")).await;
    assert_eq!(service.run(&well).await.result(), "well\n");

    let ends = repositories.iter().zip(&jobs).map(async |(repository, job)| {
        let waits = service
            .until(TAKEOVER, &job.id, "its second wait", |job| job.state == "pending" && job.attempt == 1)
            .await;
        service.forge.mends(repository);
        let job = service.finished_within(TAKEOVER, &job.id).await;
        (repository.name.clone(), waits.message.unwrap_or_default(), job)
    });
    for (name, message, job) in join_all(ends).await {
        assert!(message.strip_prefix(NOT_FETCHED).is_some_and(|why| why.len() > 10), "{name}: {message:?}");
        assert_eq!((job.result(), job.attempt), ("mended\n", 2), "{name}");
        assert!(service.log(&job.id).await.contains("finished in "), "{name}");
    }

    let job = service.finished_within(TAKEOVER, &unreachable.id).await;
    assert!(job.end().starts_with(&format!("error, checkout: {NOT_FETCHED}")), "{}", job.end());
    assert_eq!((job.fault.as_deref(), job.attempt), (Some("service"), 3));
}
