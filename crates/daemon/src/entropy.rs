//! Random bytes from the operating system, for names and secrets made once.

/// 32 fresh bytes.
pub(crate) fn bytes() -> [u8; 32] {
    let mut bytes = [0_u8; 32];
    // The system's source does not fail on any Linux we run on; without randomness nothing safe can be done.
    rand::TryRngCore::try_fill_bytes(&mut rand::rngs::OsRng, &mut bytes)
        .expect("the operating system gives random bytes");
    bytes
}

/// 128 random bits as 32 hex digits.
pub(crate) fn name() -> String {
    bytes()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
