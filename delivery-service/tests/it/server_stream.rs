//! Streams and long polls: the events that wake them, their resumption, and their end.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::http::{Device, Events, World, commit_request, request, room_path};
use axum::http::StatusCode;
use regrow_delivery_service::{
    HandshakeMode,
    api::{self, Code, DeliveryKind},
};

async fn pair(world: &World) -> (Device, Device) {
    (world.device("alice", "phone").await, world.device("bob", "phone").await)
}

#[tokio::test]
async fn an_event_is_a_delivery() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let mut events = Events::open(&world, "/v1/stream", &bob.token, None).await;
    let (id, kind, welcome) = events.next().await.expect("the welcome");
    assert_eq!((id, kind.as_str(), welcome.kind), (welcome.cursor.to_string(), "welcome", DeliveryKind::Welcome));

    // The stream waits now, and the message wakes it.
    let sent = members[0].send("hello");
    let (answer, event) = tokio::join!(world.message(&alice, &sent), events.next());
    answer.is(StatusCode::OK);
    let (_, kind, message) = event.expect("the message");
    assert_eq!(kind, "message");
    assert_eq!(members[1].receive(&message.bytes.0), Some("hello".into()));
}

#[tokio::test]
async fn a_stream_resumes_after_the_last_event() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    for text in ["one", "two"] {
        world.message(&alice, &members[0].send(text)).await.is(StatusCode::OK);
    }
    let all = world.read(&bob.token, 0).await;
    let welcome = all[0].cursor.to_string();
    let mut by_header = Events::open(&world, "/v1/stream", &bob.token, Some(&welcome)).await;
    let mut by_query = Events::open(&world, &format!("/v1/stream?after={welcome}"), &bob.token, None).await;
    // The last seen event takes precedence over the query.
    let mut by_both = Events::open(&world, "/v1/stream?after=0", &bob.token, Some(&welcome)).await;
    for events in [&mut by_header, &mut by_query, &mut by_both] {
        for expected in &all[1..] {
            assert_eq!(&events.next().await.expect("an event").2, expected);
        }
    }
}

/// Opens a stream after the cursor `last`. Returns as many events as the device has deliveries
/// there.
async fn resumed(world: &World, device: &Device, last: u64) -> Vec<api::Delivery> {
    let mut events = Events::open(world, "/v1/stream", &device.token, Some(&last.to_string())).await;
    let mut read = Vec::new();
    for _ in world.read(&device.token, last).await {
        read.push(events.next().await.expect("an event").2);
    }
    read
}

#[tokio::test]
async fn a_stream_resumes_from_any_position_without_repetition() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    for text in ["one", "two", "three"] {
        world.message(&alice, &members[0].send(text)).await.is(StatusCode::OK);
    }
    let all = world.read(&bob.token, 0).await;
    assert_eq!(all.len(), 4);
    let mut streams = Vec::new();
    for broken_off in 0..all.len() {
        let last = all[broken_off].cursor.to_string();
        let mut events = Events::open(&world, "/v1/stream", &bob.token, Some(&last)).await;
        for expected in &all[broken_off + 1..] {
            assert_eq!(&events.next().await.expect("an event").2, expected);
        }
        streams.push(events);
    }
    world.server.end_streams();
    for mut events in streams {
        assert!(events.next().await.is_none(), "the stream repeats an event");
    }
}

#[tokio::test]
async fn another_devices_cursor_is_a_valid_position() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice]).await;
    let client = bob.client();
    for text in ["before bob", "also before"] {
        world.message(&alice, &members[0].send(text)).await.is(StatusCode::OK);
    }
    let key_package = world.claimed(&alice, &bob, &client).await;
    world.commit(&alice, &members[0].commit(&[key_package], &[])).await.is(StatusCode::OK);
    members[0].confirm();
    for text in ["to bob", "to bob again"] {
        world.message(&alice, &members[0].send(text)).await.is(StatusCode::OK);
    }
    let own = world.read(&bob.token, 0).await;
    assert_eq!(own.len(), 3);
    let others = world.read(&alice.token, 0).await;
    assert_eq!(others.len(), 5);
    for other in others {
        let after: Vec<_> = own.iter().filter(|one| one.cursor > other.cursor).cloned().collect();
        assert_eq!(resumed(&world, &bob, other.cursor).await, after);
    }
}

#[tokio::test]
async fn a_cursor_beyond_the_end_skips_entries_up_to_it() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let end = world.read(&bob.token, 0).await[0].cursor;
    let mut events = Events::open(&world, "/v1/stream", &bob.token, Some(&(end + 1).to_string())).await;
    let mut never = Events::open(&world, "/v1/stream", &bob.token, Some(&u64::MAX.to_string())).await;
    for text in ["up to it", "beyond it"] {
        world.message(&alice, &members[0].send(text)).await.is(StatusCode::OK);
    }
    let [skipped, shown] = &world.read(&bob.token, end).await[..] else { panic!("not two messages") };
    assert_eq!(skipped.cursor, end + 1);
    assert_eq!(&events.next().await.expect("an event").2, shown);
    world.server.end_streams();
    assert!(never.next().await.is_none());
}

