//! What stands around every route: the documentation, request ids, limits, CORS, the log, and what operators read.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::time::Duration;

use gencharge::app::openapi_document;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, actor, with_app, with_settings};
use crate::support::eventually;

const SUPER_ADMIN: &str = "9000000001";

/// Method and path of every documented operation, without former paths, and without slashes at the end: they mean nothing.
fn documented() -> BTreeSet<(String, String)> {
    let document = openapi_document();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let current =
            item.as_object().unwrap().iter().filter(|(_, operation)| operation["deprecated"] != true);
        current.map(move |(method, _)| (method.to_uppercase(), path.trim_end_matches('/').to_owned()))
    });
    operations.collect()
}

/// Method and path of every route in the features' sources: in each `pub fn routes`, a path stands before its methods. Of
/// several paths of one route the first is documented.
fn mounted() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for folder in std::fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path()) {
        // What tells about the API is not part of it.
        if folder.ends_with("http") || folder.ends_with("contract") || !folder.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let source = if file.is_file() { std::fs::read_to_string(file).unwrap() } else { continue };
            for body in source.split("pub fn routes(").skip(1) {
                routes_in(body.split("\n}").next().unwrap(), &mut found);
            }
        }
    }
    found
}

fn routes_in(body: &str, found: &mut BTreeSet<(String, String)>) {
    let mut first = None;
    for part in body.split("\"/").skip(1) {
        let (path, rest) = part.split_once('"').unwrap();
        let path = first.take().unwrap_or(path);
        if rest.chars().all(|character| character == ',' || character.is_whitespace()) {
            first = Some(path);
            continue;
        }
        for method in ["get", "post", "put", "patch", "delete"] {
            if rest.contains(&format!("web::{method}()")) {
                found.insert((method.to_uppercase(), format!("/{path}")));
            }
        }
    }
}

#[test]
fn every_route_is_documented_and_every_documented_operation_is_a_route() {
    // Routes and documentation of the reports are made of the same definitions; their test calls each.
    let written = |(_, path): &(String, String)| !path.starts_with("/reports/");
    let mounted: BTreeSet<_> = mounted().into_iter().filter(written).collect();
    assert!(mounted.len() > 20, "the routes are no longer written as this test reads them");
    assert_eq!(mounted, documented().into_iter().filter(written).collect());
}

#[test]
fn both_mounts_answer_every_documented_operation() {
    with_app(async |app| {
        for (method, path) in documented() {
            for mount in ["", "/v1"] {
                let path = format!("{mount}{}", path.replace("{plan_id}", "1").replace("{user_id}", "x"));
                let method: Method = method.parse().unwrap();
                let answer = app.send(app.request(method.clone(), &path)).await;
                let code = answer.json["code"].as_str().unwrap_or_default();
                assert!(
                    !["no_such_route", "method_not_allowed"].contains(&code),
                    "{method} {path}: {answer:?}"
                );
            }
        }
    });
}

#[test]
fn the_document_is_sound() {
    let document = openapi_document();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][1]["url"], "/v1");
    let mut ids = HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{name}: operationId {id} is taken");
            assert!(operation["tags"][0].is_string(), "{name}: no tag");
            check_parameters(&name, path, operation);
            check_responses(&name, operation);
        }
    }
    for tag in document["tags"].as_array().unwrap() {
        assert_ne!(tag["description"], "", "{tag}: say what it is about in src/http/openapi.rs");
    }
    check_references(&document, &document);
}

fn check_parameters(name: &str, path: &str, operation: &Value) {
    let declared: BTreeSet<&str> = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|parameter| parameter["in"] == "path")
        .map(|parameter| parameter["name"].as_str().unwrap())
        .collect();
    let named: BTreeSet<&str> = path.split('{').skip(1).map(|part| part.split('}').next().unwrap()).collect();
    assert_eq!(declared, named, "{name}");
}

