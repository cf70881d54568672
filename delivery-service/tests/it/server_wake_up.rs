//! Wake-ups. The server calls a sleeping device once and without content. Nobody waits for the
//! calls.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use crate::{
    common::{Member, NOW, device, register as register_device, service},
    http::{Answer, Device, Events, World},
    test_directory::TestDirectory,
};
use axum::http::StatusCode;
use regrow_delivery_service::{HandshakeMode::Opaque, SqliteStore, api::Code};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};

/// A device counts as asleep after it has not read for this many seconds.
const LULL: u64 = 30;

/// Receives wake-up calls at a loopback address.
struct Receiver {
    address: SocketAddr,
    calls: mpsc::UnboundedReceiver<String>,
}

impl Receiver {
    /// A receiver that gives these answers in order, and then repeats the last one.
    async fn answering(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = mpsc::unbounded_channel();
        let mut answers: VecDeque<_> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => asked.push(byte),
                        Err(_) => break,
                    }
                }
                let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
                let answer = format!("HTTP/1.1 {}\r\nconnection: close\r\n\r\n", answer.unwrap());
                let _ = stream.write_all(answer.as_bytes()).await;
                if sender.send(String::from_utf8(asked).unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { address, calls }
    }

    async fn new() -> Self {
        Self::answering(&["204 No Content"]).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Waits for the next call. Returns its path.
    async fn called(&mut self) -> String {
        let call = self.calls.recv().await.unwrap();
        call.split_whitespace().nth(1).unwrap().to_owned()
    }

    fn is_silent(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }
}

async fn world(receivers: &[&Receiver]) -> World {
    let hosts = receivers.iter().map(|receiver| receiver.address.to_string()).collect();
    World::with(|settings| settings.wake_up.hosts = hosts).await
}

async fn register(world: &World, device: &Device, url: &str) -> Answer {
    world.call("PUT", "/v1/wake-up", Some(&device.token), Some(json!({ "url": url }))).await
}

/// Creates a group of Alice and the others. The others have registered for wake-ups, have read
/// everything, and are asleep.
async fn asleep(world: &World, others: &[(&Device, String)], alice: &Device) -> Vec<Member> {
    let devices: Vec<_> = std::iter::once(alice).chain(others.iter().map(|(device, _)| *device)).collect();
    let members = world.group(Opaque, &devices).await;
    for (device, url) in others {
        register(world, device, url).await.is(StatusCode::NO_CONTENT);
        read_all(world, device).await;
    }
    lull(world).await;
    members
}

/// Reads and acknowledges everything.
async fn read_all(world: &World, device: &Device) {
    let up_to = world.read(&device.token, 0).await.last().map_or(0, |delivery| delivery.cursor);
    world.call("POST", "/v1/acknowledgements", Some(&device.token), Some(json!({ "up_to": up_to }))).await;
}

/// Lets enough time pass for devices that do not read to fall asleep.
async fn lull(world: &World) {
    world.wait(LULL);
    world.server.state().upkeep().await;
}

async fn say(world: &World, alice: &Device, members: &mut [Member]) {
    let message = members[0].send("hello");
    world.message(alice, &message).await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_sleeping_device_is_called_once_until_it_reads() {
    let mut receiver = Receiver::new().await;
    let world = world(&[&receiver]).await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    let mut members = asleep(&world, &[(&bob, receiver.url("first"))], &alice).await;
    say(&world, &alice, &mut members).await;
    assert_eq!(receiver.called().await, "/first");
    say(&world, &alice, &mut members).await;
    lull(&world).await;
    // The second address lets the test distinguish the calls.
    read_all(&world, &bob).await;
    register(&world, &bob, &receiver.url("second")).await.is(StatusCode::NO_CONTENT);
    lull(&world).await;
    say(&world, &alice, &mut members).await;
    assert_eq!(receiver.called().await, "/second");
}

#[tokio::test]
async fn a_call_has_no_content() {
    let mut receiver = Receiver::new().await;
    let world = world(&[&receiver]).await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    let mut members = asleep(&world, &[(&bob, receiver.url("token"))], &alice).await;
    say(&world, &alice, &mut members).await;
    let call = receiver.calls.recv().await.unwrap();
    let mut lines: Vec<_> = call.trim_end().split("\r\n").map(str::to_ascii_lowercase).collect();
    lines.sort();
    let host = format!("host: {}", receiver.address);
    assert_eq!(lines, ["accept: */*", "content-length: 0", &host, "post /token http/1.1"]);
}

#[tokio::test]
async fn a_listening_or_recently_active_device_is_not_called() {
    let mut receiver = Receiver::new().await;
    let world = world(&[&receiver]).await;
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|user| (user, "phone"));
    let alice = world.device(alice.0, alice.1).await;
    let (bob, carol) = (world.device(bob.0, bob.1).await, world.device(carol.0, carol.1).await);
    let dave = world.device(dave.0, dave.1).await;
    let others = [(&bob, receiver.url("bob")), (&carol, receiver.url("carol")), (&dave, receiver.url("dave"))];
    let mut members = asleep(&world, &others, &alice).await;
    let cursor = world.read(&alice.token, 0).await.last().unwrap().cursor;
    let mut stream = Events::open(&world, &format!("/v1/stream?after={cursor}"), &bob.token, None).await;
    assert!(world.read(&carol.token, cursor).await.is_empty());
    say(&world, &alice, &mut members).await;
    stream.next().await.unwrap();
    assert_eq!(receiver.called().await, "/dave");
    assert!(receiver.is_silent());

    // Bob has not acknowledged the entry that his stream has shown, so he may not have received it.
    drop(stream);
    lull(&world).await;
    let mut called = [receiver.called().await, receiver.called().await];
    called.sort();
    assert_eq!(called, ["/bob", "/carol"]);
}

