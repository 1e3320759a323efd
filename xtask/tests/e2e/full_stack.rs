//! The real stack, from one command to nothing left.
