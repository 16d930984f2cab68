//! Every type against what is on the wire: read, written again to the byte, and as its schema says.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use utoipa::{OpenApi as _, ToSchema};

use super::*;
use crate::{JobResult, accounts::TokenRecord, bucket::Entry, usage::Resource};

const ID: &str = "0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10";

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(
    Alias, ApproveDelivery, AuditEvent, Deliveries, Delivery, DeliveryReceipt, DeviceCode, DeviceError, DeviceToken, Error, Function,
    Job, JobInput, ForgeStatus, LogEvent, NewToken, Page<Job>, Page<ShownRepo>, RefreshRequest, RemovedRepo, Repo, RepoRequest,
    Secret, SetAlias,
    ShownRepo, SignedIn, Stats, SubmitJob, Token, TokenRequest, Usage, ViewedRepo, Viewer, WhoAmI,
    published::Averages, published::Error, published::ListedJob, published::SentJob,
)))]
struct Document;

/// Reads the text as `T`, writes it again, and checks it against the schema of `T`.
fn check<T: Serialize + DeserializeOwned + ToSchema>(text: &str) {
    let value: T = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&value).unwrap(), text);
    let document = serde_json::to_value(Document::openapi()).unwrap();
    let name = document["components"]["schemas"].as_object().unwrap().keys();
    let name = name.clone().find(|name| **name == T::name()).cloned();
    let schema = match name {
        Some(name) => {
            json!({"$ref": format!("#/components/schemas/{name}"), "components": document["components"]})
        }
        // A generic type has no name of its own.
        None => {
            let mut schema = serde_json::to_value(T::schema()).unwrap();
            schema["components"] = document["components"].clone();
            schema
        }
    };
    let validator = jsonschema::validator_for(&schema).unwrap();
    let value: Value = serde_json::from_str(text).unwrap();
    let problems: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn a_full_job() {
    check::<Job>(
        r#"{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","state":"error","cause":"exit","fault":"function","message":"exit code 3","may_have_run":true,"exit_code":3,"repo":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","url":"https://example.com/r.git","ref":"main","sha":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8","name":"nightly","args":["1","two words"],"input":{"bytes":2048,"sha256":"e3b0c442","content_type":"text/plain; charset=utf-8","method":"POST","path":"/a","head":"x","hidden":"why"},"label":"gpu","trigger":"pull_request","attempt":2,"worker":"w1","created_at":"2026-01-02T03:04:05.678Z","started_at":"2026-01-02T03:04:06.000000001Z","finished_at":"2026-01-02T03:04:09.5Z","timings_ms":{"queued":7,"checkout":1,"prepare":2,"run":1234},"peak_memory_bytes":5000,"prepared":true,"result":"3.14�\n","result_bytes":6,"omitted_bytes":2,"rerun_of":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","status":{"context":"gitfaas/push","state":"refused","reason":"why","since":"2026-01-02T03:04:05Z","fix":"fix"}}"#,
    );
}

#[test]
fn a_new_job() {
    check::<Job>(
        r#"{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","state":"pending","url":"https://example.com/r.git","label":"default","trigger":"call","attempt":0,"created_at":"2026-01-02T03:04:09.5Z","timings_ms":{}}"#,
    );
}

