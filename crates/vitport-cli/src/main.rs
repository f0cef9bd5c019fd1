//! The `vitport` command.

fn main() {}
