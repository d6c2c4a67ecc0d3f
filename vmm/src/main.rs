//! The `faaslet` command.
fn main() {}
