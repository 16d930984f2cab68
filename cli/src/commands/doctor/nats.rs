//! NATS: version, JetStream, replicas, and how far apart the clocks are.

use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::Client;
use jiff::Timestamp;
use jobs::{settings::Reader, streams};
use serde_json::Value;

use super::{Check, owners};
use crate::{exit, nats::Nats};

const WHAT: &str = "NATS";
const REPLICAS: &str = "NATS replicas";
const CLOCK: &str = "clock";
const STORES: &str = "stores";
/// A store that is so full leaves time to do something, in percent.
const NEARLY_FULL_PERCENT: u64 = 80;
/// Clocks that differ more make times in lists confusing.
const CLOCK_WARN: Duration = Duration::from_secs(2);
/// Clocks that differ more let a token expire at the wrong time.
const CLOCK_FAIL: Duration = Duration::from_secs(60);

pub(super) async fn checks(var: &dyn Fn(&str) -> Option<String>, data_dir: &Path) -> Vec<Check> {
    let nats = match Nats::read(var, data_dir) {
        Ok(nats) => nats,
        Err(_) if var("GITFAAS_NATS_URL").is_none() => {
            return vec![Check::ok(WHAT, "none is named: `gitfaas up` starts its own")];
        }
        Err(problems) => return vec![Check::fail(WHAT, problems.to_string())],
    };
    let client = match jobs::connect::connect(&nats.settings("doctor")).await {
        Ok(client) => client,
        Err(error) => {
            let message = exit::chain(&error.into());
            return vec![match nats {
                Nats::Local(_) => Check::warn(WHAT, format!("`gitfaas up` is not running here: {message}")),
                Nats::External { .. } => {
                    Check::fail(WHAT, format!("{message}; GITFAAS_NATS_URL says where it should be"))
                }
            }];
        }
    };
    let version = client.server_info().version;
    let mut checks = vec![Check::ok(WHAT, format!("{version}, with JetStream"))];
    checks.extend(streams_checks(&client, var).await);
    checks.extend(owners::counts(&client, var).await);
    checks
}

async fn streams_checks(client: &Client, var: &dyn Fn(&str) -> Option<String>) -> Vec<Check> {
    let mut env = Reader::new(var);
    let wanted = streams::Settings::read(&mut env).replicas;
    let asked = Instant::now();
    let subject = format!("$JS.API.STREAM.INFO.KV_{}", streams::JOBS_BUCKET);
    let Ok(answer) = client.request(subject, "".into()).await else {
        return vec![Check::warn(REPLICAS, "JetStream does not answer: its cluster may have no leader")];
    };
    let round_trip = asked.elapsed();
    let info: Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
    if info["error"]["code"] == 404 {
        return vec![Check::ok(REPLICAS, "there are no streams yet: the first gateway makes them")];
    }
    let mut checks = vec![replicas(&info, wanted)];
    checks.extend(stores(client).await);
    // The server stamps its answers with its own time.
    if let Some(there) = info["ts"].as_str().and_then(|text| text.parse::<Timestamp>().ok()) {
        let apart = Timestamp::now().duration_since(there).unsigned_abs().saturating_sub(round_trip);
        checks.push(clock(apart));
    }
    checks
}

/// How full the stores are. One that is full refuses everybody.
async fn stores(client: &Client) -> Option<Check> {
    let answer = client.request("$JS.API.STREAM.LIST", "".into()).await.ok()?;
    let list: Value = serde_json::from_slice(&answer.payload).ok()?;
    let filled = list["streams"].as_array()?.iter().filter_map(|info| {
        let limit = info["config"]["max_bytes"].as_u64().filter(|limit| *limit > 0)?;
        let percent = info["state"]["bytes"].as_u64()?.saturating_mul(100) / limit;
        Some((percent, info["config"]["name"].as_str()?.to_owned()))
    });
    let (percent, name) = filled.max()?;
    Some(fullest(percent, &name))
}

fn fullest(percent: u64, name: &str) -> Check {
    let message = format!("the fullest, {name}, is at {percent} %");
    match percent {
        0..NEARLY_FULL_PERCENT => Check::ok(STORES, message),
        _ => {
            let mend = "give it more with GITFAAS_STORE_…, or owners less with GITFAAS_MAX_…_PER_USER";
            Check::warn(STORES, format!("{message}: {mend}"))
        }
    }
}

fn replicas(info: &Value, wanted: usize) -> Check {
    let made = info["config"]["num_replicas"].as_u64().unwrap_or(1);
    let lagging = info["cluster"]["replicas"].as_array().into_iter().flatten();
    let lagging: Vec<&str> =
        lagging.filter(|node| node["current"] == false).filter_map(|node| node["name"].as_str()).collect();
    if !lagging.is_empty() {
        return Check::warn(
            REPLICAS,
            format!("{} are away or behind: look at these nodes", lagging.join(", ")),
        );
    }
    match (made, wanted) {
        (1, 1) => Check::ok(REPLICAS, "1: what the disk of this server loses is lost"),
        (made, wanted) if made == wanted as u64 => Check::ok(REPLICAS, format!("{made}, all current")),
        (made, wanted) => Check::warn(
            REPLICAS,
            format!(
                "the streams have {made}, GITFAAS_NATS_REPLICAS says {wanted}: the next gateway that starts alters them"
            ),
        ),
    }
}

fn clock(apart: Duration) -> Check {
    let message = format!("{:.1} s from that of NATS", apart.as_secs_f64());
    if apart > CLOCK_FAIL {
        Check::fail(CLOCK, format!("{message}: set it, or run an NTP client"))
    } else if apart > CLOCK_WARN {
        Check::warn(CLOCK, format!("{message}: an NTP client would keep them together"))
    } else {
        Check::ok(CLOCK, message)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::Status, *};

    #[test]
    fn a_node_that_is_behind_is_named() {
        let info = json!({
            "config": {"num_replicas": 3},
            "cluster": {"leader": "n1", "replicas": [{"name": "n2", "current": true}, {"name": "n3", "current": false}]},
        });
        let check = replicas(&info, 3);
        assert_eq!(check.status, Status::Warn);
        assert!(check.message.starts_with("n3 are away"), "{}", check.message);
    }

    #[test]
    fn a_store_that_is_nearly_full_is_named() {
        assert_eq!(fullest(79, "LOGS").status, Status::Ok);
        let check = fullest(80, "LOGS");
        assert_eq!(check.status, Status::Warn);
        assert!(check.message.starts_with("the fullest, LOGS, is at 80 %"), "{}", check.message);
    }

    #[test]
    fn clocks_an_hour_apart_fail() {
        assert_eq!(clock(Duration::from_secs(3600)).status, Status::Fail);
        assert_eq!(clock(Duration::from_millis(5)).status, Status::Ok);
    }
}
