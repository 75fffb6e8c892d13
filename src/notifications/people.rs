//! What notifications ask about customers: groups, wishes, and how they are reached.

use std::collections::HashMap;

use futures_util::future::BoxFuture;
use gencharge_actors::kernel::{PhoneNumber, UserId};
use gencharge_actors::notification::channel::{Contact, People, PeopleError};
use gencharge_actors::notification::{Language, Wishes};
use sqlx::PgPool;

/// The customers in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgPeople {
    pool: PgPool,
}

/// What decides which groups' notices a customer sees.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Standing {
    pub user_type: Option<String>,
    pub status: String,
    pub marketing: bool,
    pub promotions: bool,
}

/// A customer's wishes as stored: language, transactions, reminders, text messages, e-mail.
type WishesRow = (Option<String>, bool, bool, bool, bool);

fn wishes((language, transactions, reminders, sms, email): WishesRow) -> Wishes {
    Wishes { language: language.as_deref().and_then(Language::of), transactions, reminders, sms, email }
}

impl PgPeople {
    /// Works through `pool`.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// A customer's kind, status and wishes for announcements; nothing when there is no such customer.
    pub(super) async fn standing(&self, user: UserId) -> Result<Option<Standing>, sqlx::Error> {
        sqlx::query_as(
            "SELECT u.user_type, u.status, coalesce(p.marketing_communication, false) AS marketing,
                    coalesce(p.promotional_offers, false) AS promotions
             FROM users u LEFT JOIN user_preferences p USING (user_id) WHERE u.user_id = $1",
        )
        .bind(user.get())
        .fetch_optional(&self.pool)
        .await
    }

    /// The language that a customer chose.
    pub(super) async fn language(&self, user: UserId) -> Result<Option<Language>, sqlx::Error> {
        let code: Option<Option<String>> =
            sqlx::query_scalar("SELECT language FROM user_preferences WHERE user_id = $1")
                .bind(user.get())
                .fetch_optional(&self.pool)
                .await?;
        Ok(code.flatten().and_then(|code| Language::of(&code)))
    }

    /// Sets it; false when there is no such customer.
    pub(super) async fn set_language(&self, user: UserId, language: Language) -> Result<bool, sqlx::Error> {
        let done = sqlx::query(
            "INSERT INTO user_preferences (user_id, language) SELECT user_id, $2 FROM users WHERE user_id = $1
             ON CONFLICT (user_id) DO UPDATE SET language = excluded.language",
        )
        .bind(user.get())
        .bind(language.as_str())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }
}

impl People for PgPeople {
    fn wishes<'a>(&'a self, of: &'a [UserId]) -> BoxFuture<'a, Result<HashMap<UserId, Wishes>, PeopleError>> {
        Box::pin(async move {
            let ids: Vec<i64> = of.iter().map(|user| user.get()).collect();
            // The condition is the index's, so that only the few with unusual wishes are looked at.
            let rows: Vec<(i64, Option<String>, bool, bool, bool, bool)> = sqlx::query_as(
                "SELECT user_id, language, transactional_alerts, recharge_remainders, sms_notification,
                        email_notification
                 FROM user_preferences
                 WHERE (language IS NOT NULL OR NOT transactional_alerts OR NOT recharge_remainders
                        OR NOT sms_notification OR NOT email_notification) AND user_id = ANY($1)",
            )
            .bind(ids)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
            let row = |(id, language, transactions, reminders, sms, email)| {
                (UserId(id), wishes((language, transactions, reminders, sms, email)))
            };
            Ok(rows.into_iter().map(row).collect())
        })
    }

    fn contacts<'a>(
        &'a self,
        of: &'a [UserId],
    ) -> BoxFuture<'a, Result<HashMap<UserId, Contact>, PeopleError>> {
        Box::pin(async move {
            let ids: Vec<i64> = of.iter().map(|user| user.get()).collect();
            let rows: Vec<ContactRow> = sqlx::query_as(
                "SELECT u.user_id, u.phone, u.email, p.language,
                        coalesce(p.transactional_alerts, true) AS transactions,
                        coalesce(p.recharge_remainders, true) AS reminders,
                        coalesce(p.sms_notification, true) AS by_sms,
                        coalesce(p.email_notification, true) AS by_email
                 FROM users u LEFT JOIN user_preferences p USING (user_id) WHERE u.user_id = ANY($1)",
            )
            .bind(ids)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
            Ok(rows.into_iter().filter_map(contact).collect())
        })
    }
}

#[derive(sqlx::FromRow)]
struct ContactRow {
    user_id: i64,
    phone: i64,
    email: Option<String>,
    language: Option<String>,
    transactions: bool,
    reminders: bool,
    by_sms: bool,
    by_email: bool,
}

fn contact(row: ContactRow) -> Option<(UserId, Contact)> {
    let phone = PhoneNumber::from_e164(row.phone).ok()?;
    let wishes = wishes((row.language, row.transactions, row.reminders, row.by_sms, row.by_email));
    Some((UserId(row.user_id), Contact { phone, email: row.email, wishes }))
}

fn failed(error: sqlx::Error) -> PeopleError {
    PeopleError(error.to_string())
}
