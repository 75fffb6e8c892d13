//! Content: made, changed, deleted by those who may, read by everyone; files that lie about what they are.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::Value;

use crate::support::app::{Answer, TestApp, with_app};

/// A picture of one pixel.
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

fn faq() -> Form {
    Form::new().text("content_type", "FAQ").text("title", "How?").text("body", "So.")
}

fn image(name: &'static str, bytes: &'static [u8]) -> Part {
    Part::bytes(bytes).file_name(name).mime_str("image/png").unwrap()
}

async fn send(app: &TestApp, method: Method, path: &str, token: &str, form: Form) -> Answer {
    let request = app.request(method, path);
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    app.send(request.multipart(form)).await
}

async fn post(app: &TestApp, token: &str, form: Form) -> Answer {
    send(app, Method::POST, "/content/admin", token, form).await
}

#[test]
fn content_lives_with_its_picture() {
    with_app(async |app| {
        let editor = app.sign_in("9000000010").await.access;
        let made = post(app, &editor, faq().part("image", image("../../evil.php", GIF))).await;
        assert_eq!(made.status, 201, "{made:?}");
        let (id, url) =
            (made.json["_id"].as_str().unwrap(), made.json["image_url"].as_str().unwrap().to_owned());
        assert_eq!((&made.json["created_by"], &made.json["updated_by"]), (&10.into(), &10.into()));
        assert!(
            url.starts_with("/static/uploads/") && url.ends_with(".png") && !url.contains("evil"),
            "{url}"
        );
        let served = app.request(Method::GET, &url).send().await.unwrap();
        assert_eq!(
            (served.status().as_u16(), &served.headers()["content-type"]),
            (200, &"image/png".parse().unwrap())
        );
        assert_eq!(served.headers()["x-content-type-options"], "nosniff");
        assert!(served.bytes().await.unwrap().starts_with(b"\x89PNG"));

        app.clock.advance(chrono::TimeDelta::seconds(5));
        let path = format!("/content/admin/{id}");
        let changed = send(app, Method::PUT, &path, &editor, Form::new().text("title", "Why?")).await.ok();
        assert_eq!(
            (&changed["title"], &changed["body"], &changed["image_url"]),
            (&"Why?".into(), &"So.".into(), &Value::from(url.clone()))
        );
        assert_ne!(changed["updated_at"], changed["created_at"]);
        let replaced =
            send(app, Method::PUT, &path, &editor, Form::new().part("image", image("x.png", GIF))).await.ok();
        assert_eq!(app.get(&url, "").await.problem(), "not_found");
        let newer = replaced["image_url"].as_str().unwrap();
        assert_eq!(app.get(newer, "").await.status, 200);

        let public = app.get("/v1/content?content_type=FAQ", "").await.ok();
        assert_eq!(
            (&public["total"], &public["pages"], &public["items"][0]["title"]),
            (&1.into(), &1.into(), &"Why?".into())
        );
        assert_eq!(app.get("/content?content_type=Why_Choose_us", "").await.ok()["total"], 0);
        let viewer = app.sign_in("9000000013").await.access;
        for (query, total) in [
            ("", 1),
            ("?title=WHY", 1),
            ("?title=.*", 0),
            ("?created_by=10&updated_by=10", 1),
            ("?created_by=1", 0),
            ("?created_at_from=2100-01-01", 0),
            ("?order_by=updated_at&order_dir=asc&size=1&page=2", 1),
        ] {
            assert_eq!(
                app.get(&format!("/content/admin{query}"), &viewer).await.ok()["total"],
                total,
                "{query}"
            );
        }
        let gone = app.send(app.request(Method::DELETE, &path).bearer_auth(&editor)).await;
        assert!(gone.status == 200 && gone.json["message"].is_string(), "{gone:?}");
        assert_eq!(app.get(newer, "").await.problem(), "not_found");
        assert_eq!(
            app.send(app.request(Method::DELETE, &path).bearer_auth(&editor)).await.problem(),
            "not_found"
        );
        assert_eq!(send(app, Method::PUT, &path, &editor, faq()).await.problem(), "not_found");
    });
}

#[test]
fn what_lies_is_too_large_or_not_allowed_is_refused_and_leaves_nothing() {
    with_app(async |app| {
        let editor = app.sign_in("9000000010").await.access;
        let viewer = app.sign_in("9000000013").await.access;
        for bytes in [
            &b"<script>alert(1)</script>"[..],
            b"\x89PNG\r\n\x1a\nno",
            b"\xff\xd8\xff\xe0 JFIF?",
            b"%PDF-1.7",
            b"BM\x00\x00",
        ] {
            let answer = post(app, &editor, faq().part("image", image("p.png", bytes))).await;
            assert_eq!((answer.status, answer.problem()), (400, "unusable_image"), "{bytes:?}");
        }
        let big = Part::bytes(vec![0_u8; 5 * 1024 * 1024 + 1]).file_name("big.png");
        assert_eq!(post(app, &editor, faq().part("image", big)).await.problem(), "body_too_large");
        let wrong = post(app, &editor, Form::new().text("content_type", "News").text("title", " ")).await;
        assert_eq!((wrong.problem(), wrong.json["errors"].as_array().unwrap().len()), ("invalid_input", 2));
        assert_eq!(
            post(app, &editor, Form::new().text("body", "b")).await.json["errors"].as_array().unwrap().len(),
            2
        );
        let json = app.request(Method::POST, "/content/admin").bearer_auth(&editor).json(&Value::Null);
        assert!((400..500).contains(&app.send(json).await.status));
        assert_eq!(post(app, &viewer, faq()).await.problem(), "forbidden");
        assert_eq!(post(app, "", faq()).await.problem(), "not_authenticated");
        for path in ["/static/uploads/..%2Fsms.log", "/static/uploads/x.png", "/static/uploads/%2e%2e"] {
            assert_eq!(app.get(path, "").await.status, 404, "{path}");
        }
        for query in ["?size=0", "?page=0", "?size=101", "?content_type=x"] {
            assert_eq!(app.get(&format!("/content{query}"), "").await.problem(), "invalid_input", "{query}");
        }
        assert_eq!(app.get("/content", "").await.ok()["total"], 0);
    });
}
