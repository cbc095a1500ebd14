//! The installation itself: is it there, what does it run, what do its edges serve.

pub mod health;
pub mod openapi;
pub mod route_table;
pub mod status;
pub mod traffic;
