//! The connection to NATS: version checked, inbox of one's own, never given up.

use std::{path::PathBuf, time::Duration};

use async_nats::{Client, ConnectOptions, Event, jetstream};
use percent_encoding::percent_decode_str;

use crate::Secret;

/// The oldest server whose buckets and subject filters we can rely on.
const OLDEST: (u32, u32) = (2, 10);
/// A first connection that takes longer than this is reported as failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A JetStream request without an answer for this long counts as unanswered.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that is down is looked for about every second, so that one that is back is found within that.
const RECONNECT_WAIT: Duration = Duration::from_secs(1);
/// A server that is gone without a word is noticed after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Where NATS is and who we are there.
#[derive(Debug, Clone)]
pub struct NatsSettings {
    /// One or more `nats://` or `tls://` addresses, separated by commas; user and password may be in them.
    pub url: String,
    /// User and password, when they are not in the URL.
    pub user: Option<(String, Secret)>,
    /// A `.creds` file.
    pub creds: Option<PathBuf>,
    /// PEM file of roots to trust besides the usual ones.
    pub ca_bundle: Option<PathBuf>,
    /// What the server's monitoring shows, such as `worker w1`.
    pub name: String,
}

/// NATS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be read.
    #[error("the NATS address cannot be read: it must be like nats://user:password@host:4222")]
    Address,
    /// Nobody answers there, or we are not let in.
    #[error("cannot connect to NATS")]
    Connect(#[source] async_nats::ConnectError),
    /// The credentials file cannot be read.
    #[error("cannot read the NATS credentials file {path}")]
    Credentials {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server is older than 2.10.
    #[error("NATS {version} is too old: gitfaas needs nats-server {}.{} or newer", OLDEST.0, OLDEST.1)]
    TooOld {
        /// What the server said.
        version: String,
    },
    /// The server runs without JetStream.
    #[error("NATS answers, but JetStream is off there: start nats-server with -js")]
    NoJetStream,
}

/// The inbox prefix of a user: replies to one role cannot be read by another.
pub fn inbox_prefix(user: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("_INBOX_{}", user.chars().map(safe).collect::<String>())
}

/// Connects, checks the version, and then stays connected for as long as the process lives.
///
/// # Errors
/// See [`ConnectError`]; a server that goes away later is not an error but a time without answers.
pub async fn connect(settings: &NatsSettings) -> Result<Client, ConnectError> {
    let addresses: Vec<async_nats::ServerAddr> = settings
        .url
        .split(',')
        .map(|address| address.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|_| ConnectError::Address)?;
    let user = settings.user.clone().or_else(|| addresses.iter().find_map(in_url));
    let mut options = ConnectOptions::new()
        .name(&settings.name)
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .ping_interval(PING_INTERVAL)
        .max_reconnects(None)
        .reconnect_delay_callback(|tries| {
            let doublings = u32::try_from(tries).unwrap_or(u32::MAX).min(10);
            Duration::from_millis(2_u64.pow(doublings)).min(RECONNECT_WAIT)
        })
        .event_callback(|event| async move { log(&event) });
    if let Some((user, password)) = user {
        options = options.custom_inbox_prefix(inbox_prefix(&user));
        options = options.user_and_password(user, password.expose().to_owned());
    }
    if let Some(path) = &settings.creds {
        let text = tokio::fs::read_to_string(path).await;
        let unreadable = |source| ConnectError::Credentials { path: path.clone(), source };
        options = options.credentials(&text.map_err(unreadable)?).map_err(unreadable)?;
    }
    if let Some(path) = &settings.ca_bundle {
        options = options.add_root_certificates(path.clone());
    }
    let client = options.connect(addresses).await.map_err(ConnectError::Connect)?;
    let info = client.server_info();
    if version(&info.version) < OLDEST {
        return Err(ConnectError::TooOld { version: info.version });
    }
    if !info.jetstream {
        return Err(ConnectError::NoJetStream);
    }
    Ok(client)
}

/// JetStream on this connection, with our time-out.
pub fn jetstream(client: &Client) -> jetstream::Context {
    let mut js = jetstream::new(client.clone());
    js.set_timeout(REQUEST_TIMEOUT);
    js
}

/// User and password in an address; the client itself does not look for them there.
fn in_url(address: &async_nats::ServerAddr) -> Option<(String, Secret)> {
    // What is not an escape stays as it is.
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((decoded(address.username()?), decoded(address.password()?).parse().ok()?))
}

fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn log(event: &Event) {
    match event {
        Event::Connected => tracing::info!("connected to nats"),
        Event::Disconnected => tracing::warn!("connection to nats lost; trying again"),
        other => tracing::debug!(event = %other, "nats"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_found_in_the_address() {
        let found = |address: &str| {
            let found = in_url(&address.parse().unwrap());
            found.map(|(user, password)| format!("{user} {}", password.expose()))
        };
        assert_eq!(found("nats://worker-1:p%40ss%2@host:4222").as_deref(), Some("worker-1 p@ss%2"));
        assert_eq!(found("nats://host:4222"), None);
    }

    #[test]
    fn a_server_before_2_10_is_too_old() {
        assert!(version("2.9.25") < OLDEST);
        assert!(version("2.10.27") >= OLDEST);
        assert!(version("3.0.0-beta") >= OLDEST);
    }

    /// A server that says who it is, and answers the first ping.
    async fn server(version: &str, jetstream: bool) -> String {
        use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("nats://{}", listener.local_addr().unwrap());
        let info = serde_json::json!({
            "server_id": "X", "version": version, "proto": 1, "max_payload": 1 << 20, "headers": true,
            "host": "127.0.0.1", "port": 4222, "jetstream": jetstream,
        });
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(format!("INFO {info}\r\n").as_bytes()).await.unwrap();
            let (read, mut write) = stream.split();
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("PING") {
                    write.write_all(b"PONG\r\n").await.unwrap();
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_refused_at_the_start_with_a_sentence() {
        let refused = async |version, jetstream| {
            let settings = NatsSettings {
                url: server(version, jetstream).await,
                user: None,
                creds: None,
                ca_bundle: None,
                name: "test".to_owned(),
            };
            connect(&settings).await.map(drop).unwrap_err().to_string()
        };
        insta::assert_snapshot!(
            refused("2.9.25", true).await,
            @"NATS 2.9.25 is too old: gitfaas needs nats-server 2.10 or newer"
        );
        insta::assert_snapshot!(
            refused("2.10.27", false).await,
            @"NATS answers, but JetStream is off there: start nats-server with -js"
        );
    }
}
