//! Conformance from outside: every operation that clients were promised (`operations.txt`), called as they call it: at its
//! path and under `/v1`, in each of its forms, by those who may and those who may not, with each of its parameters.

mod notation;
mod table;
mod world;

use std::collections::HashSet;

use reqwest::Method;
use serde_json::{Map, Value};

use self::notation::Shapes;
use self::table::{Body, Operation, Who};
use self::world::World;
use crate::support::app::{Answer, TestApp, with_settings};

/// Tokens that live as long as a test.
const SETTINGS: &[(&str, &str)] = &[("GENCHARGE_ACCESS_TOKEN_TTL", "1h")];

fn operations() -> Vec<Operation> {
    table::read(include_str!("operations.txt")).0
}

fn shapes() -> Shapes {
    notation::shapes(include_str!("shapes.txt"))
}

/// Runs `check` for each operation in one world, and tells everything that it found wrong.
fn each(
    which: impl Fn(&Operation) -> bool,
    mut check: impl AsyncFnMut(&mut World<'_>, &Operation) -> Vec<String>,
) {
    with_settings(SETTINGS, async |app| {
        let mut world = World::new(app).await;
        let mut faults = Vec::new();
        for operation in operations().iter().filter(|operation| which(operation)) {
            faults.extend(check(&mut world, operation).await);
        }
        world.end().await;
        assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    });
}

#[test]
fn the_table_has_all_109_operations_in_15_domains() {
    let (operations, domains) = table::read(include_str!("operations.txt"));
    assert_eq!((operations.len(), domains.len()), (109, 15));
    for (name, count) in domains {
        let found = operations.iter().filter(|operation| operation.domain == name).count();
        assert_eq!(found, count, "{name}");
    }
    let calls: HashSet<_> = operations.iter().map(|operation| (&operation.method, &operation.path)).collect();
    assert_eq!(calls.len(), 109);
}

#[test]
fn the_documentation_has_every_operation_at_its_path() {
    let document = gencharge::app::openapi_document();
    let documented: HashSet<(String, &str)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| (method.to_uppercase(), path.trim_end_matches('/')))
        })
        .collect();
    for operation in operations() {
        let own = (operation.method.clone(), operation.path.clone());
        assert!(!document["paths"][&own.1][own.0.to_lowercase()].is_null(), "{own:?}");
        let security = &document["paths"][&own.1][own.0.to_lowercase()]["security"];
        let needed = match &operation.who {
            Who::Anyone => None,
            Who::SignedIn => Some(Value::Array(Vec::new())),
            Who::Customer => Some(serde_json::json!(["user"])),
            Who::Permission(permission) => Some(serde_json::json!([permission])),
        };
        match needed {
            Some(needed) => assert_eq!(security[0]["bearer"], needed, "{own:?}"),
            None => assert!(security.is_null() || security[0] == serde_json::json!({}), "{own:?}"),
        }
        // Administrators by number: the same path with another word in its braces.
        for other in operation.also.iter().filter(|(_, path)| !path.ends_with("{phone_number}")) {
            assert!(documented.contains(&(other.0.clone(), other.1.trim_end_matches('/'))), "{other:?}");
        }
    }
}

#[test]
fn nobody_else_gets_in() {
    each(
        |operation| operation.who != Who::Anyone,
        async |world, operation| {
            let mut faults = Vec::new();
            let strangers: &[(&str, u16)] = match &operation.who {
                Who::Anyone => &[],
                Who::SignedIn => &[("", 401)],
                Who::Customer => &[("", 401), ("super admin", 403)],
                Who::Permission(_) => &[("", 401), ("customer", 403), ("nothing at all", 403)],
            };
            for (method, path) in operation.ways() {
                for (stranger, status) in strangers {
                    let path = with_ones(&path);
                    let mut request = world.app.request(method.parse().unwrap(), &path);
                    if !stranger.is_empty() {
                        request = request.bearer_auth(world.token(stranger).await);
                    }
                    let answer = world.app.send(request).await;
                    let code = if *status == 401 { "not_authenticated" } else { "forbidden" };
                    if answer.status != *status || answer.problem() != code {
                        faults.push(format!("{method} {path} by {stranger:?}: {answer:?}"));
                    }
                }
            }
            faults
        },
    );
}

