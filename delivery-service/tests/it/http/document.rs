//! Checks every answer against the served OpenAPI document: its status, media type and body.

use std::{collections::HashMap, sync::OnceLock};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use jsonschema::Validator;
use regrow_delivery_service::{api, server::openapi};
use serde_json::{Value, json};

/// The method and the path of the request that the server has answered.
pub struct Asked {
    method: Method,
    path: String,
}

impl Asked {
    pub fn of(request: &Request<Body>) -> Self {
        Self { method: request.method().clone(), path: request.uri().path().to_owned() }
    }
}

struct Document {
    value: Value,
    /// A validator for each named schema.
    schemas: HashMap<String, Validator>,
}

fn document() -> &'static Document {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let value = serde_json::to_value(openapi()).unwrap();
        let components = value["components"].clone();
        let names = components["schemas"].as_object().unwrap().keys();
        let schema = |name: &String| {
            let reference = json!({ "$ref": format!("#/components/schemas/{name}"), "components": components });
            (name.clone(), jsonschema::validator_for(&reference).unwrap())
        };
        let schemas = names.map(schema).collect();
        Document { value, schemas }
    })
}

/// The documented operation of a request, if there is one.
fn operation(document: &'static Document, asked: &Asked) -> Option<&'static Value> {
    let paths = document.value["paths"].as_object().unwrap();
    let fits = |template: &str| {
        let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), asked.path.split('/').collect());
        template.len() == path.len()
            && template.iter().zip(&path).all(|(part, asked)| part.starts_with('{') || part == asked)
    };
    // An exact path takes precedence over a template.
    let found = paths.get(&asked.path).or_else(|| paths.iter().find(|(template, _)| fits(template)).map(|(_, it)| it));
    found?.get(asked.method.as_str().to_lowercase())
}

/// Fails the test if the answer does not match the document.
#[track_caller]
pub fn check(asked: &Asked, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
    let document = document();
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap());
    let Some(operation) = operation(document, asked) else {
        assert!(!status.is_success(), "{} {} is not documented", asked.method, asked.path);
        return;
    };
    let responses = &operation["responses"];
    let response = responses.get(status.as_str()).unwrap_or(&responses["default"]);
    assert!(
        !status.is_success() || responses.get(status.as_str()).is_some(),
        "{} {}: {status} is not documented",
        asked.method,
        asked.path
    );
    let Some(contents) = response.get("content").and_then(Value::as_object) else {
        assert!(body.is_empty(), "{} {}: the body is not documented", asked.method, asked.path);
        return;
    };
    // CBOR has the same fields, and events have no schema.
    let Some(kind) = kind.filter(|kind| *kind != api::CBOR && !kind.starts_with("text/event-stream")) else {
        return;
    };
    let content = contents.get(kind);
    let content = content.unwrap_or_else(|| panic!("{} {}: {kind} is not documented", asked.method, asked.path));
    let Some(reference) = content["schema"]["$ref"].as_str() else { return };
    let name = reference.trim_start_matches("#/components/schemas/");
    let value: Value = serde_json::from_slice(body).unwrap();
    let errors: Vec<_> = document.schemas[name].iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{} {}: {errors:?} in {value}", asked.method, asked.path);
}
