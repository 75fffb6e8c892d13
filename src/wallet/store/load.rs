//! Locks and loads what a batch touches.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use gencharge_actors::catalogue::Catalogue;
use gencharge_actors::kernel::{Digest128, OfferId, Paise, PhoneNumber, SubscriptionId, UserId, WalletId};
use gencharge_actors::wallet::{LineState, Rejection, StoredKey, StoredOutcome, Touch, WalletState};
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{PgConnection, Row};

use super::rows;

/// Wallets by id, then lines by number: every writer takes them in this order, so that no two wait for each other. (The
/// branches of UNION ALL run one after the other.) A key committed while this waited for a lock is not seen here; its
/// unique index then refuses the write, and the batch is decided again.
const LOCK: &str = "\
WITH used AS MATERIALIZED (
    SELECT key, request, created_at, txn_id, subscription_status, rejection FROM idempotency_keys WHERE key = ANY($1)
), locked_wallets AS MATERIALIZED (
    SELECT wallet_id, balance, seq, transactions, recharges, status, ctid::text AS place FROM wallets
    WHERE wallet_id = ANY(ARRAY(SELECT unnest($2::bigint[]) UNION SELECT user_id FROM lines WHERE phone = ANY($3)))
    ORDER BY wallet_id FOR UPDATE
), locked_lines AS MATERIALIZED (
    SELECT phone, user_id, active_subscription_id, queued, gifts, user_type, active_valid_to, tail_valid_to,
        ctid::text AS place FROM lines
    WHERE phone = ANY($4) ORDER BY phone FOR UPDATE
)
SELECT 0, epoch, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::text, NULL::timestamptz,
       NULL::timestamptz, NULL::uuid, NULL::uuid, NULL::text FROM catalogue_epoch
UNION ALL
SELECT 1, wallet_id, balance, seq, transactions, recharges, status, NULL, NULL, NULL, NULL, place FROM locked_wallets
UNION ALL
SELECT 2, phone, user_id, active_subscription_id, queued, gifts, user_type, active_valid_to, tail_valid_to, NULL, NULL,
       place FROM locked_lines
UNION ALL
SELECT 3, txn_id, NULL, NULL, NULL, NULL, subscription_status, created_at, NULL, key, request, rejection::text FROM used";

const LINES: &str = "\
SELECT 2, phone, user_id, active_subscription_id, queued::bigint, gifts, user_type, active_valid_to, tail_valid_to,
       NULL::uuid, NULL::uuid, ctid::text
FROM lines WHERE phone = ANY($1)";

/// A used key as its row says; the receipt's own rows are read later.
pub struct UsedKey {
    pub request: Digest128,
    pub txn_id: Option<i64>,
    pub created_at: DateTime<Utc>,
    pub subscription_status: Option<String>,
    pub rejection: Option<Rejection>,
}

/// Where the locked rows lie (their ctid, which cannot change while they are locked): the update that follows need not
/// search for them again.
#[derive(Default)]
pub struct Places {
    pub wallets: HashMap<WalletId, String>,
    pub lines: HashMap<PhoneNumber, String>,
}

/// What the lock statement brought.
#[derive(Default)]
pub struct Locked {
    pub epoch: i64,
    pub wallets: HashMap<WalletId, WalletState>,
    pub lines: HashMap<PhoneNumber, LineState>,
    pub keys: HashMap<Digest128, UsedKey>,
    pub places: Places,
}

impl Locked {
    /// Numbers whose active plan has run out, or that wait with nothing active.
    pub fn due_lines(&self, now: DateTime<Utc>) -> Vec<i64> {
        let due = |line: &LineState| match line.active {
            Some((_, valid_to)) => valid_to <= now,
            None => line.queued > 0,
        };
        self.lines.iter().filter(|(_, line)| due(line)).map(|(phone, _)| phone.e164()).collect()
    }

    /// True when the wallets of all owners that the batch needs are locked. False only when a number changed hands
    /// between the look at its owner and the lock.
    pub fn owners_loaded(&self, touch: &Touch) -> bool {
        touch.owners.iter().all(|phone| {
            self.lines.get(phone).is_none_or(|line| self.wallets.contains_key(&WalletId::from(line.owner)))
        })
    }
}

