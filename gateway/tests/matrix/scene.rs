//! The callers and things of the matrix.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering},
};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use jobs::{
    Cause, JobId, Outcome, Repo, UserId,
    accounts::{ALL_SCOPES, OPERATOR, Scope},
    bucket::{Bucket, Entry},
    streams,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Client, Method, StatusCode, header, redirect::Policy};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{Answered as _, PATIENCE, Service, described::RequestBuilder, push};

/// Nobody answers there, and nobody is asked: the address is private.
pub(crate) const URL: &str = "https://127.0.0.1/a/pi.git";
/// Digits of commits that are built.
const BUILT: [&str; 2] = ["a", "b"];

/// The caller of a request. What follows the admin are the owner's: tokens of sign-ins, and API tokens with one scope each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Anonymous,
    Bad,
    Expired,
    Other,
    Claimant,
    Viewer,
    Owner,
    Admin,
    SignedIn,
    SignInExpired,
    SignInEnded,
    Only(Scope),
}

impl Role {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 16] = [
        Self::Anonymous,
        Self::Bad,
        Self::Expired,
        Self::Other,
        Self::Claimant,
        Self::Viewer,
        Self::Owner,
        Self::Admin,
        Self::SignedIn,
        Self::SignInExpired,
        Self::SignInEnded,
        Self::Only(Scope::JobsRead),
        Self::Only(Scope::JobsWrite),
        Self::Only(Scope::Repos),
        Self::Only(Scope::Admin),
        Self::Only(Scope::Invoke),
    ];
}

/// Where a role stands in the table.
fn place(role: Role) -> usize {
    Role::ALL.iter().position(|known| *known == role).unwrap()
}

/// A gateway with everybody on it.
pub(crate) struct Scene {
    pub(crate) service: Service,
    http: Client,
    tokens: Vec<Option<String>>,
    /// The owner's full token, which makes things.
    pub(crate) owner: String,
    viewer: UserId,
    done: JobId,
    /// The secret of the claimant's registration.
    claim: String,
    /// Every request comes from an address of its own, so that none is rate-limited for others.
    from: AtomicU32,
}

impl Scene {
    pub(crate) async fn set() -> Self {
        let service = Service::with(&[
            ("GITFAAS_TRUSTED_PROXIES", "127.0.0.0/8"),
            ("GITFAAS_MAX_REPOS_PER_USER", "10000"),
            ("GITFAAS_MAX_TOKENS_PER_USER", "10000"),
        ])
        .await;
        let owner = service.user("owner@example.com").await;
        let viewer_token = service.user("viewer@example.com").await;
        let accounts = &service.ledger.accounts;
        let id = async |email: &str| accounts.find(OPERATOR, email).await.unwrap().unwrap().value.id;
        let (owner_id, viewer) = (id("owner@example.com").await, id("viewer@example.com").await);
        let made = async |scopes: &[Scope], expires_at| {
            let made = accounts.make_token(owner_id, "matrix", scopes, expires_at).await.unwrap();
            Some(made.1.expose().to_owned())
        };
        let past = Timestamp::now() - SignedDuration::from_secs(1);
        let mut tokens = Vec::new();
        for role in Role::ALL {
            tokens.push(match role {
                Role::Anonymous => None,
                Role::Bad => Some(format!("gft_{}_{}", "0".repeat(32), "0".repeat(40))),
                Role::Expired => made(&ALL_SCOPES, Some(past)).await,
                Role::Other => Some(service.user("other@example.com").await),
                Role::Claimant => Some(service.user("claimant@example.com").await),
                Role::Viewer => Some(viewer_token.clone()),
                Role::Owner => Some(owner.clone()),
                Role::Admin => Some(service.admin().await),
                Role::Only(scope) => made(&[scope], None).await,
                // Made below.
                Role::SignedIn | Role::SignInExpired | Role::SignInEnded => None,
            });
        }
        let http = Client::builder().redirect(Policy::none()).timeout(PATIENCE).build().unwrap();
        let from = AtomicU32::new(u32::from(Ipv4Addr::new(198, 18, 0, 0)));
        let (done, claim) = (JobId::new(), String::new());
        let mut scene = Self { service, http, tokens, owner, viewer, done, claim, from };
        scene.claim = scene.claim().await;
        let repo = scene.repo().await["id"].as_str().unwrap().to_owned();
        scene.done = scene.service.submit(&scene.owner, &repo).await;
        scene.service.run(scene.done, "a line\n", b"3.14").await;
        let signed_in = scene.sign_in().await;
        // Signed anew it is taken, so what is refused of the other is its time alone.
        let same = scene.dated(&signed_in, SignedDuration::ZERO);
        scene.service.get("/api/v1/whoami", &same).says(StatusCode::OK).await;
        let expired = scene.dated(&signed_in, SignedDuration::from_hours(-2));
        let ended = scene.sign_in().await;
        let logout = scene.request("POST", "/api/v1/auth/logout").bearer_auth(&ended);
        logout.says(StatusCode::NO_CONTENT).await;
        for (role, token) in
            [(Role::SignedIn, signed_in), (Role::SignInExpired, expired), (Role::SignInEnded, ended)]
        {
            scene.tokens[place(role)] = Some(token);
        }
        scene
    }

