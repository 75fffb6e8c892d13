//! One OpenAPI 3.1 document from what the features say of themselves.

use std::collections::{BTreeMap, HashMap};

use actix_web::http::header::HeaderValue;
use serde_json::{Map, Value, json};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

use super::problem::{Code, ProblemDocument};

const ABOUT: &str = "Recharges for prepaid and postpaid mobile numbers: sign-in by one-time code, plans and offers, wallets, \
recharges and their history.\n\nSign in with `POST /auth/login` and `POST /auth/verify-otp-login`, and send the access token as \
a bearer token. What stands beside `bearer` at an operation is the permission that the caller's role must hold (`user`: a customer). \
Every refusal is a problem document (RFC 9457) whose `code` is stable. Operations that move money take an \
`Idempotency-Key`: send it, and a repeated request never acts twice.";

/// Besides what an operation says itself: its status, the codes there are for it, and when an operation can answer so.
const USUAL: [(&str, &str, When); 8] = [
    ("400", "malformed_body: the body cannot be read", |it| it.body),
    ("401", "not_authenticated: no token, or one that does not hold any more", |it| it.secured),
    ("403", "forbidden: the caller may not do this", |it| it.secured),
    ("413", "body_too_large", |it| it.body),
    ("415", "unsupported_media_type", |it| it.body),
    ("422", "invalid_input: a field, parameter or header has a value that cannot be", |it| {
        it.body || it.parameters
    }),
    ("429", "rate_limited: too many requests; see Retry-After", |it| !it.probe),
    ("503", "unavailable, overloaded: a needed store is away or too much waits; see Retry-After", |it| {
        !it.probe
    }),
];

/// Whether an operation can answer so.
type When = fn(&Shape) -> bool;

/// What an operation is like.
struct Shape {
    secured: bool,
    body: bool,
    parameters: bool,
    /// Answers in its own way when something is wrong.
    probe: bool,
}

/// Misspelt paths that clients know, the right ones, and the methods that were published there.
const FORMER: [(&str, &str, &[&str]); 3] = [
    ("/contact-from/contacts/", "/contact-form/contacts", &["get", "post"]),
    (
        "/contact-from/contacts/{contact_id}/resolved",
        "/contact-form/contacts/{contact_id}/resolved",
        &["patch"],
    ),
    ("/offers/offer_type{offer_type_id}", "/offers/offer_type/{offer_type_id}", &["put"]),
];

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(ProblemDocument)))]
struct Shared;

/// The document as JSON.
#[must_use]
pub fn document(features: Vec<OpenApi>) -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut components: Map<String, Value> = Map::new();
    for feature in features.into_iter().chain([Shared::openapi()]) {
        // A document made of plain structs always serializes.
        let mut feature = serde_json::to_value(feature).unwrap_or_default();
        for (path, item) in entries(feature.get_mut("paths")) {
            // By operation, because features may share a path.
            paths.entry(path).or_default().extend(entries(Some(&mut { item })));
        }
        for (kind, named) in entries(feature.get_mut("components")) {
            let known = components.entry(kind).or_insert_with(|| json!({}));
            if let Some(known) = known.as_object_mut() {
                known.extend(entries(Some(&mut { named })));
            }
        }
    }
    for operation in paths.values_mut().flat_map(Map::values_mut) {
        complete(operation);
    }
    let former: Vec<_> = FORMER.iter().filter_map(|path| former(&paths, path)).collect();
    paths.extend(former);
    components.insert("securitySchemes".to_owned(), json!({ "bearer": {
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
        "description": "The access token of POST /auth/verify-otp-login; POST /auth/refresh gives the next one.",
    }}));
    let tags = tags(&paths);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "GenCharge",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [
            { "url": "/", "description": "This server" },
            { "url": "/v1", "description": "This server, the version named" },
        ],
        "tags": tags,
        "paths": paths,
        "components": components,
    })
}

/// The operations of a former path, marked as such.
fn former(
    paths: &BTreeMap<String, Map<String, Value>>,
    (former, now, methods): &(&str, &str, &[&str]),
) -> Option<(String, Map<String, Value>)> {
    let mut item = paths.get(*now)?.clone();
    item.retain(|method, _| methods.contains(&method.as_str()));
    for operation in item.values_mut().filter_map(Value::as_object_mut) {
        let name = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
        let name = format!("{name}_at_its_former_path");
        operation.insert("operationId".to_owned(), name.into());
        operation.insert("deprecated".to_owned(), true.into());
        operation.insert("description".to_owned(), format!("The same as at `{now}`.").into());
    }
    Some(((*former).to_owned(), item))
}

