//! Authorization as one table: every route of the gateway for every role; what no role is shown; and what a
//! claimant of another owner's repository is not shown.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod claims;
#[path = "../github/mod.rs"]
mod github;
mod planted;
mod scene;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use scene::{Role, Scene};

/// A row is a route, what it is about, and the status that each [`Role`] gets, in their order.
///
/// `repo`, `job`, `delivery`, `secret` and `token` are the owner's and made anew for each request;
/// `done` is the owner's job that is final. Pages are asked with a cookie, everything else with a bearer token.
/// The claimant has registered the owner's repository too: without a token, with one that its forge does not
/// take, and asks the webhooks with a signature of that registration's secret. After the admin come a token of a sign-in of the owner's, one that has expired, and one whose sign-in
/// has ended. Of the last five columns each is a token of the owner's with one scope alone.
const TABLE: &str = "
    route                                     about    | anonymous bad expired other claimant viewer owner admin | signed-in expired ended | jobs:read jobs:write repos admin invoke
    POST   /job/send-job                      -        | 401 401 401 200 200 200 200 200 | 200 401 401 | 403 200 403 403 403
    GET    /job/job-status                    done     | 401 401 401 404 404 200 200 200 | 200 401 401 | 200 403 403 403 403
    GET    /job/result                        done     | 401 401 401 404 404 200 200 200 | 200 401 401 | 200 403 403 403 403
    GET    /job/list-jobs                     -        | 401 401 401 200 200 200 200 200 | 200 401 401 | 200 403 403 403 403
    GET    /observer/stats                    -        | 401 401 401 403 403 403 403 200 | 403 401 401 | 403 403 403 403 403
    GET    /oauth/authorize                   -        | 503 503 503 503 503 503 503 503 | 503 503 503 | 503 503 503 503 503
    GET    /oauth/callback                    -        | 503 503 503 503 503 503 503 503 | 503 503 503 | 503 503 503 503 503
    POST   /oauth/device                      -        | 200 200 200 200 200 200 200 200 | 200 200 200 | 200 200 200 200 200
    POST   /oauth/token                       -        | 400 400 400 400 400 400 400 400 | 400 400 400 | 400 400 400 400 400
    POST   /api/v1/auth/refresh               -        | 401 401 401 401 401 401 401 401 | 401 401 401 | 401 401 401 401 401
    POST   /api/v1/auth/logout                -        | 401 401 401 400 400 400 400 400 | 204 401 401 | 400 400 400 400 400
    GET    /api/v1/whoami                     -        | 401 401 401 200 200 200 200 200 | 200 401 401 | 200 200 200 200 403
    POST   /api/v1/jobs                       repo     | 401 401 401 404 404 202 202 202 | 202 401 401 | 403 202 403 403 403
    GET    /api/v1/jobs                       -        | 401 401 401 200 200 200 200 200 | 200 401 401 | 200 403 403 403 403
    GET    /api/v1/jobs/{id}                  done     | 401 401 401 404 404 200 200 200 | 200 401 401 | 200 403 403 403 403
    DELETE /api/v1/jobs/{id}                  over     | 401 401 401 404 404 403 204 204 | 204 401 401 | 403 204 403 403 403
    GET    /api/v1/jobs/{id}/result           done     | 401 401 401 404 404 200 200 200 | 200 401 401 | 200 403 403 403 403
    GET    /api/v1/jobs/{id}/log              done     | 401 401 401 404 404 200 200 200 | 200 401 401 | 200 403 403 403 403
    GET    /api/v1/jobs/{id}/events           done     | 401 401 401 404 404 200 200 200 | 200 401 401 | 200 403 403 403 403
    POST   /api/v1/jobs/{id}/cancel           job      | 401 401 401 404 404 403 200 200 | 200 401 401 | 403 200 403 403 403
    POST   /api/v1/jobs/{id}/rerun            job      | 401 401 401 404 404 403 202 202 | 202 401 401 | 403 202 403 403 403
    POST   /api/v1/repos                      -        | 401 401 401 201 201 201 201 201 | 201 401 401 | 403 403 201 403 403
    GET    /api/v1/repos                      -        | 401 401 401 200 200 200 200 200 | 200 401 401 | 200 403 403 403 403
    GET    /api/v1/repos/{id}                 repo     | 401 401 401 404 404 200 200 200 | 200 401 401 | 200 403 403 403 403
    PATCH  /api/v1/repos/{id}                 repo     | 401 401 401 404 404 403 200 200 | 200 401 401 | 403 403 200 403 403
    DELETE /api/v1/repos/{id}                 repo     | 401 401 401 404 404 403 204 204 | 204 401 401 | 403 403 204 403 403
    GET    /api/v1/repos/{id}/secrets         repo     | 401 401 401 404 404 403 200 200 | 200 401 401 | 403 403 200 403 403
    PUT    /api/v1/repos/{id}/secrets/{name}  repo     | 401 401 401 404 404 403 201 201 | 201 401 401 | 403 403 201 403 403
    DELETE /api/v1/repos/{id}/secrets/{name}  secret   | 401 401 401 404 404 403 204 204 | 204 401 401 | 403 403 204 403 403
    GET    /api/v1/repos/{id}/aliases         repo     | 401 401 401 404 404 403 200 200 | 200 401 401 | 403 403 200 403 403
    PUT    /api/v1/repos/{id}/aliases/{alias} built    | 401 401 401 404 404 403 201 201 | 201 401 401 | 403 403 201 403 403
    POST   /api/v1/repos/{id}/aliases/{alias}/rollback moved | 401 401 401 404 404 403 200 200 | 200 401 401 | 403 403 200 403 403
    DELETE /api/v1/repos/{id}/aliases/{alias} moved    | 401 401 401 404 404 403 204 204 | 204 401 401 | 403 403 204 403 403
    GET    /api/v1/functions                  -        | 401 401 401 200 200 200 200 200 | 200 401 401 | 200 403 403 403 403
    GET    /api/v1/deliveries                 repo     | 401 401 401 404 404 403 200 200 | 200 401 401 | 200 403 403 403 403
    GET    /api/v1/deliveries/{id}            delivery | 401 401 401 404 404 404 200 200 | 200 401 401 | 200 403 403 403 403
    POST   /api/v1/deliveries/{id}/replay     delivery | 401 401 401 404 404 404 202 202 | 202 401 401 | 403 202 403 403 403
    POST   /api/v1/deliveries/{id}/approve    delivery | 401 401 401 404 404 404 409 409 | 409 401 401 | 403 409 403 403 403
    POST   /api/v1/tokens                     -        | 401 401 401 201 201 201 201 201 | 201 401 401 | 201 201 201 201 403
    GET    /api/v1/tokens                     -        | 401 401 401 200 200 200 200 200 | 200 401 401 | 200 200 200 200 403
    DELETE /api/v1/tokens/{id}                token    | 401 401 401 404 404 404 204 204 | 204 401 401 | 403 403 403 403 403
    GET    /api/v1/usage                      -        | 401 401 401 200 200 200 200 200 | 200 401 401 | 200 403 403 403 403
    GET    /api/v1/stats                      -        | 401 401 401 403 403 403 403 200 | 403 401 401 | 403 403 403 403 403
    GET    /api/v1/audit                      -        | 401 401 401 403 403 403 403 200 | 403 401 401 | 403 403 403 403 403
    POST   /webhooks/github                   -        | 401 401 401 401 401 401 401 401 | 401 401 401 | 401 401 401 401 401
    POST   /webhooks/{id}                     repo     | 401 401 401 401 401 401 401 401 | 401 401 401 | 401 401 401 401 401
    GET    /openapi.json                      -        | 200 200 200 200 200 200 200 200 | 200 200 200 | 200 200 200 200 200
    GET    /schema/faas-manifest.json         -        | 200 200 200 200 200 200 200 200 | 200 200 200 | 200 200 200 200 200
    GET    /healthz                           -        | 200 200 200 200 200 200 200 200 | 200 200 200 | 200 200 200 200 200
    GET    /readyz                            -        | 200 200 200 200 200 200 200 200 | 200 200 200 | 200 200 200 200 200
    GET    /metrics                           -        | 200 200 200 200 200 200 200 200 | 200 200 200 | 200 200 200 200 200
    POST   /f/{*path}                         called   | 401 401 401 404 404 202 202 202 | 202 401 401 | 403 202 403 403 202
    GET    /                                  -        | 401 401 401 200 200 200 200 200 | 200 401 401 | 200 403 403 403 403
    GET    /jobs/{id}                         done     | 401 401 401 404 404 200 200 200 | 200 401 401 | 200 403 403 403 403
    POST   /jobs/{id}/cancel                  job      | 401 403 403 404 404 403 303 303 | 303 403 403 | 403 403 403 403 403
    POST   /jobs/{id}/rerun                   job      | 401 403 403 404 404 403 303 303 | 303 403 403 | 403 403 403 403 403
    GET    /deliveries/{id}                   delivery | 401 401 401 404 404 404 200 200 | 200 401 401 | 200 403 403 403 403
    POST   /deliveries/{id}/approve           delivery | 401 403 403 404 404 404 409 409 | 409 403 403 | 403 403 403 403 403
    GET    /tokens                            -        | 401 401 401 200 200 200 200 200 | 200 401 401 | 200 200 200 200 403
    POST   /tokens                            -        | 401 403 403 201 201 201 201 201 | 201 403 403 | 201 403 403 403 403
    POST   /tokens/{id}/revoke                token    | 401 403 403 404 404 404 303 303 | 303 403 403 | 403 403 403 403 403
    GET    /device                            -        | 401 401 401 200 200 200 200 200 | 200 401 401 | 200 200 200 200 403
    POST   /device                            -        | 401 403 403 400 400 400 400 400 | 400 403 403 | 400 403 403 403 403
    POST   /link                              -        | 401 403 403 503 503 503 503 503 | 503 403 403 | 403 403 403 403 403
    POST   /login                             -        | 401 401 401 303 303 303 303 303 | 401 401 401 | 303 303 303 303 403
    POST   /logout                            -        | 401 403 403 303 303 303 303 303 | 303 403 403 | 303 403 403 403 403
    GET    /assets/{name}                     -        | 200 200 200 200 200 200 200 200 | 200 200 200 | 200 200 200 200 200
