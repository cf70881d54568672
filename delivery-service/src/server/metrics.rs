//! The metrics for Prometheus. `docs/operators.md` explains each of them.
//!
//! Labels are words of the server: a kind, an outcome, the template of a route. No label is a text
//! of a client. Such a label could contain a name, and would create a time series for each text.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::resource_figures::ResourceFigures;
use crate::ordering::{expiry::Expired, handout::ClaimOutcome};

/// The prefix of all names.
pub const PREFIX: &str = "regrow_ds";

type Label = (&'static str, &'static str);
type Kinds = Family<[Label; 1], Counter>;
type KindsAndOutcomes = Family<[Label; 2], Counter>;
type Requests = Family<RequestLabels, Counter>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: &'static str,
}

/// The kind of a submission to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmissionLabel {
    /// A new group.
    Group,
    /// A commit.
    Commit,
    /// A proposal.
    Proposal,
    /// An application message.
    Message,
}

impl SubmissionLabel {
    fn word(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Commit => "commit",
            Self::Proposal => "proposal",
            Self::Message => "message",
        }
    }
}

/// The outcome of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeLabel {
    /// The service has ordered the submission, now or before.
    Accepted,
    /// The submission was made in a past epoch.
    Stale,
    /// The service has rejected the submission, for a reason in one word.
    Rejected(&'static str),
}

/// The outcome of a claim of a key package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimLabel {
    /// A key package that no other device gets.
    Normal,
    /// The last-resort key package.
    LastResort,
    /// Nothing: there was no key package.
    Nothing,
}

impl ClaimLabel {
    /// Returns the label of an outcome.
    pub fn of(outcome: &ClaimOutcome) -> Self {
        match outcome {
            ClaimOutcome::Claimed(claimed) if claimed.last_resort => Self::LastResort,
            ClaimOutcome::Claimed(_) => Self::Normal,
            ClaimOutcome::NoneLeft | ClaimOutcome::Rejected(_) => Self::Nothing,
        }
    }
}

/// The outcome of a call to wake a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeUpLabel {
    /// The address has accepted the call.
    Delivered,
    /// The address has refused the call, or several calls have failed.
    Failed,
    /// Too many devices wait for calls to the same host.
    Dropped,
}

/// The outcome of a request that a node has forwarded to the owner of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardLabel {
    /// The owner has answered.
    Answered,
    /// No owner was there in time.
    NoOwner,
    /// The connection was lost after the request had left.
    Lost,
}

/// The class of an HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusClass(&'static str);

impl StatusClass {
    /// Returns the class of a status.
    pub fn of(status: StatusCode) -> Self {
        Self(match status.as_u16() {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        })
    }
}

/// The metrics. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Meters>);

