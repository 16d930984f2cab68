//! From `git push` to the check beside the commit.

use http::StatusCode;
use serde_json::json;
use tests::{
    Api, Delivery, Function, Service, delivery::path, fake_forge::Status, function::MANIFEST,
    service::WEBHOOK_SECRET, waiting::STATUS,
};

/// A name of a context that branch rules rely on.
const PUSH: &str = "gitfaas/push";

fn told(status: &Status) -> String {
    format!("{} {}: {}", status.context, status.state, status.description)
}

#[tokio::test]
async fn a_push_is_pending_then_green_and_its_link_opens() {
    let service = Service::start().await;
    let hello = service.registered("hello").await;
    let commit = hello.push(Function::python("print('hello')")).await;
    let status = service.forge.final_status(&commit).await;
    assert_eq!((status.context.as_str(), status.state.as_str()), (PUSH, "success"));
    assert!(status.description.starts_with("finished in "), "{status:?}");

    let all = service.forge.statuses(&commit);
    assert!(all.len() >= 2 && all[..all.len() - 1].iter().all(|status| status.state == "pending"), "{all:?}");

    let (_, query) = status.target_url.split_once("/jobs/").unwrap();
    let page = service.anybody().get(&format!("/jobs/{query}")).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.text().await.unwrap().contains(&commit.sha[..7]));
    assert_eq!(service.job(&commit.job()).await.result(), "hello\n");
    service.containers.are_gone(&commit.job()).await;
}

#[tokio::test]
async fn a_failing_program_turns_the_commit_red_with_its_exit_code_and_leaves_no_container() {
    let service = Service::start().await;
    let fails = service.registered("fails").await;
    let program =
        "import sys\nprint('half', flush=True)\nprint('no such luck', file=sys.stderr)\nsys.exit(3)";
    let commit = fails.push(Function::python(program)).await;
    assert_eq!(told(&service.forge.final_status(&commit).await), "gitfaas/push failure: exit code 3");
    let job = service.job(&commit.job()).await;
    assert_eq!(job.end(), "error, exit: exit code 3");
    assert_eq!((job.exit_code, job.fault.as_deref()), (Some(3), Some("function")));
    let why = service.published().result(&job.id).await.text().await.unwrap();
    assert_eq!(why, "exit code 3\nno such luck");
    service.containers.are_gone(&job.id).await;
}

#[tokio::test]
async fn a_manifest_that_cannot_be_used_turns_the_commit_red_and_says_all_that_is_wrong() {
    let service = Service::start().await;
    let repository = service.registered("broken").await;
    let python = || Function::python("print(1)");
    let wrong = r#"{"language": "cobol", "timeout": "soon", "memory": "64g", "network": "maybe"}"#;
    let cases = [
        (
            python().manifest(wrong),
            "language \"cobol\" is not one of nodeJS, python, rust; \
             timeout must be seconds, or a number with `ms`, `s`, `m`, `h` or `d`; \
             memory is 64g, over the ceiling of 4g; network must be \"egress\" or \"none\"",
        ),
        (python().without_manifest(), "there is no faas-manifest.json at the root of the repository"),
        (python().manifest("language: python"), "is not JSON: expected value at line 1 column 1"),
        (
            python().without_manifest().file("real.json", "{}").symlink(MANIFEST, "real.json"),
            "faas-manifest.json is not a regular file",
        ),
        (python().manifest(vec![b' '; 10 << 20]), "faas-manifest.json has 10485760 bytes, more than 65536"),
        (python().with("mainFile", "other.py"), "other.py is not in the repository"),
    ];
    for (function, says) in cases {
        let commit = repository.push(function).await;
        let status = service.forge.final_status(&commit).await;
        let shown: String = says.chars().take(100).collect();
        assert_eq!(status.state, "failure", "{status:?}");
        assert!(status.description.starts_with(&format!("manifest: {shown}")), "{status:?}");
        let job = service.job(&commit.job()).await;
        assert_eq!(job.end(), format!("error, manifest: manifest: {says}"));
        assert_eq!(service.containers.of_job(&job.id).await, [""; 0]);
    }
}

#[tokio::test]
async fn the_samples_of_all_languages_give_their_results() {
    let service = Service::start().await;
    let mut commits = Vec::new();
    for (sample, result) in
        [("pi-python", "3.14159"), ("golden-ratio-rust", "1.618033988749"), ("exp-nodejs", "2.718281828")]
    {
        let repository = service.registered(sample).await;
        commits.push((repository.push(Function::sample(sample)).await, result));
    }
    for (commit, result) in commits {
        let job = service.finished(&commit.job()).await;
        assert!(job.result().contains(result), "{job:?}");
        assert_eq!(service.forge.final_status(&commit).await.state, "success");
    }
}

