//! What CAA records let an issuer do. Tests at the end of the file.

pub mod caa;
