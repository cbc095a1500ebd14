//! The seam to where source comes from: repositories served here, remote ones, trees and contexts of commits.
//!
//! A crate of its own because it isolates the system's `git`, the only program it runs.
