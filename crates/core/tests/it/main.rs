//! What several rooms decide together, and laws of single ones. Plans and whole histories are tested in `decide`.

mod promotion;
mod registry;
mod sample;
