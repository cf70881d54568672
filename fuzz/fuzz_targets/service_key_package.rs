#![no_main]

use regrow_delivery_service::UploadError;
use regrow_fuzz::service::{ALICE, AT, empty, with_services};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_services(empty, |service, _| {
        let one = service.upload_key_packages(&ALICE, &[bytes.to_vec()], None, AT);
        let last_resort = service.upload_key_packages(&ALICE, &[], Some(bytes), AT);
        for upload in [&one, &last_resort] {
            assert!(!matches!(upload, Err(UploadError::Store(_))), "the store works");
        }
        let claimed = service.claim_key_package(&ALICE, AT).expect("the store works");
        assert_eq!(claimed.is_some(), one.is_ok() || last_resort.is_ok(), "what is stored can be claimed");
        claimed.is_some()
    });
});
