//! Questions of Git LFS from those who push: what is read of one is within its limits, and every answer is about what was asked, takes no more than
//! there is room for, and leads nowhere but here.
#![no_main]

use havre_decide::source::lfs::batch::{
    Door, OBJECT_MAX, OBJECTS_MAX, Operation, answer, parse, parse_oid, parse_verify,
};
use libfuzzer_sys::fuzz_target;

const ADDRESS: &str = "https://havre.example.org/git/dropit.git/info/lfs";
const ROOM: u64 = 4 * 1024 * 1024 * 1024;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(asked) = parse_verify(bytes) {
        assert_eq!(parse_oid(asked.oid.hex()), Ok(asked.oid));
    }
    let Ok(batch) = parse(bytes) else { return };
    assert!(batch.objects.len() <= OBJECTS_MAX);
    // Whether one is here: as its name says.
    let found: Vec<Option<u64>> =
        batch.objects.iter().map(|one| one.oid.hex().starts_with('a').then_some(one.size)).collect();
    let answer = answer(&batch, &found, &Door { address: ADDRESS, authorization: None, room: ROOM });
    let objects = answer["objects"].as_array().expect("a list");
    assert_eq!(objects.len(), batch.objects.len());
    let mut taken = 0;
    for (object, asked) in objects.iter().zip(&batch.objects) {
        assert_eq!(object["oid"], asked.oid.hex());
        for (name, action) in object["actions"].as_object().into_iter().flatten() {
            let href = action["href"].as_str().expect("an address");
            assert!(
                href == format!("{ADDRESS}/verify")
                    || href == format!("{ADDRESS}/objects/{}", asked.oid.hex())
            );
            assert_eq!(name == "download", batch.operation == Operation::Download);
        }
        if object["actions"]["upload"].is_object() {
            assert!(asked.size <= OBJECT_MAX.as_bytes());
            taken += asked.size;
        }
    }
    assert!(taken <= ROOM);
});
