//! What a request for a file of a site says: its path, the part and the form it wants, and what it has already. Which file
//! that is, and whether there is one, is found in the edge, where the list of files is.

pub mod condition;
pub mod encoding;
pub mod path;
