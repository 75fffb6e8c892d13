//! What customers want to be told.

use reqwest::Method;
use serde_json::{Value, json};

use super::own::notices;
use crate::support::app::{TestApp, with_app, with_settings};
use crate::support::money::{ASHA, RAVI, SUBSCRIBE, recharge, with};

async fn wish(app: &TestApp, statement: &'static str) {
    sqlx::query(statement).execute(&app.pool).await.unwrap();
}

async fn set_language(app: &TestApp, token: &str, language: Value) -> crate::support::app::Answer {
    let request = app.request(Method::PUT, "/notification/language").bearer_auth(token);
    app.send(request.json(&json!({ "language": language }))).await
}

#[test]
fn who_wants_no_alerts_gets_none_and_others_do() {
    with_app(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        wish(
            app,
            "UPDATE user_preferences SET transactional_alerts = false
             WHERE user_id = (SELECT user_id FROM users WHERE phone = 919800000001)",
        )
        .await;
        app.fund(&asha, 10).await;
        app.fund(&ravi, 10).await;
        notices(app, &ravi, 1).await;
        // Ravi's notice came behind Asha's place in the order of events.
        assert!(notices(app, &asha, 0).await.is_empty());
    });
}

#[test]
fn notices_come_in_the_language_chosen() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        assert_eq!(app.get("/notification/language", &asha).await.ok(), json!({ "language": "en" }));
        assert_eq!(set_language(app, &asha, json!("hi")).await.ok(), json!({ "language": "hi" }));
        assert_eq!(app.get("/notification/language", &asha).await.ok(), json!({ "language": "hi" }));
        app.fund(&asha, 10).await;
        let told = notices(app, &asha, 1).await;
        assert_eq!(told[0]["description"], "टॉप-अप सफल: आपके वॉलेट में रु 10.00 जोड़े गए।");
        for bad in [json!("fr"), json!(""), json!(7), Value::Null] {
            assert_eq!(set_language(app, &asha, bad).await.problem(), "invalid_input");
        }
        let admin = app.sign_in("9000000001").await.access;
        assert_eq!(app.get("/notification/language", &admin).await.problem(), "forbidden");
    });
}

#[test]
fn a_wallet_that_runs_low_is_told_of_once() {
    with_settings(&[("GENCHARGE_LOW_BALANCE", "1000")], async |app| {
        let asha = app.sign_in(ASHA).await.access;
        wish(app, "UPDATE wallets SET balance = 105000 WHERE phone = 919800000001").await;
        let queued = with(recharge(ASHA, 1), json!({ "activation_mode": "queue" }));
        app.post(SUBSCRIBE, &asha, queued.clone()).await.ok();
        app.post(SUBSCRIBE, &asha, queued).await.ok();
        let told = notices(app, &asha, 3).await;
        let low = told
            .iter()
            .filter(|notice| notice["description"].as_str().unwrap().starts_with("Your wallet holds Rs "));
        assert_eq!(low.count(), 1, "{told:#?}");
    });
}
