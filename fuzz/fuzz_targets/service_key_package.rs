#![no_main]

use regrow_delivery_service::ClaimOutcome;
use regrow_fuzz::service::{ALICE, AT, CAROL, empty, with_services};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_services(empty, |service, _| {
        let one = service.upload_key_packages(&ALICE, &[bytes.to_vec()], None, AT);
        let last_resort = service.upload_key_packages(&ALICE, &[], Some(bytes), AT);
        let [one, last_resort] = [one, last_resort].map(|upload| upload.expect("the store works").refused.is_empty());
        let claimed = service.claim_key_package(&ALICE, &CAROL, AT).expect("the store works");
        let claimed = matches!(claimed, ClaimOutcome::Claimed(_));
        assert_eq!(claimed, one || last_resort, "exactly the stored key packages can be claimed");
        claimed
    });
});
