//! The loops on a temp-file store, fakes and a hand-driven clock; and the restart matrix.

mod deploy;
mod failure;
mod restart;
mod runner;
mod world;
