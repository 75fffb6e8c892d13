//! What OpenAPI says of the reports, made of their definitions.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::definition::{Kind, Reader, Report, Test};
use super::definitions::ALL;

/// Values of one list that surely fit into an address.
const MOST_IN_AN_ADDRESS: u32 = 50;

/// The operations of every report.
pub fn document() -> OpenApi {
    let paths: Map<String, Value> = ALL
        .iter()
        .map(|report| {
            (format!("/reports/{}", report.path), json!({ "get": get(report), "post": post(report) }))
        })
        .collect();
    let document =
        json!({ "openapi": "3.1.0", "info": { "title": "Reports", "version": "1" }, "paths": paths });
    serde_json::from_value(document).unwrap_or_default()
}

fn get(report: &Report) -> Value {
    let parameters: Vec<Value> = fields(report)
        .into_iter()
        .map(|(name, mut schema, description)| {
            // More do not fit into an address; a body takes them.
            if let Some(most) = schema.get_mut("maxItems") {
                *most = json!(MOST_IN_AN_ADDRESS);
            }
            json!({ "name": name, "in": "query", "required": false, "schema": schema, "description": description })
        })
        .collect();
    let mut operation = shared(report, "query");
    operation.insert("parameters".to_owned(), parameters.into());
    operation.into()
}

fn post(report: &Report) -> Value {
    let properties: Map<String, Value> = fields(report)
        .into_iter()
        .map(|(name, schema, description)| {
            let mut schema = schema;
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("description".to_owned(), description.into());
            }
            (name.to_owned(), schema)
        })
        .collect();
    let mut operation = shared(report, "body");
    let schema = json!({ "type": "object", "properties": properties });
    let body = json!({ "required": false, "content": { "application/json": { "schema": schema } } });
    operation.insert("requestBody".to_owned(), body);
    operation.into()
}

fn shared(report: &Report, way: &str) -> Map<String, Value> {
    let name = report.path.replace(['/', '-'], "_");
    let who = match report.reader {
        Reader::Administrator(resource) => format!("forbidden: needs {}:read", resource.as_str()),
        Reader::Customer => "forbidden: for customers".to_owned(),
    };
    let properties: Map<String, Value> =
        report.columns.iter().map(|column| (column.name.to_owned(), schema_of(column.kind))).collect();
    let rows = json!({ "type": "array", "items": { "type": "object", "properties": properties } });
    let file = json!({ "schema": { "type": "string", "format": "binary" } });
    let operation = json!({
        "tags": ["Reports"],
        "operationId": format!("{name}_by_{way}"),
        "summary": format!("The {} as JSON, CSV, XLSX or PDF", report.path.replace(['-', '/'], " ")),
        "description": "Filters may be left out; lists mean one of these, ends of ranges are included. \
            Everything is sent as it is read, however much it is; a PDF has at most 5,000 rows.",
        "security": [{ "bearer": [] }],
        "responses": {
            "200": {
                "description": "the rows",
                "headers": { "X-Total-Count": { "schema": { "type": "integer" },
                    "description": "rows over all pages (JSON only)" } },
                "content": {
                    "application/json": { "schema": rows },
                    "text/csv": file,
                    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": file,
                    "application/pdf": file,
                },
            },
            "400": { "description": "malformed_body" },
            "401": { "description": "not_authenticated" },
            "403": { "description": who },
            "413": { "description": "body_too_large" },
            "422": { "description": "invalid_input: every wrong parameter is named" },
            "503": { "description": "overloaded or unavailable: try again shortly" },
        },
    });
    operation.as_object().cloned().unwrap_or_default()
}

fn schema_of(kind: Kind) -> Value {
    match kind {
        Kind::Number | Kind::Amount => json!({ "type": ["number", "null"] }),
        Kind::Rupees => json!({ "type": ["integer", "null"] }),
        Kind::Word | Kind::Text | Kind::Phone | Kind::AmountText => json!({ "type": ["string", "null"] }),
        Kind::Flag => json!({ "type": ["boolean", "null"] }),
        Kind::Time => json!({ "type": ["string", "null"], "format": "date-time" }),
        Kind::Json => json!({ "type": ["object", "array", "string", "number", "boolean", "null"] }),
    }
}

fn fields(report: &Report) -> Vec<(&'static str, Value, &'static str)> {
    let mut fields: Vec<_> = report
        .filters
        .iter()
        .map(|filter| {
            let (schema, description) = filter_schema(filter.test);
            (filter.name, schema, description)
        })
        .collect();
    let orders: Vec<&str> = report.orders.iter().map(|(word, _)| *word).collect();
    let direction = if report.descending { "desc" } else { "asc" };
    let count = || json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX, "default": 0 });
    fields.extend([
        ("order_by", json!({ "type": "string", "enum": orders, "default": orders.first() }), "the order"),
        (
            "order_dir",
            json!({ "type": "string", "enum": ["asc", "desc"], "default": direction }),
            "its direction",
        ),
        ("limit", count(), "rows at most; 0: all"),
        ("offset", count(), "rows left out first"),
        (
            "export_type",
            json!({ "type": "string", "enum": ["none", "csv", "excel", "pdf"], "default": "none" }),
            "none: a JSON list; otherwise a download",
        ),
    ]);
    fields
}

fn filter_schema(test: Test) -> (Value, &'static str) {
    let list = |items: Value| json!({ "type": "array", "items": items, "maxItems": 1000 });
    match test {
        Test::Ids => (list(json!({ "type": "integer", "format": "int64" })), "one of these"),
        Test::Words(words) => (list(json!({ "type": "string", "enum": words })), "one of these"),
        Test::Texts => (list(json!({ "type": "string", "maxLength": 200 })), "exactly one of these"),
        Test::Uuids => (list(json!({ "type": "string", "format": "uuid" })), "one of these"),
        Test::Phones => {
            (list(json!({ "type": "string", "pattern": "^(\\+91)?[6-9][0-9]{9}$" })), "one of these")
        }
        Test::Contains => (json!({ "type": "string", "maxLength": 200 }), "a text inside, whatever the case"),
        Test::Flag => (json!({ "type": "boolean" }), "true or false"),
        Test::From => {
            (json!({ "type": "string", "format": "date-time" }), "from this time, or the start of this day")
        }
        Test::To => {
            (json!({ "type": "string", "format": "date-time" }), "to this time, or the end of this day")
        }
        Test::MinRupees => (json!({ "type": "number", "minimum": 0 }), "from this many rupees"),
        Test::MaxRupees => (json!({ "type": "number", "minimum": 0 }), "to this many rupees"),
        Test::Min => (json!({ "type": "number", "minimum": 0 }), "from this"),
        Test::Max => (json!({ "type": "number", "minimum": 0 }), "to this"),
    }
}
