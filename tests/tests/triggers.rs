//! What makes a function run, as its manifest and a pull request say.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{
    Api, Delivery, Function, Repository, Service,
    delivery::path,
    fake_forge::{self, OWNER, Status},
    repository::Commit,
};

fn told(status: &Status) -> String {
    format!("{} {}: {}", status.context, status.state, status.description)
}

#[tokio::test]
async fn a_path_filter_compares_trees_and_a_skipped_commit_is_green() {
    let service = Service::start().await;
    let repository = service.registered("filtered").await;
    let function = |files: &[(&str, &str)]| {
        let paths = json!(["src/**", "main.py", "!**/*.md"]);
        let mut function = Function::python("print('ran')").with("paths", paths);
        for (path, text) in files {
            function = function.file(path, *text);
        }
        function
    };
    let first = [("src/a", "1"), ("src/b", "1"), ("README.md", "1")];
    let (ran, skipped) = ("finished in ", "skipped: no matching path");
    // A new branch has nothing to be compared with, so it runs.
    let steps: [(&[(&str, &str)], &str); 6] = [
        (&first, ran),
        (&[first[0], first[1], ("README.md", "2")], skipped),
        (&[("src/a", "2"), first[1], ("README.md", "2")], ran),
        (&[("src/a", "2"), ("README.md", "2")], ran),
        (&[("src/a", "2"), ("README.md", "2"), ("src/notes.md", "1")], skipped),
        (&[("src/a", "2"), ("README.md", "2"), ("src/notes.md", "1"), ("other", "1")], skipped),
    ];
    for (files, ends) in steps {
        let commit = repository.push(function(files)).await;
        let status = service.forge.final_status(&commit).await;
        assert_eq!((status.context.as_str(), status.state.as_str()), ("gitfaas/push", "success"));
        assert!(status.description.starts_with(ends), "{files:?}: {status:?}");
    }
    // Two commits in one push: what the first one changed counts, though the last one did not.
    repository.commit("main", function(&[("src/a", "3")]), "changes src").await;
    let commit = repository.push(function(&[("src/a", "3"), ("other", "2")])).await;
    assert!(service.forge.final_status(&commit).await.description.starts_with(ran));
}

#[tokio::test]
async fn the_manifest_says_which_branches_run_and_whether_a_newer_push_ends_an_older() {
    let service = Service::start_with(&[("GITFAAS_WORKER_SLOTS", "1")]).await;
    let repository = service.registered("branches").await;
    let only_main = |n: &str| Function::python("print('ran')").with("branches", json!(["main"])).file("n", n);
    let aside = repository.push_to("aside", only_main("1"), "aside").await;
    let skipped = "gitfaas/push success: skipped: branch aside is not listed";
    assert_eq!(told(&service.forge.final_status(&aside).await), skipped);
    let main = repository.push(only_main("2")).await;
    assert!(service.forge.final_status(&main).await.description.starts_with("finished in "));

    // One slot: the second waits while the first runs, and the third comes meanwhile.
    let keeps = |text: &str| {
        let program = format!("import time\nprint('{text}', flush=True)\ntime.sleep(3)");
        Function::python(&program).with("supersede", false)
    };
    let first = repository.push_to("keep", keeps("first"), "first").await;
    service.says(&first.job(), "first").await;
    let second = repository.push_to("keep", keeps("second"), "second").await;
    for commit in [&first, &second] {
        assert_eq!(service.forge.final_status(commit).await.state, "success", "{commit:?}");
    }

    let replaced =
        |text: &str| Function::python(&format!("import time\nprint('{text}', flush=True)\ntime.sleep(3)"));
    let other = repository.push_to("busy", keeps("other"), "keeps the slot").await;
    service.says(&other.job(), "other").await;
    let older = repository.push_to("quick", replaced("older"), "older").await;
    let newer = repository.push_to("quick", replaced("newer"), "newer").await;
    let job = service.finished(&older.job()).await;
    assert_eq!(job.end(), format!("error, superseded: superseded by {}", &newer.sha[..12]));
    assert_eq!(service.finished(&newer.job()).await.result(), "newer\n");
}

