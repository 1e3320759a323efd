//! The arguments of `image` and `push`.

use clap::{Args, Subcommand};

/// `image …`
#[derive(Debug, Subcommand)]
pub enum Image {
    /// The images of the stack: source, size, identifier.
    List,
    /// Get every image of the stack that is missing.
    Pull,
    /// Write images into bundles: for a machine without network, or a cache.
    Save {
        /// The images; those of the stack that the engine holds when none is named.
        images: Vec<String>,
        /// The directory; `HOMEPORT_IMAGE_DIR` when not given.
        #[arg(long)]
        dir: Option<std::path::PathBuf>,
    },
    /// Read bundles into the engine.
    Load {
        /// The files; all of the directory when none is named.
        files: Vec<std::path::PathBuf>,
        /// The directory; `HOMEPORT_IMAGE_DIR` when not given.
        #[arg(long, conflicts_with = "files")]
        dir: Option<std::path::PathBuf>,
    },
    /// Build the release image of the service.
    Build(ImageBuild),
}

/// `image build`
#[derive(Debug, Default, Args)]
pub struct ImageBuild {
    /// The references it gets, `registry.example/team/app:1.0`; by default the Compose file's repository with the
    /// version and with the revision.
    #[arg(long = "tag")]
    pub tags: Vec<String>,
    /// The platform to build for, `linux/arm64`; the engine's own when not given.
    #[arg(long)]
    pub platform: Option<String>,
    /// Who compiles; by default the container when its base can be had, else this machine.
    #[arg(long, value_enum)]
    pub compiler: Option<Compiler>,
    /// Build the program a second time, from nothing in a clone of the commit, and fail when it is another.
    #[arg(long)]
    pub twice: bool,
}

/// Where what was pushed is told when nothing else is asked for.
pub const PUSHED: &str = "target/homeport/pushed.json";

/// `push`
#[derive(Debug, Args)]
pub struct Push {
    /// The repository: `registry.example/team/app`, or `team/app` at Docker Hub; `HOMEPORT_REPOSITORY` when not given.
    pub repository: Option<String>,
    /// A tag in place of the version and the revision; may be repeated.
    #[arg(long = "tag")]
    pub tags: Vec<String>,
    /// The tag `latest` too.
    #[arg(long)]
    pub latest: bool,
    /// Publish although files differ from the commit, or no commit is known.
    #[arg(long)]
    pub allow_dirty: bool,
    /// Put this image under a tag that another image has in the registry.
    #[arg(long)]
    pub overwrite: bool,
    /// The file that what was pushed is written to, as JSON.
    #[arg(long, value_name = "FILE", default_value = PUSHED)]
    pub output: std::path::PathBuf,
}

impl Default for Push {
    fn default() -> Self {
        Self {
            repository: None,
            tags: Vec::new(),
            latest: false,
            allow_dirty: false,
            overwrite: false,
            output: PUSHED.into(),
        }
    }
}

/// Who compiles a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compiler {
    /// The Dockerfile, in a container.
    Container,
    /// This machine's cargo.
    Host,
}
