//! What a request for a file of a site says: its path, the part and the form it wants, what it has already, and what the
//! name of a file says of it. Which file
//! that is, and whether there is one, is found in the edge, where the list of files is.

pub mod condition;
pub mod encoding;
pub mod kind;
pub mod path;
