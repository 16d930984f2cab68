//! Jobs over REST: the published interface, `/api/v1`, and what cannot be run.

mod failing_git_server;

use futures_util::{StreamExt as _, future::join_all};
use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tests::{Api, Function, Published, Service, api, git_server::Fault, service::ADMIN_SECRET};

/// Prints its arguments as JSON.
const ECHO: &str = "import json, sys\nprint(json.dumps(sys.argv[1:]))";

#[tokio::test]
async fn the_published_interface_is_as_its_table_says() {
    let service = Service::start().await;
    let url = service.function("pi", Function::python("print('3.14')")).await;
    let ada = Published(service.user("ada@example.com"));
    let eve = Published(service.user("eve@example.com"));

    let sent = ada.send_job(&url, Some("pi")).await;
    assert_eq!(sent.status(), StatusCode::OK);
    let sent: Value = sent.json().await.unwrap();
    let id = sent["jobID"].as_str().unwrap().to_owned();
    let message = format!("job added to the queue, with ID = {id}");
    assert_eq!(sent, json!({ "message": message, "jobID": id, "data": { "gitURL": url } }));

    ada.0.finished(&id).await;
    assert_eq!(ada.job_status(&id).await.text().await.unwrap(), "finish");
    assert_eq!(ada.result(&id).await.text().await.unwrap(), "3.14\n");
    for path in ["/job/job-status", "/job/result", "/job/job-status/", "/job/result/"] {
        let answer = ada.ask(Method::GET, &format!("{path}?jobID={id}"), None).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }

    let list: Value = ada.list_jobs().await.json().await.unwrap();
    let elapsed = list[0]["elapsedTime"].as_f64().unwrap();
    assert!(elapsed > 0.0 && elapsed < 10.0, "{list}");
    let entry = json!({
        "jobID": id, "status": "finish", "userID": "ada@example.com", "url": url, "name": "pi",
        "elapsedTime": elapsed, "result": "3.14\n",
    });
    assert_eq!(list, json!([entry]));

    assert_eq!(eve.list_jobs().await.json::<Value>().await.unwrap(), json!([]));
    for answer in [eve.job_status(&id).await, eve.result(&id).await, ada.job_status("nonsense").await] {
        assert_eq!(Api::json(answer, StatusCode::NOT_FOUND).await, json!({ "error": "no such job" }));
    }

    let stats = Api::json(ada.stats(ADMIN_SECRET).await, StatusCode::OK).await;
    for name in ["averageRequests", "averageCompleted", "averageTime"] {
        assert!(stats[name].is_number(), "{stats}");
    }
    let refused = Api::json(ada.stats("guessed").await, StatusCode::BAD_REQUEST).await;
    assert!(refused["error"].is_string(), "{refused}");

    let nobody = Published(ada.0.anybody());
    let liar = Published(ada.0.with_token("gft_00_00"));
    for client in [nobody, liar] {
        let answers = [
            client.send_job(&url, None).await,
            client.job_status(&id).await,
            client.result(&id).await,
            client.list_jobs().await,
            client.stats(ADMIN_SECRET).await,
        ];
        for answer in answers {
            let said = Api::json(answer, StatusCode::UNAUTHORIZED).await;
            assert!(said["message"].is_string(), "{said}");
        }
    }
    for (path, body) in [("/job/send-job", json!({})), ("/job/send-job", json!({ "URL": "file:///etc" }))] {
        let said = Api::json(ada.ask(Method::POST, path, Some(body)).await, StatusCode::BAD_REQUEST).await;
        assert!(said["error"].is_string(), "{said}");
    }
    let login = ada.0.anybody().get("/oauth/authorize").await;
    let said = Api::json(login, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(said, json!({ "message": "login is not configured" }));
}

#[tokio::test]
async fn a_failed_job_of_the_published_interface_says_why() {
    let service = Service::start().await;
    let program = "import sys\nprint('on its way')\nsys.exit('no fuel')";
    let url = service.function("fails", Function::python(program)).await;
    let published = service.published();
    let sent: Value = published.send_job(&url, None).await.json().await.unwrap();
    let id = sent["jobID"].as_str().unwrap();
    service.finished(id).await;
    assert_eq!(published.job_status(id).await.text().await.unwrap(), "error");
    assert_eq!(published.result(id).await.text().await.unwrap(), "exit code 1\nno fuel");
}

#[tokio::test]
async fn a_call_can_be_waited_for_repeated_listed_and_cancelled() {
    let service = Service::start().await;
    let url = service.function("echo", Function::python(ECHO)).await;
    let call = json!({ "repo": url, "args": ["1"], "name": "one" });

    let answer = service.post("/api/v1/jobs?wait=60", &call).await;
    let first = api::job(Api::json(answer, StatusCode::OK).await);
    assert_eq!((first.result(), first.name.as_deref()), ("[\"1\"]\n", Some("one")));

    let keyed = async || {
        let request =
            service.request(Method::POST, "/api/v1/jobs").header("idempotency-key", "k1").json(&call);
        api::job(Api::json(service.send(request).await, StatusCode::ACCEPTED).await)
    };
    let same = join_all((0..8).map(|_| keyed())).await;
    assert!(same.iter().all(|job| job.id == same[0].id), "{same:#?}");
    service.finished(&same[0].id).await;
    let other = json!({ "repo": url, "args": ["2"] });
    let request = service.request(Method::POST, "/api/v1/jobs").header("idempotency-key", "k1").json(&other);
    let said = Api::json(service.send(request).await, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(said["error"]["code"], "idempotency_key_reused");

    let answer = service.post(&format!("/api/v1/jobs/{}/rerun", first.id), &json!({})).await;
    let again = api::job(Api::json(answer, StatusCode::ACCEPTED).await);
    let again = service.finished(&again.id).await;
    assert_eq!(again.rerun_of.as_ref(), Some(&first.id));
    assert_eq!((again.result(), &again.sha), ("[\"1\"]\n", &first.sha));

    let page = Api::json(service.get("/api/v1/jobs?limit=2").await, StatusCode::OK).await;
    let rest = format!("/api/v1/jobs?limit=2&cursor={}", page["next"].as_str().unwrap());
    let rest = Api::json(service.get(&rest).await, StatusCode::OK).await;
    let ids = |list: &Value| -> Vec<String> {
        list["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!([ids(&page), ids(&rest)].concat(), [&*again.id, &*same[0].id, &*first.id]);
    assert!(rest.get("next").is_none(), "{rest}");

    let sleeper = service
        .function("sleeper", Function::python("import time\nprint('zzz', flush=True)\ntime.sleep(50)"))
        .await;
    let job = service.submit(&sleeper).await;
    service.says(&job.id, "zzz").await;
    assert_eq!(service.jobs("?state=working").await[0].id, job.id);
    assert_eq!(service.published().result(&job.id).await.text().await.unwrap(), "");
    assert_eq!(service.cancel(&job.id).await.end(), "error, cancelled: cancelled");
    service.containers.are_gone(&job.id).await;
    assert_eq!(service.cancel(&job.id).await.end(), "error, cancelled: cancelled");
    assert_eq!(service.jobs("?state=working").await.len(), 0);
}

#[tokio::test]
async fn a_log_can_be_read_in_parts_and_live_events_be_resumed() {
    let service = Service::start().await;
    let program = "import sys, time\nfor n in range(30):\n    print('line', n, flush=True)\n    time.sleep(0.02)\nprint('é', file=sys.stderr)";
    let url = service.function("lines", Function::python(program)).await;
    let job = service.submit(&url).await;

    let live: Vec<_> = service.events(&job.id, None).await.collect().await;
    let last: api::Job = serde_json::from_str(&live.last().unwrap().data).unwrap();
    assert_eq!((live.last().unwrap().event.as_str(), last.end()), ("state", "finish".to_owned()));
    let logged: Vec<_> = live.iter().filter(|event| event.event == "log").collect();
    let log: String = logged.iter().map(|event| api::text_of(event)).collect();
    assert_eq!(service.log(&job.id).await, log);
    assert!(log.contains("line 0\nline 1\n") && log.contains("line 29\n") && log.contains("é\n"), "{log}");

    let middle = logged[logged.len() / 2];
    let resumed: Vec<_> = service.events(&job.id, Some(&middle.id)).await.collect().await;
    let rest: String = resumed.iter().filter(|event| event.event == "log").map(api::text_of).collect();
    let (attempt, offset) = middle.id.split_once('.').unwrap();
    let offset: usize = offset.parse().unwrap();
    assert_eq!((attempt, rest.as_str()), ("1", &log[offset..]));

    let part =
        service.request(Method::GET, &format!("/api/v1/jobs/{}/log", job.id)).header("range", "bytes=5-9");
    let part = service.send(part).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    let range = format!("bytes 5-9/{}", log.len());
    assert_eq!(part.headers()[header::CONTENT_RANGE], range.as_str());
    assert_eq!(part.text().await.unwrap(), log[5..10]);
}

#[tokio::test]
async fn arguments_reach_the_program_as_they_are() {
    let service = Service::start().await;
    let hostile = [
        "a b",
        "'",
        "\"",
        "$(touch /tmp/x)",
        "`id`",
        "$HOME",
        "*",
        "new\nline",
        "tab\t",
        "",
        "--flag",
        "; ls",
        "../..",
        "\\",
        "naïve ☃",
        "-h",
        "--upload-pack=sh",
    ];
    let url = service.function("echo", Function::python(ECHO)).await;
    let called = service.submit_as(&json!({ "repo": url, "args": hostile })).await;
    let line = r#"one 'two  words' "three $(id)" four\ words $HOME * `id` "" ; "five
lines""#;
    let split = service.function("split", Function::python(ECHO).with("arg", line)).await;
    let split = service.submit(&split).await;
    let list = service.function("list", Function::python(ECHO).with("arg", hostile.to_vec())).await;
    let list = service.submit(&list).await;

    let words =
        ["one", "two  words", "three $(id)", "four words", "$HOME", "*", "`id`", "", ";", "five\nlines"];
    for (job, expected) in [(called, &hostile[..]), (list, &hostile[..]), (split, &words[..])] {
        let job = service.finished(&job.id).await;
        let argv: Vec<String> = serde_json::from_str(job.result()).unwrap();
        assert_eq!(argv, expected);
    }
    let nul = service.post("/api/v1/jobs", &json!({ "repo": url, "args": ["a\0b"] })).await;
    assert_eq!(nul.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_result_is_exact_to_the_byte_and_a_long_one_keeps_head_and_tail() {
    let service = Service::start_with(&[("GITFAAS_MAX_RESULT", "64k")]).await;
    let bytes = service
        .function("bytes", Function::python("import sys\nsys.stdout.buffer.write(bytes(range(256)))"))
        .await;
    let bytes = service.submit(&bytes).await;
    let long = "import sys\nsys.stdout.buffer.write(bytes(n % 251 for n in range(60000)))";
    let long = service.submit(&service.function("long", Function::python(long)).await).await;
    let longer = "print('head' + 'x' * 200000 + 'tail')";
    let longer = service.submit(&service.function("longer", Function::python(longer)).await).await;

    service.finished(&bytes.id).await;
    let answer = service.get(&format!("/api/v1/jobs/{}/result", bytes.id)).await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/octet-stream");
    assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(answer.bytes().await.unwrap(), (0..=255).collect::<Vec<u8>>());
    assert_eq!(service.published().result(&bytes.id).await.bytes().await.unwrap().len(), 256);

    service.finished(&long.id).await;
    let expected: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(service.result(&long.id).await, expected);

    let job = service.finished(&longer.id).await;
    let kept = service.result(&longer.id).await;
    assert!(kept.starts_with(b"headx") && kept.ends_with(b"xtail\n"));
    assert_eq!(job.omitted_bytes.unwrap() + kept.len() as u64, 200_009 + marker(&kept), "{job:?}");
}

/// The bytes of the line that stands for what was left out, if there is one.
fn marker(kept: &[u8]) -> u64 {
    kept.iter().filter(|byte| !b"headxtail\n".contains(byte)).count() as u64
}

/// Bytes that git cannot pack any smaller.
fn noise(bytes: u64) -> Vec<u8> {
    (0..bytes / 32).flat_map(|n| Sha256::digest(n.to_be_bytes())).collect()
}

#[tokio::test]
async fn a_repository_that_cannot_be_had_ends_the_job_with_a_sentence() {
    let service = Service::start_with(&[("GITFAAS_MAX_REPO_SIZE", "1m")]).await;
    let function = || Function::python("print('ok')");
    let huge = service.function("huge", function().file("noise", noise(2_000_000))).await;
    let unpacked = service.function("unpacked", function().file("zeros", vec![0; 2_000_000])).await;
    let empty = service.forge.repository("empty").await;
    let private = service.forge.repository("private").await;
    private.push(function()).await;
    service
        .forge
        .breaks(&private, Fault::Private("x-access-token".to_owned(), tests::fake_forge::TOKEN.to_owned()));
    let moved = service.forge.repository("moved").await;
    moved.push(function()).await;
    service.forge.breaks(&moved, Fault::Redirect("http://169.254.169.254".to_owned()));
    let plain = service.function("plain", function()).await;
    let nowhere = format!("{}/acme/nowhere.git", service.forge.url());
    let sha = "1f1ee58e3067678d3752dd5f6f3abb936325fbb8";

    let cases = [
        (json!({ "repo": huge }), "the repository is larger than 1m"),
        (json!({ "repo": unpacked }), "the files are larger than 1m in all"),
        (json!({ "repo": empty.url }), "the repository is empty"),
        (
            json!({ "repo": private.url }),
            "the repository is private, and there is no credential that may read it",
        ),
        (
            json!({ "repo": nowhere }),
            "the repository was not found; a private one must be registered with a token",
        ),
        (json!({ "repo": plain, "ref": "nope" }), "there is no branch or tag \"nope\" in the repository"),
        (json!({ "repo": plain, "ref": sha }), &format!("there is no commit {sha} in the repository")),
        (json!({ "repo": "http://169.254.169.254/a/b" }), "169.254.169.254 has no public address"),
        (json!({ "repo": "http://[::ffff:10.0.0.1]/a/b" }), "has no public address"),
        (json!({ "repo": moved.url }), "has no public address"),
    ];
    let jobs = join_all(cases.iter().map(|(call, _)| service.run_as(call))).await;
    for (job, (_, says)) in jobs.iter().zip(&cases) {
        assert!(job.end().starts_with("error, checkout: ") && job.end().contains(says), "{says}: {job:#?}");
        assert_eq!(job.fault.as_deref(), Some("function"), "{job:#?}");
        assert_eq!((job.attempt, service.containers.of_job(&job.id).await.len()), (1, 0));
        assert!(service.log(&job.id).await.contains(says));
    }
    // Nothing is kept of what was never fetched; two were, and found too large then.
    let mirrors = std::fs::read_dir(service.data_dir().join("worker/mirrors")).unwrap();
    assert!(mirrors.count() <= 2);

    // Registered by the admin there is a credential. By its address this forge is one that the operator
    // allowed; by another name everybody on the way could read it.
    let id = tests::service::register(&service, &private.url).await.id;
    assert_eq!(service.run(&id).await.end(), "finish");
    let shown = service.forge.seen().len();
    let named = private.url.replace("127.0.0.1", "localhost");
    let body = json!({ "url": named, "forge": "github" });
    let registered = Api::json(service.post("/api/v1/repos", &body).await, StatusCode::CREATED).await;
    let id = registered["id"].as_str().unwrap();
    let says = "the repository is private, and a credential is never sent over http: register its https URL, \
                or have the operator name the host in GITFAAS_CLONE_ALLOW";
    assert_eq!(service.run(id).await.end(), format!("error, checkout: {says}"));
    let path = format!("/{}/private.git/info/refs", tests::fake_forge::OWNER);
    let seen = service.forge.seen().split_off(shown);
    assert!(seen.iter().all(|seen| seen.path != path || seen.authorization.is_none()), "{seen:?}");
}

#[tokio::test]
async fn what_is_no_repository_on_the_web_is_refused_at_the_door() {
    let service = Service::start().await;
    let refused = [
        "file:///etc",
        "/etc",
        "../x",
        "ssh://git@example.com/a/b",
        "git@example.com:a/b.git",
        "git://example.com/a/b",
        "ext::sh -c id",
        "http://user:password@example.com/a/b",
        "https://example.com/a/b?x=1",
        "-u",
        "http://",
        "",
        "https://example.com/a b",
        "https://example.com/a\nb",
        "ftp://example.com/a/b",
    ];
    for url in refused {
        let answer = service.post("/api/v1/jobs", &json!({ "repo": url })).await;
        let said = Api::json(answer, StatusCode::BAD_REQUEST).await;
        assert!(
            said["error"]["message"].as_str().is_some_and(|message| !message.is_empty()),
            "{url:?}: {said}"
        );
    }
    for reference in ["--upload-pack=sh", "a..b", "main^{tree}", "a b", ""] {
        let call = json!({ "repo": "https://example.com/a/b", "ref": reference });
        assert_eq!(
            service.post("/api/v1/jobs", &call).await.status(),
            StatusCode::BAD_REQUEST,
            "{reference:?}"
        );
    }
    assert_eq!(service.jobs("").await.len(), 0);
}
