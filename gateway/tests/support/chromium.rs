//! Chromium without a screen, driven by `chromedriver`.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Service;

/// Ended on drop, and the browser with it.
pub(crate) struct Driver {
    process: Child,
    url: String,
    profile: TempDir,
}

impl Driver {
    pub(crate) fn start() -> Self {
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
    pub(crate) async fn browser(&self, service: &Service) -> Client {
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
    pub(crate) async fn console(&self, browser: &Client) -> Vec<String> {
        let session = browser.session_id().await.unwrap().unwrap();
        let request = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = request.post(format!("{}/session/{session}/se/log", self.url));
        let answer: Value =
            request.json(&json!({ "type": "browser" })).send().await.unwrap().json().await.unwrap();
        let entries = answer["value"].as_array().unwrap();
        entries.iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn nothing_was_forbidden(&self, browser: &Client) {
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
pub(crate) async fn element(browser: &Client, css: &str) -> fantoccini::elements::Element {
    browser.wait().for_element(Locator::Css(css)).await.unwrap()
}

pub(crate) async fn text(browser: &Client) -> String {
    element(browser, "body").await.text().await.unwrap()
}
