//! A device reads on after a gap that is larger than its policy permits (RFC 9420, 9.1).
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::world::*;
use regrow_engine::{HandshakeMode::Assisted, Policy};
use regrow_messenger::Event;

#[tokio::test]
async fn messages_after_a_large_gap_are_read_again() {
    let world = World::over(memory(), 1, |settings| settings.limits.ordering.max_queue_length = 30).await;
    let little = Policy { max_forward: 20, ..policy(Assisted) };
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger_with("bob", "phone", little).await;
    make_group(&mut [&mut alice, &mut bob]).await;
    let epoch = alice.epoch();
    for number in 0..70 {
        alice.send(&chat(), format!("{number}").as_bytes()).await.unwrap();
    }

    settle(&mut [&mut bob, &mut alice]).await;
    alice.send(&chat(), b"now").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(bob.count_events(|event| matches!(event, Event::Gap { .. })), 1);
    assert_eq!(bob.texts(), ["alice: now"]);
    assert_eq!(alice.epoch(), epoch + 1, "one rotation is enough");
}
