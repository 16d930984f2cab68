//! The page of a delivery: whoever may decide about it sees it, and lets run what it shows.

use jobs::{Job, State, Trigger};
use reqwest::{Client, Method, Response, StatusCode, header, redirect::Policy};
use serde_json::{Value, json};

use crate::support::{Answered as _, Service};

const URL: &str = "https://github.com/a/pi.git";

/// A service with a repository of somebody's, whose pull requests from forks are held.
struct Scene {
    service: Service,
    http: Client,
    owner: String,
    repo: String,
    secret: String,
}

impl Scene {
    async fn set() -> Self {
        let service = Service::start().await;
        let owner = service.user("owner@example.com").await;
        let wishes = json!({ "url": URL, "events": ["pull_request"] });
        let repo = service.register(&owner, wishes).await;
        let text = |field: &str| repo[field].as_str().unwrap().to_owned();
        let http = Client::builder().redirect(Policy::none()).build().unwrap();
        let (repo, secret) = (text("id"), text("secret"));
        Self { service, http, owner, repo, secret }
    }

    /// Pull request 5 of a fork comes with the commit of this digit. Returns the delivery's path.
    async fn held(&self, action: &str, digit: &str, before: Option<&str>) -> String {
        let side = |branch: &str, digit: &str, id: u64, name: &str| json!({ "ref": branch, "sha": digit.repeat(40), "repo": { "id": id, "full_name": name } });
        let (head, base) = (side("<b>topic", digit, 8, "x/pi"), side("main", "9", 7, "a/pi"));
        let body = json!({
            "action": action,
            "number": 5,
            "before": before.map(|digit| digit.repeat(40)),
            "pull_request": { "head": head, "base": base, "draft": false },
            "repository": { "id": 7, "full_name": "a/pi", "clone_url": URL },
            "sender": { "login": "mallory" },
        });
        let sent = self.service.deliver(&self.repo, &self.secret, "pull_request", digit, &body.to_string());
        let answer = sent.answers(StatusCode::OK).await;
        assert_eq!(answer["verdict"], "held", "{answer}");
        format!("/deliveries/{}", answer["delivery"].as_str().unwrap())
    }

    /// Asks as a browser that holds this token; without one it is nobody's.
    async fn ask(&self, token: Option<&str>, path: &str) -> Response {
        self.sent(Method::GET, token, path, &[]).await
    }

    async fn sent(&self, method: Method, token: Option<&str>, path: &str, form: &[(&str, &str)]) -> Response {
        let request = self.http.request(method.clone(), format!("http://{}{path}", self.service.address));
        let request = match token {
            Some(token) => request.header(header::COOKIE, format!("gitfaas_session={token}")),
            None => request,
        };
        let request = if method == Method::POST { request.form(form) } else { request };
        request.send().await.unwrap()
    }

    /// Approves the commit of this digit with a form that carries this word.
    async fn approves(&self, token: Option<&str>, path: &str, word: &str, digit: &str) -> Response {
        let sha = digit.repeat(40);
        let form = [("form", word), ("sha", sha.as_str())];
        self.sent(Method::POST, token, &format!("{path}/approve"), &form).await
    }

    /// The word of a session's forms.
    async fn word(&self, token: &str) -> String {
        let home = text(self.ask(Some(token), "/").await, StatusCode::OK).await;
        home.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }
}

async fn text(response: Response, status: StatusCode) -> String {
    let found = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(found, status, "{text}");
    text
}

#[tokio::test]
async fn an_owner_lets_the_commit_run_that_the_page_shows() {
    let scene = Scene::set().await;
    let path = scene.held("opened", "a", None).await;
    let owner = Some(scene.owner.as_str());
    let shown = scene.ask(owner, &path).await;
    let policy = shown.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 127.0.0.1:") && policy.contains("/assets/;"),
        "{policy}"
    );
    let shown = text(shown, StatusCode::OK).await;
    let sha = "a".repeat(40);
    let link = format!("<a href=\"{URL}\" rel=\"noreferrer\">{URL}</a>");
    let commit = format!("<code>{sha}</code>");
    let hidden = format!("<input type=\"hidden\" name=\"sha\" value=\"{sha}\">");
    let expected = [
        "pull request 5",
        "<span class=\"state held\">held</span>",
        "a pull request from a fork waits for an owner",
        link.as_str(),
        commit.as_str(),
        "topic of x/pi",
        "mallory",
        hidden.as_str(),
        "Approve this commit and run it",
    ];
    for part in expected {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains("<b>topic"), "what a stranger wrote is text: {shown}");

    let word = scene.word(&scene.owner).await;
    let approved = scene.approves(owner, &path, &word, "a").await;
    assert_eq!(approved.status(), StatusCode::SEE_OTHER);
    let job = approved.headers()[header::LOCATION].to_str().unwrap().to_owned();
    let id = job.strip_prefix("/jobs/").unwrap().parse().unwrap();
    let record: Job = scene.service.ledger.job(id).await.unwrap().unwrap().value;
    assert_eq!((record.spec.trigger, record.status.state), (Trigger::PullRequest, State::Pending));
    assert_eq!((record.spec.untrusted, record.spec.sha.unwrap().to_string()), (true, sha.clone()));
    text(scene.ask(owner, &job).await, StatusCode::OK).await;

    let after = text(scene.ask(owner, &path).await, StatusCode::OK).await;
    assert!(after.contains(&format!("<a href=\"{job}\">{id}</a>")), "{after}");
    assert!(after.contains("<span class=\"state accepted\">accepted</span>") && !after.contains(&hidden));
    let again = scene.approves(owner, &path, &word, "a").await;
    assert_eq!(again.headers()[header::LOCATION].to_str().unwrap(), job, "approving twice is the same job");
    assert_eq!(scene.service.all_jobs().await.len(), 1);

    let admin = scene.service.admin().await;
    let log = scene.service.get("/api/v1/audit", &admin).answers(StatusCode::OK).await;
    let event = log["items"].as_array().unwrap().iter().find(|event| event["action"] == "delivery_approved");
    let event = event.unwrap();
    assert_eq!((&event["detail"], &event["email"]), (&json!(sha), &json!("owner@example.com")));
    assert_eq!(event["target"].as_str().unwrap(), path.strip_prefix("/deliveries/").unwrap());
}

