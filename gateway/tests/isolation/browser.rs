//! In Chromium: the answer of a function reaches nothing of the person who opens it.

use fantoccini::{Client, Locator};
use jobs::Outcome;
use serde_json::{Value, json};

use crate::support::{
    Answered as _,
    chromium::{Driver, element},
    function::Function,
};

/// The gateway's public address here.
const PUBLIC: &str = "http://gitfaas.test";
/// A page that tries what a page of the gateway's own origin could do.
const PAGE: &[u8] = br#"Content-Type: text/html; charset=utf-8
Set-Cookie: planted=1; Path=/
Set-Cookie: gitfaas_session=planted; Path=/
Content-Security-Policy: default-src * 'unsafe-inline'; sandbox allow-scripts allow-same-origin
Access-Control-Allow-Origin: http://gitfaas.test
Access-Control-Allow-Credentials: true

<!doctype html><title>before</title>
<p id="said">answered</p>
<script>document.title = "ran"</script>
<img src="/assets/none.png" onerror="document.title = 'ran'">
<script src="/f/pi/script.js"></script>
<iframe src="/" onload="document.title = 'ran'"></iframe>
<iframe src="/f/pi/frame"></iframe>
<form action="/logout" method="post"><button>Go on</button></form>
"#;
/// Fetches an address with the person's cookies, and says what it got.
const FETCH: &str = "const request = new XMLHttpRequest(); request.withCredentials = true; \
    try { request.open('GET', arguments[0], false); request.send(); return request.responseText } \
    catch (error) { return error.name }";
/// Adds a script of a function's to a page, and says whether it was taken.
const INCLUDE: &str = "const done = arguments[1], script = document.createElement('script'); \
    script.src = arguments[0]; script.onload = () => done('taken'); script.onerror = () => done('refused'); \
    document.head.append(script)";

async fn says(browser: &Client, script: &str, arguments: Vec<Value>) -> Value {
    browser.execute(script, arguments).await.unwrap()
}

#[tokio::test]
async fn a_signed_in_person_opens_a_function_that_reaches_nothing_of_theirs() {
    let public_url = [("GITFAAS_PUBLIC_URL", PUBLIC)];
    let function = Function::public(&public_url, json!({ "response": "cgi" })).await;
    let driver = Driver::start();
    let browser = driver.browser(&function.service).await;
    browser.goto(PUBLIC).await.unwrap();
    element(&browser, "#token").await.send_keys(&function.token).await.unwrap();
    element(&browser, "form[action='/login'] button").await.click().await.unwrap();
    browser.wait().for_element(Locator::Css("form[action='/logout']")).await.unwrap();
    let session = browser.get_named_cookie("gitfaas_session").await.unwrap();
    let session = session.value().to_owned();

    let address = format!("{PUBLIC}/f/pi");
    let (opened, job) = tokio::join!(browser.goto(&address), function.run(PAGE, &Outcome::Finished));
    opened.unwrap();
    let jobs = function.service.all_jobs().await.len();
    assert_eq!(element(&browser, "#said").await.text().await.unwrap(), "answered");
    assert_eq!(browser.title().await.unwrap(), "before", "no script of it runs");
    let told = function.told(job.spec.id).await;
    assert!(!told.iter().any(|(_, value)| value.contains(&session)), "{told:?}");
    assert!(!told.iter().any(|(name, _)| name == "HTTP_COOKIE"), "{told:?}");

    // Even a script that runs, as this one of the driver's, is of no origin.
    assert_eq!(says(&browser, "return window.origin", vec![]).await, "null");
    let cookies = "try { return document.cookie } catch (error) { return error.name }";
    assert_eq!(says(&browser, cookies, vec![]).await, "SecurityError");
    let stored = "try { return localStorage.length } catch (error) { return error.name }";
    assert_eq!(says(&browser, stored, vec![]).await, "SecurityError");
    for path in ["/", "/api/v1/whoami", "/f/pi", "/f/pi/-/calls/x"] {
        let got = says(&browser, FETCH, vec![json!(format!("{PUBLIC}{path}"))]).await;
        assert_eq!(got, "NetworkError", "{path}");
    }
    // A frame that is refused holds an error page of another origin, which cannot be looked into.
    let frames =
        "return [...document.querySelectorAll('iframe')].map(frame => frame.contentDocument === null)";
    assert_eq!(says(&browser, frames, vec![]).await, json!([true, true]));
    element(&browser, "form button").await.click().await.unwrap();
    assert_eq!(browser.current_url().await.unwrap().as_str(), address, "nor is a form sent");
    let refused = driver.console(&browser).await;
    for what in ["'allow-scripts' permission is not set", "'allow-forms' permission is not set", "Framing"] {
        assert!(refused.iter().any(|line| line.contains(what)), "{what}: {refused:#?}");
    }
    assert!(browser.get_named_cookie("planted").await.is_err(), "a cookie of the function's");
    assert_eq!(browser.get_named_cookie("gitfaas_session").await.unwrap().value(), session);

    // Nor does a page of ours take a script of it.
    browser.goto(PUBLIC).await.unwrap();
    element(&browser, "form[action='/logout']").await;
    let script = json!(format!("{PUBLIC}/f/pi/script.js"));
    let included = browser.execute_async(INCLUDE, vec![script]).await.unwrap();
    assert_eq!(included, "refused");
    let refused = driver.console(&browser).await;
    assert!(refused.iter().any(|line| line.contains("script-src")), "{refused:#?}");
    assert_eq!(function.service.all_jobs().await.len(), jobs, "none of all that was a call");
    function.service.get("/api/v1/whoami", &function.token).answers(reqwest::StatusCode::OK).await;
    browser.close().await.unwrap();
}
