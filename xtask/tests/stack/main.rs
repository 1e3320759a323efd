//! The stack room, text to stack, beside Docker's own reading of the same text: over fixtures, over the project's file,
//! and over stacks nobody wrote.

mod differential;
mod generated;
mod printing;
mod tree;
