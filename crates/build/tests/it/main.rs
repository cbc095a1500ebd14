//! Tests of the build room through its public face. Those in `docker` need a Docker Engine and fail loudly without.

mod archive;
mod context;
mod contract;
mod docker;
mod site;