fn check_responses(name: &str, operation: &Value) {
    let responses = operation["responses"].as_object().unwrap();
    assert!(responses.keys().any(|status| status.starts_with('2')), "{name}: no success");
    let mut wanted = vec![];
    if operation["security"].is_array() {
        wanted.extend(["401", "403"]);
    }
    if operation["requestBody"].is_object() {
        wanted.extend(["400", "413", "415", "422"]);
    }
    for status in wanted {
        assert!(responses.contains_key(status), "{name}: no {status}");
    }
    for (status, response) in responses {
        assert!(response["description"].is_string(), "{name} {status}");
        if (status.starts_with('4') || status.starts_with('5')) && name != "get /readyz" {
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
        }
    }
}

/// Every `$ref` leads somewhere.
fn check_references(document: &Value, value: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            fields.values().for_each(|value| check_references(document, value));
        }
        Value::Array(items) => items.iter().for_each(|value| check_references(document, value)),
        _ => {}
    }
}

#[test]
fn the_pages_need_nothing_from_elsewhere() {
    with_app(async |app| {
        let document = app.get("/openapi.json", "").await;
        assert_eq!(document.headers["content-type"], "application/json");
        assert_eq!(document.json, openapi_document());
        for page in ["/docs", "/redoc"] {
            let answer = app.get(page, "").await;
            assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
            let policy = answer.headers["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
            assert_eq!(answer.headers["x-frame-options"], "DENY");
            let html = answer.ok().as_str().unwrap().to_owned();
            assert!(!html.contains("//"), "{html}");
            let links = html
                .split(['"', '\''])
                .filter(|text| text.starts_with("docs/") || text.starts_with("redoc/"));
            for link in links {
                check_asset(app, &format!("/{link}")).await;
            }
        }
        assert_eq!(app.get("/docs/Cargo.toml", "").await.problem(), "not_found");
        let kind = app.get("/problems/insufficient_funds", "").await.ok();
        assert_eq!(kind["status"], 400);
    });
}

async fn check_asset(app: &TestApp, path: &str) {
    let first = app.get(path, "").await;
    assert_eq!(first.status, 200, "{path}");
    assert_eq!(first.headers["x-content-type-options"], "nosniff");
    let etag = first.headers["etag"].clone();
    let again = app.send(app.request(Method::GET, path).header("if-none-match", etag)).await;
    assert_eq!(again.status, 304, "{path}");
}

#[test]
fn redoc_comes_compressed_or_plain() {
    with_app(async |app| {
        let path = "/redoc/redoc.standalone.js";
        let zipped =
            app.request(Method::GET, path).header("accept-encoding", "br, gzip").send().await.unwrap();
        assert_eq!(zipped.headers()["content-encoding"], "gzip");
        assert_eq!(zipped.headers()["vary"], "Accept-Encoding");
        assert!(zipped.bytes().await.unwrap().starts_with(&[0x1f, 0x8b]));
        let plain = app.get(path, "").await.ok();
        assert!(plain.as_str().unwrap().len() > 1_000_000 && plain.as_str().unwrap().contains("Redoc"));
    });
}

#[test]
fn every_answer_names_its_request() {
    with_app(async |app| {
        let given = app.request(Method::GET, "/nowhere").header("x-request-id", "my-id-1");
        let answer = app.send(given).await;
        assert_eq!((answer.status, answer.problem()), (404, "no_such_route"));
        assert_eq!(answer.headers["x-request-id"], "my-id-1");
        assert_eq!(answer.json["request_id"], "my-id-1");
        let bad = app.send(app.request(Method::GET, "/healthz").header("x-request-id", "a\"b")).await;
        let made = bad.headers["x-request-id"].to_str().unwrap();
        assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
    });
}

#[test]
fn what_http_itself_can_get_wrong() {
    with_app(async |app| {
        for mount in ["", "/v1"] {
            let answer = app.send(app.request(Method::PATCH, &format!("{mount}/plans/plan/1"))).await;
            assert_eq!((answer.status, answer.problem()), (405, "method_not_allowed"));
            assert_eq!(answer.headers["allow"], "DELETE, GET, PUT");
            let path = format!("{mount}/offers/offer_type1");
            assert_eq!(app.send(app.request(Method::PATCH, &path)).await.headers["allow"], "PUT");
            let post = |kind: &str, body: Vec<u8>| {
                app.request(Method::POST, &format!("{mount}/auth/login"))
                    .header("content-type", kind)
                    .body(body)
            };
            let answer = app.send(post("application/json", b"{".to_vec())).await;
            assert_eq!((answer.status, answer.problem()), (400, "malformed_body"));
            let answer = app.send(post("text/plain", b"hello".to_vec())).await;
            assert_eq!((answer.status, answer.problem()), (415, "unsupported_media_type"));
            let answer = app.send(post("application/json", vec![b' '; 100_000])).await;
            assert_eq!((answer.status, answer.problem()), (413, "body_too_large"));
        }
    });
}

#[test]
fn probes_and_numbers() {
    with_app(async |app| {
        assert_eq!(app.get("/healthz", "").await.ok(), json!({ "status": "alive" }));
        let ready = eventually("readiness", Duration::from_secs(10), async || {
            let answer = app.get("/readyz", "").await;
            (answer.status == 200).then_some(answer.json)
        })
        .await;
        assert_eq!((&ready["ready"], &ready["database"]), (&json!(true), &json!("reachable")));
        let relay = actor(&ready, "relay");
        assert_eq!((&relay["status"], &relay["restarts"]), (&json!("running"), &json!(0)));
        app.get("/plans/plan/1", "").await.ok();
        app.get("/plans/plan/999999", "").await.problem();
        let metrics = app.get("/metrics", "").await;
        assert_eq!(metrics.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        let text = metrics.ok().as_str().unwrap().to_owned();
        for line in [
            "gencharge_http_requests_total{method=\"GET\",route=\"/plans/plan/{plan_id}\",status=\"2xx\"} 1",
            "gencharge_http_requests_total{method=\"GET\",route=\"/plans/plan/{plan_id}\",status=\"4xx\"} 1",
            "gencharge_http_request_duration_seconds_count{method=\"GET\",route=\"/plans/plan/{plan_id}\"} 2",
            "gencharge_http_requests_in_flight 1",
            "gencharge_actor_status{actor=\"relay\",status=\"running\"} 1",
            "gencharge_access_log_dropped_total 0",
            "gencharge_ready 1",
        ] {
            assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
        }
        for name in [
            "gencharge_outbox_lag_milliseconds ",
            "gencharge_db_pool_idle ",
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
        ] {
            assert!(text.lines().any(|it| it.starts_with(name)), "no {name} in\n{text}");
        }
    });
}

#[test]
fn actors_are_shown_to_administrators_only() {
    with_app(async |app| {
        assert_eq!(app.get("/admin/actors", "").await.problem(), "not_authenticated");
        let customer = app.sign_in("9800000001").await.access;
        assert_eq!(app.get("/admin/actors", &customer).await.problem(), "forbidden");
        let admin = app.sign_in(SUPER_ADMIN).await.access;
        let actors = app.get("/admin/actors", &admin).await.ok();
        let names: Vec<_> =
            actors.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert!(names.contains(&"relay") && names.contains(&"lifecycle"), "{names:?}");
    });
}

#[test]
fn the_access_log_tells_who_did_what_and_no_secret() {
    with_app(async |app| {
        let token = app.sign_in("9800000001").await.access;
        let request = app.request(Method::GET, "/v1/user/me?secret=9800000001").bearer_auth(&token);
        app.send(request.header("x-request-id", "wanted")).await.ok();
        app.send(app.request(Method::GET, "/9800000001").header("x-request-id", "unknown")).await.problem();
        let path = app.sms_log().with_file_name("access.log");
        let text = eventually("both lines", Duration::from_secs(5), async || {
            let text = std::fs::read_to_string(&path).unwrap();
            text.contains("\"unknown\"").then_some(text)
        })
        .await;
        assert!(!text.contains("9800000001") && !text.contains(&token), "{text}");
        let line = |id: &str| -> Value {
            let line = text.lines().find(|line| line.contains(&format!("\"request_id\":\"{id}\""))).unwrap();
            serde_json::from_str(line).unwrap()
        };
        let wanted = line("wanted");
        assert_eq!((&wanted["method"], &wanted["route"]), (&json!("GET"), &json!("/v1/user/me")));
        assert_eq!((&wanted["status"], &wanted["user_kind"]), (&json!(200), &json!("customer")));
        assert!(wanted["user_id"].is_i64() && wanted["bytes"].as_u64().unwrap() > 2, "{wanted}");
        assert_eq!(wanted["ip"], "127.0.0.1");
        let unknown = line("unknown");
        assert_eq!((&unknown["route"], &unknown["code"]), (&json!("none"), &json!("no_such_route")));
    });
}

#[test]
fn one_address_may_only_ask_so_often() {
    let settings = [("GENCHARGE_IP_REQUESTS_PER_MINUTE", "5"), ("GENCHARGE_TRUSTED_PROXIES", "127.0.0.1")];
    with_settings(&settings, async |app| {
        let from = async |client: &str| {
            let request = app.request(Method::GET, "/plans/public/all");
            app.send(request.header("x-forwarded-for", client)).await
        };
        for _ in 0..5 {
            assert_eq!(from("203.0.113.1").await.status, 200);
        }
        let refused = from("198.51.100.7, 203.0.113.1").await;
        assert_eq!((refused.status, refused.problem()), (429, "rate_limited"));
        let wait: u32 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=12).contains(&wait), "{wait}");
        assert_eq!(from("203.0.113.2").await.status, 200);
        let probe = app.request(Method::GET, "/healthz").header("x-forwarded-for", "203.0.113.1");
        assert_eq!(app.send(probe).await.status, 200);
    });
}