#[tokio::test]
async fn a_device_with_an_open_stream_stays_awake() {
    let mut receiver = Receiver::new().await;
    let world = world(&[&receiver]).await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    let carol = world.device("carol", "phone").await;
    let others = [(&bob, receiver.url("bob")), (&carol, receiver.url("carol"))];
    let mut members = asleep(&world, &others, &alice).await;
    let cursor = world.read(&alice.token, 0).await.last().unwrap().cursor;
    let mut stream = Events::open(&world, &format!("/v1/stream?after={cursor}"), &bob.token, None).await;
    say(&world, &alice, &mut members).await;
    stream.next().await.unwrap();
    assert_eq!(receiver.called().await, "/carol");
    lull(&world).await;
    read_all(&world, &carol).await;
    lull(&world).await;
    say(&world, &alice, &mut members).await;
    stream.next().await.unwrap();
    // A call to Bob would have arrived before this call.
    assert_eq!(receiver.called().await, "/carol");
}

#[tokio::test]
async fn a_device_is_called_for_entries_from_before_it_slept() {
    let mut receiver = Receiver::new().await;
    let world = world(&[&receiver]).await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    let mut members = world.group(Opaque, &[&alice, &bob]).await;
    register(&world, &bob, &receiver.url("bob")).await.is(StatusCode::NO_CONTENT);
    read_all(&world, &bob).await;
    say(&world, &alice, &mut members).await;
    assert!(receiver.is_silent());
    lull(&world).await;
    assert_eq!(receiver.called().await, "/bob");
}

#[tokio::test]
async fn a_device_is_called_when_added_to_a_group() {
    let mut receiver = Receiver::new().await;
    let world = world(&[&receiver]).await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    register(&world, &bob, &receiver.url("bob")).await.is(StatusCode::NO_CONTENT);
    lull(&world).await;
    let mut members = world.group(Opaque, &[&alice]).await;
    let key_package = world.claimed(&alice, &bob, &bob.client()).await;
    let commit = members[0].commit(&[key_package], &[]);
    world.commit(&alice, &commit).await.is(StatusCode::OK);
    assert_eq!(receiver.called().await, "/bob");
}

#[tokio::test]
async fn a_failed_call_is_repeated() {
    let mut receiver = Receiver::answering(&["503 Service Unavailable", "204 No Content"]).await;
    let world = world(&[&receiver]).await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    let mut members = asleep(&world, &[(&bob, receiver.url("bob"))], &alice).await;
    say(&world, &alice, &mut members).await;
    for _ in 0..2 {
        assert_eq!(receiver.called().await, "/bob");
    }
    counted(&world, "delivered").await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut other = Receiver::new().await;
    let location = format!("307 Temporary Redirect\r\nlocation: {}", other.url("redirected"));
    let mut receiver = Receiver::answering(&[&location]).await;
    let world = world(&[&receiver, &other]).await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    let mut members = asleep(&world, &[(&bob, receiver.url("bob"))], &alice).await;
    say(&world, &alice, &mut members).await;
    assert_eq!(receiver.called().await, "/bob");
    counted(&world, "failed").await;
    assert!(other.is_silent());
}

