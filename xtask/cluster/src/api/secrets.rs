//! The Secrets of the architecture (k8s/README.md, "By hand"): generated where they are missing, never
//! read, never changed. They exist in the cluster only: not in the manifests, in no file, in no revision, in no message.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::Error;
use kube::api::{Api, ObjectMeta, PostParams};
use serde_json::Value;
use xtask::failure::Failure;
use xtask::project::random_secret;

use super::{Cluster, FIELD_MANAGER, refused};
use crate::object::Object;

/// Characters of a password, each one of 62: 190 bits.
const PASSWORD_LENGTH: usize = 32;

/// The Secret of Grafana's administrator, where not everybody may see: an overlay decides.
const GRAFANA: &str = "grafana-secret";

/// The service's role in the database, which init.sql makes.
const ROLE: &str = "app";

/// Makes those Secrets that the objects refer to and that are missing. Returns the names of those it made, and a warning
/// when that is likely to lock the service out.
///
/// # Errors
/// When the API server refuses.
pub async fn ensure_secrets(
    cluster: &Cluster,
    namespace: &str,
    objects: &[Object],
) -> Result<(Vec<&'static str>, Option<String>), Failure> {
    let mut referred = BTreeSet::new();
    for object in objects {
        references(object.value(), &mut referred);
    }
    let database = objects
        .iter()
        .find(|object| object.kind() == "ConfigMap" && object.name() == "app-config")
        .and_then(|map| map.value().pointer("/data/DB_NAME")?.as_str())
        .unwrap_or("app");
    let api: Api<Secret> = Api::namespaced(cluster.client.clone(), namespace);
    let mut made = Vec::new();
    for (name, fields) in [
        (
            "postgres-secret",
            vec![("POSTGRES_USER", "postgres"), ("POSTGRES_PASSWORD", ""), ("POSTGRES_DB", database)],
        ),
        ("app-secret", vec![("DB_USER", ROLE), ("DB_PASSWORD", "")]),
        // Of the role that reads Postgres' statistics, for Prometheus; init.sql knows the name.
        ("exporter-secret", vec![("EXPORTER_PASSWORD", "")]),
        (GRAFANA, vec![("GRAFANA_ADMIN_PASSWORD", "")]),
    ] {
        if !referred.contains(name) {
            continue;
        }
        let present = api.get_metadata_opt(name).await.map_err(|error| refused("look for", name, &error))?;
        if present.is_some() {
            continue;
        }
        let data = fields.into_iter().map(|(field, value)| {
            let value = if value.is_empty() { random_secret(PASSWORD_LENGTH) } else { value.to_owned() };
            (field.to_owned(), value)
        });
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(BTreeMap::from([(
                    "app.kubernetes.io/managed-by".to_owned(),
                    FIELD_MANAGER.to_owned(),
                )])),
                ..ObjectMeta::default()
            },
            string_data: Some(data.collect()),
            ..Secret::default()
        };
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match api.create(&parameters, &secret).await {
            Ok(_) => made.push(name),
            // Another run was quicker; what it made is kept.
            Err(Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(refused("make secret", name, &error)),
        }
    }
    let warning = locked_out(cluster, namespace, &made).await?;
    Ok((made, warning))
}

/// Postgres takes its passwords from the Secrets at its first start only.
async fn locked_out(cluster: &Cluster, namespace: &str, made: &[&str]) -> Result<Option<String>, Failure> {
    let made: Vec<&str> = made.iter().copied().filter(|name| *name != GRAFANA).collect();
    if made.is_empty() {
        return Ok(None);
    }
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), namespace);
    let volume =
        claims.get_opt("postgres-pvc").await.map_err(|error| refused("read", "postgres-pvc", &error))?;
    Ok(volume.map(|_| {
        format!(
            "made {} anew, but Postgres' volume is older and knows the old passwords: set them in Postgres",
            made.join(" and ")
        )
    }))
}

/// The Secrets that pods refer to.
fn references(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if matches!(key.as_str(), "secretRef" | "secretKeyRef")
                    && let Some(name) = value.get("name").and_then(Value::as_str)
                {
                    names.insert(name.to_owned());
                }
                references(value, names);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, names)),
        _ => {}
    }
}
