//! What every page and file tells a browser, and what it never loads.

use reqwest::{Client, Method, Response, StatusCode, header, redirect::Policy};

use crate::{
    URL,
    support::{Answered as _, Service},
};

/// What stands for the assets' folder at the host that was asked.
const PAGE: &str = "default-src 'none'; script-src HOST/assets/; style-src HOST/assets/; img-src HOST/assets/; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const ELSE: &str = "default-src 'none'; frame-ancestors 'none'";
/// What strangers wrote: nothing of it runs, wherever it is opened.
const STRANGE: &str = "sandbox";

struct Browser {
    http: Client,
    at: String,
    cookie: String,
}

impl Browser {
    async fn get(&self, path: &str) -> Response {
        let request = self.http.get(format!("{}{path}", self.at)).header(header::COOKIE, &self.cookie);
        request.send().await.unwrap()
    }
}

/// Every address that a page would load or lead to.
fn addresses(page: &str) -> Vec<&str> {
    let of = |name: &str| -> Vec<&str> {
        page.split(name).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    };
    [of("src=\""), of("href=\""), of("action=\"")].concat()
}

#[tokio::test]
async fn every_page_and_file_has_the_strict_policy_and_loads_nothing_from_elsewhere() {
    let service = Service::with(&[("GITFAAS_PUBLIC_URL", "https://faas.example")]).await;
    let token = service.user("a@example.com").await;
    let id = service.submit(&token, URL).await;
    service.run(id, "<script>alert(1)</script>\n", b"<b>3.14</b>").await;
    let http = Client::builder().redirect(Policy::none()).build().unwrap();
    let at = format!("http://{}", service.address);
    let login = http.post(format!("{at}/login")).form(&[("token", &token)]).send().await.unwrap();
    assert_eq!(login.status(), StatusCode::SEE_OTHER);
    let cookie = login.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    for flag in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let (signed_in, stranger) =
        (Browser { http: http.clone(), at: at.clone(), cookie }, Browser { http, at, cookie: String::new() });
    let job = format!("/jobs/{id}");
    let log = format!("/api/v1{job}/log");
    let result = format!("/api/v1{job}/result");
    let pages: &[(&Browser, &str, &str)] = &[
        (&signed_in, "/", PAGE),
        (&signed_in, &job, PAGE),
        (&signed_in, "/device", PAGE),
        (&signed_in, "/tokens", PAGE),
        (&stranger, "/", PAGE),
        (&stranger, &job, PAGE),
        (&stranger, "/device", PAGE),
        (&stranger, "/tokens", PAGE),
        (&stranger, "/assets/style.css", ELSE),
        (&stranger, "/assets/job.js", ELSE),
        (&stranger, "/assets/nothing", ELSE),
        (&stranger, "/nothing", ELSE),
        (&stranger, "/openapi.json", ELSE),
        (&stranger, "/api/v1/jobs", ELSE),
        (&signed_in, &log, STRANGE),
        (&signed_in, &result, STRANGE),
    ];
    for (browser, path, policy) in pages {
        let response = browser.get(path).await;
        let header = |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap());
        let host = service.address.to_string();
        assert_eq!(header("content-security-policy"), policy.replace("HOST", &host), "{path}");
        assert_eq!(header("strict-transport-security"), "max-age=31536000", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin", "{path}");
        let text = response.text().await.unwrap();
        if *policy == PAGE {
            for address in addresses(&text) {
                assert!(address.starts_with('/') && !address.starts_with("//"), "{path}: {address}");
            }
            for inline in ["<style", "style=\"", "onclick", "onload", "javascript:", "<script>"] {
                assert!(!text.contains(inline), "{path}: {inline}");
            }
        }
        if path.ends_with(".css") || path.ends_with(".js") {
            assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("@import"));
        }
    }
}

#[tokio::test]
async fn a_browser_is_told_to_come_with_tls_only_where_there_is_tls() {
    let plain = Service::with(&[("GITFAAS_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let asked = async |proto: Option<&str>| {
        let request = plain.request(Method::GET, "/healthz");
        let request = match proto {
            Some(proto) => request.header("x-forwarded-proto", proto),
            None => request,
        };
        request.send().await.unwrap().headers().contains_key(header::STRICT_TRANSPORT_SECURITY)
    };
    assert_eq!(
        (asked(None).await, asked(Some("http")).await, asked(Some("https")).await),
        (false, false, true)
    );
    let token = plain.user("a@example.com").await;
    let form =
        plain.request(Method::POST, "/login").form(&[("token", token), ("next", "/device".to_owned())]);
    form.says(StatusCode::UNAUTHORIZED).await;
}
