//! Connections that waste the server's resources.

use std::{net::SocketAddr, time::Duration};

use crate::{
    h2::{frame, get, preface},
    http::World,
};
use regrow_delivery_service::server::{serve::Listening, settings::Settings, shutdown::Shutdown};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Starts a server that runs until the end of the test. Returns its address and the token of a
/// device.
async fn serving() -> (SocketAddr, String) {
    let world = World::new().await;
    let token = world.device("mallory", "phone").await.token;
    let mut settings = Settings::default();
    settings.listen.set_port(0);
    settings.listen_operators.set_port(0);
    settings.limits.header_seconds = 1;
    let listening = Listening::bind(&settings).await.unwrap();
    let address = listening.addresses().devices;
    tokio::spawn(listening.run(world.server, Shutdown::default()));
    (address, token)
}

/// Writes the same bytes repeatedly until the server ends the connection. Fails the test if that
/// takes more than 10 seconds.
async fn write_until_it_ends(stream: TcpStream, bytes: Vec<u8>, pause: Option<Duration>) {
    let (mut read, mut write) = stream.into_split();
    let writing = async {
        while write.write_all(&bytes).await.is_ok() {
            match pause {
                Some(pause) => drop(tokio::time::timeout(pause, std::future::pending::<()>()).await),
                None => tokio::task::yield_now().await,
            }
        }
    };
    let reading = async {
        let _ = read.read_to_end(&mut Vec::new()).await;
    };
    let ended = async {
        tokio::select! { () = writing => {}, () = reading => {} }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the server does not end the connection");
}

#[tokio::test]
async fn headers_sent_byte_by_byte_are_cut_off() {
    let (address, _) = serving().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /v1/service HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await.unwrap();
    write_until_it_ends(stream, b"a".to_vec(), Some(Duration::from_millis(50))).await;
}

/// A header block that never ends (CVE-2024-27316 and similar attacks).
#[tokio::test]
async fn endless_continuation_frames_are_cut_off() {
    let (address, _) = serving().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The first frame ends neither the header block nor the stream.
    stream.write_all(&[preface(&[]), frame(1, 0, 1, &[0x82])].concat()).await.unwrap();
    let header = [&[0, 1, b'x', 100][..], &[b'a'; 100]].concat();
    write_until_it_ends(stream, frame(9, 0, 1, &header.repeat(100)), None).await;
}

/// Requests that the client resets at once (CVE-2023-44487).
#[tokio::test]
async fn endless_request_resets_are_cut_off() {
    let (address, token) = serving().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let requests = (0..20_000_u32).flat_map(|number| {
        let stream = 2 * number + 1;
        [get(stream, "/v1/deliveries?wait=60", &token), frame(3, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    let requests: Vec<u8> = requests.collect();
    stream.write_all(&preface(&[])).await.unwrap();
    write_until_it_ends(stream, requests, None).await;
}