";

/// One row of the table.
struct Row<'a> {
    method: &'a str,
    path: &'a str,
    about: &'a str,
    wanted: Vec<u16>,
}

fn rows() -> Vec<Row<'static>> {
    let lines = TABLE.lines().map(str::trim).filter(|line| !line.is_empty()).skip(1);
    lines
        .map(|line| {
            let (what, statuses) = line.split_once('|').unwrap();
            let [method, path, about] = what.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
            let wanted: Vec<u16> = statuses
                .split_whitespace()
                .filter(|word| *word != "|")
                .map(|word| word.parse().unwrap())
                .collect();
            assert_eq!(wanted.len(), Role::ALL.len(), "{line}");
            Row { method, path, about, wanted }
        })
        .collect()
}

#[test]
fn every_route_has_its_row_and_every_row_its_route() {
    let routes: BTreeSet<String> =
        gateway::endpoints().iter().map(|(method, path)| format!("{method} {path}")).collect();
    let count = rows().len();
    let rows: BTreeSet<String> = rows().iter().map(|row| format!("{} {}", row.method, row.path)).collect();
    assert_eq!(rows, routes);
    assert_eq!(rows.len(), count, "a row twice");
}

#[tokio::test]
async fn everyone_gets_what_the_table_says_and_nothing_else() {
    let scene = Scene::set().await;
    let mut wrong = Vec::new();
    for row in rows() {
        for (role, wanted) in Role::ALL.into_iter().zip(&row.wanted) {
            let found = scene.ask(row.method, row.path, row.about, role).await;
            if found != *wanted {
                wrong.push(format!("{} {} as {role:?}: {found}, not {wanted}", row.method, row.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn unknown_methods_and_paths_of_the_api_are_refused_in_its_own_shape() {
    let scene = Scene::set().await;
    let ask = async |method: &str, path: &str| {
        let response = scene.request(method, path).send().await.unwrap();
        let (status, allow) = (response.status().as_u16(), response.headers().get("allow").cloned());
        let text = response.text().await.unwrap();
        (status, allow.map(|allow| allow.to_str().unwrap().to_owned()), text)
    };
    let (status, allow, text) = ask("PUT", "/api/v1/whoami").await;
    assert_eq!((status, allow.as_deref()), (405, Some("GET,HEAD")));
    assert_eq!(text, r#"{"error":{"code":"method_not_allowed","message":"not with PUT"}}"#);
    for path in ["/api", "/api/v1", "/api/v1/nothing", "/api/v2/jobs"] {
        let (status, _, text) = ask("GET", path).await;
        assert_eq!(
            (status, text.as_str()),
            (404, r#"{"error":{"code":"not_found","message":"no such endpoint"}}"#)
        );
    }
    let (status, _, text) = ask("DELETE", "/job/send-job").await;
    assert_eq!((status, text.as_str()), (405, r#"{"error":"not with DELETE"}"#));
}
