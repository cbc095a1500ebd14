//! Which runs begin now is `plan`; `stock` says for each thing that is saved which copies are missing; `producer`
//! is what is said to the programs that give the bytes. Tests at the ends of the files.

pub mod plan;
pub mod producer;
pub mod stock;
