//! Customers without a signup: the demo's, and many at once for load.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{AccountStatus, Paise, PhoneNumber, UserId, UserType};
use sqlx::PgConnection;

use crate::referrals;

/// A customer to insert.
#[derive(Clone, Debug)]
pub struct NewCustomer {
    /// Phone number.
    pub phone: PhoneNumber,
    /// Name; `None`: signed up but not registered.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// How the customer is billed.
    pub user_type: Option<UserType>,
    /// State.
    pub status: AccountStatus,
    /// Own referral code; no two customers share one.
    pub referral_code: String,
}

/// Inserts customers with preferences, wallets (empty) and lines, all in one statement: a few thousand at a time. Those
/// whose number is taken are left out. Gives the ids and numbers of the new ones, in no order.
///
/// # Errors
/// Those of the database; a taken e-mail address or referral code is one.
pub async fn insert_customers(
    db: &mut PgConnection,
    customers: &[NewCustomer],
    now: DateTime<Utc>,
) -> Result<Vec<(UserId, PhoneNumber)>, sqlx::Error> {
    let phones: Vec<i64> = customers.iter().map(|customer| customer.phone.e164()).collect();
    let names: Vec<Option<&str>> = customers.iter().map(|customer| customer.name.as_deref()).collect();
    let emails: Vec<Option<&str>> = customers.iter().map(|customer| customer.email.as_deref()).collect();
    let types: Vec<Option<&str>> =
        customers.iter().map(|customer| customer.user_type.map(UserType::as_str)).collect();
    let states: Vec<&str> = customers.iter().map(|customer| customer.status.as_str()).collect();
    let codes: Vec<&str> = customers.iter().map(|customer| customer.referral_code.as_str()).collect();
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "WITH made AS ( \
             INSERT INTO users (phone, name, email, user_type, status, referral_code, created_at) \
             SELECT phone, name, email, user_type, status, code, $7 \
             FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) \
                  AS given(phone, name, email, user_type, status, code) \
             WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.phone = given.phone) \
               AND NOT EXISTS (SELECT 1 FROM admins a WHERE a.phone = given.phone) \
             ON CONFLICT (phone) DO NOTHING RETURNING user_id, phone, user_type, status), \
         preferences AS (INSERT INTO user_preferences (user_id) SELECT user_id FROM made), \
         wallet AS ( \
             INSERT INTO wallets (wallet_id, status, phone, user_type) SELECT user_id, status, phone, user_type FROM made) \
         SELECT user_id, phone FROM made",
    )
    .bind(&phones)
    .bind(&names)
    .bind(&emails)
    .bind(&types)
    .bind(&states)
    .bind(&codes)
    .bind(now)
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(user, phone)| Some((UserId(user), PhoneNumber::from_e164(phone).ok()?)))
        .collect())
}

/// The demo's customers: one of every state and type, and one who has not registered.
///
/// | phone | who |
/// |---|---|
/// | 9800000001 | active, prepaid |
/// | 9800000002 | active, postpaid; brought by the first (reward pending) |
/// | 9800000003 | blocked, prepaid |
/// | 9800000004 | blocked, postpaid |
/// | 9800000005 | deactive, prepaid |
/// | 9800000006 | deactive, postpaid |
/// | 9800000007 | active, signed up but not registered |
#[must_use]
pub fn demo_customers() -> Vec<NewCustomer> {
    let people = [
        ("9800000001", "Asha Verma", Some(UserType::Prepaid), AccountStatus::Active),
        ("9800000002", "Ravi Iyer", Some(UserType::Postpaid), AccountStatus::Active),
        ("9800000003", "Meera Nair", Some(UserType::Prepaid), AccountStatus::Blocked),
        ("9800000004", "Imran Khan", Some(UserType::Postpaid), AccountStatus::Blocked),
        ("9800000005", "Lata Rao", Some(UserType::Prepaid), AccountStatus::Deactive),
        ("9800000006", "Dev Patel", Some(UserType::Postpaid), AccountStatus::Deactive),
        ("9800000007", "", None, AccountStatus::Active),
    ];
    let customer = |(phone, name, user_type, status): (&str, &str, Option<UserType>, AccountStatus)| {
        let number = phone.get(6..).unwrap_or_default();
        let first = name.split(' ').next().unwrap_or_default().to_ascii_lowercase();
        let named = !name.is_empty();
        Some(NewCustomer {
            phone: PhoneNumber::parse(phone).ok()?,
            name: named.then(|| name.to_owned()),
            email: named.then(|| format!("{first}@example.com")),
            user_type,
            status,
            referral_code: format!("DEMO{number}"),
        })
    };
    people.into_iter().filter_map(customer).collect()
}

/// Makes the demo's customers that are missing, and the pending reward.
///
/// # Errors
/// Those of the database.
pub async fn seed_customers(
    db: &mut PgConnection,
    reward: Paise,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let customers = demo_customers();
    insert_customers(db, &customers, now).await?;
    let [referrer, referred, ..] = customers.as_slice() else { return Ok(()) };
    brought_by(db, referred.phone, referrer.phone, reward, now).await
}

/// Says that the owner of `phone` was brought by the owner of `referrer`, unless somebody has brought that customer already.
///
/// # Errors
/// Those of the database.
pub async fn brought_by(
    db: &mut PgConnection,
    phone: PhoneNumber,
    referrer: PhoneNumber,
    reward: Paise,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let brought: Option<(i64, i64)> = sqlx::query_as(
        "UPDATE users u SET referee_code = r.referral_code FROM users r \
         WHERE u.phone = $1 AND r.phone = $2 AND u.referee_code IS NULL RETURNING r.user_id, u.user_id",
    )
    .bind(phone.e164())
    .bind(referrer.e164())
    .fetch_optional(&mut *db)
    .await?;
    match brought {
        Some((referrer, referred)) => {
            referrals::note(db, UserId(referrer), UserId(referred), reward, now).await
        }
        None => Ok(()),
    }
}
