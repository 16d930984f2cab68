//! How fast a signed push is taken, beside a bare JetStream publish with acknowledgement.

use http::StatusCode;
use serde_json::json;
use tests::{Commit, Delivery, Service, delivery};

use crate::{measurements::times, say};

/// Deliveries for each number of senders.
const COUNT: usize = 2000;
/// Senders at once.
const AT_ONCE: [usize; 3] = [1, 16, 64];
/// The size of a delivery, in bytes; a usual push of GitHub's is about this long.
const BODY_BYTES: usize = 20 * 1024;
/// What a bare publish sends, in bytes.
const PUBLISH_BYTES: usize = 16 * 1024;

pub(crate) async fn measure() {
    // Nobody takes the jobs: only the taking of deliveries is measured.
    let settings = [
        ("GITFAAS_WORKER_LABELS", "nobody"),
        ("GITFAAS_MAX_OWNERS", "1"),
        ("GITFAAS_STORE_RECORDS", "30g"),
        ("GITFAAS_MAX_QUEUED_PER_USER", "1000000"),
        ("GITFAAS_MAX_DELIVERIES_PER_MINUTE", "1000000"),
    ];
    let service = Service::start_with(&settings).await;
    let repository = service.forge.repository("bench").await;
    let registration = tests::service::register(&service, &repository.url).await;
    let path = delivery::path(&registration.webhook_url);
    let js = service.nats().jetstream().await;
    let stream = async_nats::jetstream::stream::Config {
        name: "BENCH".to_owned(),
        subjects: vec!["bench".to_owned()],
        ..Default::default()
    };
    js.create_stream(stream).await.expect("a stream can be made");

    say(
        "at once | webhook p50 ms | p99 ms | /s | bare publish + ack p50 ms | p99 ms | /s | rate, webhook / publish",
    );
    let mut made = 0_u64;
    for at_once in AT_ONCE {
        let deliveries: Vec<Delivery> = (0..COUNT)
            .map(|_| {
                made += 1;
                let commit = Commit {
                    reference: format!("refs/heads/b{made}"),
                    before: tests::repository::NO_COMMIT.to_owned(),
                    sha: format!("{made:040x}"),
                    told: String::new(),
                };
                let mut payload = delivery::payload(&repository, &commit);
                payload["padding"] = json!("x".repeat(BODY_BYTES));
                Delivery::of("push", &payload, &registration.secret)
            })
            .collect();
        let (taken, rate) = times(COUNT, at_once, |index| {
            let (service, path, delivery) = (&service, &path, &deliveries[index]);
            async move {
                let (status, answer) = delivery.send(service, path).await;
                assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
            }
        })
        .await;
        let bytes = bytes::Bytes::from(vec![b'x'; PUBLISH_BYTES]);
        let (published, bare_rate) = times(COUNT, at_once, |_| {
            let (js, bytes) = (&js, bytes.clone());
            async move {
                js.publish("bench", bytes).await.expect("nats takes it").await.expect("nats stores it");
            }
        })
        .await;
        say(&format!(
            "{at_once} | {:.2} | {:.2} | {rate:.0} | {:.2} | {:.2} | {bare_rate:.0} | {:.3}",
            taken.median_ms(),
            taken.percentile_ms(0.99),
            published.median_ms(),
            published.percentile_ms(0.99),
            rate / bare_rate,
        ));
    }
}
