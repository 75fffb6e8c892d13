//! What is published about messages: the document in the repository, the served one, and the schemas.

use gencharge::contract;
use serde_json::Value;

use crate::support::app::with_app;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/asyncapi.yaml");

/// Write it anew with `GENCHARGE_TEST_WRITE=1 cargo test --test it contract::`, look at the difference, and commit it.
#[test]
fn the_document_in_the_repository_is_the_one_of_the_types() {
    let document = contract::document();
    if std::env::var_os("GENCHARGE_TEST_WRITE").is_some() {
        std::fs::write(FILE, serde_yaml_ng::to_string(&document).unwrap()).unwrap();
    }
    let text = std::fs::read_to_string(FILE).unwrap();
    let published: Value = serde_yaml_ng::from_str(&text).unwrap();
    assert!(published == document, "docs/asyncapi.yaml is behind the types: see the comment on this test");
}

/// Every reference leads somewhere, and every message has a channel.
#[test]
fn references_lead_somewhere() {
    let document = contract::document();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 20);
    for reference in &references {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
    for name in contract::message_types() {
        assert!(references.contains(&format!("#/components/messages/{name}")), "{name} has no channel");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| collect(field, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[test]
fn document_and_schemas_are_served() {
    with_app(async |app| {
        let answer = app.get("/asyncapi.yaml", "").await;
        assert_eq!(answer.headers["content-type"], "application/yaml; charset=utf-8");
        let served: Value = serde_yaml_ng::from_str(&answer.text).unwrap();
        assert!(served == contract::document(), "the file in the binary is behind: build it again");
        let index = app.get("/schemas", "").await.ok();
        assert_eq!(index.as_object().unwrap().len(), contract::message_types().count());
        for (name, path) in index.as_object().unwrap() {
            let schema = app.get(path.as_str().unwrap(), "").await.ok();
            assert_eq!(schema["properties"]["type"]["const"], **name);
            assert_eq!(schema["additionalProperties"], false);
            assert_eq!(schema["properties"]["data"]["type"], "object");
        }
        assert_eq!(app.get("/schemas/gencharge.recharge.completed.v9", "").await.problem(), "not_found");
    });
}
