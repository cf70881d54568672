#![no_main]

use regrow_delivery_service::{ClaimOutcome, UploadError};
use regrow_fuzz::service::{ALICE, AT, CAROL, empty, with_services};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_services(empty, |service, _| {
        let one = service.upload_key_packages(&ALICE, &[bytes.to_vec()], None, AT);
        let last_resort = service.upload_key_packages(&ALICE, &[], Some(bytes), AT);
        for upload in [&one, &last_resort] {
            assert!(!matches!(upload, Err(UploadError::Store(_))), "the store works");
        }
        let claimed = service.claim_key_package(&ALICE, &CAROL, AT).expect("the store works");
        let claimed = matches!(claimed, ClaimOutcome::Claimed(_));
        assert_eq!(claimed, one.is_ok() || last_resort.is_ok(), "a key package that is stored can be claimed");
        claimed
    });
});
