//! The software bill of materials of the service's program, as CycloneDX 1.5 in JSON, from what `cargo metadata` says.
//!
//! Must not: name a package that is only used to build or test.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// Makes the bill of `package`.
///
/// # Errors
/// When the metadata does not have the package or is not what cargo writes.
pub fn bill_of_materials(metadata: &Value, package: &str) -> Result<Value, String> {
    let packages: BTreeMap<&str, &Value> =
        list(&metadata["packages"]).filter_map(|found| Some((found["id"].as_str()?, found))).collect();
    let (root, _) = packages
        .iter()
        .find(|(_, found)| found["name"] == package && found["source"].is_null())
        .ok_or_else(|| format!("cargo's metadata has no package {package} of the workspace"))?;
    let needs: BTreeMap<&str, Vec<&str>> = list(&metadata["resolve"]["nodes"])
        .filter_map(|node| Some((node["id"].as_str()?, linked(node))))
        .collect();
    let mut reached = BTreeSet::from([*root]);
    let mut waiting = vec![*root];
    while let Some(id) = waiting.pop() {
        for need in needs.get(id).into_iter().flatten() {
            if reached.insert(need) {
                waiting.push(need);
            }
        }
    }
    let component = |id: &&str| packages.get(id).map(|found| described(found));
    let others = reached.iter().filter(|id| *id != root);
    let components: Vec<Value> = others.filter_map(component).collect();
    let dependencies: Vec<Value> = reached
        .iter()
        .map(|id| {
            let on: Vec<String> = needs
                .get(id)
                .into_iter()
                .flatten()
                .filter_map(|id| packages.get(id))
                .map(|p| purl(p))
                .collect();
            json!({"ref": packages.get(id).map(|found| purl(found)), "dependsOn": on})
        })
        .collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(root)},
        "components": components,
        "dependencies": dependencies,
    }))
}

/// What a package is linked with: not what only its build script or its tests need.
fn linked(node: &Value) -> Vec<&str> {
    let normal = |need: &&Value| list(&need["dep_kinds"]).any(|kind| kind["kind"].is_null());
    list(&node["deps"]).filter(normal).filter_map(|need| need["pkg"].as_str()).collect()
}

fn described(package: &Value) -> Value {
    let mut component = json!({
        "type": if package["source"].is_null() { "application" } else { "library" },
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
    });
    if let Some(license) = package["license"].as_str() {
        // Cargo's older way of writing "or" is no expression of SPDX.
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    component
}

/// The package's URL (package-url specification, type `cargo`).
fn purl(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    format!("pkg:cargo/{}@{}", text("name"), text("version").replace('+', "%2B"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_and_nothing_else() {
        let package = |name: &str, source: Value| json!({"id": name, "name": name, "version": "1.0.0+x", "source": source, "license": "MIT/Apache-2.0"});
        let need = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [
                package("app", Value::Null),
                package("used", json!("registry")),
                package("below", json!("registry")),
                package("tested-with", json!("registry")),
                package("built-with", json!("registry")),
            ],
            "resolve": {"nodes": [
                {"id": "app", "deps": [need("used", Value::Null), need("tested-with", json!("dev"))]},
                {"id": "used", "deps": [need("below", Value::Null), need("built-with", json!("build"))]},
                {"id": "below", "deps": []},
            ]},
        });
        let bill = bill_of_materials(&metadata, "app").expect("made");
        let names: Vec<&str> = list(&bill["components"]).filter_map(|c| c["name"].as_str()).collect();
        assert_eq!(names, ["below", "used"]);
        assert_eq!(bill["components"][0]["purl"], "pkg:cargo/below@1.0.0%2Bx");
        assert_eq!(bill["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bill["metadata"]["component"]["type"], "application");
        assert_eq!(bill["dependencies"][0]["ref"], "pkg:cargo/app@1.0.0%2Bx");
        assert_eq!(bill["dependencies"][0]["dependsOn"], json!(["pkg:cargo/used@1.0.0%2Bx"]));
        bill_of_materials(&metadata, "used").expect_err("not of the workspace");
    }
}
