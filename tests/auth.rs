//! Sign-in: codes, tokens, rotation, logout.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, signed_in, with_app, with_settings};
use crate::support::eventually;

const NEW: &str = "9811111111";
const ASHA: &str = "9800000001";
const ADMIN: &str = "9000000001";

async fn verify(app: &TestApp, phone: &str, otp: &str) -> crate::support::app::Answer {
    app.post("/auth/verify-otp-login", "", json!({ "phone_number": phone, "otp": otp })).await
}

fn other_than(code: &str) -> String {
    if code == "111111" { "222222".to_owned() } else { "111111".to_owned() }
}

#[test]
fn a_signup_makes_a_whole_customer_and_signs_in() {
    with_app(async |app| {
        let tokens = app.sign_up(NEW).await;
        let me = app.get("/user/me", &tokens.access).await.ok();
        assert_eq!(
            (&me["phone_number"], &me["status"], &me["name"]),
            (&json!(NEW), &json!("active"), &Value::Null)
        );
        assert_eq!(me["wallet_balance"].to_string(), "0.0");
        for (table, column) in [("user_preferences", "user_id"), ("wallets", "wallet_id")] {
            let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table} WHERE {column} = $1"));
            let rows: i64 =
                sqlx::query_scalar(sql).bind(me["user_id"].as_i64()).fetch_one(&app.pool).await.unwrap();
            assert_eq!(rows, 1, "{table}");
        }
        assert!(
            tokens.cookie.contains("HttpOnly") && tokens.cookie.contains("SameSite=Lax"),
            "{}",
            tokens.cookie
        );
        assert!(
            tokens.cookie.contains("Max-Age=172800") && !tokens.cookie.contains("Secure"),
            "{}",
            tokens.cookie
        );
    });
}

#[test]
fn the_message_goes_to_a_file_that_only_its_owner_reads() {
    with_settings(&[("GENCHARGE_DEV_OTP", "0")], async |app| {
        let answer = app.post("/auth/login", "", json!({ "phone_number": ASHA })).await.ok();
        assert!(answer.get("dev_otp").is_none(), "{answer}");
        let line = eventually("the message", std::time::Duration::from_secs(5), async || {
            std::fs::read_to_string(app.sms_log()).ok().filter(|text| text.ends_with('\n'))
        })
        .await;
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(app.sms_log()).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        let code = line.split(' ').nth(2).unwrap();
        assert!(line.contains(ASHA));
        signed_in(verify(app, ASHA, code).await);
    });
}

#[test]
fn a_code_works_once() {
    with_app(async |app| {
        let otp = app.login_code(ASHA).await;
        signed_in(verify(app, ASHA, &otp).await);
        assert_eq!(verify(app, ASHA, &otp).await.problem(), "invalid_otp");
        // A used code ends the cool-down.
        app.login_code(ASHA).await;
    });
}

#[test]
fn a_code_submitted_many_times_at_once_signs_in_once() {
    with_app(async |app| {
        let answer = app.post("/auth/signup", "", json!({ "phone_number": NEW })).await.ok();
        let body = json!({ "phone_number": NEW, "otp": answer["dev_otp"] });
        let all = (0..8).map(|_| app.post("/auth/verify-otp-signup", "", body.clone()));
        let answers = futures_util::future::join_all(all).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
        assert!(
            answers
                .iter()
                .filter(|answer| answer.status != 200)
                .all(|answer| answer.problem() == "invalid_otp")
        );
    });
}

#[test]
fn a_code_is_dead_after_five_tries() {
    with_app(async |app| {
        let otp = app.login_code(ASHA).await;
        for _ in 0..4 {
            assert_eq!(verify(app, ASHA, &other_than(&otp)).await.problem(), "invalid_otp");
        }
        signed_in(verify(app, ASHA, &otp).await);
        let otp = app.login_code(ASHA).await;
        for _ in 0..5 {
            assert_eq!(verify(app, ASHA, &other_than(&otp)).await.problem(), "invalid_otp");
        }
        assert_eq!(verify(app, ASHA, &otp).await.problem(), "invalid_otp");
    });
}

