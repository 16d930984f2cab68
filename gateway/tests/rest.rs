//! A call over REST, from its submission to its result, as programs see it.

mod support;

use jobs::{Repo, accounts::OPERATOR, bucket::Entry};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use support::{Answered, PATIENCE, Service};

const URL: &str = "https://example.com/a/pi.git";

#[tokio::test]
async fn a_call_is_seen_from_submission_to_result() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let wish =
        json!({ "repo": "example.com/a/pi.git", "ref": "main", "args": ["1 2", "$(x)"], "name": "pi" });
    let job = service.post("/api/v1/jobs", &token, &wish).answers(StatusCode::ACCEPTED).await;
    assert_eq!(job["state"], "pending");
    assert_eq!((&job["url"], &job["args"]), (&json!(URL), &wish["args"]));
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    let id = job["id"].as_str().unwrap().parse().unwrap();

    let claim = service.claim(id).await;
    let working = service.get(&path, &token).answers(StatusCode::OK).await;
    assert_eq!(
        (&working["state"], &working["worker"], &working["attempt"]),
        (&json!("working"), &json!("w1"), &json!(1))
    );
    service.get(&format!("{path}/result"), &token).says(StatusCode::NOT_FOUND).await;
    service.finish(claim, b"3.14159\n").await;

    let done = service.get(&path, &token).answers(StatusCode::OK).await;
    assert_eq!(
        (&done["state"], &done["result"], &done["result_bytes"]),
        (&json!("finish"), &json!("3.14159\n"), &json!(8))
    );
    assert!(done["finished_at"].is_string() && done["timings_ms"]["queued"].is_number());
    let result = service.get(&format!("{path}/result"), &token).send().await.unwrap();
    assert_eq!(result.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    assert_eq!(result.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(result.headers()[header::CONTENT_SECURITY_POLICY], "sandbox");
    assert_eq!(result.bytes().await.unwrap(), "3.14159\n");
}

#[tokio::test]
async fn waiting_for_a_job_answers_with_its_end_or_with_what_there_is() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let wish = json!({ "repo": URL });
    let so_far = service.post("/api/v1/jobs?wait=0", &token, &wish).answers(StatusCode::ACCEPTED).await;
    let waited = service.post("/api/v1/jobs?wait=300", &token, &wish).header("idempotency-key", "one");
    let running = async {
        let first = service.post("/api/v1/jobs", &token, &wish).header("idempotency-key", "one");
        let job = first.answers(StatusCode::ACCEPTED).await;
        service.run(job["id"].as_str().unwrap().parse().unwrap(), "", b"42").await;
    };
    let (done, ()) = tokio::join!(waited.answers(StatusCode::OK), running);
    assert_eq!((&done["state"], &done["result"]), (&json!("finish"), &json!("42")));
    assert_eq!(so_far["state"], "pending");
}

