//! What an image reference consists of, and when two of them name the same image. Pure.

use crate::stack::ImageReference;

/// The registry of a reference that names none, as Docker reads it (distribution/reference, "familiar names").
pub(super) const DEFAULT_REGISTRY: &str = "docker.io";

/// A reference taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    /// `docker.io`, `localhost:5000`
    pub(super) registry: String,
    /// `library/postgres`
    pub(super) repository: String,
    /// `17`; `latest` when the reference has neither tag nor digest.
    pub(super) tag: Option<String>,
    /// `sha256:…`
    pub(super) digest: Option<String>,
}

impl Parts {
    /// Takes a reference apart by Docker's rules: the first component is a registry when it looks like a host (it has
    /// a dot or a port, or is `localhost`).
    pub(super) fn of(reference: &ImageReference) -> Self {
        let (name, digest) = match reference.as_str().split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (reference.as_str(), None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (name, None),
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
            _ => (DEFAULT_REGISTRY, name),
        };
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Self { registry: registry.to_owned(), repository, tag, digest }
    }

    /// The last component of the repository: `postgres`.
    pub(super) fn name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }
}

/// Whether two references name the same image.
pub(super) fn same(one: &ImageReference, other: &ImageReference) -> bool {
    Parts::of(one) == Parts::of(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_docker_reads_them() {
        let table = [
            ("postgres:17", "docker.io library/postgres 17"),
            ("postgres", "docker.io library/postgres latest"),
            ("docker.io/library/postgres:17", "docker.io library/postgres 17"),
            ("index.docker.io/grafana/grafana:12", "docker.io grafana/grafana 12"),
            ("localhost/app", "localhost app latest"),
            ("localhost:5000/team/app:1", "localhost:5000 team/app 1"),
            ("127.0.0.1:5000/app", "127.0.0.1:5000 app latest"),
            ("ghcr.io/a/b/c@sha256:00", "ghcr.io a/b/c @sha256:00"),
            ("team/app:1@sha256:00", "docker.io team/app 1 @sha256:00"),
        ];
        for (reference, expected) in table {
            let parts = Parts::of(&ImageReference::new(reference));
            let tag = parts.tag.map(|tag| format!(" {tag}")).unwrap_or_default();
            let digest = parts.digest.map(|digest| format!(" @{digest}")).unwrap_or_default();
            assert_eq!(format!("{} {}{tag}{digest}", parts.registry, parts.repository), expected);
        }
    }

    #[test]
    fn an_image_is_called_by_its_last_word() {
        for (reference, name) in
            [("postgres:17", "postgres"), ("ghcr.io/a/b/c:1", "c"), ("localhost:5000/app", "app")]
        {
            assert_eq!(Parts::of(&ImageReference::new(reference)).name(), name);
        }
    }

    #[test]
    fn the_same_image_may_be_spelled_in_several_ways() {
        let same_image = |one, other| same(&ImageReference::new(one), &ImageReference::new(other));
        assert!(same_image("redis", "docker.io/library/redis:latest"));
        assert!(!same_image("redis:7", "redis:8"));
        assert!(!same_image("redis:8", "registry.example/redis:8"));
    }
}
