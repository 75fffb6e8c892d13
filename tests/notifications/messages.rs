//! Text messages and e-mail, against providers that fail and recover.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use chrono::TimeDelta;
use gencharge::config::Config;
use serde_json::Value;

use crate::support::app::{TestApp, with_app, with_settings};
use crate::support::eventually;
use crate::support::money::ASHA;
use crate::support::providers::Provider;

const PATIENCE: Duration = Duration::from_secs(15);
const ADMIN: &str = "9000000001";

async fn give_email(app: &TestApp) {
    sqlx::query("UPDATE users SET email = 'asha@example.com' WHERE phone = 919800000001")
        .execute(&app.pool)
        .await
        .unwrap();
}

/// Failures of this state, once there are this many.
async fn failures(app: &TestApp, admin: &str, state: &str, count: usize) -> Vec<Value> {
    eventually("the failures", PATIENCE, async || {
        let path = format!("/notification/failures?state={state}");
        let list = app.get(&path, admin).await.ok().as_array().unwrap().clone();
        (list.len() == count).then_some(list)
    })
    .await
}

async fn taken(provider: &Provider, text: &str) -> String {
    eventually("the message", PATIENCE, async || provider.got_with(text).into_iter().next()).await
}

fn settings(sms: &Provider, smtp: &Provider) -> Vec<(&'static str, String)> {
    vec![
        ("GENCHARGE_SMS_URL", format!("http://127.0.0.1:{}/send?route=q", sms.port)),
        ("GENCHARGE_SMS_KEY", "Bearer a-key".to_owned()),
        ("GENCHARGE_SMS_BODY", r#"{"numbers":"{to}","message":"{text}","ref":"{id}"}"#.to_owned()),
        ("GENCHARGE_SMTP_URL", format!("smtp://127.0.0.1:{}", smtp.port)),
        ("GENCHARGE_EMAIL_FROM", "GenCharge <no-reply@gencharge.test>".to_owned()),
        ("GENCHARGE_ACCESS_TOKEN_TTL", "10h".to_owned()),
    ]
}

fn with_providers(test: impl AsyncFnOnce(&TestApp, &Provider, &Provider)) {
    let (sms, smtp) = (Provider::sms(), Provider::smtp());
    let settings = settings(&sms, &smtp);
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    with_settings(&settings, async |app| test(app, &sms, &smtp).await);
}

#[test]
fn codes_and_notices_go_to_the_providers_and_nowhere_else() {
    with_providers(async |app, sms, smtp| {
        give_email(app).await;
        let code = app.login_code(ASHA).await;
        let message = taken(sms, &code).await;
        assert!(message.starts_with("POST /send?route=q "), "{message}");
        assert!(message.to_ascii_lowercase().contains("authorization: bearer a-key"), "{message}");
        let body: Value = serde_json::from_str(message.split("\r\n").last().unwrap()).unwrap();
        assert_eq!(body["numbers"], "+919800000001");
        assert!(body["message"].as_str().unwrap().starts_with(&format!("{code} is your GenCharge code.")));
        assert!(!app.sms_log().exists());

        app.clock.advance(TimeDelta::seconds(31));
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 41).await;
        let text = "Top-up successful: Rs 41.00 added to your wallet.";
        let message = taken(sms, text).await;
        let body: Value = serde_json::from_str(message.split("\r\n").last().unwrap()).unwrap();
        assert!(body["ref"].as_str().unwrap().ends_with(".sms"));
        let mail = taken(smtp, text).await;
        assert!(mail.contains("To: asha@example.com") && mail.contains("no-reply@gencharge.test"), "{mail}");
        assert!(mail.contains("Subject: Top-up successful: Rs 41.00 added to your wallet\r\n"), "{mail}");
        assert!(mail.contains(".email@gencharge.test>"), "{mail}");
    });
}