#[test]
fn a_code_expires() {
    with_app(async |app| {
        let otp = app.login_code(ASHA).await;
        app.clock.advance(TimeDelta::seconds(300));
        assert_eq!(verify(app, ASHA, &otp).await.problem(), "invalid_otp");
    });
}

#[test]
fn a_second_code_waits_for_the_cool_down_and_replaces_the_first() {
    with_app(async |app| {
        let first = app.login_code(ASHA).await;
        app.clock.advance(TimeDelta::seconds(29));
        let refused = app.post("/auth/login", "", json!({ "phone_number": ASHA })).await;
        assert_eq!((refused.status, refused.problem()), (429, "rate_limited"));
        let wait: i64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=2).contains(&wait), "{wait}");
        app.clock.advance(TimeDelta::seconds(1));
        let second = app.login_code(ASHA).await;
        if first != second {
            assert_eq!(verify(app, ASHA, &first).await.problem(), "invalid_otp");
        }
        signed_in(verify(app, ASHA, &second).await);
    });
}

#[test]
fn a_number_gets_so_many_codes_an_hour() {
    with_settings(&[("GENCHARGE_OTP_PER_HOUR", "3")], async |app| {
        for _ in 0..3 {
            app.sign_in(ASHA).await;
        }
        let refused = app.post("/auth/login", "", json!({ "phone_number": ASHA })).await;
        assert_eq!(refused.problem(), "rate_limited");
        let wait: i64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((3590..=3601).contains(&wait), "{wait}");
        app.sign_in("9800000002").await;
        app.clock.advance(TimeDelta::hours(1));
        app.sign_in(ASHA).await;
    });
}

#[test]
fn answers_do_not_tell_which_numbers_exist() {
    with_app(async |app| {
        for path in ["/auth/login", "/auth/signup"] {
            let mut seen = Vec::new();
            for phone in [ASHA, "9899999999", ADMIN] {
                let body = json!({ "phone_number": phone });
                let first = app.post(path, "", body.clone()).await;
                let again = app.post(path, "", body).await;
                let mut json = first.json.clone();
                json.as_object_mut().unwrap().remove("dev_otp").unwrap();
                seen.push((first.status, json, again.status, again.problem().to_owned()));
            }
            assert!(seen.iter().all(|answer| *answer == seen[0]), "{seen:?}");
            app.clock.advance(TimeDelta::seconds(31));
        }
        let otp = app.login_code("9899999999").await;
        assert_eq!(verify(app, "9899999999", &otp).await.problem(), "invalid_otp");
    });
}

#[test]
fn a_signup_for_a_number_that_has_an_account_says_so_only_to_its_holder() {
    with_app(async |app| {
        for phone in [ASHA, ADMIN] {
            let otp =
                app.post("/auth/signup", "", json!({ "phone_number": phone })).await.ok()["dev_otp"].clone();
            let answer =
                app.post("/auth/verify-otp-signup", "", json!({ "phone_number": phone, "otp": otp })).await;
            assert_eq!((answer.status, answer.problem()), (400, "duplicate"));
        }
    });
}

#[test]
fn codes_are_for_one_purpose() {
    with_app(async |app| {
        let otp = app.post("/auth/signup", "", json!({ "phone_number": ASHA })).await.ok()["dev_otp"].clone();
        assert_eq!(verify(app, ASHA, otp.as_str().unwrap()).await.problem(), "invalid_otp");
        let otp = app.login_code("9800000002").await;
        let body = json!({ "phone_number": "9800000002", "otp": otp });
        assert_eq!(app.post("/auth/verify-otp-signup", "", body).await.problem(), "invalid_otp");
    });
}