    /// A token of a new sign-in of the owner's: a device's, which needs no provider.
    async fn sign_in(&self) -> String {
        let begun = self.request("POST", "/oauth/device").answers(StatusCode::OK).await;
        let word = self.word("/", &self.owner).await;
        let user_code = begun["user_code"].as_str().unwrap();
        let yes = [("form", word.as_str()), ("user_code", user_code), ("answer", "allow")];
        let cookie = format!("gitfaas_session={}", self.owner);
        let page = self.request("POST", "/device").header(header::COOKIE, cookie).form(&yes);
        page.says(StatusCode::OK).await;
        let code = begun["device_code"].as_str().unwrap();
        let form = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code)];
        let granted = self.request("POST", "/oauth/token").form(&form).answers(StatusCode::OK).await;
        granted["access_token"].as_str().unwrap().to_owned()
    }

    /// The same token as if it had been given so much later, signed with the gateway's own key.
    fn dated(&self, token: &str, later: SignedDuration) -> String {
        let claims = token.split('.').nth(1).unwrap();
        let mut claims: Value =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        for name in ["iat", "exp"] {
            claims[name] = json!(claims[name].as_i64().unwrap() + later.as_secs());
        }
        let mut seed = Hmac::<Sha256>::new_from_slice(&self.service.master_key()).unwrap();
        seed.update(b"gitfaas tokens\x01");
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed.finalize().into_bytes()).unwrap();
        let key = EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref());
        let header = Header { typ: Some("at+jwt".to_owned()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &claims, &key).unwrap()
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let from = Ipv4Addr::from(self.from.fetch_add(1, Ordering::Relaxed));
        let url = format!("http://{}{path}", self.service.address);
        let method: Method = method.parse().unwrap();
        RequestBuilder::from(self.http.request(method, url)).header("x-forwarded-for", from.to_string())
    }

    pub(crate) fn token(&self, role: Role) -> Option<&str> {
        self.tokens[place(role)].as_deref()
    }

    /// A registration of the owner's, which the viewer views.
    pub(crate) async fn repo(&self) -> Value {
        let repo = self.service.register(&self.owner, json!({ "url": URL })).await;
        let viewers = vec![self.viewer];
        let seen = |entry: &Entry<Repo>| Some(Repo { viewers: viewers.clone(), ..entry.value.clone() });
        self.service.ledger.repos.change(repo["id"].as_str().unwrap(), seen).await.unwrap();
        repo
    }

    /// Registers the owner's repository for the claimant, in each way that there is; returns a secret.
    async fn claim(&self) -> String {
        let token = self.token(Role::Claimant).unwrap();
        let with_token = json!({ "url": URL, "forge": "gitea", "token": "none-of-the-forge's" });
        let claimed = self.service.register(token, with_token).await;
        assert_eq!(claimed["posts"], false, "{claimed}");
        let plain = self.service.register(token, json!({ "url": URL })).await;
        plain["secret"].as_str().unwrap().to_owned()
    }

    /// A job of the owner's repository that waits.
    async fn job(&self) -> String {
        let repo = self.repo().await;
        self.service.submit(&self.owner, repo["id"].as_str().unwrap()).await.to_string()
    }

    /// A repository of the owner's of which these commits are built.
    async fn built(&self) -> String {
        let id = self.repo().await["id"].as_str().unwrap().to_owned();
        let js = &self.service.ledger.js;
        let versions = Bucket::<Value>::open(js, streams::VERSIONS).await.unwrap();
        for commit in BUILT {
            versions
                .create(&format!("{id}._.{}", commit.repeat(40)), &json!({ "job": self.done }))
                .await
                .unwrap();
        }
        id
    }

    /// A push to the owner's repository.
    async fn delivery(&self) -> String {
        let repo = self.repo().await;
        let (id, secret) = (repo["id"].as_str().unwrap(), repo["secret"].as_str().unwrap());
        let body = push(URL, "0", "1");
        let taken = self.service.deliver(id, secret, "push", "d-1", &body).send().await.unwrap();
        let taken: Value = taken.json().await.unwrap();
        taken["delivery"].as_str().unwrap().to_owned()
    }

    /// Another token of the owner's.
    async fn spare(&self) -> String {
        let wish = json!({ "name": "spare" });
        let made = self.service.post("/api/v1/tokens", &self.owner, &wish).answers(StatusCode::CREATED).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// The id in the path, made for this request.
    async fn thing(&self, about: &str) -> String {
        match about {
            "-" => String::new(),
            "done" => self.done.to_string(),
            "job" => self.job().await,
            // Of its own: what is about to be removed is nobody else's.
            "over" => {
                let job = self.job().await;
                let cancelled = Outcome::wished(Cause::Cancelled, "cancelled");
                let ended = self.service.ledger.end(job.parse().unwrap(), &cancelled).await;
                ended.unwrap().expect("it was just made").value.spec.id.to_string()
            }
            "repo" => self.repo().await["id"].as_str().unwrap().to_owned(),
            "secret" => {
                let id = self.repo().await["id"].as_str().unwrap().to_owned();
                let path = format!("/api/v1/repos/{id}/secrets/KEY");
                let put = self.request("PUT", &path).bearer_auth(&self.owner).body("hunter2");
                put.says(StatusCode::CREATED).await;
                id
            }
            "built" => self.built().await,
            "called" => {
                let id = self.built().await;
                let repo = self.request("GET", &format!("/api/v1/repos/{id}")).bearer_auth(&self.owner);
                let function = repo.answers(StatusCode::OK).await["function"].as_str().unwrap().to_owned();
                format!("{function}@{}", BUILT[0].repeat(40))
            }
            // Twice, so that it can be moved back.
            "moved" => {
                let id = self.built().await;
                let path = format!("/api/v1/repos/{id}/aliases/live");
                for commit in BUILT {
                    let put = self.request("PUT", &path).bearer_auth(&self.owner);
                    put.json(&json!({ "version": commit.repeat(40) })).send().await.unwrap();
                }
                id
            }
            "delivery" => self.delivery().await,
            "token" => self.spare().await,
            other => panic!("nothing is called {other}"),
        }
    }

    /// The word that forms of this session carry, if it gets to see the page at `path`.
    async fn word(&self, path: &str, token: &str) -> String {
        let home = self.request("GET", path).header(header::COOKIE, format!("gitfaas_session={token}"));
        let page = home.send().await.unwrap().text().await.unwrap();
        let word = page.split("name=\"form\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        word.unwrap_or_default().to_owned()
    }

    /// Sends a request with this role, and returns the status.
    pub(crate) async fn ask(&self, method: &str, path: &str, about: &str, role: Role) -> u16 {
        let id = self.thing(about).await;
        let fresh = match (role, path) {
            // It ends the sign-in, and the next rows need theirs.
            (Role::SignedIn, "/api/v1/auth/logout") => Some(self.sign_in().await),
            _ => None,
        };
        if role == Role::Claimant && path.starts_with("/webhooks/") {
            let hook = if path.ends_with("/github") { "github" } else { &id };
            let delivery = self.service.deliver(hook, &self.claim, "push", "claimed", &push(URL, "0", "9"));
            return delivery.send().await.unwrap().status().as_u16();
        }
        let token = fresh.as_deref().or(self.token(role));
        self.send(method, path, &id, token).await.status().as_u16()
    }

    /// Asks with this token, about the thing with this id.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        id: &str,
        token: Option<&str>,
    ) -> reqwest::Response {
        let name = if path.starts_with("/assets/") { "style.css" } else { "KEY" };
        let mut at = path
            .replace("{id}", id)
            .replace("{*path}", id)
            .replace("{name}", name)
            .replace("{alias}", "live");
        if path == "/api/v1/deliveries" {
            at = format!("{at}?repo={id}");
        }
        let is_page = ["/", "/device", "/link", "/login", "/logout"].contains(&path)
            || ["/jobs/", "/deliveries/", "/tokens"].iter().any(|beginning| path.starts_with(beginning));
        let request = self.request(method, &at);
        let request = match token {
            Some(token) if is_page => request.header(header::COOKIE, format!("gitfaas_session={token}")),
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let request = match (method, path) {
            // Nobody runs what is called here.
            ("POST", "/f/{*path}") => request.header("prefer", "respond-async"),
            ("POST", "/login") => request.form(&[("token", token.unwrap_or_default())]),
            ("POST", _) if is_page => {
                let word = match token {
                    Some(token) if path.starts_with("/tokens") => self.word("/tokens", token).await,
                    Some(token) => self.word("/", token).await,
                    None => String::new(),
                };
                let fields = [("user_code", "BCDF-GHJK"), ("answer", "allow"), ("scope", "jobs:read")];
                request.form(&[&[("form", word.as_str())], &fields[..]].concat())
            }
            ("POST", "/job/send-job") => request.json(&json!({ "URL": URL })),
            ("GET", "/job/job-status" | "/job/result") => request.json(&json!({ "jobID": id })),
            ("POST", "/api/v1/jobs") => request.json(&json!({ "repo": id })),
            ("POST", "/api/v1/repos") => request.json(&json!({ "url": URL })),
            ("PATCH", _) => request.json(&json!({ "name": "renamed" })),
            ("PUT", "/api/v1/repos/{id}/aliases/{alias}") => {
                request.json(&json!({ "version": BUILT[0].repeat(40) }))
            }
            ("PUT", _) => request.body("hunter2"),
            ("POST", "/api/v1/deliveries/{id}/approve") => request.json(&json!({ "sha": "1".repeat(40) })),
            ("POST", "/api/v1/tokens") => request.json(&json!({ "name": "matrix" })),
            ("POST", "/api/v1/auth/refresh") => request.json(&json!({ "refresh_token": "gfr_00_00" })),
            _ => request,
        };
        request.send().await.unwrap()
    }
}
