//! Tables over the room's whole way, text to stack.
