//! Customers of the demo's history.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{AccountStatus, PhoneNumber, UserId};
use sqlx::PgConnection;

use super::{NewCustomer, insert_customers};

/// What a customer of the demo wishes to be told, and how.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "the fields are the columns of the table, documented at the preferences' API"
)]
pub struct DemoWishes {
    pub email: bool,
    pub sms: bool,
    pub marketing: bool,
    pub reminders: bool,
    pub promotions: bool,
    pub transactions: bool,
    pub language: Option<&'static str>,
}

/// Inserts those who are not there and were never, each as of the moment of signing up; all begin active. Gives the new ones.
///
/// # Errors
/// Those of the database.
pub async fn insert_demo_members<'a>(
    db: &mut PgConnection,
    members: impl Iterator<Item = (&'a NewCustomer, DateTime<Utc>)>,
) -> Result<HashMap<PhoneNumber, UserId>, sqlx::Error> {
    let members: Vec<_> = members.collect();
    let phones: Vec<i64> = members.iter().map(|(customer, _)| customer.phone.e164()).collect();
    let gone: Vec<i64> = sqlx::query_scalar("SELECT phone FROM archived_users WHERE phone = ANY($1)")
        .bind(phones)
        .fetch_all(&mut *db)
        .await?;
    let mut made = HashMap::new();
    for (customer, joined) in members {
        if gone.contains(&customer.phone.e164()) {
            continue;
        }
        let customer = NewCustomer { status: AccountStatus::Active, ..customer.clone() };
        let new = insert_customers(db, &[customer], joined).await?;
        made.extend(new.into_iter().map(|(user, phone)| (phone, user)));
    }
    Ok(made)
}

/// Sets a customer's preferences.
///
/// # Errors
/// Those of the database.
pub async fn set_demo_wishes(
    db: &mut PgConnection,
    user: UserId,
    wishes: &DemoWishes,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE user_preferences SET email_notification = $2, sms_notification = $3, marketing_communication = $4, \
             recharge_remainders = $5, promotional_offers = $6, transactional_alerts = $7, language = $8 \
         WHERE user_id = $1",
    )
    .bind(user.get())
    .bind(wishes.email)
    .bind(wishes.sms)
    .bind(wishes.marketing)
    .bind(wishes.reminders)
    .bind(wishes.promotions)
    .bind(wishes.transactions)
    .bind(wishes.language)
    .execute(db)
    .await?;
    Ok(())
}

/// Blocks or pauses a customer whom nobody else sees yet.
///
/// # Errors
/// Those of the database.
pub async fn set_demo_status(
    db: &mut PgConnection,
    user: UserId,
    status: AccountStatus,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH customer AS (UPDATE users SET status = $2, updated_at = $3 WHERE user_id = $1) \
         UPDATE wallets SET status = $2 WHERE wallet_id = $1",
    )
    .bind(user.get())
    .bind(status.as_str())
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a customer whom nobody else sees yet, and whose wallet is empty.
///
/// # Errors
/// Those of the database.
pub async fn archive_empty(
    db: &mut PgConnection,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT archive_user($1, 0, NULL, $2)").bind(user.get()).bind(now).execute(db).await?;
    Ok(())
}