#[test]
fn the_password_form_signs_in_too() {
    with_app(async |app| {
        let otp = app.login_code(ADMIN).await;
        let form =
            [("grant_type", "password"), ("username", ADMIN), ("password", otp.as_str()), ("scope", "")];
        let request = app.request(Method::POST, "/v1/auth/verify-otp-login").form(&form);
        signed_in(app.send(request).await);
    });
}

#[test]
fn a_deactive_customer_wakes_at_sign_in_and_a_blocked_one_does_not() {
    with_app(async |app| {
        let tokens = app.sign_in("9800000005").await;
        let me = app.get("/user/me", &tokens.access).await.ok();
        assert_eq!(me["status"], "active");
        let wallet: String = sqlx::query_scalar("SELECT status FROM wallets WHERE wallet_id = $1")
            .bind(me["user_id"].as_i64())
            .fetch_one(&app.pool)
            .await
            .unwrap();
        assert_eq!(wallet, "active");
        let otp = app.login_code("9800000003").await;
        let answer = verify(app, "9800000003", &otp).await;
        assert_eq!((answer.status, answer.problem()), (403, "forbidden"));
    });
}

async fn refresh(app: &TestApp, token: &str) -> crate::support::app::Answer {
    app.post("/auth/refresh", "", json!({ "refresh_token": token })).await
}

#[test]
fn refresh_rotates_by_body_cookie_and_bearer() {
    with_app(async |app| {
        let first = app.sign_in(ASHA).await;
        let second = signed_in(refresh(app, &first.refresh).await);
        assert_ne!(first.refresh, second.refresh);
        let cookie = format!("refresh_token={}", second.refresh);
        let third = app.request(Method::POST, "/auth/refresh").header("cookie", cookie);
        let third = signed_in(app.send(third).await);
        let fourth = app.request(Method::POST, "/auth/refresh").bearer_auth(&third.refresh);
        let fourth = signed_in(app.send(fourth).await);
        assert_eq!(app.get("/user/me", &fourth.access).await.status, 200);
        let stored: i64 = sqlx::query_scalar("SELECT generation FROM sessions WHERE subject_kind = 'user'")
            .fetch_one(&app.pool)
            .await
            .unwrap();
        assert_eq!(stored, 3);
    });
}

#[test]
fn a_refresh_token_used_again_gives_the_same_successor_for_ten_seconds_then_ends_the_session() {
    with_app(async |app| {
        let first = app.sign_in(ASHA).await;
        let second = signed_in(refresh(app, &first.refresh).await);
        app.clock.advance(TimeDelta::seconds(10));
        let again = signed_in(refresh(app, &first.refresh).await);
        assert_eq!(second.refresh, again.refresh);
        assert_eq!(app.get("/user/me", &again.access).await.status, 200);
        app.clock.advance(TimeDelta::seconds(1));
        assert_eq!(refresh(app, &first.refresh).await.problem(), "not_authenticated");
        assert_eq!(refresh(app, &second.refresh).await.problem(), "not_authenticated");
        assert_eq!(app.get("/user/me", &again.access).await.problem(), "not_authenticated");
    });
}

#[test]
fn many_refreshes_at_once_agree_on_the_successor() {
    with_app(async |app| {
        let first = app.sign_in(ASHA).await;
        let answers = futures_util::future::join_all((0..8).map(|_| refresh(app, &first.refresh))).await;
        let tokens: Vec<_> = answers.into_iter().map(|answer| signed_in(answer).refresh).collect();
        assert!(tokens.iter().all(|token| *token == tokens[0]));
        signed_in(refresh(app, &tokens[0]).await);
    });
}

#[test]
fn tokens_expire_and_types_are_not_interchangeable() {
    with_app(async |app| {
        let tokens = app.sign_in(ASHA).await;
        assert_eq!(app.get("/user/me", &tokens.refresh).await.problem(), "not_authenticated");
        assert_eq!(refresh(app, &tokens.access).await.problem(), "not_authenticated");
        app.clock.advance(TimeDelta::seconds(61));
        assert_eq!(app.get("/user/me", &tokens.access).await.problem(), "not_authenticated");
        let tokens = signed_in(refresh(app, &tokens.refresh).await);
        app.clock.advance(TimeDelta::days(2));
        assert_eq!(refresh(app, &tokens.refresh).await.problem(), "not_authenticated");
    });
}

