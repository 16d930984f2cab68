//! The deliveries of the App's webhook: the list of attempts, and redelivery.

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Requester, ServerState, openapi::Operation, said};

const LIST: Operation = Operation("get", "/app/hook/deliveries");
const AGAIN: Operation = Operation("post", "/app/hook/deliveries/{delivery_id}/attempts");

/// A delivery to the App's webhook, as it is sent each time.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) url: String,
    pub(super) guid: String,
    pub(super) event: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// The answer to each try and when it came; 0: there was none.
    pub(super) tries: Vec<(u16, Timestamp)>,
}

impl ServerState {
    /// Every try, newest first. Its number tells of which delivery it is the which.
    pub(super) fn tries(&self, who: &Requester) -> Response {
        if *who != Requester::App {
            return said(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
        }
        let sent = self.sent.lock();
        let tries = sent.iter().enumerate().flat_map(|(delivery, sent)| {
            let tries = sent.tries.iter().enumerate();
            tries.map(move |(at, (code, time))| (*time, number(delivery, at), at, *code, sent))
        });
        let mut tries: Vec<_> = tries.collect();
        tries.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
        let list: Vec<Value> = tries
            .into_iter()
            .map(|(time, id, at, code, sent)| {
                json!({
                    "id": id, "guid": sent.guid, "delivered_at": time.to_string(), "redelivery": at > 0,
                    "duration": 0.2, "status": if code == 0 { "failed to connect to host" } else { "answered" },
                    "status_code": code, "event": sent.event, "action": null, "installation_id": null,
                    "repository_id": null, "throttled_at": null,
                })
            })
            .collect();
        drop(sent);
        self.reply(LIST, StatusCode::OK, Value::Array(list))
    }

    /// Sends once more what this try was about.
    pub(super) async fn once_more(&self, who: &Requester, id: &str) -> Response {
        if *who != Requester::App {
            return said(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
        }
        let found = |sent: &[Sent]| {
            let has = |(delivery, sent): &(usize, &Sent)| {
                (0..sent.tries.len()).any(|at| number(*delivery, at).to_string() == id)
            };
            sent.iter().enumerate().find(has).map(|(delivery, sent)| (delivery, sent.clone()))
        };
        let Some((delivery, sent)) = found(&self.sent.lock()) else {
            return said(StatusCode::NOT_FOUND, "Not Found");
        };
        let request = reqwest::Client::new().post(&sent.url).headers(sent.headers).body(sent.body);
        let code = request.send().await.map_or(0, |answer| answer.status().as_u16());
        self.sent.lock()[delivery].tries.push((code, Timestamp::now()));
        self.reply(AGAIN, StatusCode::ACCEPTED, json!({}))
    }
}

/// GitHub's number of a try.
fn number(delivery: usize, at: usize) -> usize {
    1000 * (delivery + 1) + at
}
