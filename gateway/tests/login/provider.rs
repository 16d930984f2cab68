//! A real provider: npm's `oidc-provider`, certified by the OpenID Foundation, in a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use reqwest::StatusCode;

use crate::{
    REDIRECT,
    browser::{Browser, Page},
};

/// Ended on drop.
pub(crate) struct Provider {
    process: Child,
    pub(crate) issuer: String,
}

impl Provider {
    pub(crate) fn start() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(here.join("../scripts/oidc-provider")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let folder = String::from_utf8(output.stdout).unwrap();
        let folder = folder.trim();
        let mut process = Command::new(Path::new(folder).join("node"))
            .arg(here.join("tests/support/oidc-provider.mjs"))
            .args([folder, REDIRECT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        // What it says from here on must be read, or it would end with it.
        std::thread::spawn(move || lines.for_each(drop));
        let issuer = line.strip_prefix("ready ").unwrap().to_owned();
        Self { process, issuer }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Signs in at the provider as `name`, from wherever in the gateway that begins, to where it ends.
pub(crate) async fn sign_in(browser: &mut Browser, begin: &str, name: &str) -> Page {
    let login = browser.visit(begin).await;
    if login.url.host_str() == Some("gitfaas.test") {
        return login;
    }
    assert_eq!(login.status, StatusCode::OK, "{}", login.text);
    let action = login.url.join(login.between("action=\"", "\"")).unwrap();
    let fields = [("prompt", "login"), ("login", name), ("password", "any")];
    let consent = browser.submit(&action, &fields).await;
    if consent.url.host_str() == Some("gitfaas.test") {
        return consent;
    }
    let action = consent.url.join(consent.between("action=\"", "\"")).unwrap();
    browser.submit(&action, &[("prompt", "consent")]).await
}