#[test]
fn logout_ends_this_session_or_all() {
    with_app(async |app| {
        let (one, two, three) = (app.sign_in(ASHA).await, app.sign_in(ASHA).await, app.sign_in(ASHA).await);
        app.post("/auth/logout", &one.access, json!({})).await.ok();
        assert_eq!(app.get("/user/me", &one.access).await.problem(), "not_authenticated");
        assert_eq!(refresh(app, &one.refresh).await.problem(), "not_authenticated");
        assert_eq!(app.get("/user/me", &two.access).await.status, 200);
        // By cookie alone, for everybody.
        let cookie = format!("refresh_token={}", two.refresh);
        let request = app.request(Method::POST, "/auth/logout?all=true").header("cookie", &cookie);
        let answer = app.send(request).await;
        assert!(answer.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
        for token in [&two.access, &three.access] {
            assert_eq!(app.get("/user/me", token).await.problem(), "not_authenticated");
        }
        let request = app.request(Method::POST, "/auth/logout").header("cookie", &cookie);
        assert_eq!(app.send(request).await.problem(), "not_authenticated");
        assert_eq!(app.post("/auth/logout", "", json!({})).await.problem(), "not_authenticated");
    });
}

#[test]
fn registration_completes_a_profile_once() {
    with_app(async |app| {
        let tokens = app.sign_up(NEW).await;
        let body = |email: &str, referee: &str| json!({ "name": "Nila Das", "email": email, "user_type": "postpaid", "referee_code": referee });
        let post = async |body| app.post("/auth/register", &tokens.access, body).await;
        assert_eq!(post(body("nila@example.com", "NOBODY")).await.problem(), "invalid_referral");
        let own = app.get("/user/me", &tokens.access).await.ok()["referral_code"].clone();
        assert_eq!(post(body("nila@example.com", own.as_str().unwrap())).await.problem(), "invalid_referral");
        assert_eq!(post(body("ASHA@example.com", "DEMO0001")).await.problem(), "duplicate");
        assert_eq!(
            post(json!({ "name": "N", "email": "x" })).await.json["errors"].as_array().unwrap().len(),
            2
        );
        assert_eq!(
            post(json!({ "name": "Nila", "email": "n@example.com" })).await.problem(),
            "invalid_input"
        );
        let registered = post(body("nila@example.com", "DEMO0001")).await.ok();
        assert_eq!(
            (&registered["user_type"], &registered["referee_code"]),
            (&json!("postpaid"), &json!("DEMO0001"))
        );
        assert_eq!(post(body("nila2@example.com", "")).await.problem(), "duplicate");
        let (line, reward, status): (String, i64, String) = sqlx::query_as(
            "SELECT w.user_type, r.amount, r.status FROM wallets w \
             JOIN referral_rewards r ON r.referred_id = w.wallet_id WHERE w.wallet_id = $1",
        )
        .bind(registered["user_id"].as_i64())
        .fetch_one(&app.pool)
        .await
        .unwrap();
        assert_eq!((line.as_str(), reward, status.as_str()), ("postpaid", 5_000, "pending"));
    });
}

#[test]
fn the_type_may_be_said_at_signup() {
    with_app(async |app| {
        let body = json!({ "phone_number": NEW, "user_type": "prepaid" });
        let otp = app.post("/auth/signup", "", body).await.ok()["dev_otp"].clone();
        let body = json!({ "phone_number": NEW, "otp": otp });
        let tokens = signed_in(app.post("/auth/verify-otp-signup", "", body).await);
        let body = json!({ "name": "Nila Das", "email": "nila@example.com" });
        let registered = app.post("/auth/register", &tokens.access, body).await.ok();
        assert_eq!(registered["user_type"], "prepaid");
    });
}
