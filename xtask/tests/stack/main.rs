//! The stack room, text to stack, beside Docker's own reading of the same text, and over texts nobody wrote.

mod differential;
