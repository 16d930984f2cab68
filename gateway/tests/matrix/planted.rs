//! A secret that was set is nowhere to be seen again: in no answer, no metric, and nothing that NATS
//! keeps.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::TryStreamExt as _;
use jobs::{
    Job,
    bucket::Entry,
    grants::{GrantReply, GrantRequest},
};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    scene::{Role, Scene, URL},
    support::Answered as _,
};

const SECRET: &str = "planted-s3cret/with+odd=signs";
const TOKEN: &str = "planted-t0ken-of-the-forge";
const SIGNING: &str = "planted-signing-s3cret";

/// The value as it is, and in the forms in which values leak.
fn forms(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned(), hex::encode(value)];
    forms.extend(
        url::form_urlencoded::byte_serialize(value.as_bytes()).map(str::to_owned).reduce(|a, b| a + &b),
    );
    for shift in 0..3 {
        let shifted = [vec![0; shift], value.as_bytes().to_vec()].concat();
        let text = BASE64_STANDARD.encode(shifted);
        // What of it depends on the neighbours is left out.
        let inner = &text[if shift == 0 { 0 } else { 4 }..text.len() / 4 * 4 - 4];
        forms.push(inner.to_owned());
        forms.push(inner.replace('+', "-").replace('/', "_"));
    }
    forms
}

fn leaks(text: &str) -> bool {
    [SECRET, TOKEN, SIGNING].iter().flat_map(|value| forms(value)).any(|form| text.contains(&form))
}

/// Everything that lies in every stream.
async fn stored(scene: &Scene) -> String {
    let js = &scene.service.ledger.js;
    let names: Vec<String> = js.stream_names().try_collect().await.unwrap();
    let mut text = String::new();
    for name in names {
        let stream = js.get_stream(&name).await.unwrap();
        let state = stream.cached_info().state.clone();
        for sequence in state.first_sequence..=state.last_sequence {
            if let Ok(message) = stream.get_raw_message(sequence).await {
                text += &format!("{name} {} {:?} ", message.subject, message.headers);
                text += &String::from_utf8_lossy(&message.payload);
                text.push('\n');
            }
        }
    }
    text
}

#[test]
fn the_search_finds_what_it_looks_for() {
    for text in [SECRET, "x=planted-s3cret%2Fwith%2Bodd%3Dsigns", TOKEN] {
        assert!(leaks(text), "{text}");
    }
    for shift in ["", "a", "ab"] {
        assert!(leaks(&BASE64_STANDARD.encode(format!("{shift}{SECRET} and more"))), "{shift}");
    }
    assert!(!leaks("planted elsewhere"));
}

#[tokio::test]
async fn a_planted_secret_is_shown_to_its_worker_and_nobody_else() {
    let scene = Scene::set().await;
    let wish = json!({ "url": URL, "forge": "plain", "token": TOKEN, "access": "signed", "signing_secrets": [SIGNING] });
    let repo = scene.service.register(&scene.owner, wish).await;
    let id = repo["id"].as_str().unwrap();
    let path = format!("/api/v1/repos/{id}/secrets/KEY");
    let put = async |value: &str| {
        let put = scene.request("PUT", &path).bearer_auth(&scene.owner).body(value.to_owned());
        put.send().await.unwrap().text().await.unwrap()
    };
    let mut seen = put(SECRET).await;

    // Its worker gets it, or the search would prove nothing.
    let job = scene.service.submit(&scene.owner, id).await;
    let claim = scene.service.claim(job).await;
    let request = GrantRequest::Job { job, attempt: 1, secrets: vec!["KEY".to_owned()] };
    let bytes = serde_json::to_vec(&request).unwrap();
    let answer = scene.service.ledger.client.request("grants.w1", bytes.into()).await.unwrap();
    let GrantReply::Job(grant) = serde_json::from_slice(&answer.payload).unwrap() else {
        panic!("it is w1's attempt")
    };
    assert_eq!(grant.secrets, [("KEY".to_owned(), SECRET.to_owned())]);
    assert_eq!(grant.clone.unwrap().token, TOKEN);
    scene.service.finish(claim, b"done").await;

    let delivery = {
        let body = crate::support::push(URL, "0", "2");
        let secret = repo["secret"].as_str().unwrap();
        let taken =
            scene.service.deliver(id, secret, "push", "d-2", &body).answers(StatusCode::ACCEPTED).await;
        taken["delivery"].as_str().unwrap().to_owned()
    };
    let job = job.to_string();
    for (method, route) in gateway::endpoints() {
        // What would end the things that the others are about comes last.
        if method == "DELETE" || route == "/logout" {
            continue;
        }
        let about = match route.as_str() {
            _ if route.contains("/deliveries/") => &delivery,
            _ if route.contains("/jobs/{id}") || route.starts_with("/job/") => &job,
            _ => id,
        };
        for role in [Role::Owner, Role::Admin] {
            if method == "PUT" {
                seen += &put(SECRET).await;
                continue;
            }
            let response = scene.send(method.as_str(), &route, about, scene.token(role)).await;
            seen += &format!("{method} {route} {:?}\n", response.headers());
            seen += &response.text().await.unwrap();
        }
    }
    let wrong = scene.request("PUT", &format!("{path}?events=nothing")).bearer_auth(&scene.owner);
    seen += &wrong.body(SECRET).send().await.unwrap().text().await.unwrap();
    assert_eq!(seen.lines().find(|line| leaks(line)), None, "an answer shows it");
    assert_eq!(stored(&scene).await.lines().find(|line| leaks(line)), None, "NATS keeps it");
    let entry: Entry<Job> = scene.service.ledger.job(job.parse().unwrap()).await.unwrap().unwrap();
    assert!(!leaks(&serde_json::to_string(&entry.value).unwrap()));
}
