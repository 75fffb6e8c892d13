//! The people part of the demo data.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::Paise;
use sqlx::PgConnection;

use crate::{access, users};

/// Permissions, roles, administrators and customers that are missing; nothing that is there changes.
///
/// # Errors
/// Those of the database.
pub async fn seed_people(
    db: &mut PgConnection,
    referral_reward: Paise,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    access::seed_roles(db).await?;
    access::seed_admins(db, now).await?;
    users::seed_customers(db, referral_reward, now).await
}
