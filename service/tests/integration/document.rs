//! Owns the `OpenAPI` document as tests read it: the operations that it describes, and whether an answer is what it says.

use std::collections::BTreeMap;

use jsonschema::Validator;
use rocket::http::Method;
use serde_json::{Value, json};

use crate::application::{Answer, Application};

/// The document, and a validator for each of its schemas.
pub(crate) struct Document {
    text: Value,
    validators: BTreeMap<String, Validator>,
}

impl Document {
    pub(crate) async fn of(application: &Application) -> Self {
        let text = application.get("/openapi.json").await.json();
        let names = text["components"]["schemas"].as_object().expect("schemas").keys();
        let validator = |name: &String| {
            let schema = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$ref": format!("#/components/schemas/{name}"),
                "components": text["components"],
            });
            let options = jsonschema::draft202012::options().should_validate_formats(true);
            (name.clone(), options.build(&schema).expect("a valid schema"))
        };
        let validators = names.map(validator).collect();
        Self { text, validators }
    }

    /// What a reference leads to, or the value itself.
    pub(crate) fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(reference) = value["$ref"].as_str() else { return value };
        self.text.pointer(reference.trim_start_matches('#')).expect("a reference that leads somewhere")
    }

    /// Every operation, with the parameters of its path and its own.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for (template, path) in self.text["paths"].as_object().expect("paths") {
            let methods =
                path.as_object().expect("operations").iter().filter(|(name, _)| *name != "parameters");
            for (method, operation) in methods {
                let lists = [&path["parameters"], &operation["parameters"]];
                let parameters = lists.into_iter().filter_map(Value::as_array).flatten();
                let content = operation["requestBody"]["content"].as_object();
                operations.push(Operation {
                    method: method.to_uppercase().parse().expect("a method"),
                    template: template.clone(),
                    parameters: parameters.map(|parameter| self.parameter(parameter)).collect(),
                    body: content.and_then(|content| content.iter().next()).map(|(media_type, content)| {
                        Body {
                            media_type: media_type.clone(),
                            schema: self.resolve(&content["schema"]).clone(),
                        }
                    }),
                });
            }
        }
        operations
    }

    fn parameter(&self, parameter: &Value) -> Parameter {
        let parameter = self.resolve(parameter);
        let text = |name: &str| parameter[name].as_str().expect("a text").to_owned();
        let schema = self.resolve(&parameter["schema"]).clone();
        Parameter { name: text("name"), place: text("in"), schema }
    }

    fn operation(&self, method: Method, path: &str) -> Option<&Value> {
        let method = if method == Method::Head { "get".to_owned() } else { method.as_str().to_lowercase() };
        self.text["paths"].get(path)?.get(method)
    }

    /// Holds an answer to what the document says of its operation.
    pub(crate) fn check(&self, method: Method, template: &str, answer: &Answer) -> Result<(), String> {
        if answer.status >= 500 {
            return Err(format!("a fault: {} {}", answer.status, answer.text()));
        }
        let Some(operation) = self.operation(method, template) else {
            let expected = if self.text["paths"].get(template).is_some() { 405 } else { 404 };
            return match (answer.status == expected, method) {
                (false, _) => Err(format!("{} instead of {expected}", answer.status)),
                (true, Method::Head) => Ok(()),
                (true, _) => {
                    let sent = answer.header("Content-Type").unwrap_or_default();
                    if sent != "application/problem+json" {
                        return Err(format!("{sent} instead of a problem"));
                    }
                    self.check_schema("Problem", answer)
                }
            };
        };
        let Some(response) = operation["responses"].get(answer.status.to_string()) else {
            return Err(format!("an undocumented status: {} {}", answer.status, answer.text()));
        };
        for (name, header) in response["headers"].as_object().expect("headers") {
            let reference = header["$ref"].as_str().expect("a reference").trim_start_matches('#');
            let required = self.text.pointer(reference).expect("a header")["required"] == true;
            if required && answer.header(name).is_none() {
                return Err(format!("no {name}"));
            }
        }
        if method == Method::Head {
            return if answer.body.is_empty() { Ok(()) } else { Err("a HEAD with a body".to_owned()) };
        }
        let (media_type, content) =
            response["content"].as_object().and_then(|content| content.iter().next()).expect("content");
        let sent = answer.header("Content-Type").unwrap_or_default();
        if !sent.starts_with(media_type.as_str()) {
            return Err(format!("{sent} instead of {media_type}"));
        }
        match content["schema"]["$ref"].as_str() {
            Some(reference) => {
                self.check_schema(reference.trim_start_matches("#/components/schemas/"), answer)
            }
            None => Ok(()),
        }
    }

    /// Whether a schema allows a value, as it stands in a request's path, query or header.
    pub(crate) fn allows_text(&self, schema: &Value, text: &str) -> bool {
        let value = match schema["type"].as_str() {
            Some("integer") => text.parse::<i64>().map_or(Value::Null, Value::from),
            _ => text.into(),
        };
        self.allows(schema, &value)
    }

    /// Whether a schema allows a value.
    pub(crate) fn allows(&self, schema: &Value, value: &Value) -> bool {
        let mut whole = schema.clone();
        whole["components"] = self.text["components"].clone();
        jsonschema::draft202012::new(&whole).expect("a valid schema").is_valid(value)
    }

    fn check_schema(&self, name: &str, answer: &Answer) -> Result<(), String> {
        let body = answer.json();
        let errors: Vec<String> =
            self.validators[name].iter_errors(&body).map(|error| error.to_string()).collect();
        if errors.is_empty() { Ok(()) } else { Err(format!("not a {name}: {errors:?} in {body}")) }
    }
}

/// One operation of the document.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) template: String,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Body>,
}

/// One parameter of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    /// `path`, `query` or `header`.
    pub(crate) place: String,
    pub(crate) schema: Value,
}

/// What an operation takes as a body.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) media_type: String,
    pub(crate) schema: Value,
}
