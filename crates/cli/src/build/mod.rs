//! Build contexts: what belongs into one by Docker's rules (`havre_core::build::ignore`), the Dockerfile where nobody
//! named one (`havre_dockerfile::stack`), and its way to the server. And what `havre build` shows and sets.

pub(crate) mod archive;
pub(crate) mod commit;
pub(crate) mod print;
pub(crate) mod secret;
pub(crate) mod stack;
pub(crate) mod walk;
