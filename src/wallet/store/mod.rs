//! One wallet batch as one PostgreSQL transaction: begin under the catalogue's shared lock, lock and load, decide, write,
//! commit. Four round trips when nothing is unusual; two more when a buyer was brought by somebody who is still to be rewarded.

mod failure;
mod load;
mod rare;
mod recorder;
mod records;
pub(super) mod rows;
mod write;

pub use recorder::Recorder;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use gencharge_actors::catalogue::Catalogue;
use gencharge_actors::kernel::{Clock, UserId, WalletId};
use gencharge_actors::wallet::{IdBlock, Ids, Loaded, StoreError, Touch, WalletStore, Writes};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use self::failure::{Phase, class};
use self::load::{Locked, LockedRow};
use super::lifecycle::{self, Telling};

/// Ids that one value of an id sequence stands for (its INCREMENT BY in the migrations).
const ID_BLOCK: i64 = 10_000;

/// Takes the catalogue's lock (4201, see the migrations) before the next statement takes its snapshot: a catalogue change
/// either is seen by the whole batch or waits for its commit.
const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock_shared(4201)";

/// Begins again, without the locks taken so far.
const BEGIN_AGAIN: &str = "ROLLBACK; BEGIN; SELECT pg_advisory_xact_lock_shared(4201)";

/// How often a batch looks for further wallets that it needs.
const LOOKS: usize = 3;

/// A shard's store: one connection of its own.
pub struct PgWalletStore {
    options: PgConnectOptions,
    clock: Arc<dyn Clock>,
    connection: Option<PgConnection>,
    ids: Ids,
    catalogue: Arc<Catalogue>,
    telling: Telling,
}

impl PgWalletStore {
    /// A store that connects when it is first used. Its sessions prefer generic index plans: the hot statements are few,
    /// their arrays short, and planning each time would cost more than it saves.
    #[must_use]
    pub fn new(options: PgConnectOptions, clock: Arc<dyn Clock>) -> Self {
        let options = options.application_name("gencharge-wallet").statement_cache_capacity(32).options([
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("jit", "off"),
            ("timezone", "UTC"),
            ("lock_timeout", "3s"),
            ("statement_timeout", "4s"),
            ("idle_in_transaction_session_timeout", "10s"),
        ]);
        Self {
            options,
            clock,
            connection: None,
            ids: Ids::default(),
            catalogue: Arc::default(),
            telling: Telling::Aloud,
        }
    }