#[tokio::test]
async fn a_repeated_request_with_its_key_is_the_same_job_also_after_a_restart() {
    let service = Service::start().await;
    let (token, other) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let wish = json!({ "repo": URL });
    let submit = |service: &Service, token: &str, wish: &Value| {
        service.post("/api/v1/jobs", token, wish).header("idempotency-key", "k-1")
    };
    let first = submit(&service, &token, &wish).answers(StatusCode::ACCEPTED).await;
    assert_eq!(submit(&service, &token, &wish).answers(StatusCode::ACCEPTED).await["id"], first["id"]);
    assert_ne!(submit(&service, &other, &wish).answers(StatusCode::ACCEPTED).await["id"], first["id"]);
    let changed = submit(&service, &token, &json!({ "repo": URL, "args": ["x"] }));
    let refused = changed.answers(StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(refused["error"]["code"], "idempotency_key_reused");
    let service = service.restarted().await;
    assert_eq!(submit(&service, &token, &wish).answers(StatusCode::ACCEPTED).await["id"], first["id"]);
    assert_eq!(service.all_jobs().await.len(), 2);
}

/// An older gateway stored keys among the deliveries.
#[tokio::test]
async fn a_key_that_an_older_gateway_stored_is_in_force_for_its_day() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let submit = |wish: &Value| service.post("/api/v1/jobs", &token, wish).header("idempotency-key", "k-1");
    let fresh = submit(&json!({ "repo": URL })).answers(StatusCode::ACCEPTED).await;
    let entered = service.ledger.idempotency.keys().await.unwrap();
    assert_eq!(entered.len(), 1);
    assert!(service.ledger.deliveries.keys().await.unwrap().is_empty());
    let entry = service.ledger.idempotency.get(&entered[0]).await.unwrap().unwrap();
    service.ledger.idempotency.delete(&entry.key, entry.revision).await.unwrap();
    let older: jobs::Delivery = serde_json::from_value(json!({
        "hook": format!("idempotency.{}", entry.value.owner),
        "delivery_id": "",
        "event": "call",
        "owner": entry.value.owner,
        "jobs": [entry.value.job],
        "reason": entry.value.request,
    }))
    .unwrap();
    service.ledger.deliveries.create(&format!("idempotency.{}", entry.key), &older).await.unwrap();
    let again = submit(&json!({ "repo": URL })).answers(StatusCode::ACCEPTED).await;
    assert_eq!(again["id"], fresh["id"]);
    let changed = submit(&json!({ "repo": URL, "args": ["x"] }));
    let refused = changed.answers(StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(refused["error"]["code"], "idempotency_key_reused");
    assert!(service.ledger.idempotency.keys().await.unwrap().is_empty());
    assert_eq!(service.all_jobs().await.len(), 1);
}

#[tokio::test]
async fn somebody_elses_things_do_not_exist_and_an_admin_sees_all() {
    let service = Service::start().await;
    let (token, other) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let id = service.submit(&token, URL).await;
    for path in ["", "/result", "/log", "/events"] {
        service.get(&format!("/api/v1/jobs/{id}{path}"), &other).answers(StatusCode::NOT_FOUND).await;
    }
    for action in ["cancel", "rerun"] {
        service
            .post(&format!("/api/v1/jobs/{id}/{action}"), &other, &json!({}))
            .answers(StatusCode::NOT_FOUND)
            .await;
    }
    service.get("/job/job-status/", &other).json(&json!({ "jobID": id })).says(StatusCode::NOT_FOUND).await;
    let list = service.get("/api/v1/jobs", &other).answers(StatusCode::OK).await;
    assert_eq!(list["items"], json!([]));
    let admin = service.admin().await;
    let all = service.get("/api/v1/jobs", &admin).answers(StatusCode::OK).await;
    assert_eq!(all["items"][0]["id"], json!(id));
    service.get(&format!("/api/v1/jobs/{id}"), "gft_00_00").answers(StatusCode::UNAUTHORIZED).await;
    service.request(Method::GET, &format!("/api/v1/jobs/{id}")).answers(StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_viewer_of_a_repository_sees_and_calls_but_does_not_end_others_jobs() {
    let service = Service::start().await;
    let (owner, viewer) = (service.user("a@example.com").await, service.user("b@example.com").await);
    let repo = service.register(&owner, json!({ "url": URL })).await["id"].clone();
    let wish = json!({ "repo": repo });
    service.post("/api/v1/jobs", &viewer, &wish).answers(StatusCode::NOT_FOUND).await;
    let who = service.ledger.accounts.find(OPERATOR, "b@example.com").await.unwrap().unwrap().value.id;
    let seen = |entry: &Entry<Repo>| Some(Repo { viewers: vec![who], ..entry.value.clone() });
    service.ledger.repos.change(repo.as_str().unwrap(), seen).await.unwrap();
    let job = service.post("/api/v1/jobs", &owner, &wish).answers(StatusCode::ACCEPTED).await;
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    service.get(&path, &viewer).answers(StatusCode::OK).await;
    service.post(&format!("{path}/cancel"), &viewer, &json!({})).answers(StatusCode::FORBIDDEN).await;
    let own = service.post("/api/v1/jobs", &viewer, &wish).answers(StatusCode::ACCEPTED).await;
    let own = format!("/api/v1/jobs/{}", own["id"].as_str().unwrap());
    service.get(&own, &owner).answers(StatusCode::OK).await;
    service.post(&format!("{own}/cancel"), &owner, &json!({})).answers(StatusCode::OK).await;
    let shown = service.get(&format!("/api/v1/repos/{}", repo.as_str().unwrap()), &viewer);
    assert_eq!(shown.answers(StatusCode::OK).await["role"], "viewer");
}

#[tokio::test]
async fn bad_requests_are_refused_with_a_sentence() {
    let service = Service::with(&[("GITFAAS_MAX_QUEUED_PER_USER", "1")]).await;
    let token = service.user("a@example.com").await;
    let refused = async |wish: Value| {
        service.post("/api/v1/jobs", &token, &wish).answers(StatusCode::BAD_REQUEST).await["error"]["message"]
            .clone()
    };
    assert_eq!(
        refused(json!({ "repo": "ssh://git@host/a" })).await,
        "only http and https repositories can be cloned"
    );
    assert_eq!(
        refused(json!({ "repo": URL, "ref": "--upload-pack=x" })).await,
        "ref: not a branch, tag or commit"
    );
    let unserved = json!({ "repo": URL, "label": "gpu" });
    let unserved = service.post("/api/v1/jobs", &service.admin().await, &unserved);
    let unserved = unserved.answers(StatusCode::BAD_REQUEST).await;
    assert_eq!(unserved["error"]["message"], "label: no worker serves gpu at the moment");
    service.submit(&token, URL).await;
    let full = service.post("/api/v1/jobs", &token, &json!({ "repo": URL })).send().await.unwrap();
    assert_eq!(full.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(full.headers().contains_key(header::RETRY_AFTER));
    let odd = service.get("/api/v1/jobs?limit=many", &token).answers(StatusCode::BAD_REQUEST).await;
    assert_eq!(odd["error"]["code"], "bad_request");
    let long = json!({ "repo": URL, "args": ["x".repeat(300_000)] });
    service.post("/api/v1/jobs", &token, &long).answers(StatusCode::PAYLOAD_TOO_LARGE).await;
}

#[tokio::test]
async fn lists_go_on_at_the_cursor_and_are_whole_after_the_index_was_lost() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(json!(service.submit(&token, URL).await));
    }
    ids.reverse();
    let page = async |service: &Service, query: &str| {
        let list = service.get(&format!("/api/v1/jobs?{query}"), &token).answers(StatusCode::OK).await;
        let ids: Vec<Value> = list["items"].as_array().unwrap().iter().map(|job| job["id"].clone()).collect();
        (ids, list["next"].as_str().map(str::to_owned))
    };
    let (first, next) = page(&service, "limit=2").await;
    assert_eq!(first, ids[..2]);
    let (second, _) = page(&service, &format!("limit=10&cursor={}", next.unwrap())).await;
    assert_eq!(second, ids[2..]);
    let cancelled =
        service.post(&format!("/api/v1/jobs/{}/cancel", ids[0].as_str().unwrap()), &token, &json!({}));
    let cancelled = cancelled.answers(StatusCode::OK).await;
    assert_eq!((&cancelled["cause"], &cancelled["fault"]), (&json!("cancelled"), &json!("nobody")));
    assert_eq!(page(&service, "state=error").await.0, ids[..1]);
    let fresh = service.another().await;
    assert_eq!(page(&fresh, "").await.0, ids);
    let again = service.restarted().await;
    assert_eq!(page(&again, "state=pending").await.0, ids[1..]);
}

#[tokio::test]
async fn a_rerun_is_a_new_job_that_names_the_old_one() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let id = service.submit(&token, URL).await;
    service.run(id, "", b"1").await;
    let again = service
        .post(&format!("/api/v1/jobs/{id}/rerun"), &token, &json!({}))
        .answers(StatusCode::ACCEPTED)
        .await;
    assert_eq!(
        (&again["rerun_of"], &again["trigger"], &again["state"]),
        (&json!(id), &json!("rerun"), &json!("pending"))
    );
}

#[tokio::test]
async fn a_token_tells_when_it_was_made_and_used_last() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let made = service.post("/api/v1/tokens", &token, &json!({ "name": "ci" }));
    let made = made.answers(StatusCode::CREATED).await;
    assert!(made["created_at"].is_string() && made.get("last_used_at").is_none(), "{made}");
    let time = |token: &Value, field: &str| -> jiff::Timestamp {
        token[field].as_str().unwrap_or_else(|| panic!("{field}: {token}")).parse().unwrap()
    };

    let text = made["token"].as_str().unwrap();
    service.get("/api/v1/jobs", text).answers(StatusCode::OK).await;
    // The use is written while the request is answered, and the list follows what is written.
    let used = tokio::time::timeout(PATIENCE, async {
        loop {
            let list = service.get("/api/v1/tokens", &token).answers(StatusCode::OK).await;
            let ci = list["items"].as_array().unwrap().iter().find(|item| item["id"] == made["id"]).cloned();
            match ci.filter(|ci| ci.get("last_used_at").is_some()) {
                Some(ci) => break ci,
                None => tokio::task::yield_now().await,
            }
        }
    });
    let used = used.await.unwrap();
    let last_used_at = time(&used, "last_used_at");
    assert!(last_used_at >= time(&used, "created_at") && last_used_at <= jiff::Timestamp::now(), "{used}");

    let id = made["id"].as_str().unwrap();
    let tokens = &service.ledger.accounts.tokens;
    let revision = tokens.get(id).await.unwrap().unwrap().revision;
    for _ in 0..5 {
        service.get("/api/v1/jobs", text).answers(StatusCode::OK).await;
    }
    assert_eq!(tokens.last_revision(id).await.unwrap(), revision, "one write an hour");
    let revoke = service.request(Method::DELETE, &format!("/api/v1/tokens/{id}")).bearer_auth(&token);
    revoke.says(StatusCode::NO_CONTENT).await;
    service.get("/api/v1/jobs", text).answers(StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_token_that_a_token_makes_may_no_more_and_no_longer_than_its_maker() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let make =
        async |by: &str, wish: Value, status| service.post("/api/v1/tokens", by, &wish).answers(status).await;
    let wish = json!({ "scopes": ["jobs:read", "jobs:write"], "expires_in": "1h" });
    let maker = make(&token, wish, StatusCode::CREATED).await;
    let by = maker["token"].as_str().unwrap();

    let same = make(by, json!({}), StatusCode::CREATED).await;
    assert_eq!((&same["expires_at"], &same["scopes"]), (&maker["expires_at"], &maker["scopes"]));
    assert_eq!(same["made_by"], maker["id"]);
    let less = make(by, json!({ "scopes": [], "expires_in": "1m" }), StatusCode::CREATED).await;
    assert!(less["expires_at"].as_str().unwrap() < maker["expires_at"].as_str().unwrap(), "{less}");

    let longer = make(by, json!({ "expires_in": "90d" }), StatusCode::BAD_REQUEST).await;
    let said = longer["error"]["message"].as_str().unwrap();
    assert!(said.starts_with("expires_in: longer than the token that asks is good for"), "{said}");
    make(by, json!({ "scopes": ["jobs:read", "admin"] }), StatusCode::FORBIDDEN).await;
    for wrong in [
        json!({ "expires_in": "0s" }),
        json!({ "expires_in": 90 }),
        json!({ "expires_in": "" }),
        json!({ "scopes": ["everything"] }),
        json!({ "name": "x".repeat(201) }),
        json!([]),
    ] {
        make(by, wrong.clone(), StatusCode::BAD_REQUEST).await;
    }
    let list = service.get("/api/v1/tokens", &token).answers(StatusCode::OK).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 4, "nothing was made of what was refused");
}

