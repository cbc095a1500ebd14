//! Deliveries as each sender makes them: `fixture` has their bodies, headers and signatures. Bodies are our own, with the fields of the
//! real ones; `fixture/signatures.txt` was made by other programs (`openssl dgst -sha256 -hmac`), so that two have to agree.

mod fixture;
mod judge;
mod payload;
mod verify;
