//! Locks and loads what a batch touches.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use gencharge_actors::catalogue::Catalogue;
use gencharge_actors::kernel::{Digest128, OfferId, Paise, PhoneNumber, SubscriptionId, UserId, WalletId};
use gencharge_actors::wallet::{Bought, LineState, Rejection, StoredKey, StoredOutcome, Touch, WalletState};
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{PgConnection, Row};

use super::records::Place;
use super::rows;

/// Wallets by id: every writer takes them in this order, so that no two wait for each other. A key committed while this
/// waited for a lock is not seen here; its unique index then refuses the write, and the batch is decided again.
const LOCK: &str = "\
WITH used AS MATERIALIZED (
    SELECT key, request, created_at, txn_id, subscription_status, valid_from, valid_to, rejection FROM idempotency_keys
    WHERE key = ANY($1)
), locked AS MATERIALIZED (
    SELECT wallet_id, balance, seq, transactions, recharges, status, phone, user_type, active_subscription_id,
        active_valid_to, tail_valid_to, queued, gifts, ctid AS place, referrer_id FROM wallets
    WHERE wallet_id = ANY(ARRAY(SELECT unnest($2::bigint[]) UNION SELECT wallet_id FROM wallets WHERE phone = ANY($3)))
    ORDER BY wallet_id FOR UPDATE
)
SELECT 0, epoch, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::text, NULL::bigint, NULL::text,
       NULL::bigint, NULL::timestamptz, NULL::timestamptz, NULL::bigint, NULL::bigint, NULL::text, NULL::uuid,
       NULL::uuid, NULL::timestamptz, NULL::tid, NULL::bigint FROM catalogue_epoch
UNION ALL
SELECT 1, wallet_id, balance, seq, transactions, recharges, status, phone, user_type, active_subscription_id,
       active_valid_to, tail_valid_to, queued, gifts, NULL, NULL, NULL, NULL, place, referrer_id FROM locked
UNION ALL
SELECT 2, txn_id, NULL, NULL, NULL, NULL, subscription_status, NULL, NULL, NULL, created_at, valid_from, NULL, NULL,
       rejection::text, key, request, valid_to, NULL, NULL FROM used";

/// The same rows again, after their numbers were brought up to date under the lock.
const AGAIN: &str = "\
SELECT 1, wallet_id, balance, seq, transactions, recharges, status, phone, user_type, active_subscription_id,
       active_valid_to, tail_valid_to, queued::bigint, gifts, NULL, NULL, NULL, NULL, ctid, referrer_id
FROM wallets WHERE phone = ANY($1)";

/// A used key as its row says; the receipt's own rows are read later.
pub struct UsedKey {
    pub request: Digest128,
    pub txn_id: Option<i64>,
    pub created_at: DateTime<Utc>,
    pub bought: Option<Bought>,
    pub rejection: Option<Rejection>,
}

/// A locked row: the wallet, and the number with it.
pub struct LockedRow {
    /// Where the row lies: the update need not search for it again.
    pub place: Place,
    pub wallet: WalletState,
    /// Who brought its owner, until the owner first pays for a recharge.
    pub referrer: Option<UserId>,
    pub number: Option<(PhoneNumber, LineState)>,
}

/// What the lock statement brought.
#[derive(Default)]
pub struct Locked {
    pub epoch: i64,
    pub rows: BTreeMap<WalletId, LockedRow>,
    pub keys: HashMap<Digest128, UsedKey>,
}

impl Locked {
    /// Numbers whose active plan has run out, or that wait with nothing active.
    pub fn due_numbers(&self, now: DateTime<Utc>) -> Vec<i64> {
        let due = |line: &LineState| match line.active {
            Some((_, valid_to)) => valid_to <= now,
            None => line.queued > 0,
        };
        let numbers = self.rows.values().filter_map(|row| row.number.as_ref());
        numbers.filter(|(_, line)| due(line)).map(|(phone, _)| phone.e164()).collect()
    }

    /// The buyers among the locked whom somebody brought, and who that was. Most batches have none.
    pub fn referrals(&self, touch: &Touch) -> Vec<(UserId, UserId)> {
        let brought = self.rows.iter().filter_map(|(id, row)| Some((UserId(id.get()), row.referrer?)));
        brought.filter(|(user, _)| touch.buyers.contains(user)).collect()
    }

    /// Reads the locked rows of `phones` again, after they were brought up to date.
    pub async fn reload(&mut self, connection: &mut PgConnection, phones: &[i64]) -> Result<(), sqlx::Error> {
        for row in &sqlx::query(AGAIN).bind(phones).fetch_all(connection).await? {
            let (id, locked) = locked_row(row)?;
            self.rows.insert(id, locked);
        }
        Ok(())
    }
}

/// Takes the batch's locks and reads what they guard, in one round trip.
pub async fn lock(connection: &mut PgConnection, touch: &Touch) -> Result<Locked, sqlx::Error> {
    let keys: Vec<Uuid> = touch.keys.iter().map(|key| Uuid::from_u128(key.0)).collect();
    let wallets: Vec<i64> = touch.wallets.iter().map(|wallet| wallet.get()).collect();
    let numbers: Vec<i64> = touch.numbers.iter().map(|phone| phone.e164()).collect();
    let rows = sqlx::query(LOCK).bind(keys).bind(wallets).bind(numbers).fetch_all(connection).await?;
    let mut locked = Locked::default();
    for row in &rows {
        match row.try_get::<i32, _>(0)? {
            0 => locked.epoch = row.try_get(1)?,
            1 => {
                let (id, row) = locked_row(row)?;
                locked.rows.insert(id, row);
            }
            _ => {
                let (key, used) = used_key(row)?;
                locked.keys.insert(key, used);
            }
        }
    }
    Ok(locked)
}

