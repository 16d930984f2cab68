//! A browser as far as signing in needs one: cookies per host, and redirects followed one by one.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};

use crate::{
    PUBLIC,
    support::{PATIENCE, Service, described},
};

/// The `Accept` header of a browser.
pub(crate) const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

pub(crate) struct Browser {
    http: reqwest::Client,
    cookies: HashMap<String, BTreeMap<String, String>>,
    accept: String,
}

/// Where a visit ended.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) url: Url,
    pub(crate) text: String,
}

impl Browser {
    pub(crate) fn new(service: &Service) -> Self {
        Self::at(service.address, HTML)
    }

    /// A program that signs in as a browser does, and reads something else at the end.
    pub(crate) fn reading(service: &Service, accept: &str) -> Self {
        Self::at(service.address, accept)
    }

    fn at(address: SocketAddr, accept: &str) -> Self {
        let http = reqwest::Client::builder()
            .resolve("gitfaas.test", address)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self { http, cookies: HashMap::new(), accept: accept.to_owned() }
    }

    /// Takes what it has to another gateway of the same installation, as a balancer would.
    pub(crate) fn at_another(mut self, service: &Service) -> Self {
        self.http = Self::new(service).http;
        self
    }

    /// The value of a cookie of the gateway.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get("gitfaas.test")?.get(name).map(String::as_str)
    }

    /// A request to the gateway's path, with the cookies.
    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        let cookies = self.cookies.get(url.host_str().unwrap()).cloned().unwrap_or_default();
        let cookies: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.request(method, url.clone()).header(header::ACCEPT, &self.accept);
        if cookies.is_empty() { request } else { request.header(header::COOKIE, cookies.join("; ")) }
    }

    fn keep(&mut self, response: &Response) {
        let jar = self.cookies.entry(response.url().host_str().unwrap().to_owned()).or_default();
        for line in response.headers().get_all(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            let gone = value.is_empty() || line.contains("Max-Age=0") || line.contains("1970");
            if gone {
                jar.remove(name)
            } else {
                jar.insert(name.to_owned(), value.to_owned())
            };
        }
    }

    /// One request, no redirect.
    pub(crate) async fn step(&mut self, url: &str) -> Response {
        let url = Url::parse(PUBLIC).unwrap().join(url).unwrap();
        let response = sent(self.request(Method::GET, &url)).await;
        self.keep(&response);
        response
    }

    /// A page, wherever redirects lead.
    pub(crate) async fn visit(&mut self, url: &str) -> Page {
        let response = self.step(url).await;
        self.follow(response).await
    }

    /// A form that was filled in.
    pub(crate) async fn submit(&mut self, url: &Url, fields: &[(&str, &str)]) -> Page {
        let response = sent(self.request(Method::POST, url).form(fields)).await;
        self.keep(&response);
        self.follow(response).await
    }

    /// A form of the gateway.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let url = Url::parse(PUBLIC).unwrap().join(path).unwrap();
        self.submit(&url, fields).await
    }

    async fn follow(&mut self, mut response: Response) -> Page {
        while let Some(location) = location(&response) {
            response = sent(self.request(Method::GET, &location)).await;
            self.keep(&response);
        }
        let (status, url) = (response.status(), response.url().clone());
        Page { status, url, text: response.text().await.unwrap() }
    }
}

/// The answer; one of the gateway's is compared with its description.
async fn sent(request: RequestBuilder) -> Response {
    let gateway = Url::parse(PUBLIC).unwrap();
    let (http, request) = request.build_split();
    let request = request.unwrap();
    let method = request.method().clone();
    let response = http.execute(request).await.unwrap();
    match response.url().host() == gateway.host() {
        true => described::described(&method, response).await.unwrap(),
        false => response,
    }
}

/// One request without a browser, and no redirect.
pub(crate) async fn once(request: described::RequestBuilder) -> Response {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    request.send_with(&http).await.unwrap()
}

/// Where a redirect leads.
pub(crate) fn location(response: &Response) -> Option<Url> {
    let location = response.headers().get(header::LOCATION)?.to_str().unwrap();
    response.status().is_redirection().then(|| response.url().join(location).unwrap())
}

impl Page {
    /// What stands between two texts of the page.
    pub(crate) fn between(&self, before: &str, after: &str) -> &str {
        let (_, rest) = self.text.split_once(before).unwrap_or_else(|| panic!("{before}: {}", self.text));
        rest.split_once(after).unwrap().0
    }
}
