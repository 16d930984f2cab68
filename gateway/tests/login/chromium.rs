//! In a real browser: Chromium without a screen, driven by `chromedriver`.

use fantoccini::Locator;
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    PUBLIC,
    provider::Provider,
    service,
    support::{
        Answered as _,
        chromium::{Driver, element, text},
    },
};

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