/// Waits until one wake-up has ended with this outcome.
async fn counted(world: &World, outcome: &str) {
    let line = format!("regrow_ds_wake_ups_total{{outcome=\"{outcome}\"}} 1");
    while !world.metrics().contains(&line) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_silent_receiver_delays_nobody() {
    // Nobody accepts these connections, so the calls wait.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut receiver = Receiver::new().await;
    let hosts = vec![dead.local_addr().unwrap().to_string(), receiver.address.to_string()];
    let world = World::with(|settings| settings.wake_up.hosts = hosts).await;
    let alice = world.device("alice", "phone").await;
    let mut sleepers = Vec::new();
    for number in 0..20 {
        sleepers.push(world.device(&format!("sleeper{number}"), "phone").await);
    }
    let dead_url = format!("http://{}/", dead.local_addr().unwrap());
    let mut others: Vec<_> = sleepers.iter().map(|device| (device, dead_url.clone())).collect();
    others[19].1 = receiver.url("alive");
    let mut members = asleep(&world, &others, &alice).await;
    say(&world, &alice, &mut members).await;
    // The calls to the dead receiver end after ten seconds.
    let called = tokio::time::timeout(Duration::from_secs(5), receiver.called());
    assert_eq!(called.await.as_deref(), Ok("/alive"));
    say(&world, &alice, &mut members).await;
}

#[tokio::test]
async fn an_address_is_deleted_on_request_and_with_the_device() {
    let mut receiver = Receiver::new().await;
    let world = world(&[&receiver]).await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    let (carol, dave) = (world.device("carol", "phone").await, world.device("dave", "phone").await);
    let others = [(&bob, receiver.url("bob")), (&carol, receiver.url("carol")), (&dave, receiver.url("dave"))];
    let mut members = asleep(&world, &others, &alice).await;
    for _ in 0..2 {
        world.call("DELETE", "/v1/wake-up", Some(&bob.token), None).await.is(StatusCode::NO_CONTENT);
    }
    world.call("DELETE", &carol.path(), Some(&carol.token), None).await.is(StatusCode::NO_CONTENT);
    say(&world, &alice, &mut members).await;
    assert_eq!(receiver.called().await, "/dave");
    lull(&world).await;
    assert!(receiver.is_silent());
}

#[tokio::test]
async fn a_restarted_server_still_calls_registered_devices() {
    let directory = TestDirectory::new();
    let mut receiver = Receiver::new().await;
    let hosts = vec![receiver.address.to_string()];
    let start = async |start: u64| {
        let hosts = hosts.clone();
        World::started_at(start, SqliteStore::open(directory.store_path()).unwrap(), |settings| {
            settings.wake_up.hosts = hosts
        })
        .await
    };
    let world = start(NOW.0).await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    let mut members = world.group(Opaque, &[&alice, &bob]).await;
    register(&world, &bob, &receiver.url("bob")).await.is(StatusCode::NO_CONTENT);
    read_all(&world, &bob).await;
    world.server.stop().await;

    let world = start(NOW.0 + 1).await;
    lull(&world).await;
    say(&world, &alice, &mut members).await;
    assert_eq!(receiver.called().await, "/bob");
}

#[test]
fn user_records_contain_the_address_until_the_device_is_removed() {
    let service = service();
    let phone = device("alice");
    let address = "https://push.example.org/alice";
    assert!(!service.register_wake_up(&phone, address).unwrap(), "an unknown device is registered");
    register_device(&service, &phone);
    assert!(service.register_wake_up(&phone, address).unwrap());
    let kept = || service.records_of_user(phone.user(), NOW).unwrap().unwrap().devices.remove(0).wake_up;
    assert_eq!(kept().as_deref(), Some(address));
    service.remove_device(&phone).unwrap().unwrap();
    assert_eq!(kept(), None);
    assert_eq!(service.wake_ups().unwrap(), []);
}

#[tokio::test]
async fn an_address_on_another_host_is_refused() {
    let receiver = Receiver::new().await;
    let world = world(&[&receiver]).await;
    let alice = world.device("alice", "phone").await;
    register(&world, &alice, "https://push.example.org/").await.refused(Code::Forbidden);
    register(&world, &alice, "http://push.example.org/").await.refused(Code::BadRequest);
    let off = World::new().await;
    let alice = off.device("alice", "phone").await;
    let problem = register(&off, &alice, &receiver.url("alice")).await.refused(Code::Forbidden);
    assert_eq!(problem.detail.as_deref(), Some("this server wakes no devices"));
}
