//! Projects: groups of environments. They come and go with their environments.

pub mod list;
