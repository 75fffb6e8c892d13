//! JSON Schemas of messages: the envelope of CloudEvents with the data of a type.

use gencharge_actors::events::{Event, SOURCE};
use gencharge_actors::partner::{COMMANDS, CommandType};
use serde_json::{Map, Value, json};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The names of all types: commands, then events.
pub fn message_types() -> impl Iterator<Item = &'static str> {
    COMMANDS.into_iter().map(CommandType::name).chain(Event::TYPES.iter().copied())
}

/// The command of this name.
pub(super) fn command(name: &str) -> Option<CommandType> {
    COMMANDS.into_iter().find(|kind| kind.name() == name)
}

/// The schema of the messages of a type.
#[must_use]
pub fn schema(name: &str) -> Option<Value> {
    let mut schema = match command(name) {
        Some(kind) => of_command(kind),
        None => of_event(name)?,
    };
    schema.insert("$schema".to_owned(), DIALECT.into());
    schema.insert("$id".to_owned(), format!("/schemas/{name}").into());
    Some(schema.into())
}

/// The same without what only stands at the head of a document.
pub(super) fn payload(name: &str) -> Option<Value> {
    match command(name) {
        Some(kind) => Some(of_command(kind).into()),
        None => of_event(name).map(Value::from),
    }
}

fn of_command(kind: CommandType) -> Map<String, Value> {
    let visible = json!({ "type": "string", "pattern": "^[!-~]{1,255}$" });
    let mut properties = attributes(kind.name(), data(kind.data_schema()));
    properties
        .insert("id".to_owned(), with(&visible, "The producer's own: the same id again is the same request"));
    properties.insert(
        "source".to_owned(),
        with(&visible, "Which of the producer's systems; ids are unique within it"),
    );
    properties.insert("dataschema".to_owned(), json!({ "type": "string" }));
    properties.insert(
        "expiresat".to_owned(),
        json!({ "type": "string", "format": "date-time", "description": "Not to be done after this" }),
    );
    envelope(kind.name(), properties, &["specversion", "id", "source", "type", "data"])
}

fn of_event(name: &str) -> Option<Map<String, Value>> {
    let mut properties = attributes(name, data(Event::data_schema(name)?));
    properties.insert("source".to_owned(), json!({ "const": SOURCE }));
    let id = json!({ "type": "string", "pattern": "^-?[0-9]+$" });
    properties.insert("id".to_owned(), with(&id, "The same at every delivery of this event"));
    let required = ["specversion", "id", "source", "type", "time", "datacontenttype", "data"];
    Some(envelope(name, properties, &required))
}

fn envelope(name: &str, properties: Map<String, Value>, required: &[&str]) -> Map<String, Value> {
    let fields = [
        ("title", name.into()),
        ("type", "object".into()),
        ("properties", properties.into()),
        ("required", required.into()),
        ("additionalProperties", false.into()),
    ];
    fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
}

fn attributes(name: &str, data: Value) -> Map<String, Value> {
    let fields = [
        ("specversion", json!({ "const": "1.0" })),
        ("type", json!({ "const": name })),
        ("subject", json!({ "type": "string" })),
        ("time", json!({ "type": "string", "format": "date-time" })),
        ("datacontenttype", json!({ "const": "application/json" })),
        ("data", data),
    ];
    fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
}

/// The schema of the data, as a part of another.
fn data(schema: schemars::Schema) -> Value {
    let mut schema = schema.to_value();
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("$schema");
    }
    schema
}

fn with(schema: &Value, description: &str) -> Value {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("description".to_owned(), description.into());
    }
    schema
}
