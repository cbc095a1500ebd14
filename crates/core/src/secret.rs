//! Bytes that must not be seen: keys and credentials. They cannot be printed, serialised or compared by accident, and are
//! wiped from memory when dropped. Sealing them for the store is not done here. Below are the secrets of services: what a value
//! may be, `dotenv` files of them, references to them, what a task gets of them, and how they are kept out of logs. Tests at the
//! end of the files.

pub mod dotenv;
pub mod event;
pub mod reference;
pub mod value;
pub mod variables;

use std::fmt;

use zeroize::Zeroizing;

/// Secret bytes. Who needs them calls [`Secret::expose`], which is easy to find in a review.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, where they are UTF-8.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether there is nothing in it. An empty secret is never a usable one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_cannot_be_printed() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "Secret(..) Some(\n    Secret(..),\n)");
        assert_eq!(secret.expose_text(), Some("hunter2"));
    }
}