/// What GitHub tells of a pull request's opening.
fn opened(repository: &Repository, base: &Commit, head: &str, is_fork: bool) -> Value {
    let full_name = format!("{OWNER}/{}", repository.name);
    let id = fake_forge::number(&full_name);
    json!({
        "action": "opened", "number": 5,
        "pull_request": {
            "head": { "ref": "topic", "sha": head, "repo": {
                "id": if is_fork { id + 1 } else { id }, "full_name": if is_fork { "stranger/fork" } else { &full_name },
            } },
            "base": { "ref": "main", "sha": base.sha, "repo": { "id": id, "full_name": full_name } },
            "draft": false,
        },
        "repository": {
            "id": id, "name": repository.name, "full_name": full_name, "clone_url": repository.url,
            "owner": { "login": OWNER }, "private": false,
        },
    })
}

#[tokio::test]
async fn a_pull_request_is_fetched_from_the_base_and_one_from_a_fork_waits_for_its_approval() {
    let service = Service::start().await;
    let repository = service.forge.repository("pulled").await;
    let wishes = json!({ "url": repository.url, "events": ["push", "pull_request"] });
    let made = Api::json(service.post("/api/v1/repos", &wishes).await, StatusCode::CREATED).await;
    let repository = repository.hooked(serde_json::from_value(made).unwrap()).await;
    let hook = path(&repository.registration().webhook_url);
    let secret = repository.registration().secret.clone();
    let base = repository.push(Function::python("print('base')")).await;
    service.forge.final_status(&base).await;
    let value = service.request(
        Method::PUT,
        &format!(
            "/api/v1/repos/{}/secrets/KEY?events=push,tag,pull_request,call",
            repository.registration().id
        ),
    );
    assert_eq!(service.send(value.body("of the base")).await.status(), StatusCode::CREATED);

    // The commits are at the forge under the pull request's ref alone.
    let program = "import os\nprint(os.environ.get('KEY', 'no secret'))";
    let function = |n: &str| Function::python(program).with("secrets", json!(["KEY"])).file("n", n);
    let inside = repository.commit("topic", function("1"), "a proposal").await;
    repository.receive_as("refs/pull/5/head", &inside).await;
    let event = Delivery::of("pull_request", &opened(&repository, &base, &inside, false), &secret);
    let (status, answer) = event.send(&service, &hook).await;
    assert_eq!((status, &answer["verdict"]), (StatusCode::ACCEPTED, &json!("accepted")), "{answer}");
    let job = service.finished(answer["jobs"][0].as_str().unwrap()).await;
    assert_eq!((job.trigger.as_str(), job.end().as_str()), ("pull_request", "finish"));
    let told = service.forge.final_status(&Commit { sha: inside, ..base.clone() }).await;
    assert_eq!((told.context.as_str(), told.state.as_str()), ("gitfaas/pull-request", "success"));

    let stranger = repository.commit("topic", function("2"), "of a stranger").await;
    repository.receive_as("refs/pull/5/head", &stranger).await;
    let event = Delivery::of("pull_request", &opened(&repository, &base, &stranger, true), &secret);
    let (status, answer) = event.send(&service, &hook).await;
    assert_eq!((status, &answer["verdict"]), (StatusCode::OK, &json!("held")), "{answer}");
    let stranger_is = Commit { sha: stranger.clone(), ..base.clone() };
    let approve = format!("/api/v1/deliveries/{}/approve", answer["delivery"].as_str().unwrap());
    let other = json!({ "sha": base.sha });
    assert_eq!(service.post(&approve, &other).await.status(), StatusCode::CONFLICT);
    let approved = service.post(&approve, &json!({ "sha": stranger })).await;
    assert!(approved.status().is_success(), "{approved:?}");
    let approved: Value = approved.json().await.unwrap();
    let job = service.finished(approved["jobs"][0].as_str().unwrap()).await;
    assert_eq!(job.end(), "error, manifest: manifest: a pull request from a fork gets no secrets (KEY)");
    assert_eq!(service.forge.final_status(&stranger_is).await.context, "gitfaas/pull-request");
}
