//! The shutdown of a server while clients sleep.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(feature = "server")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::h2::{get, preface};
use crate::http::World;
use regrow_delivery_service::server::{serve::Listening, settings::Settings, shutdown::Shutdown};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Measures a shutdown while the client that `connect` returns is open.
async fn measure_shutdown<T>(connect: impl AsyncFnOnce(SocketAddr, String) -> T) -> Duration {
    let world = World::new().await;
    let device = world.device("alice", "phone").await;
    let mut settings = Settings::default();
    settings.listen.set_port(0);
    settings.listen_operators.set_port(0);
    settings.drain_seconds = 60;
    let listening = Listening::bind(&settings).await.unwrap();
    let (address, shutdown) = (listening.addresses().devices, Shutdown::default());
    let ended = tokio::spawn(listening.run(world.server, shutdown.clone()));
    let client = connect(address, device.token.clone()).await;
    let begun = Instant::now();
    shutdown.begin();
    ended.await.unwrap();
    drop(client);
    begun.elapsed()
}

/// Opens an HTTP/2 connection, sends a request, and waits for the start of the answer. The client
/// then sleeps.
async fn connect_and_sleep(address: SocketAddr, path: &str, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[preface(&[]), get(1, path, token)].concat()).await.unwrap();
    // Read up to the frame with the headers of the answer.
    let mut read = Vec::new();
    loop {
        read.push(stream.read_u8().await.unwrap());
        let mut rest = &read[..];
        while rest.len() >= 9 {
            let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
            if rest[3] == 1 {
                return stream;
            }
            if rest.len() < 9 + length {
                break;
            }
            rest = &rest[9 + length..];
        }
    }
}

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_sleeping_stream_does_not_delay_the_shutdown() {
    let took = measure_shutdown(async |address, token| connect_and_sleep(address, "/v1/stream", &token).await).await;
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn an_idle_connection_does_not_delay_the_shutdown() {
    let took = measure_shutdown(async |address, token| connect_and_sleep(address, "/v1/service", &token).await).await;
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn a_silent_connection_does_not_delay_the_shutdown() {
    let took = measure_shutdown(async |address, _| TcpStream::connect(address).await.unwrap()).await;
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn a_request_just_after_the_shutdown_begins_is_answered() {
    let world = World::new().await;
    let mut settings = Settings::default();
    settings.listen.set_port(0);
    settings.listen_operators.set_port(0);
    let listening = Listening::bind(&settings).await.unwrap();
    let (address, shutdown) = (listening.addresses().devices, Shutdown::default());
    let state = world.server.state();
    let ended = tokio::spawn(listening.run(world.server, shutdown.clone()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server has accepted the connection when it counts it.
    while !state.metrics().text().contains("regrow_ds_connections 1") {
        tokio::task::yield_now().await;
    }
    shutdown.begin();
    stream.write_all(b"GET /v1/service HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    ended.await.unwrap();
}
