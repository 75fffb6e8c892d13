//! Deleting an account: what is kept, what is freed, what is owed.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ASHA, MANAGER, RAVI, SUPPORT, bare, refused_to_others};
use crate::support::app::{TestApp, with_app};
use crate::support::money::{SUBSCRIBE, TOP_UP, recharge, with};

async fn archived(app: &TestApp, admin: &str) -> Value {
    app.get("/user/admin/archived", admin).await.ok()
}

#[test]
fn a_deleted_account_is_archived_as_it_was_and_its_number_is_free() {
    with_app(async |app| {
        let phone = "9870000001";
        let mut ids = Vec::new();
        for round in 0..3 {
            let token = app.sign_up(phone).await.access;
            let email = format!("round{round}@example.com");
            let body = json!({ "name": "Round", "email": email, "user_type": "prepaid" });
            app.post("/auth/register", &token, body).await.ok();
            let before = app.get("/user/me", &token).await.ok();
            app.fund(&token, 299).await;
            let bought = app.post(SUBSCRIBE, &token, recharge(phone, 1)).await.ok();
            assert_eq!(bought["subscription"]["status"], "active", "the number begins with no plan");
            let gone = bare(app, Method::DELETE, "/user/me", &token).await;
            assert!(gone.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
            assert_eq!(gone.ok(), before);
            assert_eq!(app.get("/user/me", &token).await.problem(), "not_authenticated");
            app.clock.advance(chrono::TimeDelta::seconds(31));
            let login = app.login_code(phone).await;
            let verify = json!({ "phone_number": phone, "otp": login });
            assert_eq!(app.post("/auth/verify-otp-login", "", verify).await.problem(), "invalid_otp");
            app.clock.advance(chrono::TimeDelta::seconds(31));
            let admin = app.sign_in(MANAGER).await.access;
            let last = archived(app, &admin).await.as_array().unwrap().last().unwrap().clone();
            assert_eq!((&last["user_type"], &last["status"]), (&json!("prepaid"), &json!("active")));
            assert_eq!((&last["email"], &last["phone_number"]), (&json!(email), &json!(phone)));
            assert!(last["deleted_at"].is_string());
            ids.push(last["user_id"].clone());
            app.verify().await;
        }
        ids.dedup();
        assert_eq!(ids.len(), 3, "ids are never used again");
        // The history stays readable, and the new owner of the number sees none of it.
        let admin = app.sign_in(MANAGER).await.access;
        let query = format!("/recharge/admin/transactions?user_id={}", ids[0]);
        let history = app.get(&query, &admin).await.ok();
        assert_eq!(history["total"], 2);
        assert_eq!(history["transactions"][0]["user"]["email"], "round0@example.com");
        let token = app.sign_up(phone).await.access;
        assert_eq!(app.get("/recharge/my/transactions", &token).await.ok()["total"], 0);
        assert_eq!(app.get("/recharge/my/plans", &token).await.ok()["total"], 0);
    });
}

#[test]
fn administrators_delete_with_the_true_type_and_status() {
    with_app(async |app| {
        let admin = app.sign_in(MANAGER).await.access;
        let path = async |phone: &str| {
            let rows = app.get(&format!("/user/admin?phone_number={phone}"), &admin).await.ok();
            format!("/user/admin/{}", rows[0]["user_id"])
        };
        let deactive = path("9800000006").await;
        refused_to_others(app, Method::DELETE, &deactive, SUPPORT).await;
        for phone in ["9800000003", "9800000006"] {
            bare(app, Method::DELETE, &path(phone).await, &admin).await.ok();
        }
        let rows = archived(app, &admin).await;
        let kinds: Vec<_> =
            rows.as_array().unwrap().iter().map(|row| (&row["status"], &row["user_type"])).collect();
        assert_eq!(kinds, [(&json!("blocked"), &json!("prepaid")), (&json!("deactive"), &json!("postpaid"))]);
        let found = app.get("/user/admin/archived?status=deactive&name=dev", &admin).await.ok();
        assert_eq!(found.as_array().unwrap().len(), 1);
        assert_eq!(bare(app, Method::DELETE, &deactive, &admin).await.problem(), "not_found");
        assert_eq!(bare(app, Method::DELETE, "/user/admin/x", &admin).await.problem(), "invalid_input");
        app.verify().await;
    });
}

#[test]
fn of_many_deletions_at_once_one_takes_place() {
    with_app(async |app| {
        let admin = app.sign_in(MANAGER).await.access;
        let token = app.sign_up("9870000001").await.access;
        let id = app.get("/user/me", &token).await.ok()["user_id"].clone();
        let path = format!("/user/admin/{id}");
        let answers = join_all((0..6).map(|_| bare(app, Method::DELETE, &path, &admin))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        assert!(answers.iter().all(|answer| answer.status == 200 || answer.problem() == "not_found"));
        assert_eq!(archived(app, &admin).await.as_array().unwrap().len(), 1);
        app.verify().await;
    });
}

#[test]
fn nothing_reaches_a_deleted_customer() {
    with_app(async |app| {
        let (ravi, asha) = (app.sign_in(RAVI).await.access, app.sign_in(ASHA).await.access);
        app.fund(&ravi, 500).await;
        bare(app, Method::DELETE, "/user/me", &asha).await.ok();
        let top_up = json!({ "amount": 10, "payment_method": "Wallet", "phone_number": ASHA });
        assert_eq!(app.post(TOP_UP, &ravi, top_up).await.problem(), "number_unknown");
        let gift = with(recharge(ASHA, 1), json!({ "payment_method": "UPI" }));
        assert_eq!(app.post(SUBSCRIBE, &ravi, gift).await.problem(), "number_unknown");
        assert_eq!(app.balance(RAVI).await, 50_000);
        app.verify().await;
    });
}

/// What a wallet held is neither lost nor left behind: it is owed, by a transaction of its own.
#[test]
fn what_the_wallet_held_is_set_aside_in_the_ledger() {
    with_app(async |app| {
        let admin = app.sign_in(MANAGER).await.access;
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 750).await;
        // Something active and something waiting go with the account.
        app.post(SUBSCRIBE, &asha, recharge(ASHA, 1)).await.ok();
        app.post(SUBSCRIBE, &asha, with(recharge(ASHA, 1), json!({ "payment_method": "UPI" }))).await.ok();
        let id = app.get("/user/me", &asha).await.ok()["user_id"].clone();
        let gone = bare(app, Method::DELETE, &format!("/user/admin/{id}"), &admin).await.ok();
        assert_eq!(gone["wallet_balance"], 451.0);
        assert_eq!(app.get("/user/me", &asha).await.problem(), "not_authenticated");
        let rows = archived(app, &admin).await;
        assert_eq!((&rows[0]["wallet_balance"], &rows[0]["status"]), (&json!(451.0), &json!("active")));
        let owed = app.count("SELECT sum(amount)::bigint FROM postings WHERE account_id = -7").await;
        assert_eq!(owed, 45_100);
        let history = app.get(&format!("/recharge/admin/transactions?user_id={id}"), &admin).await.ok();
        let last = &history["transactions"][0];
        assert_eq!(
            (&last["amount"], &last["txn_type"], &last["source"]),
            (&json!("451.00"), &json!("debit"), &json!("refund"))
        );
        app.verify().await;
        // The next owner of the number begins with nothing, and is nobody's heir.
        app.clock.advance(chrono::TimeDelta::seconds(31));
        let next = app.sign_up(ASHA).await.access;
        assert_eq!(app.get("/user/me", &next).await.ok()["wallet_balance"], 0.0);
        assert_eq!(app.get("/recharge/my/plans", &next).await.ok()["total"], 0);
        app.verify().await;
    });
}

/// Recharges, transfers and gifts meet a deletion in every order: whatever happens, the ledger balances and nothing is lost.
#[test]
fn money_that_moves_while_the_account_goes_is_never_lost() {
    with_app(async |app| {
        let ravi = app.sign_in(RAVI).await.access;
        app.fund(&ravi, 2_000).await;
        for round in 0..6 {
            let phone = format!("98700001{round:02}");
            let token = app.sign_up(&phone).await.access;
            let body = json!({ "name": "Busy", "email": format!("busy{round}@example.com"), "user_type": "prepaid" });
            app.post("/auth/register", &token, body).await.ok();
            app.fund(&token, 400).await;
            let top_up = json!({ "amount": 7, "payment_method": "Wallet", "phone_number": phone });
            let (gone, ..) = futures_util::join!(
                bare(app, Method::DELETE, "/user/me", &token),
                join_all((0..4).map(|_| app.post(TOP_UP, &ravi, top_up.clone()))),
                join_all((0..2).map(|_| app.post(SUBSCRIBE, &token, recharge(&phone, 1))))
            );
            assert!(gone.status == 200 || gone.problem() == "state_conflict", "{gone:?}");
            if gone.status != 200 {
                bare(app, Method::DELETE, "/user/me", &token).await.ok();
            }
            app.verify().await;
        }
        let admin = app.sign_in(MANAGER).await.access;
        assert_eq!(archived(app, &admin).await.as_array().unwrap().len(), 6);
    });
}
