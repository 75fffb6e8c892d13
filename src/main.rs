//! The `gencharge` program.
fn main() {}
