//! What is decided about data that must not be lost: when it is saved, whether a copy is one, and how it comes back. No I/O, no clock, as in
//! `havre_decide`; the nouns are `core`'s, in the room `backup`.
//!
//! Which runs begin now is `plan`; `stock` says for each thing that is saved which copies are missing; `producer` is what is said to the programs
//! that give the bytes, `mariadb` the same of such a server, and `ledger` reads what its program writes. What comes back is `restore`, what tries
//! that it would is `drill` with its `report`; both prove it by `proof` and use the programs of `load`, those of Redis and Valkey of `keys`. `kit`
//! is the page that restores without Havre. To any second: `wal` names files, `tar` and `base` read what comes, `spool` says what becomes of
//! WAL, `line` which seconds are there, `recovery` how one comes back, `aim` which of them a drill tries. `check` says to whoever asks what somebody
//! has to look at. On another server: `place` reads where a repository lies, `rebuild` says what becomes of each row of a store that came back,
//! `lost` when data comes back that went with the old server, `owner` who uses a repository. Volumes of services: `volume` says which are saved and
//! how one comes back, `tree` reads their files. Tests at the ends of the files.

pub mod aim;
pub mod base;
pub mod check;
pub mod drill;
pub mod keys;
pub mod kit;
pub mod ledger;
pub mod line;
pub mod load;
pub mod lost;
pub mod mariadb;
pub mod owner;
pub mod place;
pub mod plan;
pub mod producer;
pub mod proof;
pub mod rebuild;
pub mod recovery;
pub mod report;
pub mod restore;
pub mod spool;
pub mod stock;
pub mod tar;
pub mod tree;
pub mod volume;
pub mod wal;
