//! A chunked body means the same in one piece and in two.
#![no_main]

use havre_http::h1::chunk::Decoder;
use libfuzzer_sys::fuzz_target;

/// Data, bytes used, whether it is done; `None` when it is refused.
fn decode(pieces: &[&[u8]]) -> Option<(Vec<u8>, usize, bool)> {
    let mut decoder = Decoder::new();
    let (mut data, mut used, mut is_done) = (Vec::new(), 0, false);
    for piece in pieces {
        if is_done {
            break;
        }
        let mut piece = piece.to_vec();
        let decoded = decoder.decode(&mut piece).ok()?;
        assert!(decoded.data <= decoded.consumed && decoded.consumed <= piece.len());
        assert!(decoded.is_done || decoded.consumed == piece.len());
        data.extend_from_slice(&piece[..decoded.data]);
        used += decoded.consumed;
        is_done = decoded.is_done;
    }
    Some((data, used, is_done))
}

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let (before, after) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let whole = decode(&[bytes]);
    if let (Some(whole), Some(split)) = (&whole, decode(&[before, after])) {
        assert_eq!(*whole, split);
    }
    assert_eq!(whole.is_none(), decode(&[before, after]).is_none());
});