#[tokio::test]
async fn nobody_else_sees_it_and_only_a_form_of_the_session_approves() {
    let scene = Scene::set().await;
    let path = scene.held("opened", "a", None).await;
    let (owner, stranger) = (scene.owner.as_str(), scene.service.user("other@example.com").await);
    let (of_owner, of_stranger) = (scene.word(owner).await, scene.word(&stranger).await);

    text(scene.ask(Some(&stranger), &path).await, StatusCode::NOT_FOUND).await;
    let by_stranger = scene.approves(Some(&stranger), &path, &of_stranger, "a").await;
    text(by_stranger, StatusCode::NOT_FOUND).await;
    for wrong in ["", "wrong", of_stranger.as_str()] {
        let refused = scene.approves(Some(owner), &path, wrong, "a").await;
        assert!(text(refused, StatusCode::FORBIDDEN).await.contains("this form is not of your session"));
    }

    let next = format!("<input type=\"hidden\" name=\"next\" value=\"{path}\">");
    for asked in [scene.ask(None, &path).await, scene.approves(None, &path, &of_owner, "a").await] {
        let page = text(asked, StatusCode::UNAUTHORIZED).await;
        assert!(page.contains("<h1>Sign in</h1>") && page.contains(&next), "{page}");
        assert!(!page.contains(&"a".repeat(40)));
    }
    let nowhere = text(scene.ask(None, "/deliveries/x").await, StatusCode::UNAUTHORIZED).await;
    assert!(nowhere.contains("name=\"next\" value=\"/\""), "{nowhere}");
    text(scene.ask(Some(owner), "/deliveries/x").await, StatusCode::NOT_FOUND).await;
    assert!(scene.service.all_jobs().await.is_empty());
}

#[tokio::test]
async fn who_may_only_read_sees_it_without_a_form() {
    let scene = Scene::set().await;
    let path = scene.held("opened", "a", None).await;
    let wish = json!({ "name": "reader", "scopes": ["jobs:read"] });
    let made = scene.service.post("/api/v1/tokens", &scene.owner, &wish).answers(StatusCode::CREATED).await;
    let reader = made["token"].as_str().unwrap();
    let shown = text(scene.ask(Some(reader), &path).await, StatusCode::OK).await;
    assert!(shown.contains(&"a".repeat(40)) && !shown.contains("<form"), "{shown}");
    let word = scene.word(reader).await;
    text(scene.approves(Some(reader), &path, &word, "a").await, StatusCode::FORBIDDEN).await;
    assert!(scene.service.all_jobs().await.is_empty());
}

#[tokio::test]
async fn the_page_says_why_a_commit_cannot_be_approved() {
    let scene = Scene::set().await;
    let first = scene.held("opened", "a", None).await;
    let owner = Some(scene.owner.as_str());
    let word = scene.word(&scene.owner).await;
    let says = async |path: &str, sha: &str, status: StatusCode, sentence: &str| {
        let form = [("form", word.as_str()), ("sha", sha)];
        let page = scene.sent(Method::POST, owner, &format!("{path}/approve"), &form).await;
        let page = text(page, status).await;
        assert!(page.contains(sentence), "{page}");
    };
    says(&first, &"b".repeat(40), StatusCode::CONFLICT, "this delivery is of commit aaaa").await;
    says(&first, "aaaa", StatusCode::BAD_REQUEST, "sha: not a full commit id").await;
    says(&first, "", StatusCode::BAD_REQUEST, "sha: the commit is missing").await;
    let second = scene.held("synchronize", "b", Some("a")).await;
    let sentence =
        "<p class=\"problem\" role=\"alert\">a newer commit came before this one was approved: bbbb";
    says(&first, &"a".repeat(40), StatusCode::CONFLICT, sentence).await;
    assert!(scene.service.all_jobs().await.is_empty());
    let approved = scene.approves(owner, &second, &word, "b").await;
    assert_eq!(approved.status(), StatusCode::SEE_OTHER);
    let jobs: Vec<Value> = scene.service.all_jobs().await.iter().map(|job| json!(job.spec.sha)).collect();
    assert_eq!(jobs, [json!("b".repeat(40))]);
}
