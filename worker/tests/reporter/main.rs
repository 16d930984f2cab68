//! The outbox of statuses on a real NATS, with a forge that can be slow, away or forgetful.

#![expect(clippy::unwrap_used, reason = "tests")]

mod burst;
mod desk;
mod double;
mod idle;
mod running;
#[path = "../../../jobs/tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use desk::{CONTEXT, Desk, Kind, PATIENCE};
use double::{Answer, Forge};
use jobs::{Cause, CommitStatus, JobId, LogSource, Outcome, Phase, bucket::Entry, log::LogWriter, streams};

fn sha(n: usize) -> String {
    format!("{n:040x}")
}

#[tokio::test]
async fn a_commit_is_pending_and_then_what_its_job_came_to() {
    let desk = Desk::open(Kind::Github, &["w1"]).await;
    let job = desk.push(&sha(1)).await;
    desk.forge.until(|forge| forge.states(&sha(1)) == ["pending"]).await;
    let _claim = desk.claim().await;
    desk.finish(job, &Outcome::function(Cause::Exit, "exit code 3")).await;
    desk.forge.until(|forge| forge.states(&sha(1)) == ["pending", "failure"]).await;
    desk.quiet().await;
    let commit = desk.commit(&sha(1), |_| true).await;
    assert!(commit.awaits_verification() && commit.issues().is_none(), "{commit:?}");
    let last = desk.forge.writes().pop().unwrap();
    assert_eq!(last.body["description"], "exit code 3");
    assert_eq!(last.body["target_url"], "https://faas.example/jobs/1?key=k");
    assert_eq!(desk.forge.states(&sha(1)).len(), 2, "it is told once of each");
    let metrics = desk.metrics.text(0);
    assert!(metrics.contains("gitfaas_status_delay_seconds_count 2"), "{metrics}");
    assert!(metrics.contains(r#"statuses_total{state="failure",outcome="posted"} 1"#), "{metrics}");
}

#[tokio::test]
async fn a_late_pending_never_overwrites_the_end() {
    let desk = Desk::open(Kind::Gitea, &["w1", "w2"]).await;
    desk.forge.close();
    let job = desk.push(&sha(1)).await;
    desk.forge.until(|forge| forge.arrived(&sha(1)).len() == 1).await;
    let _claim = desk.claim().await;
    desk.finish(job, &Outcome::Finished).await;
    desk.forge.open();
    desk.forge.until(|forge| forge.states(&sha(1)).last().is_some_and(|last| last == "success")).await;
    desk.quiet().await;
    assert_eq!(desk.forge.states(&sha(1)), ["pending", "success"]);
}

#[tokio::test]
async fn several_posters_never_post_one_commit_at_once() {
    let desk = Desk::open(Kind::Gitea, &["w1", "w2", "w3"]).await;
    let mut ended = Vec::new();
    for n in 0..20 {
        desk.push(&sha(n)).await;
        let claim = desk.claim().await;
        desk.finish(claim.entry.value.spec.id, &Outcome::Finished).await;
        ended.push(claim);
    }
    for n in 0..20 {
        let key = streams::commit_key(desk.repo, &sha(n).parse().unwrap(), CONTEXT);
        desk.ledger.publish_status(&key).await.unwrap();
    }
    desk.forge
        .until(|forge| (0..20).all(|n| forge.states(&sha(n)).last().is_some_and(|last| last == "success")))
        .await;
    desk.quiet().await;
    assert_eq!(desk.forge.most_in_flight(), 1);
    for n in 0..20 {
        let states = desk.forge.states(&sha(n));
        assert_eq!(states.last().unwrap(), "success");
        assert_eq!(states.iter().filter(|state| *state == "success").count(), 1);
    }
}

#[tokio::test]
async fn a_forge_that_was_away_learns_exactly_the_end() {
    let desk = Desk::open(Kind::Gitea, &["w1", "w2"]).await;
    desk.forge.always(Answer::Refuses(503, Some(1)));
    let mut ended = Vec::new();
    for n in 0..5 {
        desk.push(&sha(n)).await;
        let claim = desk.claim().await;
        desk.finish(claim.entry.value.spec.id, &Outcome::function(Cause::Timeout, "timed out after 60 s"))
            .await;
        ended.push(claim);
    }
    // Two posters, and each learns for itself that it is to wait.
    desk.forge.until(|forge| (0..5).map(|n| forge.arrived(&sha(n)).len()).sum::<usize>() >= 4).await;
    desk.forge.always(Answer::Well);
    desk.forge.until(|forge| (0..5).all(|n| forge.states(&sha(n)) == ["failure"])).await;
    desk.quiet().await;
    assert!((0..5).all(|n| desk.forge.states(&sha(n)).len() == 1));
    assert!(desk.metrics.text(0).contains(r#"statuses_total{state="failure",outcome="waiting"}"#));
}

#[tokio::test]
async fn a_forge_that_hangs_does_not_hold_up_a_stop() {
    let mut desk = Desk::open(Kind::Gitea, &["w1"]).await;
    desk.forge.close();
    desk.push(&sha(1)).await;
    desk.forge.until(|forge| !forge.arrived(&sha(1)).is_empty()).await;
    desk.stop.cancel();
    let poster = desk.posters.pop().unwrap();
    desk.grace_over.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), poster).await;
    ended.expect("it waits for the forge").unwrap();

    // Its message is there for the next poster.
    let stream = desk.ledger.js.get_stream(streams::STATUSES).await.unwrap();
    let info = stream.consumer_info(streams::STATUS_POSTERS).await.unwrap();
    assert_eq!(info.num_pending + info.num_ack_pending as u64, 1);
}

#[tokio::test]
async fn what_a_dead_poster_had_in_hand_is_taken_over_after_thirty_seconds() {
    let mut desk = Desk::open(Kind::GithubApp, &[]).await;
    let process = desk.process_with_poster("w1").await;
    desk.forge.close();
    let job = desk.push(&sha(1)).await;
    desk.forge.until(|forge| !forge.arrived(&sha(1)).is_empty()).await;
    process.shutdown_background();
    let died = Instant::now();
    desk.forge.open();
    desk.add_poster("w2").await;
    let _claim = desk.claim().await;
    desk.finish(job, &Outcome::Finished).await;
    let ended = |forge: &Forge| forge.runs().last().is_some_and(|run| run["conclusion"] == "success");
    desk.forge.until(ended).await;
    assert!(died.elapsed() >= Duration::from_secs(30), "{:?}", died.elapsed());
    let commit = desk.commit(&sha(1), |commit| commit.last_posted().is_some()).await;
    assert_eq!(
        (commit.last_posted().unwrap().state, commit.check_run()),
        (jobs::CommitState::Success, Some(1))
    );
    assert_eq!(desk.forge.runs().len(), 1, "the dead one may have made a run: the forge is asked first");
}

#[tokio::test]
async fn nothing_is_sent_before_the_time_that_the_forge_asked_for_is_over() {
    let desk = Desk::open(Kind::Gitea, &["w1"]).await;
    desk.forge.next([Answer::Refuses(429, Some(2))]);
    desk.push(&sha(1)).await;
    desk.commit(&sha(1), |_| !desk.forge.arrived(&sha(1)).is_empty()).await;
    desk.push(&sha(2)).await;
    desk.forge.until(|forge| (1..=2).all(|n| forge.states(&sha(n)) == ["pending"])).await;
    let asked = desk.forge.arrived(&sha(1))[0];
    for at in [desk.forge.arrived(&sha(1))[1], desk.forge.arrived(&sha(2))[0]] {
        assert!(at - asked >= Duration::from_millis(1900), "{:?}", at - asked);
    }
}

#[tokio::test]
async fn a_refusal_is_noted_and_a_newer_job_tries_again() {
    let desk = Desk::open(Kind::Gitea, &["w1"]).await;
    desk.forge.next([Answer::Refuses(422, None)]);
    desk.push(&sha(1)).await;
    let commit = desk.commit(&sha(1), |commit| commit.rejection().is_some()).await;
    assert_eq!(commit.last_posted(), None);
    assert!(commit.rejection().unwrap().contains("422"));
    desk.quiet().await;
    assert_eq!(desk.forge.arrived(&sha(1)).len(), 1);
    desk.push(&sha(1)).await;
    desk.forge.until(|forge| forge.states(&sha(1)) == ["pending"]).await;
}

#[tokio::test]
async fn a_refused_pending_does_not_keep_the_end_from_the_forge() {
    let desk = Desk::open(Kind::Gitea, &["w1"]).await;
    desk.forge.next([Answer::Refuses(422, None)]);
    let job = desk.push(&sha(1)).await;
    desk.commit(&sha(1), |commit| commit.rejected_state() == Some(jobs::CommitState::Pending)).await;
    desk.quiet().await;
    let _claim = desk.claim().await;
    desk.finish(job, &Outcome::Finished).await;
    desk.forge.until(|forge| forge.states(&sha(1)) == ["success"]).await;
    desk.quiet().await;
    let commit = desk.commit(&sha(1), |commit| commit.last_posted().is_some()).await;
    assert_eq!((commit.rejection(), commit.rejected_state()), (None, None));
    assert_eq!(desk.forge.arrived(&sha(1)).len(), 2, "what was refused is not said again");
}

#[tokio::test]
async fn a_refused_end_is_not_said_again_and_is_told_from_the_pending_before_it() {
    let desk = Desk::open(Kind::Gitea, &["w1"]).await;
    let job = desk.push(&sha(1)).await;
    desk.forge.until(|forge| forge.states(&sha(1)) == ["pending"]).await;
    desk.quiet().await;
    let _claim = desk.claim().await;
    desk.quiet().await;
    desk.forge.next([Answer::Refuses(403, None)]);
    desk.finish(job, &Outcome::Finished).await;
    let commit = desk.commit(&sha(1), |commit| commit.rejection().is_some()).await;
    assert_eq!((commit.rejected_state(), commit.issues().rejections), (Some(jobs::CommitState::Success), 1));
    let key = streams::commit_key(desk.repo, &sha(1).parse().unwrap(), CONTEXT);
    desk.ledger.publish_status(&key).await.unwrap();
    desk.quiet().await;
    assert_eq!(desk.forge.arrived(&sha(1)).len(), 3, "queued, running, and the end once");
}

#[tokio::test]
async fn a_refusal_that_an_older_program_noted_is_asked_about_once_more() {
    let mut desk = Desk::open(Kind::Gitea, &[]).await;
    desk.push(&sha(1)).await;
    let key = streams::commit_key(desk.repo, &sha(1).parse().unwrap(), CONTEXT);
    let noted = |now: &Entry<CommitStatus>| {
        let mut json = serde_json::to_value(&now.value).unwrap();
        json["refused"] = "422 from the forge".into();
        Some(serde_json::from_value(json).unwrap())
    };
    desk.ledger.commits.change(&key, noted).await.unwrap();
    desk.add_poster("w1").await;
    desk.forge.until(|forge| forge.states(&sha(1)) == ["pending"]).await;
    desk.commit(&sha(1), |commit| commit.rejection().is_none()).await;
}

/// Writes a log with this many remarks about `a.c`.
async fn log(desk: &Desk, job: JobId, remarks: usize) {
    let writer = LogWriter::start(desk.ledger.js.clone(), job, 1);
    for n in 1..=remarks {
        let line = format!("/work/a.c:{n}:1: error: no {n}\n```\n");
        writer.handle().write(Phase::Run, LogSource::Stderr, line.into());
    }
    assert!(writer.close(PATIENCE).await);
}

#[tokio::test]
async fn a_check_run_is_made_once_though_its_first_answer_is_lost() {
    let desk = Desk::open(Kind::GithubApp, &["w1", "w2"]).await;
    desk.forge.next([Answer::TakesAndFails]);
    let job = desk.push(&sha(1)).await;
    desk.forge.until(|forge| forge.arrived(&sha(1)).len() >= 3).await;
    let commit = desk.commit(&sha(1), |commit| commit.last_posted().is_some()).await;
    assert_eq!((commit.check_run(), commit.check_run_is_unsure()), (Some(1), false));
    assert!(
        commit.issues().unanswered && !commit.last_posted().unwrap().to_verify,
        "only an end is compared"
    );
    assert_eq!(desk.forge.runs()[0]["status"], "queued");

    let _claim = desk.claim().await;
    log(&desk, job, 120).await;
    desk.finish(job, &Outcome::function(Cause::Exit, "exit code 3")).await;
    let all = |forge: &Forge| forge.runs()[0]["all_annotations"].as_array().unwrap().len();
    desk.forge.until(|forge| all(forge) == 120).await;
    desk.quiet().await;

    let runs = desk.forge.runs();
    assert_eq!(runs.len(), 1);
    assert_eq!(desk.forge.writes().len(), 0, "never a status as well");
    let run = &runs[0];
    assert_eq!(run["external_id"], job.to_string());
    assert_eq!((run["status"].as_str(), run["conclusion"].as_str()), (Some("completed"), Some("failure")));
    assert_eq!(run["output"]["title"], "exit code 3");
    assert!(run["output"]["text"].as_str().unwrap().starts_with("````text\n/work/a.c:1:1: error: no 1\n"));
    assert_eq!(run["all_annotations"][119]["path"], "a.c");
}

#[tokio::test]
async fn no_remark_is_made_twice_though_an_answer_in_between_is_lost() {
    let desk = Desk::open(Kind::GithubApp, &["w1"]).await;
    let job = desk.push(&sha(1)).await;
    desk.commit(&sha(1), |commit| commit.last_posted().is_some()).await;
    let _claim = desk.claim().await;
    desk.quiet().await;
    log(&desk, job, 120).await;
    desk.forge.next([Answer::Well, Answer::TakesAndFails]);
    desk.finish(job, &Outcome::Finished).await;
    desk.commit(&sha(1), |commit| {
        commit.last_posted().is_some_and(|p| p.state == jobs::CommitState::Success)
    })
    .await;
    let runs = desk.forge.runs();
    assert_eq!(runs.len(), 1);
    let lines: Vec<_> =
        runs[0]["all_annotations"].as_array().unwrap().iter().map(|a| a["start_line"].as_u64()).collect();
    assert_eq!(lines, (1..=120).map(Some).collect::<Vec<_>>());
    assert_eq!(runs[0]["conclusion"], "success");
}

#[tokio::test]
async fn a_rerun_has_a_check_run_of_its_own() {
    let desk = Desk::open(Kind::GithubApp, &["w1"]).await;
    let first = desk.push(&sha(1)).await;
    let _claim = desk.claim().await;
    desk.finish(first, &Outcome::wished(Cause::Cancelled, "cancelled")).await;
    desk.commit(&sha(1), |commit| commit.last_posted().is_some_and(|p| p.state == jobs::CommitState::Error))
        .await;
    desk.push(&sha(1)).await;
    desk.forge.until(|forge| forge.runs().len() == 2).await;
    let runs = desk.forge.runs();
    assert_eq!(runs[0]["conclusion"], "cancelled");
    assert_eq!(runs[1]["status"], "queued");
}
