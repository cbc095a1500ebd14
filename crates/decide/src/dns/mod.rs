//! What CAA records let an issuer do is `caa`; which addresses anybody can have is `public`. Tests at the ends of the files.

pub mod caa;
pub mod public;