/// The methods of each path, for the header `Allow`.
#[must_use]
pub fn allowed_methods(document: &Value) -> HashMap<String, HeaderValue> {
    let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
    paths
        .filter_map(|(path, item)| {
            let methods: Vec<_> = item.as_object()?.keys().map(|method| method.to_uppercase()).collect();
            // The route of a path with a slash at its end has none.
            let route = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
            Some((route.to_owned(), HeaderValue::from_str(&methods.join(", ")).ok()?))
        })
        .collect()
}

/// Makes every refusal a problem document, and adds the usual ones.
fn complete(operation: &mut Value) {
    let has = |name: &str| operation.get(name).is_some_and(|value| !value.is_null());
    let probe = operation.get("tags").and_then(Value::as_array).is_some_and(|tags| {
        tags.iter().any(|tag| tag == "Operations") && operation.get("security").is_none()
    });
    let shape = Shape {
        secured: has("security"),
        body: has("requestBody"),
        parameters: operation
            .get("parameters")
            .and_then(Value::as_array)
            .is_some_and(|parameters| !parameters.is_empty()),
        probe,
    };
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for (status, text, applies) in USUAL {
        if applies(&shape) && !responses.contains_key(status) {
            responses.insert(status.to_owned(), json!({ "description": text }));
        }
    }
    let needed =
        responses.get("403").and_then(|response| response.get("description")?.as_str()).and_then(needed);
    for (status, response) in responses.iter_mut() {
        // OpenAPI wants a description of each, the features only tell what is not plain.
        if let Some(response) = response.as_object_mut() {
            response.entry("description").or_insert_with(|| json!("Done"));
        }
        let refusal = status.starts_with('4') || status.starts_with('5');
        if let Some(response) = response.as_object_mut()
            && refusal
            && !response.contains_key("content")
        {
            let schema = json!({ "$ref": "#/components/schemas/Problem" });
            response
                .insert("content".to_owned(), json!({ "application/problem+json": { "schema": schema } }));
        }
    }
    if let (Some(needed), Some(operation)) = (needed, operation.as_object_mut()) {
        operation.insert("security".to_owned(), json!([{ "bearer": [needed] }]));
    }
}

/// The permission, or the role `user`, that a refusal's description says is needed.
fn needed(refusal: &str) -> Option<String> {
    if refusal.ends_with("for customers") {
        return Some("user".to_owned());
    }
    let (_, rest) = refusal.split_once("needs ")?;
    let end = rest.find(|character: char| !character.is_alphanumeric() && !"_-:".contains(character));
    rest.get(..end.unwrap_or(rest.len())).filter(|word| word.contains(':')).map(str::to_owned)
}

fn tags(paths: &BTreeMap<String, Map<String, Value>>) -> Vec<Value> {
    let about = |tag: &str| match tag {
        "Auth" => "Sign-up and sign-in by one-time code, tokens, sign-out",
        "Admins" => "Administrators",
        "Referrals" => "Rewards for bringing customers",
        "Roles" => "What administrators may do",
        "Users" => "Customers and their own data",
        "Plans" => "What can be bought",
        "Offers" => "Discounts and rewards on plans",
        "Recharge" => "Recharges, top-ups, subscriptions and transactions",
        "Autopay" => "Recharges on a date, or again and again, from the wallet",
        "Payments" => "Payments that are not captured at once, the gateway's callbacks, refunds, receipts",
        "Notifications" => "Messages to customers and administrators",
        "Reports" => "Rows for people and programs, as JSON, CSV, XLSX or PDF",
        "Analytics" => "Figures over time",
        "Contact" => "Messages to the operator",
        "Content" => "Texts and pictures of the pages",
        "Backups" => "Backups, and restoring them into a scratch database",
        "Audit" => "Who changed what, and who signed in",
        "Partners" => "Those who ask by message, and the wallets that pay for it",
        "Messages" => "Messages and events that nobody could take",
        "Operations" => "For those who run the service",
        _ => "",
    };
    let mut names: Vec<&str> = paths
        .values()
        .flat_map(Map::values)
        .filter_map(|operation| operation.get("tags")?.as_array()?.first()?.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| json!({ "name": name, "description": about(name) })).collect()
}

fn entries(value: Option<&mut Value>) -> Map<String, Value> {
    value.and_then(Value::as_object_mut).map(std::mem::take).unwrap_or_default()
}

/// What `/problems/<code>` tells of a code.
#[must_use]
pub fn explain(word: &str) -> Option<Value> {
    let code = Code::ALL.iter().find(|code| code.as_str() == word)?;
    Some(json!({ "code": word, "title": code.title(), "status": code.status().as_u16() }))
}
