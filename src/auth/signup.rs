//! New customers: the bare one that a signup code makes, and the registration that completes it.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{Actor, Paise, PhoneNumber, Random, UserId, UserType};
use sqlx::PgPool;

use super::service::AuthError;
use super::session::{Span, audited};
use super::token::CUSTOMER_ROLE;
use crate::audit::{self, Entry};
use crate::platform::postgres::violates;
use crate::referrals;
use crate::users::{self, EmailAddress, PersonName, Profile};

/// What a signup came to.
#[derive(Debug)]
pub(super) enum SignedUp {
    /// Made and signed in.
    Open(UserId),
    /// The number has an account.
    Taken,
}

/// How often another referral code is drawn when one is taken.
const DRAWS: usize = 5;

/// Letters and digits that are not mistaken for each other.
const REFERRAL_LETTERS: &[u8; 31] = b"ABCDEFGHJKMNPQRSTUVWXYZ23456789";

/// A new referral code: eight letters and digits.
#[must_use]
pub fn draw_referral_code(random: &dyn Random) -> String {
    let letters = u64::try_from(REFERRAL_LETTERS.len()).unwrap_or(u64::MAX);
    let letter = |_| {
        let at = usize::try_from(random.below(letters)).unwrap_or_default();
        char::from(*REFERRAL_LETTERS.get(at).unwrap_or(&b'A'))
    };
    (0..8).map(letter).collect()
}

/// When the number is free, makes the customer with preferences, wallet and line, and opens the session: all in one
/// statement.
pub(super) async fn sign_up(
    pool: &PgPool,
    random: &dyn Random,
    phone: PhoneNumber,
    user_type: Option<UserType>,
    span: Span,
) -> Result<SignedUp, sqlx::Error> {
    let mut draws = 1;
    loop {
        match try_sign_up(pool, &draw_referral_code(random), phone, user_type, span).await {
            Err(error) if draws < DRAWS && violates(&error, "users_referral_code_key") => draws += 1,
            // An administrator with that number was added at the same moment.
            Err(error) if violates(&error, "numbers_have_one_owner") => return Ok(SignedUp::Taken),
            outcome => return outcome,
        }
    }
}

async fn try_sign_up(
    pool: &PgPool,
    referral_code: &str,
    phone: PhoneNumber,
    user_type: Option<UserType>,
    span: Span,
) -> Result<SignedUp, sqlx::Error> {
    let row: Option<(i64, ())> = sqlx::query_as(
        "WITH made AS ( \
             INSERT INTO users (phone, user_type, referral_code, created_at) \
             SELECT $1, $2, $7, $3 WHERE NOT EXISTS (SELECT 1 FROM admins WHERE phone = $1) \
             ON CONFLICT (phone) DO NOTHING RETURNING user_id, user_type), \
         preferences AS (INSERT INTO user_preferences (user_id) SELECT user_id FROM made), \
         wallet AS ( \
             INSERT INTO wallets (wallet_id, phone, user_type) SELECT user_id, $1, user_type FROM made), \
         opened AS ( \
             INSERT INTO sessions (session_id, subject_kind, subject_id, rotated_at, access_expires_at, \
                                   refresh_expires_at, login_time, last_active) \
             SELECT $4, 'user', user_id, $3, $5, $6, $3, $3 FROM made) \
         SELECT user_id, audit_append($3, 'user', user_id, 'user', $8) FROM made",
    )
    .bind(phone.e164())
    .bind(user_type.map(UserType::as_str))
    .bind(span.now)
    .bind(span.session)
    .bind(span.access_until)
    .bind(span.refresh_until)
    .bind(referral_code)
    .bind(audited("SIGNUP", span.session).event(span.now).data_json())
    .fetch_optional(pool)
    .await?;
    Ok(row.map_or(SignedUp::Taken, |(user, ())| SignedUp::Open(UserId(user))))
}

/// What completes a profile.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Name.
    pub name: PersonName,
    /// E-mail address; no two customers share one.
    pub email: EmailAddress,
    /// How the customer is billed; may be absent when the signup said it.
    pub user_type: Option<UserType>,
    /// Who brought the customer here.
    pub referee_code: Option<String>,
}

/// Completes the profile once; a referral code makes a pending reward for its owner.
pub(super) async fn register(
    pool: &PgPool,
    user: UserId,
    registration: &Registration,
    reward: Paise,
    now: DateTime<Utc>,
) -> Result<Profile, AuthError> {
    let mut tx = pool.begin().await?;
    users::lock(&mut tx, user).await?;
    let row: Option<(Option<String>, Option<String>)> =
        sqlx::query_as("SELECT name, user_type FROM users WHERE user_id = $1")
            .bind(user.get())
            .fetch_optional(&mut *tx)
            .await?;
    let (name, known_type) = row.ok_or(AuthError::NoSuchCustomer)?;
    // The name alone says that it was done: an e-mail may be set before.
    if name.is_some() {
        return Err(AuthError::AlreadyRegistered);
    }
    let user_type = registration.user_type.map(UserType::as_str).or(known_type.as_deref());
    let user_type = user_type.ok_or(AuthError::UserTypeMissing)?;
    let referrer: Option<i64> = match &registration.referee_code {
        None => None,
        Some(code) => {
            let owner: Option<i64> =
                sqlx::query_scalar("SELECT user_id FROM users WHERE referral_code = upper($1)")
                    .bind(code)
                    .fetch_optional(&mut *tx)
                    .await?;
            Some(owner.filter(|owner| *owner != user.get()).ok_or(AuthError::InvalidReferral)?)
        }
    };
    sqlx::query(
        "UPDATE users SET name = $2, email = $3, user_type = $4, referee_code = upper($5), updated_at = $6 WHERE user_id = $1",
    )
    .bind(user.get())
    .bind(registration.name.as_str())
    .bind(registration.email.as_str())
    .bind(user_type)
    .bind(registration.referee_code.as_deref())
    .bind(now)
    .execute(&mut *tx)
    .await
    .map_err(|error| if violates(&error, "users_email_key") { AuthError::EmailTaken } else { error.into() })?;
    sqlx::query("UPDATE wallets SET user_type = $2 WHERE wallet_id = $1")
        .bind(user.get())
        .bind(user_type)
        .execute(&mut *tx)
        .await?;
    if let Some(referrer) = referrer {
        referrals::note(&mut tx, UserId(referrer), user, reward, now).await?;
    }
    let entry =
        Entry::new(Actor::User(user), CUSTOMER_ROLE, "REGISTER", "auth", format!("user/{}", user.get()));
    audit::record(&mut tx, now, entry).await?;
    let profile = users::find(&mut tx, user).await?.ok_or(AuthError::NoSuchCustomer)?;
    tx.commit().await?;
    Ok(profile)
}
