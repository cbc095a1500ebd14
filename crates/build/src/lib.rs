//! Placeholder until its room opens.