/// The path with 1 in the place of each of its parts.
fn with_ones(path: &str) -> String {
    match path.split_once('{') {
        Some((before, rest)) => format!("{before}1{}", with_ones(rest.split_once('}').unwrap().1)),
        None => path.to_owned(),
    }
}

#[test]
fn every_operation_answers_in_each_of_its_ways_and_forms() {
    let shapes = shapes();
    each(
        |_| true,
        async |world, operation| {
            let mut faults = Vec::new();
            for way in operation.ways() {
                let forms: Vec<Option<&Body>> = match operation.bodies.as_slice() {
                    [] => vec![None],
                    bodies => bodies.iter().map(Some).collect(),
                };
                for body in forms {
                    let answer = world.call(operation, &way, body).await;
                    let what = format!("{} {} {body:?}", way.0, way.1);
                    faults.extend(unlike(operation, &shapes, &what, &answer));
                }
            }
            faults
        },
    );
}

/// How an answer differs from what the table says.
fn unlike(operation: &Operation, shapes: &Shapes, what: &str, answer: &Answer) -> Vec<String> {
    if answer.status != operation.status {
        return vec![format!("{what}: {} instead of {}: {}", answer.status, operation.status, answer.text)];
    }
    match &operation.answer {
        table::Answer::Nothing if answer.text.is_empty() => Vec::new(),
        table::Answer::Nothing => vec![format!("{what}: has a body")],
        table::Answer::Json(kind) => {
            let mut faults = kind.faults(shapes, what, &answer.json);
            let lists =
                ["items", "plans", "transactions"].into_iter().filter_map(|name| answer.json.get(name));
            let empty = lists.chain([&answer.json]).any(|list| list.as_array().is_some_and(Vec::is_empty));
            if empty && !operation.path.ends_with("process-due") {
                faults.push(format!("{what}: the list is empty, so it shows nothing"));
            }
            faults
        }
        table::Answer::Rows(columns) => match answer.json.get(0).and_then(Value::as_object) {
            None => vec![format!("{what}: no rows")],
            Some(row) => {
                let missing = columns.iter().filter(|column| !row.contains_key(*column));
                missing.map(|column| format!("{what}: {column} is missing")).collect()
            }
        },
    }
}

#[test]
fn every_parameter_is_understood_and_checked() {
    let shapes = shapes();
    each(
        |operation| !operation.query.is_empty(),
        async |world, operation| {
            let (mut faults, way) = (Vec::new(), (operation.method.clone(), operation.path.clone()));
            for (name, kind) in &operation.query {
                for values in kind.samples() {
                    let query: Vec<_> = values.iter().map(|value| (name.as_str(), value.as_str())).collect();
                    let answer = asked(world, operation, &way, &query, None).await;
                    let what = format!("{} {} {query:?}", way.0, way.1);
                    if answer.status != 200 {
                        faults.push(format!("{what}: {}", answer.text));
                    } else if let table::Answer::Json(kind) = &operation.answer {
                        faults.extend(kind.faults(&shapes, &what, &answer.json));
                    }
                }
                let Some(wrong) = kind.wrong_sample() else { continue };
                let answer = asked(world, operation, &way, &[(name.as_str(), wrong)], None).await;
                let refused = answer.status == 422 || (answer.status == 400 && name == "order_by");
                if !refused
                    || !answer.problem().starts_with("invalid")
                    || answer.json["errors"][0]["field"] != **name
                {
                    faults.push(format!("{} {} {name}={wrong}: {answer:?}", way.0, way.1));
                }
            }
            faults
        },
    );
}

