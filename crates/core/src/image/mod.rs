//! Images this installation has built: which ones releases still need, and what happened to the others. Images that were
//! pulled are not ours to remove.

pub mod event;
