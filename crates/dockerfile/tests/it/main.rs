//! Tests of Dockerfiles: reading them, reviewing them. One binary, one file for each subject.

mod file;
mod review;
