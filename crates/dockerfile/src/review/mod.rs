//! What is wrong with a Dockerfile, and how to mend it.