#[test]
fn what_a_provider_does_not_take_is_tried_again_and_arrives_once() {
    with_providers(async |app, sms, smtp| {
        give_email(app).await;
        let (asha, admin) = (app.sign_in(ASHA).await.access, app.sign_in(ADMIN).await.access);
        sms.answer(503);
        smtp.answer(451);
        app.fund(&asha, 42).await;
        let failed = failures(app, &admin, "retrying", 2).await;
        for failure in &failed {
            assert_eq!(failure["attempts"], 1);
            assert!(failure["next_at"].is_string());
            let error = failure["last_error"].as_str().unwrap();
            assert!(error.contains("503") || error.contains("451"), "{error}");
        }
        // The next message does not jump over: it fails too, or waits.
        sms.answer(200);
        smtp.answer(250);
        app.clock.advance(TimeDelta::seconds(11));
        let text = "Rs 42.00 added to your wallet.";
        taken(sms, text).await;
        taken(smtp, text).await;
        failures(app, &admin, "retrying", 0).await;
        app.fund(&asha, 43).await;
        taken(sms, "Rs 43.00").await;
        taken(smtp, "Rs 43.00").await;
        assert_eq!((sms.got_with(text).len(), smtp.got_with(text).len()), (1, 1));
    });
}

#[test]
fn what_a_provider_refuses_is_dead_and_can_be_revived() {
    with_providers(async |app, sms, _| {
        let (asha, admin) = (app.sign_in(ASHA).await.access, app.sign_in(ADMIN).await.access);
        sms.answer(400);
        app.fund(&asha, 44).await;
        let dead = failures(app, &admin, "dead", 1).await;
        assert_eq!(dead[0]["next_at"], Value::Null);
        assert!(!dead[0].to_string().contains("9800000001"), "no number is shown");
        // Others are not held up by it.
        sms.answer(200);
        app.fund(&asha, 45).await;
        taken(sms, "Rs 45.00").await;
        assert!(sms.got_with("Rs 44.00").is_empty());
        let id = dead[0]["notification_id"].as_str().unwrap();
        let path = format!("/notification/failures/sms/{id}/retry");
        assert_eq!(app.post(&path, &asha, Value::Null).await.problem(), "forbidden");
        assert_eq!(app.post(&path, &admin, Value::Null).await.status, 202);
        taken(sms, "Rs 44.00").await;
        failures(app, &admin, "dead", 0).await;
        for (path, problem) in [
            (path.as_str(), "not_found"),
            ("/notification/failures/sms/x/retry", "invalid_input"),
            ("/notification/failures/pigeon/aaaaaaaaaaaaaaaaaaaaaaaa/retry", "not_found"),
        ] {
            eventually(problem, PATIENCE, async || {
                let answer = app.post(path, &admin, Value::Null).await;
                (answer.status != 202).then(|| assert_eq!(answer.problem(), problem))
            })
            .await;
        }
    });
}

#[test]
fn without_providers_messages_are_files_that_only_their_owner_reads() {
    with_app(async |app| {
        give_email(app).await;
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 46).await;
        for file in ["sms.log", "email.log"] {
            let path = app.sms_log().with_file_name(file);
            eventually(file, PATIENCE, async || {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                text.contains("Rs 46.00 added to your wallet.").then_some(())
            })
            .await;
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        }
    });
}

#[test]
fn settings_of_providers_are_checked() {
    let problems = |name: &str, value: &str| Config::from_map([(name, value)]).unwrap_err().problems;
    for (name, value) in [
        ("GENCHARGE_SMS_URL", "ftp://x"),
        ("GENCHARGE_SMS_BODY", "to={to}&text={text}"),
        ("GENCHARGE_SMS_BODY", r#"{"to":"{to}"}"#),
        ("GENCHARGE_SMS_KEY", "two\nlines"),
        ("GENCHARGE_SMTP_URL", "mail.example.com"),
        ("GENCHARGE_EMAIL_FROM", "nobody"),
        ("GENCHARGE_MESSAGES_PER_SECOND", "0"),
        ("GENCHARGE_LANGUAGE", "fr"),
        ("GENCHARGE_LOW_BALANCE", "-1"),
    ] {
        let found = problems(name, value);
        assert!(found.len() == 1 && found[0].starts_with(name), "{name}={value}: {found:?}");
    }
}
