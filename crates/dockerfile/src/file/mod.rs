//! A Dockerfile as instructions with line numbers.
