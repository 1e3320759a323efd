//! Homeport's task runner.

fn main() {}
