//! Tables of stack and observed → printed plan, and properties.
