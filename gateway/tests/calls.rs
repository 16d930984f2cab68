//! Calls of functions over HTTP: what the program is told, what the caller is answered.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use jobs::{Cause, Job, JobResult, Outcome};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use support::function::Function;
use test_case::test_case;

/// A live function whose manifest says this of calls.
async fn live(http: Value) -> Function {
    Function::callable(&[], http).await
}

impl Function {
    fn call(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}/f/{path}", self.service.address);
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap()
            .request(method, url)
            .bearer_auth(&self.token)
    }

    /// Sends the call, runs its program to this end, and returns the answer.
    async fn answered(&self, call: reqwest::RequestBuilder, output: &[u8], outcome: Outcome) -> Response {
        let running = self.run(output, &outcome);
        let (response, _) = tokio::join!(call.send(), running);
        response.unwrap()
    }
}

fn text<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn problem(response: Response, status: StatusCode) -> Value {
    assert_eq!((response.status(), text(&response, "content-type")), (status, "application/problem+json"));
    assert_eq!(text(&response, "cache-control"), "no-store");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["status"], status.as_u16());
    problem
}

#[tokio::test]
async fn a_call_is_answered_with_what_the_program_writes() {
    let function = live(json!({})).await;
    let call = function.call(Method::POST, "pi/a%20b?c=d").header("content-type", "text/x").body("1 2");
    let response = function.answered(call, b"3.14\n", Outcome::Finished).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(text(&response, "content-type"), "text/plain; charset=utf-8");
    assert_eq!(text(&response, "gitfaas-commit"), "a".repeat(40));
    assert_eq!(text(&response, "content-security-policy"), "sandbox; default-src 'none'");
    assert_eq!(text(&response, "x-content-type-options"), "nosniff");
    assert!(text(&response, "server-timing").starts_with("queue;dur="));
    for of_pages in ["x-frame-options", "cross-origin-resource-policy", "cache-control"] {
        assert_eq!(text(&response, of_pages), "", "{of_pages}");
    }
    let id = text(&response, "gitfaas-job").parse().unwrap();
    assert_eq!(response.bytes().await.unwrap(), "3.14\n");

    let ledger = &function.service.ledger;
    let job = ledger.job(id).await.unwrap().unwrap().value;
    let input = ledger.inputs.fetch(job.spec.owner, id, job.spec.input.as_ref().unwrap()).await.unwrap();
    assert_eq!((&input.body[..], job.spec.repo), (&b"1 2"[..], Some(function.repo)));
    let told = jobs::cgi::variables(input.head.request.as_ref().unwrap(), &[]).unwrap();
    let variable = |name: &str| told.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    assert_eq!(variable("REQUEST_METHOD"), Some("POST"));
    assert_eq!((variable("SCRIPT_NAME"), variable("PATH_INFO")), (Some("/f/pi"), Some("/a b")));
    assert_eq!((variable("QUERY_STRING"), variable("CONTENT_TYPE")), (Some("c=d"), Some("text/x")));
    assert_eq!((variable("CONTENT_LENGTH"), variable("REMOTE_USER")), (Some("3"), Some("a@example.com")));
    assert_eq!(variable("HTTP_AUTHORIZATION"), None, "a token of ours");
}

#[test_case(Outcome::function(Cause::Exit, "exit code 3") => 502 ; "exit")]
#[test_case(Outcome::function(Cause::Timeout, "longer than 1 s") => 504 ; "timeout")]
#[test_case(Outcome::wished(Cause::Cancelled, "cancelled") => 503 ; "cancelled")]
#[tokio::test]
async fn a_failure_is_told_and_is_never_200(outcome: Outcome) -> u16 {
    let function = live(json!({ "cors": { "allowOrigins": ["*"] } })).await;
    let Outcome::Failed { cause, message, .. } = outcome.clone() else { panic!("a failure") };
    let call = function.call(Method::GET, "pi").header("origin", "https://page.example");
    let response = function.answered(call, b"half an answer", outcome).await;
    assert_eq!((text(&response, "access-control-allow-origin"), text(&response, "vary")), ("*", "Origin"));
    assert_eq!(text(&response, "gitfaas-commit"), "a".repeat(40));
    let status = response.status();
    let problem = problem(response, status).await;
    assert_eq!((&problem["cause"], &problem["detail"]), (&json!(cause.as_str()), &json!(message)));
    assert!(problem["job"].is_string());
    status.as_u16()
}

