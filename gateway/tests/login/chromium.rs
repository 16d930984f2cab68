//! In a real browser: Chromium without a screen, driven by `chromedriver`.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    PUBLIC,
    provider::Provider,
    service,
    support::{Answered as _, Service},
};

/// Ended on drop, and the browser with it.
struct Driver {
    process: Child,
    url: String,
    profile: TempDir,
}

impl Driver {
    fn start() -> Self {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver runs: scripts/test installs Debian's chromium-driver");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines
            .by_ref()
            .find_map(|line| {
                let line = line.unwrap();
                let (_, port) = line.split_once("started successfully on port ")?;
                Some(port.trim_end_matches('.').to_owned())
            })
            .unwrap();
        // What it says from here on must be read, or it would end with it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, url: format!("http://127.0.0.1:{port}"), profile: tempfile::tempdir().unwrap() }
    }

    /// A browser in which the gateway's name leads to this service.
    async fn browser(&self, service: &Service) -> Client {
        let arguments = [
            "--headless=new".to_owned(),
            // As root, and in containers, Chromium's own sandbox cannot be made; it only sees our pages.
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-proxy-server".to_owned(),
            "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable".to_owned(),
            format!("--host-resolver-rules=MAP gitfaas.test {}", service.address),
            format!("--user-data-dir={}", self.profile.path().display()),
        ];
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("an object was written") };
        ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&self.url).await.unwrap()
    }

    /// What the browser has written into its console: what a page's policy forbids is told there.
    async fn console(&self, browser: &Client) -> Vec<String> {
        let session = browser.session_id().await.unwrap().unwrap();
        let request = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = request.post(format!("{}/session/{session}/se/log", self.url));
        let answer: Value =
            request.json(&json!({ "type": "browser" })).send().await.unwrap().json().await.unwrap();
        let entries = answer["value"].as_array().unwrap();
        entries.iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    async fn nothing_was_forbidden(&self, browser: &Client) {
        let mut lines = self.console(browser).await;
        lines.retain(|line| line.contains("Content Security Policy"));
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits for an element.
async fn element(browser: &Client, css: &str) -> fantoccini::elements::Element {
    browser.wait().for_element(Locator::Css(css)).await.unwrap()
}

async fn text(browser: &Client) -> String {
    element(browser, "body").await.text().await.unwrap()
}

#[tokio::test]
async fn a_person_signs_in_in_chromium_uses_the_token_and_signs_out() {
    let provider = Provider::start();
    let service = service(&provider.issuer, &[]).await;
    let driver = Driver::start();
    let browser = driver.browser(&service).await;

    // A page that needs somebody offers to sign in, and is where one is afterwards.
    let path = "/jobs/0197a000-0000-7000-8000-000000000001";
    browser.goto(&format!("{PUBLIC}{path}")).await.unwrap();
    element(&browser, "a.button").await.click().await.unwrap();
    element(&browser, "input[name=login]").await.send_keys("ada@example.com").await.unwrap();
    element(&browser, "input[name=password]").await.send_keys("any").await.unwrap();
    element(&browser, "button[type=submit]").await.click().await.unwrap();
    element(&browser, "input[name=prompt][value=consent]").await;
    element(&browser, "button[type=submit]").await.click().await.unwrap();
    let back = format!("{PUBLIC}{path}").parse().unwrap();
    browser.wait().for_url(&back).await.unwrap();
    assert!(text(&browser).await.contains("no such job"), "{}", text(&browser).await);

    // Scripts of a page, ours or planted, see nothing of the session.
    let cookies = browser.execute("return document.cookie", vec![]).await.unwrap();
    assert_eq!(cookies, "");
    let session = browser.get_named_cookie("gitfaas_session").await.unwrap();
    assert_eq!(session.http_only(), Some(true));

    // The page at the end of a sign-in shows a token that programs use.
    browser.goto(&format!("{PUBLIC}/oauth/authorize")).await.unwrap();
    let token = element(&browser, "pre").await.text().await.unwrap();
    let body = json!({ "URL": "https://example.com/a/pi.git" });
    let sent = service.post("/job/send-job", &token, &body).answers(StatusCode::OK).await;
    let job = sent["jobID"].as_str().unwrap();
    browser.goto(&format!("{PUBLIC}/jobs/{job}")).await.unwrap();
    assert!(text(&browser).await.contains("example.com/a/pi"), "{}", text(&browser).await);
    element(&browser, "form[action$='/cancel'] button").await.click().await.unwrap();
    element(&browser, "form[action$='/rerun'] button").await;
    browser.goto(&format!("{PUBLIC}/jobs/{job}")).await.unwrap();
    assert!(text(&browser).await.contains("cancelled"), "{}", text(&browser).await);

    // A token that stays is made and revoked with a click each.
    browser.goto(PUBLIC).await.unwrap();
    element(&browser, "a[href='/tokens']").await.click().await.unwrap();
    element(&browser, "input[name=name]").await.send_keys("ci").await.unwrap();
    element(&browser, "input[value='jobs:read']").await.click().await.unwrap();
    element(&browser, "form.wishes button").await.click().await.unwrap();
    let kept = element(&browser, "#new-token").await.text().await.unwrap();
    service.get("/api/v1/jobs", &kept).answers(StatusCode::OK).await;
    element(&browser, "form[action$='/revoke'] button").await.click().await.unwrap();
    browser.wait().for_url(&format!("{PUBLIC}/tokens").parse().unwrap()).await.unwrap();
    browser.wait().for_element(Locator::XPath("//p[contains(., 'You have none yet')]")).await.unwrap();
    service.get("/api/v1/jobs", &kept).answers(StatusCode::UNAUTHORIZED).await;

    browser.goto(PUBLIC).await.unwrap();
    assert!(text(&browser).await.contains("ada@example.com"));
    element(&browser, "form[action='/logout'] button").await.click().await.unwrap();
    element(&browser, "a.button").await;
    assert!(browser.get_named_cookie("gitfaas_session").await.is_err());
    service.get("/api/v1/whoami", &token).answers(StatusCode::UNAUTHORIZED).await;

    driver.nothing_was_forbidden(&browser).await;
    browser.close().await.unwrap();
}

#[tokio::test]
async fn the_button_that_links_an_account_leads_to_the_provider_and_back() {
    let provider = Provider::start();
    let service = service(&provider.issuer, &[]).await;
    let token = service.user("bob@example.com").await;
    let driver = Driver::start();
    let browser = driver.browser(&service).await;
    browser.goto(PUBLIC).await.unwrap();
    element(&browser, "#token").await.send_keys(&token).await.unwrap();
    element(&browser, "form[action='/login'] button").await.click().await.unwrap();
    // The page in between goes on by itself.
    element(&browser, "form[action='/link'] button").await.click().await.unwrap();
    element(&browser, "input[name=login]").await.send_keys("ada@example.com").await.unwrap();
    element(&browser, "input[name=password]").await.send_keys("any").await.unwrap();
    element(&browser, "button[type=submit]").await.click().await.unwrap();
    element(&browser, "input[name=prompt][value=consent]").await;
    element(&browser, "button[type=submit]").await.click().await.unwrap();
    browser.wait().for_url(&format!("{PUBLIC}/").parse().unwrap()).await.unwrap();
    assert!(text(&browser).await.contains("bob@example.com"), "{}", text(&browser).await);
    driver.nothing_was_forbidden(&browser).await;
    browser.close().await.unwrap();
}