#[tokio::test]
async fn more_than_a_page_is_streamed_without_a_gap() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    for number in 0..150 {
        world.message(&alice, &members[0].send(&number.to_string())).await.is(StatusCode::OK);
    }
    let mut events = Events::open(&world, "/v1/stream", &bob.token, None).await;
    events.next().await.expect("the welcome");
    for number in 0..150 {
        let (_, _, message) = events.next().await.expect("a message");
        assert_eq!(members[1].receive(&message.bytes.0), Some(number.to_string()));
    }
}

#[tokio::test]
async fn a_stream_shows_the_devices_new_group() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice]).await;
    let mut events = Events::open(&world, "/v1/stream", &bob.token, None).await;
    let client = bob.client();
    let add = members[0].commit(&[world.claimed(&alice, &bob, &client).await], &[]);
    let (answer, event) = tokio::join!(world.commit(&alice, &add), events.next());
    answer.is(StatusCode::OK);
    members[0].confirm();
    let mut bobs = client.join(&event.expect("the welcome").2.bytes.0, HandshakeMode::Assisted);

    // After that, the stream also shows the messages of the group.
    let sent = members[0].send("welcome");
    let (answer, event) = tokio::join!(world.message(&alice, &sent), events.next());
    answer.is(StatusCode::OK);
    assert_eq!(bobs.receive(&event.expect("the message").2.bytes.0), Some("welcome".into()));
}

#[tokio::test]
async fn a_stream_shows_the_removal_of_its_device() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let mut events = Events::open(&world, "/v1/stream", &bob.token, None).await;
    events.next().await.expect("the welcome");
    let removal = members[0].commit(&[], &[&bob.id()]);
    let (answer, event) = tokio::join!(world.commit(&alice, &removal), events.next());
    answer.is(StatusCode::OK);
    assert_eq!(event.expect("the removal").1, "commit");
}

#[tokio::test]
async fn a_stream_shows_a_group_restored_by_a_rollback() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let (carol, dave) = (world.device("carol", "phone").await, world.device("dave", "phone").await);
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob, &carol, &dave]).await;
    let mut events = Events::open(&world, "/v1/stream", &bob.token, None).await;
    events.next().await.expect("the welcome");
    let removal = members[0].commit(&[], &[&bob.id()]);
    let (answer, event) = tokio::join!(world.commit(&alice, &removal), events.next());
    let ordered: api::Accepted = answer.ok();
    event.expect("the removal");
    let report = api::ReportRequest { sequence: ordered.receipt.sequence };
    world.post(&room_path("/reports"), Some(&carol.token), &report).await.is(StatusCode::OK);
    let path = room_path("/reports");
    let (answer, event) = tokio::join!(world.post(&path, Some(&dave.token), &report), events.next());
    assert!(answer.ok::<api::ReportAnswer>().rolled_back);
    assert_eq!(event.expect("the rollback").1, "rollback");
    // Bob is a member again, and his stream shows new messages.
    let sent = members[3].send("you are back");
    let (answer, event) = tokio::join!(world.message(&dave, &sent), events.next());
    answer.is(StatusCode::OK);
    assert_eq!(event.expect("the message").1, "message");
}

#[tokio::test]
async fn a_long_poll_returns_available_entries_at_once() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let page: api::DeliveryPage = world.call("GET", "/v1/deliveries?wait=60", Some(&bob.token), None).await.ok();
    assert_eq!(page.deliveries.len(), 1);
}

#[tokio::test]
async fn a_long_poll_answers_when_an_entry_arrives() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let after = world.read(&bob.token, 0).await[0].cursor;
    let path = format!("/v1/deliveries?after={after}&wait=60");
    let sent = members[0].send("hello");
    let (page, answer) = tokio::join!(world.call("GET", &path, Some(&bob.token), None), world.message(&alice, &sent));
    answer.is(StatusCode::OK);
    assert_eq!(page.ok::<api::DeliveryPage>().deliveries.len(), 1);
}

