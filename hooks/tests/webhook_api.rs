//! Webhooks made and removed at forges, and repositories looked up, against servers that answer as
//! the forges do.

use hooks::Forge;
use hooks::address::Allow;
use hooks::forge_api::{CreatedWebhook, ForgeApi, ForgeError, ForgeRepository, FoundRepository, Webhook};
use hooks::status::Target;
use serde_json::{Value, json};
use test_case::test_case;
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn api() -> ForgeApi {
    ForgeApi::new(&"127.0.0.1".parse::<Allow>().expect("a list"), None).expect("a client")
}

fn repository(forge: Forge, server: &MockServer, base: &str) -> ForgeRepository {
    let api = format!("{}{base}", server.uri()).parse().expect("a URL");
    let token = "t0ken".parse().expect("not empty");
    ForgeRepository { target: Target { forge, api, token }, owner: "gr/a".to_owned(), name: "pi".to_owned() }
}

fn webhook() -> Webhook {
    Webhook {
        url: "https://faas.example.com/webhooks/1".parse().expect("a URL"),
        secret: "hunter2".parse().expect("not empty"),
    }
}

async fn answers(server: &MockServer, verb: &str, at: &str, answer: ResponseTemplate) {
    Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(server).await;
}

fn json_of(status: u16, body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

/// Every request: method, path, credential, and what was sent.
async fn asked(server: &MockServer) -> String {
    let mut lines = Vec::new();
    for request in server.received_requests().await.expect("recorded") {
        let credential = ["authorization", "private-token"]
            .into_iter()
            .find_map(|name| Some(format!("{name}: {}", request.headers.get(name)?.to_str().ok()?)));
        lines.push(format!("{} {} {}", request.method, request.url.path(), credential.unwrap_or_default()));
        if !request.body.is_empty() {
            lines.push(request.body_json::<Value>().expect("JSON").to_string());
        }
    }
    lines.join("\n")
}

#[tokio::test]
async fn a_webhook_is_made_in_each_forges_manner() {
    let server = MockServer::start().await;
    for at in
        ["/repos/gr%2Fa/pi/hooks", "/api/v1/repos/gr%2Fa/pi/hooks", "/api/v4/projects/gr%2Fa%2Fpi/hooks"]
    {
        answers(&server, "POST", at, json_of(201, &json!({ "id": 12 }))).await;
    }
    for (forge, base) in [(Forge::Github, ""), (Forge::Gitea, "/api/v1/"), (Forge::Gitlab, "/api/v4/")] {
        let made = api().create_webhook(&repository(forge, &server, base), &webhook()).await;
        assert_eq!(made, Ok(CreatedWebhook::Created { id: 12 }), "{forge}");
    }
    insta::assert_snapshot!(asked(&server).await, @r#"
    POST /repos/gr%2Fa/pi/hooks authorization: Bearer t0ken
    {"active":true,"config":{"content_type":"json","insecure_ssl":"0","secret":"hunter2","url":"https://faas.example.com/webhooks/1"},"events":["push","pull_request","check_run","merge_group"],"name":"web"}
    POST /api/v1/repos/gr%2Fa/pi/hooks authorization: token t0ken
    {"active":true,"config":{"content_type":"json","secret":"hunter2","url":"https://faas.example.com/webhooks/1"},"events":["push","delete","pull_request"],"type":"gitea"}
    POST /api/v4/projects/gr%2Fa%2Fpi/hooks private-token: t0ken
    {"enable_ssl_verification":true,"merge_requests_events":true,"push_events":true,"tag_push_events":true,"token":"hunter2","url":"https://faas.example.com/webhooks/1"}
    "#);
}

#[tokio::test]
async fn a_webhook_that_exists_gets_the_secret() {
    let server = MockServer::start().await;
    let exists = json!({
        "message": "Validation Failed",
        "errors": [{ "resource": "Hook", "message": "Hook already exists on this repository" }],
    });
    answers(&server, "POST", "/repos/gr%2Fa/pi/hooks", json_of(422, &exists)).await;
    let list = json!([
        { "id": 1, "config": { "url": "https://elsewhere.example/" } },
        { "id": 7, "config": { "url": "https://faas.example.com/webhooks/1" } },
    ]);
    Mock::given(method("GET"))
        .and(path("/repos/gr%2Fa/pi/hooks"))
        .and(query_param("per_page", "100"))
        .respond_with(json_of(200, &list))
        .mount(&server)
        .await;
    answers(&server, "PATCH", "/repos/gr%2Fa/pi/hooks/7", json_of(200, &json!({ "id": 7 }))).await;
    let made = api().create_webhook(&repository(Forge::Github, &server, ""), &webhook()).await;
    assert_eq!(made, Ok(CreatedWebhook::Exists { id: 7 }));
    insta::assert_snapshot!(asked(&server).await, @r#"
    POST /repos/gr%2Fa/pi/hooks authorization: Bearer t0ken
    {"active":true,"config":{"content_type":"json","insecure_ssl":"0","secret":"hunter2","url":"https://faas.example.com/webhooks/1"},"events":["push","pull_request","check_run","merge_group"],"name":"web"}
    GET /repos/gr%2Fa/pi/hooks authorization: Bearer t0ken
    PATCH /repos/gr%2Fa/pi/hooks/7 authorization: Bearer t0ken
    {"active":true,"config":{"content_type":"json","insecure_ssl":"0","secret":"hunter2","url":"https://faas.example.com/webhooks/1"},"events":["push","pull_request","check_run","merge_group"]}
    "#);
}

#[tokio::test]
async fn a_github_that_knows_no_merge_queues_gets_the_webhook_without_them() {
    let server = MockServer::start().await;
    let unknown = json!({
        "message": "Validation Failed",
        "errors": [{ "resource": "Hook", "field": "events", "message": "`merge_group` is no event" }],
    });
    let at = "/repos/gr%2Fa/pi/hooks";
    let queues = wiremock::matchers::body_string_contains("merge_group");
    Mock::given(method("POST"))
        .and(path(at))
        .and(queues)
        .respond_with(json_of(422, &unknown))
        .expect(1)
        .with_priority(1)
        .mount(&server)
        .await;
    answers(&server, "POST", at, json_of(201, &json!({ "id": 12 }))).await;
    let made = api().create_webhook(&repository(Forge::Github, &server, ""), &webhook()).await;
    assert_eq!(made, Ok(CreatedWebhook::Created { id: 12 }));
    let last = server.received_requests().await.expect("recorded").pop().expect("two");
    let events = last.body_json::<Value>().expect("JSON")["events"].clone();
    assert_eq!(events, json!(["push", "pull_request", "check_run"]));
}

#[test_case(401, "Bad credentials" => "the forge does not take the token: 401 Unauthorized: Bad credentials")]
#[test_case(403, "Must have admin rights to Repository." => "the token may not do this: 403 Forbidden: Must have admin rights to Repository.")]
#[test_case(404, "Not Found" => "the forge knows no such repository, or the token may not see it: 404 Not Found: Not Found")]
#[test_case(422, "Validation Failed" => "the forge refuses: 422 Unprocessable Entity: Validation Failed")]
#[test_case(429, "slow down" => "the forge cannot be asked at the moment: 429 Too Many Requests: slow down")]
#[test_case(502, "" => "the forge cannot be asked at the moment: 502 Bad Gateway: ")]
#[tokio::test]
async fn what_a_forge_refuses_is_a_sentence(status: u16, message: &str) -> String {
    let server = MockServer::start().await;
    let answer = json_of(status, &json!({ "message": message }));
    answers(&server, "POST", "/repos/gr%2Fa/pi/hooks", answer).await;
    let refused = api().create_webhook(&repository(Forge::Github, &server, ""), &webhook()).await;
    refused.expect_err("refused").to_string()
}

#[tokio::test]
async fn a_renamed_repository_is_followed_on_its_host_and_no_token_goes_to_another() {
    let server = MockServer::start().await;
    let moved = |to: String| ResponseTemplate::new(307).insert_header("location", to);
    answers(&server, "POST", "/repos/gr%2Fa/pi/hooks", moved("/repositories/9/hooks".to_owned())).await;
    answers(&server, "POST", "/repositories/9/hooks", json_of(201, &json!({ "id": 12 }))).await;
    let made = api().create_webhook(&repository(Forge::Github, &server, ""), &webhook()).await;
    assert_eq!(made, Ok(CreatedWebhook::Created { id: 12 }));

    let (here, elsewhere) = (MockServer::start().await, MockServer::start().await);
    let to = format!("{}/repos/gr/a/pi/hooks", elsewhere.uri());
    answers(&here, "POST", "/repos/gr%2Fa/pi/hooks", moved(to.clone())).await;
    let refused = api().create_webhook(&repository(Forge::Github, &here, ""), &webhook()).await;
    assert_eq!(refused, Err(ForgeError::Moved { to }));
    assert_eq!(elsewhere.received_requests().await.expect("recorded").len(), 0);
}

#[test_case(204 => Ok(()) ; "removed")]
#[test_case(404 => Ok(()) ; "gone already")]
#[test_case(403 => Err(ForgeError::Forbidden { reason: "403 Forbidden".to_owned() }) ; "no right")]
#[tokio::test]
async fn a_webhook_is_removed(status: u16) -> Result<(), ForgeError> {
    let server = MockServer::start().await;
    answers(&server, "DELETE", "/api/v1/repos/gr%2Fa/pi/hooks/12", ResponseTemplate::new(status)).await;
    api().remove_webhook(&repository(Forge::Gitea, &server, "/api/v1"), 12).await
}

#[test_case(Forge::Github, "/repos/gr%2Fa/pi", json!({ "id": 9, "full_name": "b/pi", "permissions": { "push": true } }) => Some(true) ; "github")]
#[test_case(Forge::Gitea, "/repos/gr%2Fa/pi", json!({ "id": 9, "full_name": "b/pi", "permissions": { "push": false } }) => Some(false) ; "gitea")]
#[test_case(Forge::Github, "/repos/gr%2Fa/pi", json!({ "id": 9, "full_name": "b/pi" }) => None ; "not said")]
#[test_case(Forge::Gitlab, "/projects/gr%2Fa%2Fpi", json!({ "id": 9, "path_with_namespace": "b/pi", "permissions": { "project_access": { "access_level": 20 }, "group_access": null } }) => Some(false) ; "gitlab reporter")]
#[test_case(Forge::Gitlab, "/projects/gr%2Fa%2Fpi", json!({ "id": 9, "path_with_namespace": "b/pi", "permissions": { "project_access": null, "group_access": { "access_level": 40 } } }) => Some(true) ; "gitlab maintainer")]
#[tokio::test]
async fn a_repository_is_found_by_its_name(forge: Forge, at: &str, answer: Value) -> Option<bool> {
    let server = MockServer::start().await;
    answers(&server, "GET", at, json_of(200, &answer)).await;
    let FoundRepository { id, full_name, may_push } =
        api().repository(&repository(forge, &server, "")).await.expect("found");
    assert_eq!((id, full_name.as_str()), (9, "b/pi"));
    may_push
}

#[tokio::test]
async fn a_plain_server_has_nothing_to_ask() {
    let server = MockServer::start().await;
    let refused = api().create_webhook(&repository(Forge::Plain, &server, ""), &webhook()).await;
    assert_eq!(refused, Err(ForgeError::Refused { reason: "a plain git server has no API".to_owned() }));
}
