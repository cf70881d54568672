#![no_main]

use regrow_protocol::{
    ServicePublicKey, UserId,
    device_list::{DeviceCard, DeviceList, ListEntry},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = ListEntry::decode(bytes) {
        assert_eq!(entry.encode(), bytes, "an entry has two encodings");
        let user = UserId::new("user").expect("a user's name");
        let mut list = DeviceList::new(user.clone());
        if list.append(&ServicePublicKey([7; 32]), &entry).is_err() {
            assert_eq!(list, DeviceList::new(user), "a refused entry has changed the list");
        }
    }
    if let Some(card) = str::from_utf8(bytes).ok().and_then(|text| text.parse::<DeviceCard>().ok()) {
        assert_eq!(card.to_string().parse(), Ok(card));
    }
});
