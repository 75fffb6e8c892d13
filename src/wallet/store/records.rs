//! The rows of a batch in the form in which they travel: the composite types of migration 0100, field by field.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{Paise, WalletId};
use gencharge_actors::wallet::{
    Bought, LineState, NewEvent, NewKey, NewPosting, Rejection, Subscription, Transaction, WalletState,
};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::types::{Json, Uuid};
use sqlx::{Decode, Encode, Postgres, Type};

/// Where a row lies (its ctid): cannot change while the row is locked.
#[derive(Clone, Copy, Debug)]
pub struct Place([u8; 6]);

impl Type<Postgres> for Place {
    fn type_info() -> PgTypeInfo {
        /// `tid` in `pg_type.dat`.
        const TID: Oid = Oid(27);
        PgTypeInfo::with_oid(TID)
    }
}

impl Decode<'_, Postgres> for Place {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(value.as_bytes()?.try_into()?))
    }
}

impl Encode<'_, Postgres> for Place {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
}

/// Names the composite types. (`sqlx::Type` would want to read the records back, too.)
macro_rules! composite {
    ($($record:ty: $name:literal,)*) => {$(
        impl Type<Postgres> for $record {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_name($name)
            }
        }

        impl PgHasArrayType for $record {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::array_of($name)
            }
        }
    )*};
}

composite! {
    WalletRecord: "wallet_record",
    TransactionRecord: "transaction_record",
    PostingRecord: "posting_record",
    SubscriptionRecord: "subscription_record",
    KeyRecord: "key_record",
    EventRecord: "event_record",
}

/// A row of `wallets` as it is to be.
#[derive(sqlx::Encode)]
pub struct WalletRecord {
    wallet_id: i64,
    place: Place,
    balance: i64,
    seq: i64,
    transactions: i64,
    recharges: i64,
    active_subscription_id: Option<i64>,
    active_valid_to: Option<DateTime<Utc>>,
    tail_valid_to: Option<DateTime<Utc>>,
    queued: i32,
    gifts: i64,
}

impl WalletRecord {
    pub fn new(id: WalletId, place: Place, wallet: &WalletState, line: Option<&LineState>) -> Self {
        let active = line.and_then(|line| line.active);
        Self {
            wallet_id: id.get(),
            place,
            balance: wallet.balance.get(),
            seq: wallet.seq,
            transactions: wallet.transactions,
            recharges: wallet.recharges,
            active_subscription_id: active.map(|(id, _)| id.get()),
            active_valid_to: active.map(|(_, valid_to)| valid_to),
            tail_valid_to: line.and_then(|line| line.tail_valid_to),
            queued: line.map_or(0, |line| line.queued),
            gifts: line.map_or(0, |line| line.gifts),
        }
    }
}

#[derive(sqlx::Encode)]
pub struct TransactionRecord {
    txn_id: i64,
    user_id: i64,
    beneficiary_id: Option<i64>,
    wallet_seq: i64,
    category: &'static str,
    txn_type: &'static str,
    amount: i64,
    price: Option<i64>,
    discount: Option<i64>,
    wallet_amount: Option<i64>,
    gateway_amount: Option<i64>,
    service_type: Option<&'static str>,
    plan_id: Option<i64>,
    offer_id: Option<i64>,
    from_phone: Option<i64>,
    to_phone: Option<i64>,
    source: &'static str,
    status: &'static str,
    payment_method: Option<&'static str>,
    payment_transaction_id: Option<String>,
    subscription_id: Option<i64>,
}

impl From<&Transaction> for TransactionRecord {
    fn from(txn: &Transaction) -> Self {
        Self {
            txn_id: txn.txn_id.get(),
            user_id: txn.user_id.get(),
            beneficiary_id: txn.beneficiary_id.map(|id| id.get()),
            wallet_seq: txn.wallet_seq,
            category: txn.category.as_str(),
            txn_type: txn.txn_type.as_str(),
            amount: txn.amount.get(),
            price: txn.price.map(Paise::get),
            discount: txn.discount.map(Paise::get),
            wallet_amount: txn.wallet_amount.map(Paise::get),
            gateway_amount: txn.gateway_amount.map(Paise::get),
            service_type: txn.service_type.map(|word| word.as_str()),
            plan_id: txn.plan_id.map(|id| id.get()),
            offer_id: txn.offer_id.map(|id| id.get()),
            from_phone: txn.from_phone.map(|phone| phone.e164()),
            to_phone: txn.to_phone.map(|phone| phone.e164()),
            source: txn.source.as_str(),
            status: txn.status.as_str(),
            payment_method: txn.payment_method.map(|word| word.as_str()),
            payment_transaction_id: txn.payment_transaction_id.clone(),
            subscription_id: txn.subscription_id.map(|id| id.get()),
        }
    }
}

#[derive(sqlx::Encode)]
pub struct PostingRecord {
    txn_id: i64,
    account_id: i64,
    amount: i64,
}

impl From<&NewPosting> for PostingRecord {
    fn from(posting: &NewPosting) -> Self {
        Self { txn_id: posting.txn_id.get(), account_id: posting.account.get(), amount: posting.amount.get() }
    }
}

#[derive(sqlx::Encode)]
pub struct SubscriptionRecord {
    subscription_id: i64,
    phone: i64,
    user_id: i64,
    plan_id: i64,
    txn_id: i64,
    status: &'static str,
    valid_from: DateTime<Utc>,
    valid_to: DateTime<Utc>,
    total_paid: i64,
}

impl From<&Subscription> for SubscriptionRecord {
    fn from(sub: &Subscription) -> Self {
        Self {
            subscription_id: sub.subscription_id.get(),
            phone: sub.phone.e164(),
            user_id: sub.user_id.get(),
            plan_id: sub.plan_id.get(),
            txn_id: sub.txn_id.get(),
            status: sub.status.as_str(),
            valid_from: sub.valid_from,
            valid_to: sub.valid_to,
            total_paid: sub.total_paid.get(),
        }
    }
}

#[derive(sqlx::Encode)]
pub struct KeyRecord {
    key: Uuid,
    request: Uuid,
    txn_id: Option<i64>,
    subscription_status: Option<&'static str>,
    valid_from: Option<DateTime<Utc>>,
    valid_to: Option<DateTime<Utc>>,
    rejection: Option<Json<Rejection>>,
}

impl From<&NewKey> for KeyRecord {
    fn from(key: &NewKey) -> Self {
        let done = key.outcome.as_ref().ok();
        let bought: Option<Bought> = done.and_then(|(_, bought)| *bought);
        Self {
            key: Uuid::from_u128(key.key.0),
            request: Uuid::from_u128(key.request.0),
            txn_id: done.map(|(txn, _)| txn.get()),
            subscription_status: bought.map(|bought| bought.status.as_str()),
            valid_from: bought.map(|bought| bought.valid_from),
            valid_to: bought.map(|bought| bought.valid_to),
            rejection: key.outcome.as_ref().err().cloned().map(Json),
        }
    }
}

#[derive(sqlx::Encode)]
pub struct EventRecord {
    event_id: i64,
    r#type: &'static str,
    txn_id: Option<i64>,
    data: String,
    addressee: Option<String>,
}

impl From<&NewEvent> for EventRecord {
    fn from(new: &NewEvent) -> Self {
        Self {
            event_id: new.event_id.get(),
            r#type: new.event.type_name(),
            txn_id: new.txn_id.map(|txn| txn.get()),
            data: new.event.data_json(),
            addressee: new.event.addressee().map(str::to_owned),
        }
    }
}
