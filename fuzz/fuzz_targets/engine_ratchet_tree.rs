#![no_main]

use regrow_engine::JoinMessage;
use regrow_fuzz::{tree_apart, with_members};

std::thread_local! {
    static GROUP_INFO: Vec<u8> = tree_apart().0;
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| GROUP_INFO
    .with(|group_info| { with_members(|client| client.join_external(JoinMessage::with_tree(group_info, bytes))) }));
