//! What sshd is told about a key, and what somebody who comes with it asks for. Tests at the ends of the files.

pub mod authorized;
pub mod request;