/// Histograms by one label.
type Histograms = Family<[(&'static str, String); 1], Histogram, fn() -> Histogram>;

#[derive(Debug)]
struct Meters {
    registry: Registry,
    submissions: KindsAndOutcomes,
    rejections: KindsAndOutcomes,
    reports: Counter,
    rollbacks: Counter,
    uploaded: Counter,
    claims: Kinds,
    expired: Kinds,
    wake_ups: Kinds,
    queue: Gauge,
    batch_size: Histogram,
    batch_seconds: Histogram,
    streams: Gauge,
    connections: Gauge,
    accepted: Counter,
    refused: Counter,
    handshakes: Counter,
    stuck: Counter,
    memory: Gauge,
    disk_free: Family<[Label; 0], Gauge>,
    open_files: Family<[Label; 0], Gauge>,
    max_open_files: Family<[Label; 0], Gauge>,
    log_lost: Counter,
    certificate: Family<[Label; 0], Gauge>,
    clock_confirmed: Gauge,
    clock_jumps: Counter,
    requests: Requests,
    request_seconds: Histograms,
    owner: Gauge,
    term: Gauge,
    takeovers: Counter,
    forwarded: Kinds,
    forward_seconds: Histogram,
    database_seconds: Histograms,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            submissions: Family::default(),
            rejections: Family::default(),
            reports: Counter::default(),
            rollbacks: Counter::default(),
            uploaded: Counter::default(),
            claims: Family::default(),
            expired: Family::default(),
            wake_ups: Family::default(),
            queue: Gauge::default(),
            // The buckets go from 1 to 4,096, the default length of the queue.
            batch_size: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            batch_seconds: Histogram::new(seconds()),
            streams: Gauge::default(),
            connections: Gauge::default(),
            accepted: Counter::default(),
            refused: Counter::default(),
            handshakes: Counter::default(),
            stuck: Counter::default(),
            memory: Gauge::default(),
            disk_free: Family::default(),
            open_files: Family::default(),
            max_open_files: Family::default(),
            log_lost: Counter::default(),
            certificate: Family::default(),
            clock_confirmed: Gauge::default(),
            clock_jumps: Counter::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(seconds())),
            owner: Gauge::default(),
            term: Gauge::default(),
            takeovers: Counter::default(),
            forwarded: Family::default(),
            forward_seconds: Histogram::new(seconds()),
            database_seconds: Family::new_with_constructor(|| Histogram::new(seconds())),
            registry: Registry::with_prefix(PREFIX),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut counts = Meters::default();
        let version: Family<[Label; 1], Gauge> = Family::default();
        version.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        let r = &mut counts.registry;
        r.register("build_info", "The version of the server", version);
        r.register("submissions", "Submissions to groups, by kind and outcome", counts.submissions.clone());
        r.register("rejections", "Rejected submissions, by kind and reason", counts.rejections.clone());
        r.register("reports", "Reports that a member cannot process a commit", counts.reports.clone());
        r.register("rollbacks", "Commits that the service took back", counts.rollbacks.clone());
        r.register("key_packages_uploaded", "Uploaded key packages", counts.uploaded.clone());
        r.register("key_package_claims", "Claims of key packages, by outcome", counts.claims.clone());
        r.register("expired", "Expired records that were deleted, by kind", counts.expired.clone());
        r.register("wake_ups", "Calls to wake devices, by outcome", counts.wake_ups.clone());
        r.register("queue_depth", "Requests that wait for the store", counts.queue.clone());
        r.register("batch_size", "Requests in one transaction of the store", counts.batch_size.clone());
        r.register("batch_seconds", "Duration of a transaction of the store", counts.batch_seconds.clone());
        r.register("streams", "Open streams and long polls", counts.streams.clone());
        r.register("connections", "Open connections", counts.connections.clone());
        r.register("connections_accepted", "Accepted connections", counts.accepted.clone());
        r.register(
            "connections_refused",
            "Connections closed because their address had too many",
            counts.refused.clone(),
        );
        r.register("handshake_failures", "TLS handshakes that failed or took too long", counts.handshakes.clone());
        r.register("connections_stuck", "Connections closed because the client took no data", counts.stuck.clone());
        r.register("memory_bytes", "Memory that is charged for bodies and answers", counts.memory.clone());
        r.register("disk_free_bytes", "Free bytes on the disk of the store", counts.disk_free.clone());
        r.register("open_files", "Open file descriptors", counts.open_files.clone());
        r.register(
            "max_open_files",
            "The most file descriptors that the process may open",
            counts.max_open_files.clone(),
        );
        r.register("log_lines_lost", "Log lines that could not be written", counts.log_lost.clone());
        r.register(
            "certificate_expires_timestamp_seconds",
            "Expiry of the certificate in use, in seconds since 1970",
            counts.certificate.clone(),
        );
        let help = "1 while the wall clock is confirmed; only then old records are deleted";
        r.register("clock_confirmed", help, counts.clock_confirmed.clone());
        r.register("clock_jumps", "Jumps of the wall clock", counts.clock_jumps.clone());
        r.register("requests", "Requests, by method, route and class of status", counts.requests.clone());
        r.register("request_seconds", "Time to the answer's headers, by route", counts.request_seconds.clone());
        r.register("cluster_owner", "1 while this node owns the store", counts.owner.clone());
        r.register("cluster_term", "The last term that this node knows", counts.term.clone());
        r.register("cluster_takeovers", "Times that this node has taken the store", counts.takeovers.clone());
        let help = "Requests that this node has forwarded to the owner, by outcome";
        r.register("cluster_forwarded", help, counts.forwarded.clone());
        let help = "Time to the headers of a forwarded answer";
        r.register("cluster_forward_seconds", help, counts.forward_seconds.clone());
        let help = "Time of an exchange with the database, by kind";
        r.register("database_seconds", help, counts.database_seconds.clone());
        Self(Arc::new(counts))
    }
}

/// Returns buckets from 100 microseconds to 6.5 seconds.
fn seconds() -> impl Iterator<Item = f64> {
    exponential_buckets(0.0001, 2.0, 17)
}

