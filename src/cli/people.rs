//! People in the database without a signup: the demo's, and the first administrator.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{Paise, PhoneNumber};
use sqlx::{PgConnection, PgPool};

use super::Failure;
use crate::access::SuperAdmin;
use crate::config::Config;
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

/// What every start needs: the roles, and the first administrator when the settings name one and there is none.
///
/// # Errors
/// Those of the database; or the number of `GENCHARGE_SUPERADMIN_PHONE` cannot be an administrator's.
pub async fn prepare_access(pool: &PgPool, config: &Config, now: DateTime<Utc>) -> Result<(), Failure> {
    let mut tx = pool.begin().await?;
    access::seed_roles(&mut tx).await?;
    if let Some(text) = &config.auth.superadmin_phone {
        let phone =
            PhoneNumber::parse(text).map_err(|error| format!("GENCHARGE_SUPERADMIN_PHONE: {error}"))?;
        match access::ensure_super_admin(&mut tx, phone, now).await? {
            SuperAdmin::Made => tracing::info!("the first administrator was made"),
            SuperAdmin::Exists => {}
            SuperAdmin::NumberTaken => {
                return Err(
                    "GENCHARGE_SUPERADMIN_PHONE: the number is a customer's or another administrator's; \
                            choose another"
                        .into(),
                );
            }
        }
    }
    tx.commit().await?;
    Ok(())
}