#[tokio::test]
async fn who_revokes_a_token_revokes_what_it_made_at_every_gateway() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let other = service.another().await;
    let make = async |at: &Service, by: &str| {
        let made = at.post("/api/v1/tokens", by, &json!({})).answers(StatusCode::CREATED).await;
        (made["id"].as_str().unwrap().to_owned(), made["token"].as_str().unwrap().to_owned())
    };
    let revoke =
        |id: &str| service.request(Method::DELETE, &format!("/api/v1/tokens/{id}")).bearer_auth(&token);
    let (id, first) = make(&service, &token).await;
    // One that the gateway that revokes may not have heard of.
    let (_, second) = make(&other, &first).await;
    let (_, third) = make(&other, &second).await;
    let (beside, stays) = make(&service, &token).await;
    other.get("/api/v1/jobs", &third).answers(StatusCode::OK).await;

    revoke(&id).says(StatusCode::NO_CONTENT).await;
    for ended in [&first, &second, &third] {
        for gateway in [&service, &other] {
            gateway.get("/api/v1/jobs", ended).answers(StatusCode::UNAUTHORIZED).await;
            gateway.post("/api/v1/tokens", ended, &json!({})).answers(StatusCode::UNAUTHORIZED).await;
        }
    }
    service.get("/api/v1/jobs", &stays).answers(StatusCode::OK).await;
    revoke(&id).answers(StatusCode::NOT_FOUND).await;
    revoke(&beside).says(StatusCode::NO_CONTENT).await;

    let (id, mut last) = make(&service, &token).await;
    for _ in 0..7 {
        last = make(&service, &last).await.1;
    }
    let deep = service.post("/api/v1/tokens", &last, &json!({})).answers(StatusCode::BAD_REQUEST).await;
    let said = deep["error"]["message"].as_str().unwrap();
    assert!(said.starts_with("this token came of too many others"), "{said}");
    revoke(&id).says(StatusCode::NO_CONTENT).await;
    let list = service.get("/api/v1/tokens", &token).answers(StatusCode::OK).await;
    let of_the_last = |item: &&Value| item["made_by"] == json!(id);
    assert_eq!(list["items"].as_array().unwrap().iter().filter(of_the_last).count(), 0, "{list}");
}