impl Metrics {
    /// Returns all metrics in the format of OpenMetrics.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // A write to a string cannot fail.
        let _ = text::encode(&mut out, &self.0.registry);
        out
    }

    /// Counts a submission with its outcome.
    pub fn submitted(&self, what: SubmissionLabel, answer: OutcomeLabel) {
        let kind = ("kind", what.word());
        let outcome = match answer {
            OutcomeLabel::Accepted => "accepted",
            OutcomeLabel::Stale => "stale",
            OutcomeLabel::Rejected(reason) => {
                self.0.rejections.get_or_create_owned(&[kind, ("reason", reason)]).inc();
                "rejected"
            }
        };
        self.0.submissions.get_or_create_owned(&[kind, ("outcome", outcome)]).inc();
    }

    /// Counts a report of a commit.
    pub fn reported(&self) {
        self.0.reports.inc();
    }

    /// Counts a rollback of a commit.
    pub fn rolled_back(&self) {
        self.0.rollbacks.inc();
    }

    /// Counts uploaded key packages.
    pub fn uploaded(&self, key_packages: usize) {
        self.0.uploaded.inc_by(key_packages as u64);
    }

    /// Counts a claim of a key package.
    pub fn claimed(&self, claim: ClaimLabel) {
        let got = match claim {
            ClaimLabel::Normal => "normal",
            ClaimLabel::LastResort => "last_resort",
            ClaimLabel::Nothing => "nothing",
        };
        self.0.claims.get_or_create_owned(&[("got", got)]).inc();
    }

    /// Counts deleted records that had expired.
    pub fn expired(&self, expired: Expired) {
        let Expired { entries, remembered_outcomes, key_packages } = expired;
        for (kind, number) in [("entry", entries), ("answer", remembered_outcomes), ("key_package", key_packages)] {
            self.0.expired.get_or_create_owned(&[("kind", kind)]).inc_by(number);
        }
    }

    /// Counts a wake-up with its outcome.
    pub fn woken(&self, outcome: WakeUpLabel) {
        let outcome = match outcome {
            WakeUpLabel::Delivered => "delivered",
            WakeUpLabel::Failed => "failed",
            WakeUpLabel::Dropped => "dropped",
        };
        self.0.wake_ups.get_or_create_owned(&[("outcome", outcome)]).inc();
    }

    /// Sets the number of requests that wait for the store.
    pub fn queue(&self, depth: usize) {
        self.0.queue.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// Counts a batch of requests, with its size and duration.
    pub fn batch(&self, size: usize, took: Duration) {
        self.0.batch_size.observe(size as f64);
        self.0.batch_seconds.observe(took.as_secs_f64());
    }

    /// Sets the number of open streams and long polls.
    pub fn streams(&self, open: usize) {
        self.0.streams.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// Counts a new connection. It is open until the returned guard is dropped.
    pub fn connection(&self) -> Open {
        self.0.accepted.inc();
        Open::new(&self.0.connections)
    }

    /// Counts a connection that the server closed because its address had too many.
    pub fn connection_refused(&self) {
        self.0.refused.inc();
    }

    /// Counts a TLS handshake that failed or took too long.
    pub fn handshake_failed(&self) {
        self.0.handshakes.inc();
    }

    /// Counts a connection that the server closed because its client took nothing of an answer for
    /// too long.
    pub fn connection_stuck(&self) {
        self.0.stuck.inc();
    }

    /// Sets the bytes that are charged for bodies and answers.
    pub fn memory(&self, bytes: usize) {
        self.0.memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Sets the free disk space of the store and the open files. A missing figure changes nothing.
    pub fn resources(&self, figures: ResourceFigures) {
        let ResourceFigures { disk_free_bytes, open_files, max_open_files } = figures;
        let counts = &self.0;
        for (gauge, figure) in [
            (&counts.disk_free, disk_free_bytes),
            (&counts.open_files, open_files),
            (&counts.max_open_files, max_open_files),
        ] {
            if let Some(figure) = figure {
                gauge.get_or_create(&[]).set(i64::try_from(figure).unwrap_or(i64::MAX));
            }
        }
    }

    /// Sets the number of log lines that are lost since the start.
    pub fn log_lines_lost(&self, lines: u64) {
        self.0.log_lost.inc_by(lines.saturating_sub(self.0.log_lost.get()));
    }

    /// Sets the expiry of the certificate in use, in seconds since 1970. Without a certificate, the
    /// metric does not exist.
    pub fn certificate_expires(&self, at: i64) {
        self.0.certificate.get_or_create(&[]).set(at);
    }

    /// Sets whether the wall clock is confirmed.
    pub fn clock_confirmed(&self, confirmed: bool) {
        self.0.clock_confirmed.set(i64::from(confirmed));
    }

    /// Counts a jump of the wall clock.
    pub fn clock_jumped(&self) {
        self.0.clock_jumps.inc();
    }

    /// Sets whether this node owns the store, and the last term that it knows.
    pub fn cluster(&self, owns: bool, term: i64) {
        self.0.owner.set(i64::from(owns));
        self.0.term.set(term);
    }

    /// Counts a store that this node has taken.
    pub fn took_store(&self) {
        self.0.takeovers.inc();
    }

    /// Counts a forwarded request, with the time to the headers of its answer.
    pub fn forwarded(&self, outcome: ForwardLabel, took: Duration) {
        let outcome = match outcome {
            ForwardLabel::Answered => "answered",
            ForwardLabel::NoOwner => "no_owner",
            ForwardLabel::Lost => "lost",
        };
        self.0.forwarded.get_or_create_owned(&[("outcome", outcome)]).inc();
        self.0.forward_seconds.observe(took.as_secs_f64());
    }

    /// Counts an exchange with the database.
    pub fn database(&self, kind: &'static str, took: Duration) {
        self.0.database_seconds.get_or_create(&[("kind", kind.to_owned())]).observe(took.as_secs_f64());
    }

    /// Counts an answered request. `route` is a template, never a path.
    pub fn request(&self, method: &'static str, route: &str, status: StatusClass, took: Duration) {
        let labels = RequestLabels { method, route: route.to_owned(), status: status.0 };
        self.0.requests.get_or_create_owned(&labels).inc();
        self.0.request_seconds.get_or_create(&[("route", route.to_owned())]).observe(took.as_secs_f64());
    }
}

/// A guard that keeps a gauge one higher while it exists.
#[derive(Debug)]
pub struct Open(Gauge);

impl Open {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