#[tokio::test]
async fn a_hundred_equal_deliveries_at_once_are_one_job() {
    let service = Service::start().await;
    let repository = service.registered("many").await;
    let commit = repository.push(Function::python("print('once')")).await;
    let registration = repository.registration();
    let hook = path(&registration.webhook_url);

    // The hook has told already: the same push in GitHub's words, with another delivery id.
    let again = Delivery::push(&repository, &commit, &registration.secret);
    let (status, answer) = again.send(&service, &hook).await;
    assert_eq!((status, answer["verdict"].as_str()), (StatusCode::ACCEPTED, Some("duplicate")));
    assert_eq!(answer["jobs"], json!([commit.job()]));
    let of_all = Delivery::push(&repository, &commit, WEBHOOK_SECRET);
    let (status, answer) = of_all.send(&service, "/webhooks/github").await;
    assert_eq!((status, &answer["jobs"]), (StatusCode::ACCEPTED, &json!([commit.job()])));

    let next = repository.commit("main", Function::python("print('twice')"), "another").await;
    repository.receive(&next).await;
    let commit = tests::Commit { before: commit.sha.clone(), sha: next, ..commit };
    let delivery = Delivery::push(&repository, &commit, &registration.secret);
    let answers = (0..100).map(|_| delivery.send(&service, &hook));
    let answers = futures_util::future::join_all(answers).await;
    let first = answers[0].1["jobs"].clone();
    for (status, answer) in answers {
        assert_eq!((status, &answer["jobs"]), (StatusCode::ACCEPTED, &first), "{answer}");
    }
    let jobs = service.jobs(&format!("?repo={}", registration.id)).await;
    assert_eq!(jobs.len(), 2, "{jobs:#?}");
    service.finished(first[0].as_str().unwrap()).await;
}

#[tokio::test]
async fn deletions_make_no_job_skipped_commits_one_that_never_runs_and_a_tag_one() {
    let service = Service::start().await;
    let repository = service.registered("refs").await;
    let function = || Function::python("print('ok')");
    let first = repository.push(function()).await;

    let skipped = repository.push_to("main", function().file("a", "1"), "docs only [skip ci]").await;
    let end = service.forge.final_status(&skipped).await;
    assert_eq!(told(&end), "gitfaas/push success: skipped: the commit says so");
    assert_eq!(service.finished(&skipped.job()).await.attempt, 0);

    let side = repository.push_to("side", function().file("a", "2"), "aside").await;
    assert_eq!(service.forge.final_status(&side).await.state, "success");
    let gone = repository.delete("side").await;
    assert!(gone.told.contains("ignored: the ref was removed"), "{}", gone.told);

    let tag = repository.tag("v1").await;
    let job = service.finished(&tag.job()).await;
    assert_eq!((job.trigger.as_str(), job.result()), ("tag", "ok\n"));
    assert_eq!(job.sha.as_ref(), Some(&tag.sha), "the commit, not the tag object");
    let green = |status: &Status| status.context == "gitfaas/tag" && status.state == "success";
    let mut news = service.forge.watch();
    let came = news.wait_for(|all| all.iter().any(|status| status.sha == tag.sha && green(status)));
    tokio::time::timeout(STATUS, came).await.expect("the tag's status comes").unwrap();
    let asked = service.forge.seen();
    let mut told_of = asked.iter().filter_map(|seen| Some(seen.path.split_once("/statuses/")?.1));
    let commits = [first.sha.as_str(), skipped.sha.as_str(), side.sha.as_str()];
    assert!(told_of.all(|sha| commits.contains(&sha)), "a status of the tag object: {asked:#?}");
    assert_eq!(service.jobs("").await.len(), 4);
}

#[tokio::test]
async fn a_push_that_changes_no_listed_path_is_green_without_a_run() {
    let service = Service::start().await;
    let repository = service.registered("paths").await;
    let function = || {
        Function::python("print('ran')")
            .with("paths", json!(["src/**", "!**/*.md"]))
            .file("src/deep/a.py", "1")
    };
    let first = repository.push(function()).await;
    assert_eq!(service.finished(&first.job()).await.result(), "ran\n", "there is nothing to compare it with");

    let other = repository.push(function().file("docs/b", "2").file("src/deep/c.md", "2")).await;
    let status = service.forge.final_status(&other).await;
    assert_eq!(told(&status), "gitfaas/push success: skipped: no matching path");
    assert_eq!(service.finished(&other.job()).await.cause.as_deref(), Some("skipped"));

    let listed = repository.push(function().file("src/deep/a.py", "3")).await;
    assert_eq!(service.finished(&listed.job()).await.result(), "ran\n");
}

#[tokio::test]
async fn a_newer_push_supersedes_the_running_one_of_its_branch() {
    let service = Service::start().await;
    let repository = service.registered("quick").await;
    let slow = "import time\nprint('slow', flush=True)\ntime.sleep(50)";
    let first = repository.push(Function::python(slow)).await;
    service.says(&first.job(), "slow").await;
    let second = repository.push(Function::python("print('quick')")).await;
    let job = service.finished(&first.job()).await;
    assert_eq!(job.end(), format!("error, superseded: superseded by {}", &second.sha[..12]));
    assert_eq!(service.finished(&second.job()).await.result(), "quick\n");
    assert_eq!(service.forge.final_status(&first).await.state, "error");
    assert_eq!(service.forge.final_status(&second).await.state, "success");
    service.containers.are_gone(&first.job()).await;
}

#[tokio::test]
async fn a_forge_that_fails_hears_of_the_end_all_the_same() {
    let service = Service::start().await;
    let repository = service.registered("later").await;
    service.forge.refuses_statuses_with(&[500, 502]);
    let commit = repository.push(Function::python("print('late')")).await;
    assert_eq!(service.forge.final_status(&commit).await.state, "success");
    let list = Api::json(service.get("/api/v1/deliveries").await, StatusCode::OK).await;
    assert_eq!(list["items"][0]["verdict"], "accepted");
}