fn locked_row(row: &PgRow) -> Result<(WalletId, LockedRow), sqlx::Error> {
    let id = WalletId(row.try_get(1)?);
    let wallet = WalletState {
        balance: Paise::new(row.try_get(2)?),
        seq: row.try_get(3)?,
        transactions: row.try_get(4)?,
        recharges: row.try_get(5)?,
        status: rows::word(row, 6)?,
    };
    let number = match row.try_get::<Option<i64>, _>(7)? {
        None => None,
        Some(phone) => Some((rows::phone(phone)?, line(row, UserId(id.get()))?)),
    };
    let referrer = row.try_get::<Option<i64>, _>(19)?.map(UserId);
    Ok((id, LockedRow { place: row.try_get(18)?, wallet, referrer, number }))
}

fn line(row: &PgRow, owner: UserId) -> Result<LineState, sqlx::Error> {
    let active: Option<i64> = row.try_get(9)?;
    let active_valid_to: Option<DateTime<Utc>> = row.try_get(10)?;
    Ok(LineState {
        owner,
        user_type: rows::optional_word(row, 8)?,
        active: active.map(SubscriptionId).zip(active_valid_to),
        tail_valid_to: row.try_get(11)?,
        queued: i32::try_from(row.try_get::<i64, _>(12)?).unwrap_or(i32::MAX),
        gifts: row.try_get(13)?,
    })
}

fn bought(row: &PgRow) -> Result<Option<Bought>, sqlx::Error> {
    let Some(status) = rows::optional_word(row, 6)? else { return Ok(None) };
    Ok(Some(Bought { status, valid_from: row.try_get(11)?, valid_to: row.try_get(17)? }))
}

fn used_key(row: &PgRow) -> Result<(Digest128, UsedKey), sqlx::Error> {
    let rejection: Option<&str> = row.try_get(14)?;
    let used = UsedKey {
        txn_id: row.try_get(1)?,
        bought: bought(row)?,
        created_at: row.try_get(10)?,
        request: Digest128(row.try_get::<Uuid, _>(16)?.as_u128()),
        rejection: rejection.map(serde_json::from_str).transpose().map_err(rows::undecodable)?,
    };
    Ok((Digest128(row.try_get::<Uuid, _>(15)?.as_u128()), used))
}

/// How often the batch's payers have used those of its offers that have a limit. Read after the payers' wallets are
/// locked, so that the counts cannot move.
pub async fn offer_uses(
    connection: &mut PgConnection,
    touch: &Touch,
    catalogue: &Catalogue,
) -> Result<HashMap<(OfferId, UserId), u64>, sqlx::Error> {
    let limited =
        |offer: &OfferId| catalogue.offers.get(offer).is_some_and(|offer| offer.max_uses_per_user.is_some());
    let pairs = touch.offers.iter().filter(|(offer, _)| limited(offer));
    let (offers, users): (Vec<i64>, Vec<i64>) = pairs.map(|(offer, user)| (offer.get(), user.get())).unzip();
    if offers.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT u.offer_id, u.user_id, u.uses FROM unnest($1::bigint[], $2::bigint[]) AS wanted (offer_id, user_id)
         JOIN offer_uses u ON u.offer_id = wanted.offer_id AND u.user_id = wanted.user_id",
    )
    .bind(offers)
    .bind(users)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let uses: i64 = row.try_get(2)?;
            Ok(((OfferId(row.try_get(0)?), UserId(row.try_get(1)?)), u64::try_from(uses).unwrap_or(0)))
        })
        .collect()
}

/// Rebuilds what was answered under the used keys.
pub async fn receipts(
    connection: &mut PgConnection,
    used: HashMap<Digest128, UsedKey>,
) -> Result<HashMap<Digest128, StoredKey>, sqlx::Error> {
    if used.is_empty() {
        return Ok(HashMap::new());
    }
    let done = used.values().filter_map(|key| key.txn_id.map(|txn_id| (txn_id, key.created_at)));
    let (txn_ids, created): (Vec<i64>, Vec<DateTime<Utc>>) = done.unzip();
    let mut receipts = rows::receipts(&mut *connection, &txn_ids, &created).await?;
    let pending: Vec<i64> = txn_ids.into_iter().filter(|txn_id| !receipts.contains_key(txn_id)).collect();
    if !pending.is_empty() {
        receipts.extend(rows::pending_receipts(connection, &pending).await?);
    }
    let mut stored = HashMap::with_capacity(used.len());
    for (key, used) in used {
        let outcome = match (used.txn_id, used.rejection) {
            (Some(txn_id), _) => {
                let mut receipt =
                    receipts.remove(&txn_id).ok_or_else(|| rows::undecodable("receipt without rows"))?;
                if let (Some(subscription), Some(bought)) = (&mut receipt.subscription, used.bought) {
                    subscription.status = bought.status;
                    subscription.valid_from = bought.valid_from;
                    subscription.valid_to = bought.valid_to;
                }
                StoredOutcome::Done(Box::new(receipt))
            }
            (None, Some(rejection)) => StoredOutcome::Rejected(rejection),
            (None, None) => return Err(rows::undecodable("key without outcome")),
        };
        stored.insert(key, StoredKey { request: used.request, outcome });
    }
    Ok(stored)
}