/// A request with parameters in the query string, or in a JSON body.
async fn asked(
    world: &mut World<'_>,
    operation: &Operation,
    (method, path): &(String, String),
    query: &[(&str, &str)],
    body: Option<&Value>,
) -> Answer {
    let token = world.caller(operation).await;
    let pairs: Vec<_> =
        query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let mut request = world.app.request(method.parse().unwrap(), &format!("{path}?{}", pairs.join("&")));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    world.app.send(request).await
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn fields_that_must_be_there_are_named_when_they_are_not() {
    each(
        |operation| !operation.needs.is_empty(),
        async |world, operation| {
            let way = (operation.method.clone(), operation.path.clone());
            let full = operation
                .full_json()
                .unwrap_or_else(|| panic!("{way:?} has no form with all of {:?}", operation.needs));
            let mut faults = Vec::new();
            for field in &operation.needs {
                let mut body: Map<String, Value> = serde_json::from_str(&world.filled(full).await).unwrap();
                body.remove(field);
                let body = Body::Json(Value::Object(body).to_string());
                let answer = world.call(operation, &way, Some(&body)).await;
                if answer.status != 422 || answer.problem() != "invalid_input" || !answer.text.contains(field)
                {
                    faults.push(format!("{way:?} without {field}: {answer:?}"));
                }
            }
            faults
        },
    );
}

#[test]
fn reports_take_a_query_or_a_body_and_can_be_downloaded() {
    each(
        |operation| operation.file.is_some(),
        async |world, operation| {
            let mut faults = Vec::new();
            for prefix in ["", "/v1"] {
                let path = format!("{prefix}{}", operation.path);
                let (get, post) = (("GET".to_owned(), path.clone()), ("POST".to_owned(), path.clone()));
                for (name, kind) in &operation.query {
                    for values in kind.samples() {
                        let query: Vec<_> =
                            values.iter().map(|value| (name.as_str(), value.as_str())).collect();
                        let body =
                            Value::Object([(name.clone(), kind.json_of(&values))].into_iter().collect());
                        let by_query = asked(world, operation, &get, &query, None).await;
                        let by_body = asked(world, operation, &post, &[], Some(&body)).await;
                        if by_body.status != 200 || by_body.text != by_query.text {
                            faults.push(format!("POST {path} {body}: {by_body:?}"));
                        }
                    }
                }
                faults.extend(downloads(world, operation, &get, &post).await);
            }
            faults
        },
    );
}

async fn downloads(
    world: &mut World<'_>,
    operation: &Operation,
    get: &(String, String),
    post: &(String, String),
) -> Vec<String> {
    let (mut faults, file) = (Vec::new(), operation.file.as_deref().unwrap());
    let kinds = [
        ("csv", "csv", "text/csv", ""),
        ("excel", "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "PK"),
        ("pdf", "pdf", "application/pdf", "%PDF"),
    ];
    for (word, ending, media, start) in kinds {
        let body = serde_json::json!({ "export_type": word });
        let by_query = asked(world, operation, get, &[("export_type", word)], None).await;
        let by_body = asked(world, operation, post, &[], Some(&body)).await;
        for answer in [by_query, by_body] {
            let header = |name: &str| {
                answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
            };
            let name = header("content-disposition").replace('"', "");
            let right = answer.status == 200
                && name == format!("attachment; filename={file}.{ending}")
                && header("content-type").starts_with(media)
                && answer.text.starts_with(start);
            if !right {
                faults.push(format!("{} as {word}: {} {:?}", get.1, answer.status, answer.headers));
            }
        }
    }
    // The first line has the columns.
    let csv = asked(world, operation, get, &[("export_type", "csv")], None).await;
    let table::Answer::Rows(columns) = &operation.answer else { panic!("{get:?} is no report") };
    let first = csv.text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default().to_owned();
    if !first.starts_with(&columns.join(",")) {
        faults.push(format!("{}: the columns are {first}", get.1));
    }
    faults
}

#[test]
fn a_slash_too_many_or_too_few_leads_to_the_path() {
    with_settings(SETTINGS, async |app: &TestApp| {
        for operation in operations().iter().filter(|operation| !operation.path.contains('{')) {
            let other = match operation.path.strip_suffix('/') {
                Some(path) => path.to_owned(),
                None => format!("{}/", operation.path),
            };
            for prefix in ["", "/v1"] {
                let method: Method = operation.method.parse().unwrap();
                let straight =
                    app.send(app.request(method.clone(), &format!("{prefix}{}", operation.path))).await;
                let around = app.send(app.request(method, &format!("{prefix}{other}"))).await;
                assert_eq!(around.status, straight.status, "{} {prefix}{other}", operation.method);
                assert_eq!(
                    around.json["code"], straight.json["code"],
                    "{} {prefix}{other}",
                    operation.method
                );
            }
        }
    });
}
