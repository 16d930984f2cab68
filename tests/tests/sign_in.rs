//! From a sign-in at a real identity provider to a result, with the client of the published interface.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use http::{StatusCode, header};
use reqwest::{Response, Url, redirect::Policy};
use serde_json::{Value, json};
use tests::{Api, Function, Published, Service};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// npm's `oidc-provider`, ended on drop.
struct Provider {
    process: Child,
    issuer: String,
}

impl Provider {
    fn start(redirect: &str) -> Self {
        let installed = Command::new(root().join("scripts/oidc-provider")).output().unwrap();
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        let folder = String::from_utf8(installed.stdout).unwrap().trim().to_owned();
        let mut process = Command::new(format!("{folder}/node"))
            .arg(root().join("gateway/tests/support/oidc-provider.mjs"))
            .args([&folder, redirect])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        // What it says from here on must be read, or it would end with it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, issuer: line.strip_prefix("ready ").unwrap().to_owned() }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program that signs a user in as a browser does: cookies per host and port, redirects.
struct Client {
    http: reqwest::Client,
    cookies: BTreeMap<String, BTreeMap<String, String>>,
}

impl Client {
    fn new() -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { http, cookies: BTreeMap::new() }
    }

    async fn visit(&mut self, mut url: Url, mut form: Option<&[(&str, &str)]>) -> (Response, Url) {
        loop {
            let jar = self.cookies.entry(url.authority().to_owned()).or_default();
            let cookies: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let request = match form.take() {
                Some(fields) => self.http.post(url.clone()).form(fields),
                None => self.http.get(url.clone()),
            };
            let response = request.header(header::COOKIE, cookies.join("; ")).send().await.unwrap();
            for line in response.headers().get_all(header::SET_COOKIE) {
                let (name, value) =
                    line.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
                jar.insert(name.to_owned(), value.to_owned());
            }
            let next = response.headers().get(header::LOCATION).map(|next| next.to_str().unwrap());
            match next.map(|next| url.join(next).unwrap()) {
                Some(next) => url = next,
                None => return (response, url),
            }
        }
    }

    /// The token at the end of a sign-in.
    async fn token(&mut self, gateway: &str, name: &str) -> String {
        let (page, url) = self.visit(format!("{gateway}/oauth/authorize").parse().unwrap(), None).await;
        let action = url.join(form_of(&page.text().await.unwrap())).unwrap();
        let fields = [("prompt", "login"), ("login", name), ("password", "any")];
        let (page, url) = self.visit(action, Some(&fields)).await;
        let action = url.join(form_of(&page.text().await.unwrap())).unwrap();
        let (end, url) = self.visit(action, Some(&[("prompt", "consent")])).await;
        assert_eq!((end.status(), url.path()), (StatusCode::OK, "/oauth/callback"));
        end.text().await.unwrap()
    }
}

/// Where a page's form goes.
fn form_of(page: &str) -> &str {
    page.split_once("action=\"").unwrap().1.split_once('"').unwrap().0
}

#[tokio::test]
async fn the_client_of_the_published_interface_works_with_the_token_of_a_sign_in() {
    // The provider is told the redirect address, so the port is known before the gateway has it.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = format!("http://{free}");
    let provider = Provider::start(&format!("{gateway}/oauth/callback"));
    let service = Service::start_with(&[
        ("GITFAAS_LISTEN", &free.to_string()),
        ("GITFAAS_PUBLIC_URL", &gateway),
        ("GITFAAS_OIDC_ISSUER", &provider.issuer),
        ("GITFAAS_OIDC_CLIENT_ID", "gitfaas"),
        ("GITFAAS_OIDC_CLIENT_SECRET", "of-gitfaas"),
    ])
    .await;
    let url = service.function("pi", Function::python("print('3.14')")).await;

    let token = Client::new().token(&gateway, "ada@example.com").await;
    let ada = Published(service.anybody().with_token(&token));
    let sent: Value = ada.send_job(&url, Some("pi")).await.json().await.unwrap();
    let id = sent["jobID"].as_str().unwrap();
    ada.0.finished(id).await;
    assert_eq!(ada.job_status(id).await.text().await.unwrap(), "finish");
    assert_eq!(ada.result(id).await.text().await.unwrap(), "3.14\n");
    let list: Value = ada.list_jobs().await.json().await.unwrap();
    assert_eq!((&list[0]["jobID"], &list[0]["userID"]), (&json!(id), &json!("ada@example.com")));

    let eve = Client::new().token(&gateway, "eve@example.com").await;
    let eve = Published(service.anybody().with_token(&eve));
    Api::json(eve.result(id).await, StatusCode::NOT_FOUND).await;
    let forged = Published(service.anybody().with_token(&format!("{token}x")));
    Api::json(forged.result(id).await, StatusCode::UNAUTHORIZED).await;

    let open = |line: &str| line.contains("sign-in open to every account") && line.contains("127.0.0.1");
    assert!(service.up().output().lines().any(open));
    let signed_out = service.anybody().with_token(&token);
    let out = signed_out.send(signed_out.request(http::Method::POST, "/api/v1/auth/logout")).await;
    assert!(out.status().is_success(), "{out:?}");
    Api::json(ada.list_jobs().await, StatusCode::UNAUTHORIZED).await;
    let audit = Api::json(service.get("/api/v1/audit").await, StatusCode::OK).await;
    let deeds: Vec<_> = audit["items"].as_array().unwrap().iter().collect();
    let of = |action: &str| deeds.iter().filter(|deed| deed["action"] == action).count();
    assert_eq!((of("signed_in"), of("signed_out") + of("session_revoked")), (2, 1), "{audit:#}");
}
