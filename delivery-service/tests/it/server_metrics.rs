//! The metrics, and their documentation in `docs/operators.md`.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(feature = "server")]

use std::{collections::BTreeSet, fs, time::Duration};

use crate::http::World;
use regrow_delivery_service::{
    Expired,
    server::{
        metrics::{ClaimLabel, ForwardLabel, Metrics, OutcomeLabel, StatusClass, SubmissionLabel, WakeUpLabel},
        resource_figures::ResourceFigures,
    },
};

/// Metrics in which every event has happened at least once.
fn counted() -> Metrics {
    let metrics = Metrics::default();
    metrics.submitted(SubmissionLabel::Commit, OutcomeLabel::Accepted);
    metrics.submitted(SubmissionLabel::Commit, OutcomeLabel::Stale);
    metrics.submitted(SubmissionLabel::Message, OutcomeLabel::Rejected("malformed"));
    metrics.reported();
    metrics.rolled_back();
    metrics.uploaded(3);
    metrics.claimed(ClaimLabel::Normal);
    metrics.claimed(ClaimLabel::LastResort);
    metrics.claimed(ClaimLabel::Nothing);
    metrics.expired(Expired { entries: 1, remembered_outcomes: 2, key_packages: 3 });
    metrics.queue(4);
    metrics.batch(5, Duration::from_millis(1));
    metrics.woken(WakeUpLabel::Delivered);
    metrics.streams(6);
    metrics.connection_refused();
    metrics.handshake_failed();
    metrics.certificate_expires(1_900_000_000);
    metrics.clock_confirmed(true);
    metrics.clock_jumped();
    metrics.connection_stuck();
    metrics.memory(7);
    metrics.log_lines_lost(8);
    metrics.cluster(true, 12);
    metrics.took_store();
    metrics.forwarded(ForwardLabel::Lost, Duration::from_millis(1));
    metrics.database("commit", Duration::from_millis(1));
    metrics.resources(ResourceFigures { disk_free_bytes: Some(9), open_files: Some(10), max_open_files: Some(11) });
    metrics.request("GET", "/v1/service", StatusClass::of(axum::http::StatusCode::OK), Duration::from_millis(1));
    metrics
}

/// The names of all metrics in the exported form: the names of counters end in `_total`.
fn names(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() }).collect()
}

#[test]
fn every_event_is_counted() {
    let metrics = counted();
    let open = metrics.connection();
    let text = metrics.text();
    for line in [
        r#"regrow_ds_submissions_total{kind="commit",outcome="accepted"} 1"#,
        r#"regrow_ds_submissions_total{kind="commit",outcome="stale"} 1"#,
        r#"regrow_ds_submissions_total{kind="message",outcome="rejected"} 1"#,
        r#"regrow_ds_rejections_total{kind="message",reason="malformed"} 1"#,
        "regrow_ds_reports_total 1",
        "regrow_ds_disk_free_bytes 9",
        "regrow_ds_open_files 10",
        "regrow_ds_max_open_files 11",
        "regrow_ds_rollbacks_total 1",
        "regrow_ds_key_packages_uploaded_total 3",
        r#"regrow_ds_key_package_claims_total{got="last_resort"} 1"#,
        r#"regrow_ds_expired_total{kind="key_package"} 3"#,
        r#"regrow_ds_wake_ups_total{outcome="delivered"} 1"#,
        "regrow_ds_queue_depth 4",
        "regrow_ds_batch_size_sum 5.0",
        "regrow_ds_streams 6",
        "regrow_ds_connections 1",
        "regrow_ds_connections_accepted_total 1",
        "regrow_ds_connections_refused_total 1",
        "regrow_ds_handshake_failures_total 1",
        "regrow_ds_certificate_expires_timestamp_seconds 1900000000",
        "regrow_ds_clock_confirmed 1",
        "regrow_ds_clock_jumps_total 1",
        "regrow_ds_connections_stuck_total 1",
        "regrow_ds_memory_bytes 7",
        "regrow_ds_log_lines_lost_total 8",
        "regrow_ds_cluster_owner 1",
        "regrow_ds_cluster_term 12",
        "regrow_ds_cluster_takeovers_total 1",
        r#"regrow_ds_cluster_forwarded_total{outcome="lost"} 1"#,
        "regrow_ds_cluster_forward_seconds_count 1",
        r#"regrow_ds_database_seconds_count{kind="commit"} 1"#,
        r#"regrow_ds_requests_total{method="GET",route="/v1/service",status="2xx"} 1"#,
        r#"regrow_ds_request_seconds_count{route="/v1/service"} 1"#,
    ] {
        assert!(text.lines().any(|counted| counted == line), "{line} is not in\n{text}");
    }
    drop(open);
    assert!(metrics.text().lines().any(|line| line == "regrow_ds_connections 0"));
}

#[test]
fn the_operators_page_has_every_metric_and_no_other() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operators.md")).unwrap();
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `regrow_ds_")?.split_once('`'))
        .map(|(name, _)| format!("regrow_ds_{name}"))
        .collect();
    assert_eq!(documented, names(&counted().text()));
}

#[test]
fn alerts_use_existing_metrics() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operators.md")).unwrap();
    let known = names(&counted().text());
    for word in
        page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("regrow_ds_"))
    {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
        assert!(known.contains(word) || of_histogram.is_some_and(|name| known.contains(name)), "{word}");
    }
}

#[tokio::test]
async fn a_new_server_reports_its_disk_and_open_files() {
    let world = World::new().await;
    let tells = |name: &str| world.metrics().lines().any(|line| line.starts_with(&format!("{name} ")));
    // A separate task reads them for the first time.
    while !tells("regrow_ds_disk_free_bytes") {
        tokio::task::yield_now().await;
    }
    assert!(tells("regrow_ds_open_files") && tells("regrow_ds_max_open_files"));
}