    /// The connection, out of the store: only a transaction that ended cleanly puts it back, so that one that failed or
    /// was given up half-way is closed and never used again.
    async fn take_connection(&mut self) -> Result<PgConnection, sqlx::Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => {
                // Another server may answer now (a standby that took over): nothing remembered of the old one holds.
                (self.catalogue, self.ids) = (Arc::default(), Ids::default());
                self.options.connect().await
            }
        }
    }

    async fn fill_ids(&mut self, connection: &mut PgConnection, orders: usize) -> Result<(), sqlx::Error> {
        if self.ids.enough_for(orders) {
            return Ok(());
        }
        let row = sqlx::query(
            "SELECT nextval('txn_id_seq'), nextval('subscription_id_seq'), nextval('event_id_seq')",
        )
        .fetch_one(connection)
        .await?;
        let block = |index: usize| row.try_get(index).map(|first: i64| IdBlock::new(first, ID_BLOCK));
        self.ids = Ids { transactions: block(0)?, subscriptions: block(1)?, events: block(2)? };
        Ok(())
    }

    async fn load(
        &mut self,
        connection: &mut PgConnection,
        touch: &Touch,
    ) -> Result<(Loaded, BTreeMap<WalletId, LockedRow>), Abort> {
        let (mut locked, referrals) = lock_with_referrers(connection, touch, self.telling).await?;
        let now = self.clock.now();
        let due = locked.due_numbers(now);
        if !due.is_empty() {
            lifecycle::advance(connection, &due, now, self.telling).await?;
            locked.reload(connection, &due).await?;
        }
        if locked.epoch != self.catalogue.epoch {
            self.catalogue = Arc::new(crate::catalogue::load(connection).await?);
        }
        let catalogue = Arc::clone(&self.catalogue);
        let offer_uses = load::offer_uses(connection, touch, &catalogue).await?;
        let keys = load::receipts(connection, locked.keys).await?;
        let rare = rare::load(connection, touch, &referrals).await?;
        let wallets = locked.rows.iter().map(|(id, row)| (*id, row.wallet.clone())).collect();
        let lines = locked.rows.values().filter_map(|row| row.number.clone()).collect();
        let rare::Rare { payments, refunds, referrals, rewards_earned } = rare;
        let loaded = Loaded {
            now,
            wallets,
            lines,
            keys,
            offer_uses,
            payments,
            refunds,
            referrals,
            rewards_earned,
            catalogue,
        };
        Ok((loaded, locked.rows))
    }

    async fn run(
        &mut self,
        connection: &mut PgConnection,
        touch: &Touch,
        orders: usize,
        decide: &mut (dyn FnMut(Loaded, &mut Ids) -> Writes + '_),
        phase: &mut Phase,
    ) -> Result<(), Abort> {
        self.fill_ids(connection, orders).await?;
        sqlx::raw_sql(BEGIN).execute(&mut *connection).await?;
        let (loaded, locked) = self.load(connection, touch).await?;
        let writes = decide(loaded, &mut self.ids);
        if writes.is_empty() {
            sqlx::raw_sql("ROLLBACK").execute(connection).await?;
            return Ok(());
        }
        if !write::write(connection, &writes, &locked).await? {
            return Err(Abort::Conflict);
        }
        *phase = Phase::Committing;
        sqlx::raw_sql("COMMIT").execute(connection).await?;
        Ok(())
    }
}

/// Takes the batch's locks. Whoever brought one of its buyers may have to be paid, which only the locked rows tell: then all
/// is locked anew with those wallets too, because wallets are locked in one statement, in their order.
async fn lock_with_referrers(
    connection: &mut PgConnection,
    touch: &Touch,
    telling: Telling,
) -> Result<(Locked, Vec<(UserId, UserId)>), Abort> {
    let mut touch = Cow::Borrowed(touch);
    for _ in 0..LOOKS {
        let locked = load::lock(connection, &touch).await?;
        let referrals = locked.referrals(&touch);
        let missing =
            |wallet: &WalletId| !locked.rows.contains_key(wallet) && !touch.wallets.contains(wallet);
        let missing: Vec<WalletId> =
            referrals.iter().map(|(_, referrer)| WalletId::from(*referrer)).filter(missing).collect();
        if missing.is_empty() {
            return Ok((locked, referrals));
        }
        touch = Cow::Owned(touch.and_wallets(missing));
        // History is of wallets that nobody else sees yet.
        if telling == Telling::Aloud {
            sqlx::raw_sql(BEGIN_AGAIN).execute(&mut *connection).await?;
        }
    }
    Err(Abort::Conflict)
}

/// Why a batch did not go through.
enum Abort {
    Sql(sqlx::Error),
    /// What was locked is no longer what was looked for.
    Conflict,
}

impl From<sqlx::Error> for Abort {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl WalletStore for PgWalletStore {
    async fn transact<'a>(
        &'a mut self,
        touch: &'a Touch,
        orders: usize,
        decide: &'a mut (dyn FnMut(Loaded, &mut Ids) -> Writes + 'a),
    ) -> Result<(), StoreError> {
        let mut connection = self.take_connection().await.map_err(|error| {
            tracing::warn!(error = %error, "wallet.store.connect");
            StoreError::Away
        })?;
        let mut phase = Phase::Working;
        match self.run(&mut connection, touch, orders, decide, &mut phase).await {
            Ok(()) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(abort) => {
                // A clean goodbye ends the transaction at once instead of when the server notices; one that does not
                // come through is the server's to clean up.
                let goodbye = tokio::time::timeout(std::time::Duration::from_millis(100), connection.close());
                let _ = goodbye.await;
                Err(match abort {
                    Abort::Conflict => StoreError::Conflict,
                    Abort::Sql(error) => class(&error, phase),
                })
            }
        }
    }
}
