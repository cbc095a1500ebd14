//! How `havred` is linked, where that shows in what it holds in memory. Nothing here changes what it does.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu") {
        // Addresses that are corrected at each start are written as a short list (glibc 2.36, that of Debian 12): a megabyte
        // less to read, in each process.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
