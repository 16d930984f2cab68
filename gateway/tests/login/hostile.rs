//! Tokens that lie are refused with a sentence, and nothing is stored.

use reqwest::StatusCode;
use test_case::test_case;

use crate::{
    browser::{Browser, location},
    fake_provider::{FakeProvider, KeyIds, Tamper},
    real::nothing_is_stored,
    service,
    support::Answered as _,
};

#[test_case(Tamper::Signature, "the signature of the id_token is wrong" ; "wrong signature")]
#[test_case(Tamper::Issuer, "the id_token is of another issuer" ; "wrong issuer")]
#[test_case(Tamper::Audience, "the id_token is for another service" ; "wrong audience")]
#[test_case(Tamper::Expired, "the id_token has expired" ; "expired")]
#[test_case(Tamper::NoAlgorithm, "the id_token is signed with none, which is not accepted" ; "no algorithm")]
#[test_case(Tamper::PublicKeyAsSecret, "the id_token is signed with HS256, which is not accepted" ; "public key as secret")]
#[test_case(Tamper::Nonce, "the id_token belongs to another sign-in" ; "swapped nonce")]
#[test_case(Tamper::Unverified, "has no verified e-mail address of yours" ; "unverified address")]
#[tokio::test]
async fn a_token_that_lies_is_refused(lie: Tamper, sentence: &str) {
    let fake = FakeProvider::start().await;
    let service = service(&fake.issuer, &[]).await;
    fake.lies(lie);
    let mut browser = Browser::new(&service);
    let page = browser.visit("/oauth/authorize").await;
    let status = if lie == Tamper::Unverified { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
    assert_eq!(page.status, status, "{}", page.text);
    assert!(page.text.contains(sentence), "{}", page.text);
    assert_eq!(browser.cookie("gitfaas_session"), None);
    nothing_is_stored(&service).await;

    fake.lies(Tamper::Nothing);
    assert_eq!(browser.visit("/oauth/authorize").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_address_that_would_become_another_one_when_it_is_shown_lets_nobody_in() {
    let fake = FakeProvider::start().await;
    let service = service(&fake.issuer, &[("GITFAAS_LOGIN_ALLOW", "@example.com")]).await;
    let long = format!("{}@example.com@evil.example", "x".repeat(188));
    for odd in ["ada@example.co\u{0}m", "\nada@example.com", &long] {
        fake.moves_to(odd);
        let page = Browser::new(&service).visit("/oauth/authorize").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", page.text);
        assert!(page.text.contains("too long, or cannot be printed"), "{}", page.text);
    }
    nothing_is_stored(&service).await;
}

#[tokio::test]
async fn a_provider_may_change_its_keys_and_is_asked_once_a_minute_at_most() {
    let fake = FakeProvider::start().await;
    let service = service(&fake.issuer, &[]).await;
    let mut browser = Browser::new(&service);
    assert_eq!(browser.visit("/oauth/authorize").await.status, StatusCode::OK);
    assert_eq!(browser.visit("/oauth/authorize").await.status, StatusCode::OK);
    assert_eq!(fake.keys_fetched(), 1);
    fake.changes_its_key();
    assert_eq!(browser.visit("/oauth/authorize").await.status, StatusCode::OK);
    assert_eq!(fake.keys_fetched(), 2);
    fake.changes_its_key();
    let page = browser.visit("/oauth/authorize").await;
    assert!(page.text.contains("a key that the provider does not publish"), "{}", page.text);
    assert_eq!(fake.keys_fetched(), 2);
}

#[test_case(KeyIds::Reused ; "an old name for a new key")]
#[test_case(KeyIds::None ; "no names")]
#[tokio::test]
async fn a_provider_may_change_its_key_without_a_new_name(key_ids: KeyIds) {
    let fake = FakeProvider::start().await;
    let service = service(&fake.issuer, &[]).await;
    fake.names_its_keys(key_ids);
    let mut browser = Browser::new(&service);
    assert_eq!(browser.visit("/oauth/authorize").await.status, StatusCode::OK);
    fake.changes_its_key();
    assert_eq!(browser.visit("/oauth/authorize").await.status, StatusCode::OK);
    assert_eq!(fake.keys_fetched(), 2);
    fake.lies(Tamper::Signature);
    let page = browser.visit("/oauth/authorize").await;
    assert!(page.text.contains("the signature of the id_token is wrong"), "{}", page.text);
    assert_eq!(fake.keys_fetched(), 2);
}

#[tokio::test]
async fn a_sign_in_that_one_gateway_began_ends_at_another_and_at_one_alone() {
    let fake = FakeProvider::start().await;
    let service = service(&fake.issuer, &[]).await;
    let other = service.another_with(&crate::variables(&fake.issuer)).await;
    let mut browser = Browser::new(&service);
    let begun = browser.step("/oauth/authorize").await;
    let at_provider = browser.step(location(&begun).unwrap().as_str()).await;
    let callback = location(&at_provider).unwrap();
    let sealed = browser.cookie("gitfaas_login").unwrap().to_owned();
    let page = browser.at_another(&other).visit(callback.as_str()).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);

    let path = format!("{}?{}", callback.path(), callback.query().unwrap());
    for gateway in [&service, &other] {
        let again = gateway.request(reqwest::Method::GET, &path);
        let again = again.header(reqwest::header::COOKIE, format!("gitfaas_login={sealed}"));
        assert!(again.says(StatusCode::BAD_REQUEST).await.contains("was used before"));
    }
}

#[tokio::test]
async fn an_answer_that_names_no_issuer_or_another_one_is_refused() {
    let fake = FakeProvider::start().await;
    let service = service(&fake.issuer, &[]).await;
    for iss in ["", "&iss=https://evil.example"] {
        let mut browser = Browser::new(&service);
        let begun = browser.step("/oauth/authorize").await;
        let address = location(&begun).unwrap();
        let state = address.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
        let page = browser.visit(&format!("/oauth/callback?code=x&state={state}{iss}")).await;
        assert!(page.text.contains("the answer came from another provider"), "{}", page.text);
    }
    nothing_is_stored(&service).await;
}

#[tokio::test]
async fn a_provider_that_calls_itself_otherwise_or_is_away_lets_nobody_in() {
    let fake = FakeProvider::start().await;
    let service = service(&format!("{}/", fake.issuer), &[]).await;
    let page = Browser::new(&service).visit("/oauth/authorize").await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(page.text.contains("GITFAAS_OIDC_ISSUER must be the same"), "{}", page.text);

    let away = crate::service("http://127.0.0.1:1", &[]).await;
    let page = Browser::new(&away).visit("/oauth/authorize").await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(page.text.contains("cannot be reached at the moment"), "{}", page.text);
}

#[tokio::test]
async fn an_issuer_at_an_inner_address_is_asked_only_where_the_operator_allows_it() {
    let fake = FakeProvider::start().await;
    let port = fake.issuer.rsplit(':').next().unwrap();
    let issuer = format!("http://localhost:{port}");
    // Plain http needs the name on the list; then its address need not be.
    let service = service(&issuer, &[("GITFAAS_CLONE_ALLOW", "localhost")]).await;
    let page = Browser::new(&service).visit("/oauth/authorize").await;
    assert!(page.text.contains("it calls itself"), "{}", page.text);
    let issuer = format!("https://127.0.0.1:{port}");
    let service = crate::service(&issuer, &[("GITFAAS_CLONE_ALLOW", "10.0.0.0/8")]).await;
    let page = Browser::new(&service).visit("/oauth/authorize").await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY, "{}", page.text);
}
