//! GitLab and Gitea from the registration to the check beside the commit, each with its own webhooks and
//! statuses.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use http::{Method, StatusCode};
use serde_json::{Value, json};
use test_case::test_case;
use tests::{
    Api, FakeForge, ForgeKind, Function, Repository, Service,
    fake_forge::{Hook, OWNER, TOKEN},
    git_server::Fault,
    tls::Front,
};

/// A service, and a forge that is reached over TLS: a token goes nowhere without.
struct Scene {
    kind: ForgeKind,
    service: Service,
    front: Front,
}

/// A private repository that is registered with its forge's token.
struct Registered {
    repository: Repository,
    /// The webhook that was made at the forge.
    hook: Hook,
    id: String,
}

impl Scene {
    async fn set(kind: ForgeKind) -> Self {
        let forge = FakeForge::start().await;
        let front = Front::before(forge.url().trim_start_matches("http://")).await;
        // Nobody but the registration has a token here.
        let wishes = [("GITFAAS_GITHUB_TOKEN", ""), ("GITFAAS_CA_BUNDLE", front.ca.to_str().unwrap())];
        Self { kind, service: Service::start_on(forge, &wishes).await, front }
    }

    async fn repository(&self, name: &str) -> Repository {
        let mut repository = self.service.forge.repository(name).await;
        repository.url = format!("{}/{OWNER}/{name}.git", self.front.url);
        let fault = Fault::Private(self.kind.clone_user().to_owned(), TOKEN.to_owned());
        self.service.forge.breaks(&repository, fault);
        repository
    }

    async fn register(&self, repository: &Repository, token: &str) -> Value {
        let wish = json!({ "url": repository.url, "forge": self.kind.name(), "token": token });
        Api::json(self.service.post("/api/v1/repos", &wish).await, StatusCode::CREATED).await
    }

    async fn registered(&self) -> Registered {
        let repository = self.repository("function").await;
        let made = self.register(&repository, TOKEN).await;
        assert_eq!((&made["webhook"], &made["posts"]), (&json!("created"), &json!(true)), "{made}");
        let hooks = self.service.forge.hooks();
        assert_eq!(hooks.len(), 1, "{hooks:#?}");
        assert_eq!(json!(hooks[0].url), made["webhook_url"]);
        Registered { repository, hook: hooks[0].clone(), id: made["id"].as_str().unwrap().to_owned() }
    }
}

#[test_case(ForgeKind::Gitlab; "gitlab")]
#[test_case(ForgeKind::Gitea; "gitea")]
#[tokio::test]
async fn a_push_is_pending_then_green_and_the_webhook_goes_with_the_registration(kind: ForgeKind) {
    let scene = Scene::set(kind).await;
    let (service, Registered { repository, hook, id }) = (&scene.service, scene.registered().await);

    let commit = repository.push(Function::python("print('hello')")).await;
    let (status, answer) = kind.tell(service, &hook, &repository, &commit).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let told = service.forge.final_status(&commit).await;
    assert_eq!((told.context.as_str(), told.state.as_str()), ("gitfaas/push", "success"), "{told:?}");
    assert_eq!(service.forge.statuses(&commit)[0].state, "pending");
    let job = answer["jobs"][0].as_str().unwrap();
    assert_eq!(service.finished(job).await.result(), "hello\n");

    let gone = service.send(service.request(Method::DELETE, &format!("/api/v1/repos/{id}"))).await;
    let gone = Api::json(gone, StatusCode::OK).await;
    assert_eq!(gone["webhook"], "removed");
    assert_eq!(service.forge.hooks(), []);
}

#[test_case(ForgeKind::Gitlab; "gitlab")]
#[test_case(ForgeKind::Gitea; "gitea")]
#[tokio::test]
async fn a_failing_program_is_told_in_the_forges_word_and_a_removed_branch_makes_no_job(kind: ForgeKind) {
    let scene = Scene::set(kind).await;
    let (service, Registered { repository, hook, .. }) = (&scene.service, scene.registered().await);

    let commit = repository.push_to("side", Function::python("raise SystemExit(3)"), "fails").await;
    let (status, answer) = kind.tell(service, &hook, &repository, &commit).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let told = service.forge.final_status(&commit).await;
    assert_eq!((told.state.as_str(), told.description.as_str()), (kind.failed(), "exit code 3"));

    let gone = repository.delete("side").await;
    let (status, answer) = kind.tell(service, &hook, &repository, &gone).await;
    assert_eq!((status, answer["verdict"].as_str()), (StatusCode::OK, Some("ignored")), "{answer}");
    assert_eq!(service.jobs("").await.len(), 1);
}

#[test_case(ForgeKind::Gitlab; "gitlab")]
#[test_case(ForgeKind::Gitea; "gitea")]
#[tokio::test]
async fn a_delivery_with_a_wrong_secret_is_refused_and_a_wrong_token_is_told(kind: ForgeKind) {
    let scene = Scene::set(kind).await;
    let (service, Registered { repository, hook, .. }) = (&scene.service, scene.registered().await);
    let commit = repository.push(Function::python("print('never')")).await;
    let forged = Hook { secret: "somebody else's".to_owned(), ..hook };
    let (status, answer) = kind.tell(service, &forged, &repository, &commit).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    assert!(service.jobs("").await.is_empty());

    let other = scene.repository("other").await;
    let made = scene.register(&other, "none-of-the-forge").await;
    let why = made["webhook"]["error"].as_str().unwrap_or_default();
    assert!(why.starts_with("the forge does not take the token: 401"), "{made}");
    assert_eq!(service.forge.hooks().len(), 1, "the first one's alone");
}
