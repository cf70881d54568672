//! A client that sends one message after the other. It repeats a request that got 503 with
//! `Retry-After`, or whose connection was closed: the same bytes get the same outcome.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use regrow_delivery_service::api::Code;
use regrow_messenger::{Connection, ConnectionError, Retry, ServiceAddress};
use tokio::task::JoinHandle;

use super::{Device, Shared};

/// The requests of one client.
#[derive(Default)]
pub(super) struct Requests {
    /// The time from the first attempt to the acknowledgement of each request.
    pub(super) times: Vec<Duration>,
    /// The requests whose connection the stopping node had closed.
    pub(super) closed: usize,
    /// All other errors.
    pub(super) failed: Vec<String>,
}

/// Starts a client with a group of its own.
pub(super) async fn start(shared: &Shared, number: usize, stop: Arc<AtomicBool>) -> JoinHandle<Requests> {
    let mut device = Device::new(shared, number, "client", 0).await;
    device.create().await;
    let once = ServiceAddress { retry: Retry::never(), ..shared.server.clone() };
    device.connection = Connection::new(&once, device.name.clone(), device.key.clone(), shared.service).unwrap();
    tokio::spawn(async move {
        let mut requests = Requests::default();
        while !stop.load(Ordering::Relaxed) {
            let bytes = device.client.group(&device.group).unwrap().send(b"hello").unwrap();
            let begun = Instant::now();
            loop {
                let sent = device.connection.submit_message(&device.group, &bytes).await;
                match sent {
                    Ok(_) => break,
                    Err(ConnectionError::Problem(problem)) if is_away(problem.code, problem.retry_after) => {
                        tokio::time::sleep(Duration::from_secs(problem.retry_after.unwrap_or(1))).await;
                    }
                    Err(ConnectionError::Unreachable { .. }) => requests.closed += 1,
                    Err(error) => {
                        requests.failed.push(error.to_string());
                        break;
                    }
                }
            }
            requests.times.push(begun.elapsed());
        }
        requests
    })
}

fn is_away(code: Code, retry_after: Option<u64>) -> bool {
    code == Code::Unavailable && retry_after.is_some()
}