/// Takes the batch's locks and reads what they guard, in one round trip.
pub async fn lock(connection: &mut PgConnection, touch: &Touch) -> Result<Locked, sqlx::Error> {
    let keys: Vec<Uuid> = touch.keys.iter().map(|key| Uuid::from_u128(key.0)).collect();
    let wallets: Vec<i64> = touch.wallets.iter().map(|wallet| wallet.get()).collect();
    let owners: Vec<i64> = touch.owners.iter().map(|phone| phone.e164()).collect();
    let lines: Vec<i64> = touch.lines.iter().map(|phone| phone.e164()).collect();
    let rows =
        sqlx::query(LOCK).bind(keys).bind(wallets).bind(owners).bind(lines).fetch_all(connection).await?;
    let mut locked = Locked::default();
    for row in &rows {
        match row.try_get::<i32, _>(0)? {
            0 => locked.epoch = row.try_get(1)?,
            1 => {
                let (id, wallet) = wallet(row)?;
                locked.wallets.insert(id, wallet);
                locked.places.wallets.insert(id, row.try_get(11)?);
            }
            2 => {
                let (phone, line) = line(row)?;
                locked.lines.insert(phone, line);
                locked.places.lines.insert(phone, row.try_get(11)?);
            }
            _ => {
                let (key, used) = used_key(row)?;
                locked.keys.insert(key, used);
            }
        }
    }
    Ok(locked)
}

impl Locked {
    /// Reads the already locked lines again, after they were brought up to date.
    pub async fn reload_lines(
        &mut self,
        connection: &mut PgConnection,
        phones: &[PhoneNumber],
    ) -> Result<(), sqlx::Error> {
        let phones: Vec<i64> = phones.iter().map(|phone| phone.e164()).collect();
        for row in &sqlx::query(LINES).bind(phones).fetch_all(connection).await? {
            let (phone, line) = line(row)?;
            self.lines.insert(phone, line);
            self.places.lines.insert(phone, row.try_get(11)?);
        }
        Ok(())
    }
}

fn wallet(row: &PgRow) -> Result<(WalletId, WalletState), sqlx::Error> {
    let wallet = WalletState {
        balance: Paise::new(row.try_get(2)?),
        seq: row.try_get(3)?,
        transactions: row.try_get(4)?,
        recharges: row.try_get(5)?,
        status: rows::word(row, 6)?,
    };
    Ok((WalletId(row.try_get(1)?), wallet))
}

fn line(row: &PgRow) -> Result<(PhoneNumber, LineState), sqlx::Error> {
    let active: Option<i64> = row.try_get(3)?;
    let active_valid_to: Option<DateTime<Utc>> = row.try_get(7)?;
    let line = LineState {
        owner: UserId(row.try_get(2)?),
        active: active.map(SubscriptionId).zip(active_valid_to),
        queued: i32::try_from(row.try_get::<i64, _>(4)?).unwrap_or(i32::MAX),
        gifts: row.try_get(5)?,
        user_type: rows::optional_word(row, 6)?,
        tail_valid_to: row.try_get(8)?,
    };
    Ok((rows::phone(row.try_get(1)?)?, line))
}

fn used_key(row: &PgRow) -> Result<(Digest128, UsedKey), sqlx::Error> {
    let rejection: Option<&str> = row.try_get(11)?;
    let used = UsedKey {
        txn_id: row.try_get(1)?,
        subscription_status: row.try_get(6)?,
        created_at: row.try_get(7)?,
        request: Digest128(row.try_get::<Uuid, _>(10)?.as_u128()),
        rejection: rejection.map(serde_json::from_str).transpose().map_err(rows::undecodable)?,
    };
    Ok((Digest128(row.try_get::<Uuid, _>(9)?.as_u128()), used))
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
    let mut receipts = rows::receipts(connection, &txn_ids, &created).await?;
    let mut stored = HashMap::with_capacity(used.len());
    for (key, used) in used {
        let outcome = match (used.txn_id, used.rejection) {
            (Some(txn_id), _) => {
                let mut receipt =
                    receipts.remove(&txn_id).ok_or_else(|| rows::undecodable("receipt without rows"))?;
                if let (Some(subscription), Some(status)) =
                    (&mut receipt.subscription, used.subscription_status)
                {
                    subscription.status = status.parse().map_err(rows::undecodable)?;
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
