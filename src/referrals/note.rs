//! Rewards as they begin.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{Paise, UserId};
use sqlx::PgConnection;

/// Notes the pending reward of a new customer's referrer, and in the new customer's wallet, which the caller has locked, that
/// there is one. Whoever has paid for a recharge already is not new. A number that was a customer's before brings none: else
/// deleting an account and signing up again would earn another.
///
/// # Errors
/// Those of the database.
pub async fn note(
    db: &mut PgConnection,
    referrer: UserId,
    referred: UserId,
    reward: Paise,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH noted AS ( \
             INSERT INTO referral_rewards (referrer_id, referred_id, amount, status, created_at) \
             SELECT $1, user_id, $3, 'pending', $4 FROM users u \
             WHERE user_id = $2 AND NOT EXISTS (SELECT 1 FROM archived_users a WHERE a.phone = u.phone) \
               AND EXISTS (SELECT 1 FROM wallets w WHERE w.wallet_id = u.user_id AND w.recharges = 0) \
             ON CONFLICT (referred_id) DO NOTHING RETURNING referrer_id, referred_id) \
         UPDATE wallets w SET referrer_id = noted.referrer_id FROM noted WHERE w.wallet_id = noted.referred_id",
    )
    .bind(referrer.get())
    .bind(referred.get())
    .bind(reward.get())
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}
