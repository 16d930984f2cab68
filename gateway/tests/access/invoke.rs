//! Tokens that call functions and do nothing else.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    URL,
    support::{Answered as _, Service},
};

#[tokio::test]
async fn a_token_is_bound_to_functions_that_its_maker_may_call() {
    let service = Service::start().await;
    let (owner, viewer) = (service.user("owner@example.com").await, service.user("viewer@example.com").await);
    let stranger = service.user("stranger@example.com").await;
    let wishes = json!({ "url": URL, "viewers": ["viewer@example.com"] });
    let repo = service.register(&owner, wishes).await["id"].as_str().unwrap().to_owned();
    let other = service.register(&stranger, json!({ "url": URL })).await["id"].as_str().unwrap().to_owned();
    let make = |token: &str, wish: Value| service.post("/api/v1/tokens", token, &wish);
    let made = async |token: &str, wish: Value| make(token, wish).answers(StatusCode::CREATED).await;
    let refused = async |token: &str, wish: Value| {
        let answer = make(token, wish).answers(StatusCode::BAD_REQUEST).await;
        answer["error"]["message"].as_str().unwrap().to_owned()
    };

    for token in [&owner, &viewer] {
        let bound = made(token, json!({ "name": "shop", "functions": [repo, repo] })).await;
        assert_eq!((&bound["scopes"], &bound["functions"]), (&json!(["invoke"]), &json!([repo])));
        let listed = service.get("/api/v1/tokens", token).answers(StatusCode::OK).await;
        assert_eq!(listed["items"][0]["functions"], json!([repo]));
    }
    let free = made(&owner, json!({ "scopes": ["invoke"] })).await;
    assert!(free.get("functions").is_none(), "{free}");

    for id in [&other, &repo.replace(|c: char| c.is_ascii_digit(), "0"), "nonsense"] {
        let said = refused(&owner, json!({ "functions": [repo, id] })).await;
        assert_eq!(said, "functions[1]: no such repository");
    }
    let only = "functions: a token that is bound to functions has the scope invoke and no other";
    for scopes in [json!(["jobs:read"]), json!(["invoke", "jobs:read"]), json!([])] {
        assert_eq!(refused(&owner, json!({ "scopes": scopes, "functions": [repo] })).await, only);
    }
    let said = refused(&owner, json!({ "functions": [] })).await;
    assert_eq!(said, "functions: name one at least; without the list the token may call every function");

    // A token that may submit jobs makes one, a token that may only read does not.
    let submits = made(&owner, json!({ "scopes": ["jobs:write"] })).await["token"].clone();
    made(submits.as_str().unwrap(), json!({ "functions": [repo] })).await;
    let reads = made(&owner, json!({ "scopes": ["jobs:read"] })).await["token"].clone();
    make(reads.as_str().unwrap(), json!({ "functions": [repo] })).says(StatusCode::FORBIDDEN).await;
}

#[tokio::test]
async fn a_token_for_calls_tells_nothing_of_its_user_and_opens_no_page() {
    let service = Service::start().await;
    let owner = service.user("owner@example.com").await;
    let repo = service.register(&owner, json!({ "url": URL })).await["id"].as_str().unwrap().to_owned();
    let wish = json!({ "name": "shop", "functions": [repo] });
    let made = service.post("/api/v1/tokens", &owner, &wish).answers(StatusCode::CREATED).await;
    let bound = made["token"].as_str().unwrap();
    for path in ["/api/v1/whoami", "/api/v1/tokens", "/api/v1/repos", &format!("/api/v1/repos/{repo}")] {
        let said = service.get(path, bound).says(StatusCode::FORBIDDEN).await;
        assert!(!said.contains("owner@example.com") && !said.contains(&repo), "{said}");
    }
    let form = service.request(reqwest::Method::POST, "/login").form(&[("token", bound)]);
    let page = form.says(StatusCode::FORBIDDEN).await;
    assert!(page.contains("this token may only call functions"), "{page}");

    let page = service.request(reqwest::Method::GET, "/tokens");
    let page = page.header("cookie", format!("gitfaas_session={owner}")).says(StatusCode::OK).await;
    assert!(
        page.contains(&format!("invoke<span class=\"dim\"> of <code>{repo}</code> alone</span>")),
        "{page}"
    );
    assert!(page.contains(r#"name="scope" value="invoke""#), "{page}");
}