#[tokio::test]
async fn a_token_is_made_narrowed_listed_and_revoked_at_every_gateway() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let wish = json!({ "name": "ci", "scopes": ["jobs:read"], "expires_in": "90d" });
    let made = service.post("/api/v1/tokens", &token, &wish).answers(StatusCode::CREATED).await;
    let narrow = made["token"].as_str().unwrap();
    let denied =
        service.post("/api/v1/jobs", narrow, &json!({ "repo": URL })).answers(StatusCode::FORBIDDEN).await;
    assert_eq!(denied["error"]["message"], "this token does not have the scope jobs:write");
    service
        .post("/api/v1/tokens", narrow, &json!({ "scopes": ["repos"] }))
        .answers(StatusCode::FORBIDDEN)
        .await;
    let list = service.get("/api/v1/tokens", &token).answers(StatusCode::OK).await;
    assert_eq!(list["items"][0]["name"], "ci");
    assert!(list["items"][0].get("token").is_none());
    let other = service.another().await;
    other.get("/api/v1/jobs", narrow).answers(StatusCode::OK).await;
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    service.request(Method::DELETE, &path).bearer_auth(&token).says(StatusCode::NO_CONTENT).await;
    other.get("/api/v1/jobs", narrow).answers(StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn everything_has_a_request_id_and_security_headers() {
    let service = Service::start().await;
    let response =
        service.request(Method::GET, "/healthz").header("x-request-id", "mine-1").send().await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "mine-1");
    assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let odd = service.request(Method::GET, "/readyz/").header("x-request-id", "a b").send().await.unwrap();
    assert_eq!(odd.status(), StatusCode::OK);
    assert_ne!(odd.headers()["x-request-id"], "a b");
    let metrics = service.request(Method::GET, "/metrics").says(StatusCode::OK).await;
    assert!(
        metrics.contains(r#"gitfaas_gateway_requests_total{route="/healthz",status="200"} 1"#),
        "{metrics}"
    );
    service.request(Method::GET, "/openapi.json").answers(StatusCode::OK).await;
    service.request(Method::GET, "/schema/faas-manifest.json").answers(StatusCode::OK).await;
    service.request(Method::GET, "/api/v1/nothing").answers(StatusCode::NOT_FOUND).await;
    service.request(Method::PUT, "/healthz").says(StatusCode::METHOD_NOT_ALLOWED).await;
}

#[tokio::test]
async fn unknown_input_is_named_and_the_published_interface_ignores_it() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    let sent = |path: &str, body: &str| {
        let request = service.request(Method::POST, path).bearer_auth(&token);
        request.body(body.to_owned())
    };
    let message = async |request: support::described::RequestBuilder| {
        request.answers(StatusCode::BAD_REQUEST).await["error"]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        message(sent("/api/v1/jobs", r#"{"repo": "example.com/r", "Args": []}"#)).await,
        "unknown field `Args`; did you mean `args`?"
    );
    assert_eq!(
        message(sent("/api/v1/repos", r#"{"urll": "example.com/r"}"#)).await,
        "unknown field `urll`; did you mean `url`?"
    );
    assert_eq!(message(sent("/api/v1/tokens", r#"["name"]"#)).await, "the body must be a JSON object");
    assert_eq!(
        message(service.get("/api/v1/jobs?limt=1", &token)).await,
        "unknown query parameter `limt`; did you mean `limit`?"
    );
    let marked = "\u{feff}{\"repo\": \"example.com/r\"}";
    let job = sent("/api/v1/jobs", marked).answers(StatusCode::ACCEPTED).await;
    let job = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    service.get(&format!("{job}?key=00"), &token).answers(StatusCode::OK).await;
    let published = "\u{feff}{\"URL\": \"example.com/r\", \"colour\": \"red\"}";
    sent("/job/send-job?colour=red", published).answers(StatusCode::OK).await;
}

#[tokio::test]
async fn no_endpoint_of_the_api_takes_a_parameter_that_it_does_not_know() {
    let service = Service::start().await;
    let token = service.user("a@example.com").await;
    for (method, path) in gateway::endpoints() {
        if path.starts_with("/api/v1/") {
            let request = service.request(method.clone(), &format!("{path}?invented=1")).bearer_auth(&token);
            let answer = request.answers(StatusCode::BAD_REQUEST).await;
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(
                message.starts_with("unknown query parameter `invented`; "),
                "{method} {path}: {message}"
            );
        }
    }
}
