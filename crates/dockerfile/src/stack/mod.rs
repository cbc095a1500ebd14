//! What a repository is made of, and the Dockerfile for it.
