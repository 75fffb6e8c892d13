//! A store that goes away, and comes back; and what processes tell each other through Redis.

use std::time::Duration;

use base64::Engine as _;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::support::app::{TestApp, with_settings};
use crate::support::proxy::Proxy;
use crate::support::{eventually, server};

const ASHA: &str = "9800000001";
const LIMIT: Duration = Duration::from_secs(10);

/// What `/readyz` says of a store; the process stays ready whatever it is.
async fn seen(app: &TestApp, store: &str) -> Value {
    app.get("/readyz", "").await.ok()["stores"][store].clone()
}

#[test]
fn without_redis_sign_in_says_so_and_the_rest_goes_on() {
    let Some(url) = server("GENCHARGE_TEST_REDIS_URL") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (proxy, through) = runtime.block_on(Proxy::to(&url));
    with_settings(&[("REDIS_URL", &through)], async |app| {
        let tokens = app.sign_in(ASHA).await;
        assert_eq!(seen(app, "redis").await, "reachable");
        proxy.cut();
        let refused = app.post("/auth/login", "", json!({ "phone_number": ASHA })).await;
        assert_eq!((refused.status, refused.problem()), (503, "unavailable"));
        assert!(refused.json["detail"].as_str().unwrap().contains("Redis"), "{refused:?}");
        assert_eq!(refused.headers["retry-after"], "1");
        assert_eq!(seen(app, "redis").await, "away");
        app.get("/user/me", &tokens.access).await.ok();
        // Who signs out is out, in this process and (through PostgreSQL) in others.
        let other = app.start_another().await;
        app.post("/auth/logout", &tokens.access, json!({})).await.ok();
        let there = format!("http://{}/user/me", other.addr);
        eventually("the logout elsewhere", LIMIT, async || {
            (app.get(&there, &tokens.access).await.status == 401).then_some(())
        })
        .await;
        proxy.mend();
        eventually("Redis' return", LIMIT, async || {
            let again = app.post("/auth/login", "", json!({ "phone_number": ASHA })).await;
            (again.status == 200).then_some(())
        })
        .await;
        assert_eq!(seen(app, "redis").await, "reachable");
        assert!(other.stop().await);
    });
}

#[test]
fn redis_carries_hints_both_ways() {
    let Some(url) = server("GENCHARGE_TEST_REDIS_URL") else { return };
    let prefix = format!("gencharge_it_{}_hints", std::process::id());
    with_settings(&[("REDIS_URL", &url), ("GENCHARGE_REDIS_PREFIX", &prefix)], async |app| {
        let channel = format!("{prefix}:gencharge_access");
        let client = redis::Client::open(url.as_str()).unwrap();
        let mut hearing = client.get_async_pubsub().await.unwrap();
        hearing.subscribe(&channel).await.unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();

        let mine = app.sign_in(ASHA).await;
        app.post("/auth/logout", &mine.access, json!({})).await.ok();
        let heard = tokio::time::timeout(LIMIT, hearing.on_message().next()).await.unwrap().unwrap();
        let hint = format!("s:{}:", session(&mine.access));
        assert!(heard.get_payload::<String>().unwrap().starts_with(&hint), "{heard:?}");

        // A session that SQL still holds for good: only Redis can have told of its end.
        let mine = app.sign_in(ASHA).await;
        app.get("/user/me", &mine.access).await.ok();
        let hint = format!("s:{}:9999999999", session(&mine.access));
        eventually("the end of the session", LIMIT, async || {
            let mut told = redis::cmd("PUBLISH");
            told.arg(&channel).arg(&hint).query_async::<i64>(&mut connection).await.unwrap();
            (app.get("/user/me", &mine.access).await.status == 401).then_some(())
        })
        .await;
    });
}

fn session(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice::<Value>(&payload).unwrap()["sid"].as_str().unwrap().to_owned()
}

#[test]
fn mongodb_may_be_away_at_the_start_and_later() {
    let Some(url) = server("GENCHARGE_TEST_MONGODB_URL") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (proxy, through) = runtime.block_on(Proxy::to(&url));
    proxy.cut();
    let through = format!("{through}?serverSelectionTimeoutMS=500");
    with_settings(&[("MONGODB_URL", &through)], async |app| {
        assert_eq!(seen(app, "mongodb").await, "away");
        app.sign_in(ASHA).await;
        proxy.mend();
        eventually("MongoDB's return", LIMIT, async || {
            (seen(app, "mongodb").await == "reachable").then_some(())
        })
        .await;
    });
}