#[tokio::test]
async fn what_cannot_be_called_says_so_and_makes_no_job() {
    let function = live(json!({ "methods": ["GET", "POST"] })).await;
    let jobs = function.service.all_jobs().await.len();
    let at = |path: &str| format!("http://{}/f/{path}", function.service.address);
    let client = reqwest::Client::new();
    for unknown in ["pi", "tau", "p%ff", "pi/-/calls/x"] {
        let expected =
            if unknown.contains(['%', '-']) { StatusCode::NOT_FOUND } else { StatusCode::UNAUTHORIZED };
        problem(client.get(at(unknown)).send().await.unwrap(), expected).await;
    }
    let stranger = function.service.user("b@example.com").await;
    let mut said = Vec::new();
    for unknown in ["pi", "tau"] {
        let response = client.get(at(unknown)).bearer_auth(&stranger).send().await.unwrap();
        said.push(problem(response, StatusCode::NOT_FOUND).await);
    }
    assert_eq!(said[0], said[1], "somebody else's function is like one that does not exist");
    for not_built in ["pi@main2", "pi@v1", &format!("pi@{}", "b".repeat(40))] {
        let response = function.call(Method::GET, not_built).send().await.unwrap();
        let problem = problem(response, StatusCode::NOT_FOUND).await;
        assert!(problem["detail"].as_str().unwrap().starts_with("not built"), "{problem}");
    }
    let response = function.call(Method::DELETE, "pi").send().await.unwrap();
    assert_eq!(text(&response, "allow"), "GET, POST, HEAD");
    problem(response, StatusCode::METHOD_NOT_ALLOWED).await;
    let upgrade =
        function.call(Method::GET, "pi").header("connection", "upgrade").header("upgrade", "websocket");
    problem(upgrade.send().await.unwrap(), StatusCode::UPGRADE_REQUIRED).await;
    let long = function.call(Method::POST, "pi").body(vec![0; (1 << 20) + 1]);
    problem(long.send().await.unwrap(), StatusCode::PAYLOAD_TOO_LARGE).await;
    let header =
        function.call(Method::GET, "pi").header("x-a", header::HeaderValue::from_bytes(b"\xff").unwrap());
    problem(header.send().await.unwrap(), StatusCode::BAD_REQUEST).await;
    let nul = function.call(Method::GET, "pi/%00");
    problem(nul.send().await.unwrap(), StatusCode::BAD_REQUEST).await;
    let cookie = client.get(at("pi")).header("cookie", format!("gitfaas_session={}", function.token));
    problem(cookie.send().await.unwrap(), StatusCode::UNAUTHORIZED).await;
    assert_eq!(function.service.all_jobs().await.len(), jobs);
}

#[tokio::test]
async fn a_version_is_a_commit_a_tag_or_a_branch_and_the_newest_else() {
    let function = live(json!({})).await;
    function.green(function.push("a", "b").await).await;
    let commit = "a".repeat(40);
    for (path, expected) in [("pi", "b"), ("pi@main", "b"), (&format!("pi@{commit}"), "a")] {
        let response = function.answered(function.call(Method::GET, path), b"", Outcome::Finished).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(text(&response, "gitfaas-commit"), expected.repeat(40), "{path}");
    }
}

#[tokio::test]
async fn who_does_not_wait_fetches_the_answer_later() {
    let function = live(json!({})).await;
    let response = function.call(Method::POST, "pi").header("prefer", "respond-async").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(text(&response, "preference-applied"), "respond-async");
    let location = text(&response, "location").to_owned();
    let client = reqwest::Client::new();
    let at = format!("http://{}{location}", function.service.address);
    let early = client.get(&at).send().await.unwrap();
    assert_eq!((early.status(), text(&early, "location")), (StatusCode::ACCEPTED, location.as_str()));
    let later = client.get(&at).header("prefer", "wait=30");
    let response = function.answered(later, b"42", Outcome::Finished).await;
    assert_eq!((response.status(), text(&response, "preference-applied")), (StatusCode::OK, "wait=30"));
    assert_eq!(response.text().await.unwrap(), "42");
    assert_eq!(client.get(&at).send().await.unwrap().text().await.unwrap(), "42", "as often as one likes");
    let cut = &at[..at.len() - 1];
    problem(client.get(cut).send().await.unwrap(), StatusCode::NOT_FOUND).await;
    problem(client.post(&at).send().await.unwrap(), StatusCode::METHOD_NOT_ALLOWED).await;
}

#[tokio::test]
async fn a_program_may_write_headers() {
    let function = live(json!({ "response": "cgi" })).await;
    let output =
        b"Status: 201 Created\nContent-Type: text/html\nSet-Cookie: a=b\nX-A: 1\n\n<script>x</script>";
    let response = function.answered(function.call(Method::POST, "pi"), output, Outcome::Finished).await;
    assert_eq!((response.status(), text(&response, "content-type")), (StatusCode::CREATED, "text/html"));
    assert_eq!((text(&response, "x-a"), text(&response, "set-cookie")), ("1", ""));
    assert_eq!(text(&response, "content-security-policy"), "sandbox; default-src 'none'");
    assert_eq!(response.text().await.unwrap(), "<script>x</script>");
    let response =
        function.answered(function.call(Method::GET, "pi"), b"no headers", Outcome::Finished).await;
    let problem = problem(response, StatusCode::BAD_GATEWAY).await;
    assert_eq!(problem["cause"], "output");
    assert!(problem["detail"].as_str().unwrap().contains("no headers"), "{problem}");
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let function = live(json!({})).await;
    let response = function.answered(function.call(Method::HEAD, "pi"), b"3.14", Outcome::Finished).await;
    assert_eq!((response.status(), text(&response, "content-length")), (StatusCode::OK, "4"));
    assert_eq!(response.bytes().await.unwrap(), "");
}