#[test]
fn a_forwarded_address_is_not_believed_of_anybody() {
    with_settings(&[("GENCHARGE_IP_REQUESTS_PER_MINUTE", "2")], async |app| {
        for (client, status) in [("203.0.113.1", 200), ("203.0.113.2", 200), ("203.0.113.3", 429)] {
            let request = app.request(Method::GET, "/plans/public/all").header("x-forwarded-for", client);
            assert_eq!(app.send(request).await.status, status);
        }
    });
}

#[test]
fn pages_of_allowed_origins_may_call() {
    with_settings(&[("GENCHARGE_CORS_ORIGINS", "https://shop.example.com")], async |app| {
        let ask = async |method: Method, origin: &str| {
            let request = app.request(method, "/plans/public/all").header("origin", origin);
            app.send(request.header("access-control-request-method", "POST")).await
        };
        let preflight = ask(Method::OPTIONS, "https://shop.example.com").await;
        assert_eq!(preflight.status, 204);
        let header = |name: &str| preflight.headers[name].to_str().unwrap().to_owned();
        assert_eq!(header("access-control-allow-origin"), "https://shop.example.com");
        assert_eq!(header("access-control-allow-credentials"), "true");
        assert!(header("access-control-allow-headers").contains("Idempotency-Key"));
        let answer = ask(Method::GET, "https://shop.example.com").await;
        assert_eq!(answer.headers["access-control-allow-origin"], "https://shop.example.com");
        let exposed = answer.headers["access-control-expose-headers"].to_str().unwrap();
        for name in ["X-Total-Count", "Link", "Idempotent-Replayed", "X-Request-Id", "Retry-After"] {
            assert!(exposed.contains(name), "{exposed}");
        }
        assert_eq!(answer.headers["vary"], "Origin");
        for (method, status) in [(Method::GET, 200), (Method::OPTIONS, 405)] {
            let stranger = ask(method, "https://evil.example.com").await;
            assert_eq!(stranger.status, status);
            assert!(!stranger.headers.contains_key("access-control-allow-origin"));
            assert_eq!(stranger.headers["vary"], "Origin");
        }
    });
}