#[test]
fn a_short_input() {
    check::<JobInput>(r#"{"bytes":0,"sha256":"e3b0c442"}"#);
}

#[test]
fn a_short_status() {
    check::<ForgeStatus>(r#"{"context":"gitfaas/push","state":"silent"}"#);
}

#[test]
fn jobs() {
    check::<Page<Job>>(
        r#"{"items":[{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","state":"pending","url":"https://example.com/r.git","label":"default","trigger":"call","attempt":0,"created_at":"2026-01-02T03:04:09.5Z","timings_ms":{}}],"next":"c"}"#,
    );
}

#[test]
fn aliases_and_functions() {
    check::<Alias>(
        r#"{"name":"live","sha":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8","follow":"main","history":[{"at":"2026-01-02T03:04:05.6Z","by":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","email":"a@example.com","from":{"sha":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8"},"to":{"follow":"main"},"kind":"set"},{"at":"2026-01-01T03:04:05.6Z","by":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","to":{"sha":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8"},"kind":"rollback"}]}"#,
    );
    check::<SetAlias>(r#"{"version":"v1.2"}"#);
    check::<SetAlias>(r#"{"follow":"main"}"#);
    check::<Function>(
        r#"{"name":"pi","repo":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","url":"https://example.com/pi.git","role":"viewer"}"#,
    );
}

#[test]
fn a_full_repository() {
    check::<Repo>(
        r#"{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","url":"https://example.com/r.git","forge":"gitea","name":"r","function":"r","branches":["main","!wip/*"],"paths":[],"events":["push","tag","pull_request"],"links":"login","forks":"never","label":"gpu","viewers":[],"posts":false,"posts_reason":"why","problems":[{"about":"token","message":"m","since":"2026-01-02T03:04:05.6Z","fix":"give another token: gitfaas repo set ID --token-stdin"}],"skip_ci":"silent","pull_requests":"reuse","api_url":"https://example.com/api/v1/","removing_since":"2026-01-02T03:04:05.678Z","also_registered":[{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","owner":"b@example.com","posts":false},{"posts":true}],"webhook_url":"https://faas.example.com/webhooks/0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","secret":"s","webhook":{"error":"403"},"access":"signed","enabled":false,"signing_secrets":[{"id":"ab12cd34","added_at":"2026-01-02T03:04:05Z"}],"installation":7}"#,
    );
}

#[test]
fn a_new_repository() {
    check::<Repo>(
        r#"{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","url":"https://example.com/r.git","forge":"plain","branches":[],"paths":[],"events":[],"links":"key","forks":"approve","label":"default","viewers":[],"posts":false,"skip_ci":"status","pull_requests":"run","webhook_url":"https://faas.example.com/webhooks/0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","webhook":"created","access":"token","enabled":true}"#,
    );
}

#[test]
fn a_viewed_repository() {
    check::<ViewedRepo>(
        r#"{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","url":"https://example.com/r.git","forge":"gitea","name":"r","role":"viewer"}"#,
    );
}

#[test]
fn repositories() {
    check::<Page<ShownRepo>>(
        r#"{"items":[{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","url":"https://example.com/r.git","forge":"plain","branches":[],"paths":[],"events":[],"links":"key","forks":"approve","label":"default","viewers":[],"posts":false,"skip_ci":"status","pull_requests":"run","webhook_url":"https://faas.example.com/webhooks/0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","webhook":"created","access":"token","enabled":true},{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","url":"https://example.com/r.git","forge":"gitea","name":"r","role":"viewer"}]}"#,
    );
}

#[test]
fn a_repository_that_is_being_removed() {
    check::<RemovedRepo>(r#"{"webhook":"removed","removing":true,"cancelled":3}"#);
}

#[test]
fn a_repository_that_is_gone() {
    check::<RemovedRepo>(r#"{"webhook":{"error":"403"}}"#);
}

#[test]
fn a_viewer() {
    check::<Viewer>(r#"{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","email":"b@example.com"}"#);
}

#[test]
fn an_invited_viewer() {
    check::<Viewer>(r#"{"email":"b@example.com"}"#);
}

#[test]
fn a_full_delivery() {
    check::<Delivery>(
        r#"{"id":"f382","repo":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","hook":"github","event":"push","ref":"refs/pull/5/head","sha":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8","pull":5,"received_at":"2026-01-02T03:04:05.678Z","verdict":"held","reason":"why","jobs":["0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10"],"replay_of":"b194","made_up":true}"#,
    );
}

#[test]
fn a_new_delivery() {
    check::<Delivery>(
        r#"{"id":"f382","hook":"github","event":"ping","received_at":"2026-01-02T03:04:09.5Z","jobs":[]}"#,
    );
}

#[test]
fn deliveries() {
    check::<Deliveries>(
        r#"{"items":[{"id":"f382","hook":"github","event":"ping","received_at":"2026-01-02T03:04:09.5Z","jobs":[]}],"next":"f382","unsigned":[{"at":"2026-01-02T03:04:05.678Z","hook":"github","reason":"wrong signature"}]}"#,
    );
}

#[test]
fn a_receipt() {
    check::<DeliveryReceipt>(
        r#"{"delivery":"f382","verdict":"accepted","jobs":["0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10"]}"#,
    );
}

#[test]
fn a_receipt_of_nothing() {
    check::<DeliveryReceipt>(r#"{"delivery":"f382","verdict":"ignored","reason":"the branch is filtered"}"#);
}

#[test]
fn a_token() {
    check::<Token>(
        r#"{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","name":"ci","scopes":["jobs:read","jobs:write","repos","admin"],"created_at":"2025-08-21T00:08:11.55Z","expires_at":"2026-04-02T03:04:05.678Z","last_used_at":"2026-01-03T03:04:05Z","made_by":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","token":"gft_x"}"#,
    );
}

#[test]
fn a_secret() {
    check::<Secret>(
        r#"{"name":"KEY","events":["push","tag","pull_request","call"],"updated_at":"2026-01-02T03:04:05.678Z"}"#,
    );
}

#[test]
fn usage_of_what_is_kept() {
    check::<Usage>(
        r#"{"resource":"repos","used":3,"limit":200,"unit":"pieces","at_limit":"refused","freed_by":"remove a repository"}"#,
    );
}

#[test]
fn usage_of_history() {
    check::<Usage>(
        r#"{"resource":"logs","used":1,"limit":2,"unit":"bytes","at_limit":"oldest_go","freed_by":"the oldest jobs go by themselves, or delete some"}"#,
    );
}

#[test]
fn a_repository_of_an_older_gateway_is_called_with_tokens() {
    let older = r#"{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","url":"https://example.com/r.git","forge":"plain","branches":[],"paths":[],"events":[],"links":"key","forks":"approve","label":"default","viewers":[],"posts":false,"skip_ci":"status","pull_requests":"run","webhook_url":"https://faas.example.com/webhooks/0198c9f4"}"#;
    let repo: Repo = serde_json::from_str(older).unwrap();
    assert_eq!((repo.access, repo.enabled), (crate::CallAccess::Token.into(), true));
}

#[test]
fn an_audit_event() {
    check::<AuditEvent>(
        r#"{"id":"a7","at":"2026-01-02T03:04:05.678Z","email":"a@example.com","action":"secret_set","address":"192.0.2.1","by":{"token":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10"},"detail":"d","target":"01a0.KEY","user":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10"}"#,
    );
}

#[test]
fn an_audit_event_of_the_operator() {
    check::<AuditEvent>(
        r#"{"id":"7","at":"2026-01-02T03:04:05Z","action":"token_made","by":"operator","target":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10"}"#,
    );
}

#[test]
fn stats() {
    check::<Stats>(r#"{"waiting":1,"working":2,"observer":{"averageTime":0.5}}"#);
}

#[test]
fn stats_without_an_observer() {
    check::<Stats>(r#"{"waiting":1,"working":2}"#);
}

#[test]
fn who_am_i() {
    check::<WhoAmI>(
        r#"{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","email":"a@example.com","admin":false,"labels":["gpu"],"scopes":["jobs:read","jobs:write","repos","admin"]}"#,
    );
}

#[test]
fn a_sign_in() {
    check::<SignedIn>(r#"{"token":"t","refresh_token":"r","expires_in":3600}"#);
}

#[test]
fn a_device_code() {
    check::<DeviceCode>(
        r#"{"device_code":"d","expires_in":600,"interval":5,"user_code":"ABCD-EFGH","verification_uri":"https://faas.example.com/device","verification_uri_complete":"https://faas.example.com/device?user_code=ABCD-EFGH"}"#,
    );
}

#[test]
fn a_device_token() {
    check::<DeviceToken>(
        r#"{"access_token":"t","expires_in":3600,"refresh_token":"r","scope":"jobs:read repos","token_type":"Bearer"}"#,
    );
}

#[test]
fn a_device_error() {
    check::<DeviceError>(
        r#"{"error":"authorization_pending","error_description":"nobody has said yes yet"}"#,
    );
}

#[test]
fn an_error() {
    check::<Error>(
        r#"{"error":{"code":"idempotency_key_reused","message":"this Idempotency-Key was used for another request"}}"#,
    );
}

#[test]
fn a_log_event() {
    check::<LogEvent<'static>>(r#"{"offset":5,"source":"stderr","phase":"prepare","text":"hm\n"}"#);
}

#[test]
fn a_sent_job() {
    check::<published::SentJob>(
        r#"{"message":"job added to the queue, with ID = 7","jobID":"7","data":{"gitURL":"example.com/r"}}"#,
    );
}

#[test]
fn a_published_job() {
    check::<published::ListedJob>(
        r#"{"jobID":"7","status":"finish","userID":"a@example.com","url":"https://example.com/r","name":"pi","elapsedTime":1.234,"result":"3.14\n"}"#,
    );
}

#[test]
fn published_averages() {
    check::<published::Averages>(r#"{"averageRequests":0,"averageCompleted":1.5,"averageTime":0.25}"#);
}

#[test]
fn a_published_error() {
    check::<published::Error>(r#"{"error":"jobID: not an id"}"#);
}

#[test]
fn a_published_error_to_a_stranger() {
    check::<published::Error>(r#"{"message":"login is not configured"}"#);
}

#[test]
fn a_call() {
    check::<SubmitJob>(r#"{"repo":"example.com/r","ref":"main","args":["1"],"name":"n","label":"gpu"}"#);
}

#[test]
fn a_registration() {
    check::<RepoRequest>(
        r#"{"url":"u","forge":"gitea","name":"n","branches":["main"],"paths":["!docs/**"],"events":["push"],"links":"login","forks":"run","skip_ci":"silent","pull_requests":"reuse","api_url":"https://u/api/v1","label":"gpu","token":"t","webhook":false,"viewers":["b@example.com"],"access":"signed","enabled":true,"signing_secrets":["ab12cd34","whsec_s"],"token_must_work":true}"#,
    );
}

#[test]
fn a_change_of_nothing() {
    check::<RepoRequest>(r#"{}"#);
}

#[test]
fn a_token_to_be_made() {
    check::<NewToken>(r#"{"name":"ci","scopes":["jobs:read"],"expires_in":"90d"}"#);
}

#[test]
fn a_token_to_be_bound_to_functions() {
    check::<NewToken>(
        r#"{"name":"hook","scopes":["invoke"],"functions":["0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10"]}"#,
    );
}

#[test]
fn an_approval() {
    check::<ApproveDelivery>(r#"{"sha":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8"}"#);
}

#[test]
fn a_refresh() {
    check::<RefreshRequest>(r#"{"refresh_token":"r"}"#);
}

#[test]
fn a_request_for_tokens() {
    check::<TokenRequest>(
        r#"{"grant_type":"urn:ietf:params:oauth:grant-type:device_code","device_code":"d"}"#,
    );
}

#[test]
fn a_job_is_made_of_its_record() {
    let record = json!({
        "id": ID, "owner": ID, "class": "call", "label": "gpu", "trigger": "pull_request", "repo": ID,
        "url": "https://example.com/r.git", "ref": "main", "sha": "1f1ee58e3067678d3752dd5f6f3abb936325fbb8",
        "name": "nightly", "args": ["1", "two words"], "rerun_of": ID, "state": "error", "attempt": 2, "worker": "w1",
        "cause": "exit", "fault": "function", "message": "exit code 3", "exit_code": 3,
        "timings_ms": {"queued": 7, "checkout": 1, "prepare": 2, "run": 1234}, "peak_memory_bytes": 5000,
        "prepared": true, "created_at": "2026-01-02T03:04:05.678Z", "started_at": "2026-01-02T03:04:06.000000001Z",
        "result": JobResult::of(b"3.14\xff\n", 2),
    });
    let written_at = "2026-01-02T03:04:09.5Z".parse().unwrap();
    let value = serde_json::from_value(record).unwrap();
    let entry = Entry { key: ID.to_owned(), value, revision: 7, written_at };
    insta::assert_snapshot!(serde_json::to_string(&Job::from(&entry)).unwrap(), @r#"{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","state":"error","cause":"exit","fault":"function","message":"exit code 3","exit_code":3,"repo":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","url":"https://example.com/r.git","ref":"main","sha":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8","name":"nightly","args":["1","two words"],"label":"gpu","trigger":"pull_request","attempt":2,"worker":"w1","created_at":"2026-01-02T03:04:05.678Z","started_at":"2026-01-02T03:04:06.000000001Z","finished_at":"2026-01-02T03:04:09.5Z","timings_ms":{"queued":7,"checkout":1,"prepare":2,"run":1234},"peak_memory_bytes":5000,"prepared":true,"result":"3.14�\n","result_bytes":6,"omitted_bytes":2,"rerun_of":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10"}"#);
}

#[test]
fn a_token_is_made_of_its_record() {
    let record = json!({
        "id": ID, "user": ID, "name": "ci", "hash": "", "scopes": ["jobs:read", "repos"], "made_by": [ID],
        "expires_at": "2026-04-02T03:04:05.678Z", "last_used_at": "2026-01-03T03:04:05Z",
    });
    let record: TokenRecord = serde_json::from_value(record).unwrap();
    insta::assert_snapshot!(serde_json::to_string(&Token::from(&record)).unwrap(), @r#"{"id":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10","name":"ci","scopes":["jobs:read","repos"],"created_at":"2025-08-21T00:08:11.55Z","expires_at":"2026-04-02T03:04:05.678Z","last_used_at":"2026-01-03T03:04:05Z","made_by":"0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10"}"#);
}

#[test]
fn usage_is_made_of_a_resource() {
    let usage = Usage::of(Resource::Secrets, 1, 2);
    insta::assert_snapshot!(serde_json::to_string(&usage).unwrap(), @r#"{"resource":"secrets","used":1,"limit":2,"unit":"bytes","at_limit":"refused","freed_by":"remove a secret"}"#);
}

#[test]
fn answers_have_no_null_and_requests_may() {
    let document = serde_json::to_value(Document::openapi()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let nullable = schemas.iter().filter(|(_, schema)| schema.to_string().contains(r#""null""#));
    let names: Vec<&str> = nullable.map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ApproveDelivery", "NewToken", "RepoRequest", "SetAlias", "SubmitJob"]);
}
