//! What the observer counts is what the ledger holds.

use std::net::TcpListener;

use http::StatusCode;
use tests::{Api, Function, Service, service::ADMIN_SECRET};

/// How far the mean may be from that of the records: they tell milliseconds.
const ROUNDING_S: f64 = 0.002;

/// The value of a metric without labels, or with exactly these.
fn value(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[tokio::test]
async fn its_numbers_and_metrics_equal_the_records() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap();
    let service = Service::start_with(&[("GITFAAS_OBSERVER_LISTEN", &free.to_string())]).await;
    let ends = service.function("ends", Function::python("import time; time.sleep(0.2)")).await;
    let fails = service.function("fails", Function::python("raise SystemExit(3)")).await;
    let mut ran = Vec::new();
    for url in [&ends, &ends, &fails] {
        let job = service.run(url).await;
        let record = service.get(&format!("/api/v1/jobs/{}", job.id)).await;
        let record = Api::json(record, StatusCode::OK).await;
        ran.push(record["timings_ms"]["run"].as_f64().unwrap() / 1000.0);
    }
    let mean = ran.iter().sum::<f64>() / 3.0;

    let observer = Api::new(&format!("http://{free}"), None);
    let scraped = async {
        loop {
            let metrics = observer.get("/metrics").await.text().await.unwrap();
            if value(&metrics, "gitfaas_run_seconds_count") == Some(3.0) {
                return metrics;
            }
        }
    };
    let metrics = tokio::time::timeout(tests::waiting::START, scraped).await.expect("it counts three runs");
    assert_eq!(value(&metrics, "gitfaas_jobs_requested_total"), Some(3.0), "{metrics}");
    let completed = |labels: &str| value(&metrics, &format!("gitfaas_jobs_completed_total{{{labels}}}"));
    assert_eq!(completed(r#"state="finish",cause="none""#), Some(2.0), "{metrics}");
    assert_eq!(completed(r#"state="error",cause="exit""#), Some(1.0), "{metrics}");
    let sum = value(&metrics, "gitfaas_run_seconds_sum").unwrap();
    assert!((sum / 3.0 - mean).abs() < ROUNDING_S, "{sum} / 3, not {mean}");

    let stats = async {
        loop {
            let answer = service.published().stats(ADMIN_SECRET).await;
            let stats = Api::json(answer, StatusCode::OK).await;
            if (stats["averageTime"].as_f64().unwrap() - mean).abs() < ROUNDING_S {
                return stats;
            }
        }
    };
    let stats =
        tokio::time::timeout(tests::waiting::START, stats).await.expect("the mean is that of the records");
    assert!(stats["averageRequests"].as_f64().unwrap() >= stats["averageCompleted"].as_f64().unwrap());
    assert_eq!(observer.get("/readyz").await.status(), StatusCode::OK);
    assert_eq!(observer.get("/nothing").await.status(), StatusCode::NOT_FOUND);
}
