//! The recharge that a customer can repeat.

use gencharge_actors::kernel::{OfferId, Paise, PaymentMethod, PlanId, Source};
use gencharge_actors::wallet::{Payer, Recharge};
use sqlx::{PgPool, Row as _};

use crate::platform::postgres::columns::{phone, word};

const LAST: &str = "\
SELECT to_phone, plan_id, offer_id, payment_method, wallet_amount FROM transactions
WHERE user_id = $1 AND category = 'service' AND txn_type = 'debit' AND status = 'success' AND source = 'recharge'
ORDER BY created_at DESC, txn_id DESC LIMIT 1";

/// The order of the customer's last successful recharge, to be given again.
///
/// # Errors
/// Those of the database.
pub async fn last_recharge(pool: &PgPool, payer: Payer) -> Result<Option<Recharge>, sqlx::Error> {
    let Some(row) = sqlx::query(LAST).bind(payer.user.get()).fetch_optional(pool).await? else {
        return Ok(None);
    };
    let (Some(number), Some(plan)) = (phone(&row, 0)?, row.try_get::<Option<i64>, _>(1)?) else {
        return Ok(None);
    };
    let method = word(&row, 3)?;
    // A part from the wallet was said; all of it is what the method Wallet says by itself.
    let part = row.try_get::<Option<i64>, _>(4)?.filter(|part| *part > 0).map(Paise::new);
    Ok(Some(Recharge {
        payer,
        number,
        plan: PlanId(plan),
        offer: row.try_get::<Option<i64>, _>(2)?.map(OfferId),
        method,
        wallet_amount: part.filter(|_| method != PaymentMethod::Wallet),
        mode: None,
        source: Source::Recharge,
    }))
}
