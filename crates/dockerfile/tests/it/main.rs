//! Tests of Dockerfiles: reading them, reviewing them, writing them. One binary, one file for each subject.

mod file;
mod review;
mod review_cases;
mod stack;
