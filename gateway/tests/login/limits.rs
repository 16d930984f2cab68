//! Nobody fills the ledger by beginning to sign in.

use reqwest::{Method, StatusCode};

use crate::support::{Answered as _, Service};

#[tokio::test]
async fn only_so_many_devices_begin_in_a_minute() {
    let service = Service::start().await;
    for _ in 0..120 {
        service.request(Method::POST, "/oauth/device").says(StatusCode::OK).await;
    }
    service.request(Method::POST, "/oauth/device").says(StatusCode::TOO_MANY_REQUESTS).await;
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
