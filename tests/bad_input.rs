//! Input that cannot be: each a problem document with its code, never a 500 (`TestApp::send` refuses those).

use reqwest::Method;
use serde_json::json;

use crate::support::app::with_app;

const OPERATIONS: [&str; 6] = [
    "/auth/signup",
    "/auth/verify-otp-signup",
    "/auth/login",
    "/auth/verify-otp-login",
    "/auth/refresh",
    "/v1/auth/login",
];

#[test]
fn phones() {
    with_app(async |app| {
        for phone in [
            "",
            "123",
            "98765432100",
            "5876543210",
            "abcdefghij",
            "९८७६५४३२१०",
            "+1 2025550123",
            "9876543210; --",
        ] {
            for path in ["/auth/signup", "/auth/login"] {
                let answer = app.post(path, "", json!({ "phone_number": phone })).await;
                assert_eq!((answer.status, answer.problem()), (422, "invalid_input"), "{phone}");
                assert_eq!(answer.json["errors"][0]["field"], "phone_number");
            }
        }
        let answer = app.post("/auth/login", "", json!({ "phone_number": 9_876_543_210_i64 })).await;
        assert_eq!(answer.problem(), "invalid_input");
    });
}

#[test]
fn bodies() {
    with_app(async |app| {
        let send = async |path: &str, kind: &str, body: Vec<u8>| {
            app.send(app.request(Method::POST, path).header("content-type", kind).body(body)).await
        };
        for path in OPERATIONS {
            for broken in [&b"{"[..], b"\xff\xfe", b"{\"phone_number\": }"] {
                let answer = send(path, "application/json", broken.to_vec()).await;
                assert_eq!((answer.status, answer.problem()), (400, "malformed_body"), "{path} {broken:?}");
            }
            let huge = format!("{{\"phone_number\":\"{}\"}}", "9".repeat(100_000));
            let answer = send(path, "application/json", huge.into_bytes()).await;
            assert_eq!((answer.status, answer.problem()), (413, "body_too_large"), "{path}");
            let answer = send(path, "application/json", b"[]".to_vec()).await;
            assert_eq!((answer.status, answer.problem()), (422, "invalid_input"), "{path}");
        }
        let answer = send("/auth/verify-otp-login", "text/plain", b"hello".to_vec()).await;
        assert_eq!((answer.status, answer.problem()), (415, "unsupported_media_type"));
        let answer = send("/auth/login", "text/plain", b"hello".to_vec()).await;
        assert_eq!((answer.status, answer.problem()), (415, "unsupported_media_type"));
        let form = "application/x-www-form-urlencoded";
        let answer = send("/auth/verify-otp-login", form, b"username=9800000001".to_vec()).await;
        assert_eq!(answer.problem(), "invalid_input");
        let long = json!({ "phone_number": "9800000001", "otp": "1".repeat(10_000) });
        assert_eq!(app.post("/auth/verify-otp-login", "", long).await.problem(), "invalid_otp");
    });
}

#[test]
fn tokens() {
    with_app(async |app| {
        let good = app.sign_in("9800000001").await.access;
        let (head, tail) = good.rsplit_once('.').unwrap();
        let mut forged = vec![
            String::new(),
            "x".to_owned(),
            "a.b.c".to_owned(),
            "...".to_owned(),
            head.to_owned(),
            format!("{head}."),
            format!("{good}.x"),
            format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.{}.", head.split('.').nth(1).unwrap()),
            "a".repeat(7_000),
        ];
        forged.push(format!("{head}.{}", tail.chars().rev().collect::<String>()));
        for token in forged {
            let request =
                app.request(Method::GET, "/user/me").header("authorization", format!("Bearer {token}"));
            let answer = app.send(request).await;
            assert_eq!((answer.status, answer.problem()), (401, "not_authenticated"), "{token}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            let answer = app.post("/auth/refresh", "", json!({ "refresh_token": token })).await;
            assert_eq!(answer.problem(), "not_authenticated", "{token}");
        }
        let request = app.request(Method::GET, "/user/me").header("authorization", format!("Basic {good}"));
        assert_eq!(app.send(request).await.problem(), "not_authenticated");
    });
}

#[test]
fn paths_methods_and_parameters() {
    with_app(async |app| {
        assert_eq!(app.get("/nowhere", "").await.problem(), "no_such_route");
        assert_eq!(app.get("/v1/nowhere", "").await.problem(), "no_such_route");
        assert_eq!(app.get("/auth/login", "").await.problem(), "method_not_allowed");
        let token = app.sign_in("9800000001").await.access;
        let answer = app.post("/auth/logout?all=perhaps", &token, json!({})).await;
        assert_eq!(answer.problem(), "invalid_input");
        let answer = app.get("/nowhere", "").await;
        assert_eq!(
            answer.headers["x-request-id"].to_str().unwrap(),
            answer.json["request_id"].as_str().unwrap()
        );
    });
}