#[tokio::test]
async fn a_preflight_is_answered_without_a_job_and_without_a_token() {
    let function =
        live(json!({ "cors": { "allowOrigins": ["https://page.example"], "allowMethods": ["POST"] } })).await;
    let jobs = function.service.all_jobs().await.len();
    let ask = |origin: &str| {
        reqwest::Client::new()
            .request(Method::OPTIONS, format!("http://{}/f/pi", function.service.address))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
    };
    let response = ask("https://page.example").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(text(&response, "access-control-allow-origin"), "https://page.example");
    assert_eq!(text(&response, "access-control-allow-methods"), "POST");
    let response = ask("https://other.example").send().await.unwrap();
    assert_eq!(
        (response.status(), text(&response, "access-control-allow-origin")),
        (StatusCode::NO_CONTENT, "")
    );
    assert_eq!(function.service.all_jobs().await.len(), jobs);
}

#[tokio::test]
async fn a_repeated_call_with_its_key_is_the_same_job() {
    let function = live(json!({})).await;
    let call = |body: &'static str| {
        let call = function.call(Method::POST, "pi").header("idempotency-key", "k-1").body(body);
        call.header("prefer", "respond-async").send()
    };
    let (first, again) = (call("1").await.unwrap(), call("1").await.unwrap());
    assert_eq!(text(&first, "gitfaas-job"), text(&again, "gitfaas-job"));
    problem(call("2").await.unwrap(), StatusCode::UNPROCESSABLE_ENTITY).await;
}

#[tokio::test]
async fn a_renamed_function_is_found_under_its_former_name() {
    let function = live(json!({})).await;
    let renamed = function.service.request(Method::PATCH, &format!("/api/v1/repos/{}", function.repo));
    let renamed = renamed.bearer_auth(&function.token).json(&json!({ "function": "tau" }));
    assert_eq!(renamed.send().await.unwrap().status(), StatusCode::OK);
    let response = function.call(Method::POST, "pi@main/a?b").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT);
    assert_eq!(text(&response, "location"), "/f/tau@main/a?b");
    assert_eq!(text(&response, "cache-control"), "no-store", "the name is free again some day");
    let response = reqwest::get(format!("http://{}/f/pi", function.service.address)).await.unwrap();
    problem(response, StatusCode::UNAUTHORIZED).await;
    let response = function.answered(function.call(Method::GET, "tau"), b"x", Outcome::Finished).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_no_answer() {
    let function = live(json!({})).await;
    let running = async {
        let claim = function.claimed().await;
        let id = claim.entry.value.spec.id;
        let notes = |mut job: Job| {
            job.status.result = Some(JobResult::of(b"cut", 1000));
            job
        };
        function.service.ledger.finish(id, 1, &Outcome::Finished, &notes).await.unwrap().unwrap();
    };
    let (response, ()) = tokio::join!(function.call(Method::GET, "pi").send(), running);
    let problem = problem(response.unwrap(), StatusCode::BAD_GATEWAY).await;
    assert_eq!((&problem["cause"], &problem["fault"]), (&json!("output"), &json!("function")));
}

#[tokio::test]
async fn a_call_that_was_lost_after_its_program_began_says_that_it_may_have_run() {
    let function = live(json!({})).await;
    let lost = async |begins: bool| {
        let running = async {
            let claim = function.claimed().await;
            let (id, ledger) = (claim.entry.value.spec.id, &function.service.ledger);
            if begins {
                ledger.begin(id, claim.entry.value.status.attempt).await.unwrap();
            }
            let outcome = Outcome::service(Cause::Lost, "the container could not be run");
            let attempt = claim.entry.value.status.attempt;
            ledger.finish(id, attempt, &outcome, &|job: Job| job).await.unwrap();
            claim.lease.give_up().await;
        };
        let call = function.call(Method::POST, "pi").header("prefer", "wait=2");
        let (response, ()) = tokio::join!(call.send(), running);
        response.unwrap()
    };
    let problem = problem(lost(true).await, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!((&problem["cause"], &problem["may_have_run"]), (&json!("lost"), &json!(true)));
    assert_eq!(lost(false).await.status(), StatusCode::ACCEPTED, "it is tried again");
}

#[tokio::test]
async fn a_call_whose_first_request_is_still_making_the_job_is_told_to_come_again() {
    let function = live(json!({})).await;
    let call = || {
        let call = function.call(Method::POST, "pi").header("idempotency-key", "k-1").body("1");
        call.header("prefer", "respond-async").send()
    };
    let first = call().await.unwrap();
    let id: jobs::JobId = text(&first, "gitfaas-job").parse().unwrap();
    // As it is while another gateway is between key and record.
    let ledger = &function.service.ledger;
    jobs::bucket::purge_key(&ledger.js, jobs::streams::JOBS_BUCKET, &id.to_string()).await.unwrap();
    problem(call().await.unwrap(), StatusCode::CONFLICT).await;
}
