//! What tells a pointer of Git LFS from other files; what one says is read in `havre_decide::source::lfs`. Tests at the end of the file.

/// A pointer has fewer bytes (its specification, "The Pointer").
pub const POINTER_MAX: u64 = 1024;
/// How every pointer begins, whatever its version.
const START: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Whether a file is only a pointer of Git LFS, and its content lies elsewhere.
pub fn is_pointer(content: &[u8]) -> bool {
    (content.len() as u64) < POINTER_MAX && content.starts_with(START)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_short_and_begin_so() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        assert!(is_pointer(pointer));
        let mut long = pointer.to_vec();
        long.resize(1024, b'x');
        assert!(!is_pointer(&long) && is_pointer(&long[..1023]));
        assert!(!is_pointer(b"version 2") && !is_pointer(b""));
    }
}
