//! Nobody fills the ledger by beginning to sign in.

use reqwest::{Method, StatusCode};

use crate::support::Service;

/// Somebody at this address begins.
async fn begins(service: &Service, address: &str) -> StatusCode {
    let request = service.request(Method::POST, "/oauth/device").header("x-forwarded-for", address);
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn one_address_does_not_keep_devices_elsewhere_from_beginning() {
    let service = Service::with(&[("GITFAAS_TRUSTED_PROXIES", "127.0.0.1")]).await;
    for _ in 0..20 {
        assert_eq!(begins(&service, "192.0.2.1").await, StatusCode::OK);
    }
    for _ in 0..200 {
        assert_eq!(begins(&service, "192.0.2.1").await, StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(begins(&service, "192.0.2.2").await, StatusCode::OK);
}

#[tokio::test]
async fn only_so_many_devices_begin_in_a_minute_wherever_they_are() {
    let service = Service::with(&[("GITFAAS_TRUSTED_PROXIES", "127.0.0.1")]).await;
    for i in 0..120 {
        assert_eq!(begins(&service, &format!("192.0.2.{i}")).await, StatusCode::OK);
    }
    assert_eq!(begins(&service, "192.0.2.200").await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn who_only_begins_leaves_nothing_behind() {
    let double = crate::double::Double::start().await;
    let service = crate::service(&double.issuer, &[]).await;
    let mut browser = crate::browser::Browser::new(&service);
    browser.step("/oauth/authorize").await;
    let store = service.ledger.js.get_key_value(jobs::streams::LOGINS).await.unwrap();
    assert_eq!(store.status().await.unwrap().values(), 0);
}

#[tokio::test]
async fn who_is_one_owner_too_many_is_told_so_and_who_was_there_signs_in() {
    let double = crate::double::Double::start().await;
    let service = crate::service(&double.issuer, &[("GITFAAS_MAX_OWNERS", "2")]).await;
    service.user("b@example.com").await;
    let admin = service.admin().await;
    // Both are known to the gateway once it can show what they take up.
    for email in ["b@example.com", "admin@example.com"] {
        let path = format!("/api/v1/usage?user={email}");
        let known =
            async { while service.get(&path, &admin).send().await.unwrap().status() != StatusCode::OK {} };
        tokio::time::timeout(crate::support::PATIENCE, known).await.unwrap();
    }
    let mut browser = crate::browser::Browser::new(&service);
    let page = browser.visit("/oauth/authorize").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("there are 2 owners, and 2 fit"), "{}", page.text);
    // One that an operator made is no new one.
    double.moves_to("b@example.com");
    assert_eq!(crate::browser::Browser::new(&service).visit("/oauth/authorize").await.status, StatusCode::OK);
}