/// Two readers wait anew for each of many messages. If one wake-up is lost, the test does not end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost() {
    const MESSAGES: usize = 100;
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let carol = world.device("carol", "phone").await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob, &carol]).await;
    let readers = [&bob, &carol].map(|device| {
        let (router, token) = (world.router.clone(), device.token.clone());
        tokio::spawn(async move {
            let (mut after, mut read) = (0, 0);
            while read < MESSAGES + 1 {
                let path = format!("/v1/deliveries?after={after}&wait=60&limit=1");
                let answer = tower::ServiceExt::oneshot(router.clone(), request("GET", &path, Some(&token), None));
                let body = http_body_util::BodyExt::collect(answer.await.expect("an answer").into_body()).await;
                let page: api::DeliveryPage =
                    serde_json::from_slice(&body.expect("a body").to_bytes()).expect("a page");
                assert_eq!(page.deliveries.len(), 1, "the reader was woken without an entry, or not at all");
                after = page.deliveries[0].cursor;
                read += 1;
            }
        })
    });
    for number in 0..MESSAGES {
        world.message(&alice, &members[0].send(&number.to_string())).await.is(StatusCode::OK);
    }
    for reader in readers {
        reader.await.expect("all messages");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let world = World::new().await;
    let alice = world.device("alice", "phone").await;
    let mut events = Events::open(&world, "/v1/stream", &alice.token, None).await;
    let (answer, event) =
        tokio::join!(world.call("DELETE", "/v1/sessions/current", Some(&alice.token), None), events.next());
    answer.is(StatusCode::NO_CONTENT);
    assert!(event.is_none());
}

#[tokio::test]
async fn a_stream_ends_with_its_device() {
    let world = World::new().await;
    let (phone, laptop) = (world.device("alice", "phone").await, world.device("alice", "laptop").await);
    let mut events = Events::open(&world, "/v1/stream", &phone.token, None).await;
    let path = phone.path();
    let (answer, event) = tokio::join!(world.call("DELETE", &path, Some(&laptop.token), None), events.next());
    answer.is(StatusCode::NO_CONTENT);
    assert!(event.is_none());
}

#[tokio::test]
async fn a_stream_ends_when_the_session_has_expired() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let mut events = Events::open(&world, "/v1/stream", &bob.token, None).await;
    events.next().await.expect("the welcome");
    world.wait(3_600);
    let again = Device { token: world.token(&alice.key).await, ..alice };
    let sent = members[0].send("too late");
    let (answer, event) = tokio::join!(world.message(&again, &sent), events.next());
    answer.is(StatusCode::OK);
    assert!(event.is_none());
}

#[tokio::test]
async fn streams_end_when_the_server_is_stopped() {
    let world = World::new().await;
    let alice = world.device("alice", "phone").await;
    let mut events = Events::open(&world, "/v1/stream", &alice.token, None).await;
    let poll = world.call("GET", "/v1/deliveries?wait=60", Some(&alice.token), None);
    let (page, event, ()) = tokio::join!(poll, events.next(), async { world.server.end_streams() });
    assert_eq!(page.ok::<api::DeliveryPage>().deliveries, []);
    assert!(event.is_none());
}

#[tokio::test]
async fn the_number_of_streams_is_limited() {
    let world = World::with(|settings| {
        settings.limits.streams_per_device = 2;
        settings.limits.streams = 3;
    })
    .await;
    let (alice, bob) = pair(&world).await;
    let one = Events::open(&world, "/v1/stream", &alice.token, None).await;
    let _two = Events::open(&world, "/v1/stream", &alice.token, None).await;
    let problem = world.call("GET", "/v1/stream", Some(&alice.token), None).await.refused(Code::TooManyRequests);
    assert!(problem.retry_after.is_some());
    let _three = Events::open(&world, "/v1/stream", &bob.token, None).await;
    let problem = world.call("GET", "/v1/stream", Some(&bob.token), None).await.refused(Code::Unavailable);
    assert!(problem.retry_after.is_some());
    world.call("GET", "/v1/deliveries?wait=60", Some(&bob.token), None).await.refused(Code::Unavailable);
    // A read without a wait does not count as a stream.
    world.call("GET", "/v1/deliveries", Some(&bob.token), None).await.is(StatusCode::OK);
    drop(one);
    assert_eq!(world.server.state().streams(), 2);
    Events::open(&world, "/v1/stream", &alice.token, None).await;
}

#[tokio::test]
async fn a_refused_commit_wakes_nobody() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let mut events = Events::open(&world, "/v1/stream", &bob.token, None).await;
    events.next().await.expect("the welcome");
    let mut wrong = commit_request(&members[0].update());
    wrong.removed.push(bob.key.name.clone());
    let path = room_path("/commits");
    let sent = members[0].send("nothing has happened");
    let (refused, event) = tokio::join!(
        async {
            let refused = world.post(&path, Some(&alice.token), &wrong).await;
            world.message(&alice, &sent).await.is(StatusCode::OK);
            refused
        },
        events.next()
    );
    refused.refused(Code::Rejected);
    assert_eq!(event.expect("the message").1, "message");
}
