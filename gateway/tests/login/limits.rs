//! Sign-ins that are begun and abandoned do not fill the ledger.

use reqwest::{Method, StatusCode, header};

use crate::{browser::Browser, fake_provider::FakeProvider, support::Service};

/// A client at this address begins a sign-in.
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
async fn however_many_addresses_begin_another_one_may() {
    let service = Service::with(&[("GITFAAS_TRUSTED_PROXIES", "127.0.0.1")]).await;
    for i in 0..250 {
        assert_eq!(begins(&service, &format!("192.0.2.{i}")).await, StatusCode::OK);
    }
    assert_eq!(begins(&service, "192.0.2.251").await, StatusCode::OK);
}

/// The bucket of sign-ins in progress.
async fn stored(service: &Service) -> u64 {
    let store = service.ledger.js.get_key_value(jobs::streams::LOGINS).await.unwrap();
    store.status().await.unwrap().values()
}

/// A sign-in from this address that is begun, and refused with this answer of the provider's.
async fn is_refused(service: &Service, address: &str, answer: &str) -> StatusCode {
    let ask = |path: &str| service.request(Method::GET, path).header("x-forwarded-for", address);
    let begun = crate::browser::once(ask("/oauth/authorize")).await;
    let cookie = begun.headers()[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let at_provider = crate::browser::location(&begun).unwrap();
    let state = at_provider.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    let back = ask(&format!("/oauth/callback?state={state}&{answer}")).header(header::COOKIE, cookie);
    crate::browser::once(back).await.status()
}

#[tokio::test]
async fn sign_ins_that_are_refused_leave_nothing_and_shut_it_for_nobody_else() {
    let fake = FakeProvider::start().await;
    let service = crate::service(&fake.issuer, &[("GITFAAS_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let answers = ["error=access_denied", "code=made-up&iss=https://evil.example", ""];
    for n in 0..30 {
        let status = is_refused(&service, "192.0.2.1", answers[n % 3]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{n}");
    }
    for _ in 0..20 {
        let status = is_refused(&service, "192.0.2.1", answers[0]).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(stored(&service).await, 0);
    assert_eq!(Browser::new(&service).visit("/oauth/authorize").await.status, StatusCode::OK);
    assert_eq!(stored(&service).await, 1, "the state that let somebody in");
}

#[tokio::test]
async fn one_account_signs_in_only_so_often() {
    let fake = FakeProvider::start().await;
    let service = crate::service(&fake.issuer, &[]).await;
    for _ in 0..20 {
        assert_eq!(Browser::new(&service).visit("/oauth/authorize").await.status, StatusCode::OK);
    }
    let page = Browser::new(&service).visit("/oauth/authorize").await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS, "{}", page.text);
    assert_eq!(stored(&service).await, 20);
}

#[tokio::test]
async fn who_only_begins_leaves_nothing_behind() {
    let fake = FakeProvider::start().await;
    let service = crate::service(&fake.issuer, &[]).await;
    Browser::new(&service).step("/oauth/authorize").await;
    assert_eq!(stored(&service).await, 0);
}

#[tokio::test]
async fn who_is_one_owner_too_many_is_told_so_and_who_was_there_signs_in() {
    let fake = crate::fake_provider::FakeProvider::start().await;
    let service = crate::service(&fake.issuer, &[("GITFAAS_MAX_OWNERS", "2")]).await;
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
    fake.moves_to("b@example.com");
    assert_eq!(crate::browser::Browser::new(&service).visit("/oauth/authorize").await.status, StatusCode::OK);
}
