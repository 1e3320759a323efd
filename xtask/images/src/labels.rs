//! The labels by which an image tells where it came from.

/// The recipe an image was made from.
pub const RECIPE: &str = "dev.homeport.recipe";
/// The digest of that recipe's files.
pub const RECIPE_HASH: &str = "dev.homeport.recipe-hash";
/// The digest of the binary that the host's cargo built into an image.
pub const BINARY: &str = "dev.homeport.binary";
/// The file that binary was read from.
pub const ARTIFACT: &str = "dev.homeport.artifact";
/// The digest of the instructions that the image was configured with.
pub const INSTRUCTIONS: &str = "dev.homeport.instructions";
/// The digest of what a build in a container was given.
pub const CONTEXT: &str = "dev.homeport.context";
/// Size and time of the binary's file when it was put in: as long as they are the same, nothing needs hashing.
pub const STAMP: &str = "dev.homeport.stamp";
/// The checkout an image was made from.
pub const DIRECTORY: &str = crate::engine::labels::DIRECTORY;
