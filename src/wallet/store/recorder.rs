//! History: orders decided as of a moment in the past, within somebody else's transaction.

use std::sync::Arc;

use gencharge_actors::kernel::Clock;
use gencharge_actors::wallet::{Done, Limits, Order, Refusal, Touch, decide};
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use super::{Abort, PgWalletStore, write};
use crate::wallet::lifecycle::{self, Telling};

/// Decides and writes orders as the wallets do, without keys and events: nobody is told of it, and nothing repeats it.
///
/// For customers that the same transaction has made: nobody else waits for their wallets or holds them.
pub struct Recorder(PgWalletStore);

impl Recorder {
    /// One whose time is the clock's.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(PgWalletStore { telling: Telling::Quiet, ..PgWalletStore::new(PgConnectOptions::new(), clock) })
    }

    /// Does `orders` in `transaction`.
    ///
    /// # Errors
    /// Those of the database; the transaction is then of no use any more.
    pub async fn record(
        &mut self,
        transaction: &mut PgConnection,
        orders: &[Order],
        limits: &Limits,
    ) -> Result<Vec<Result<Done, Refusal>>, sqlx::Error> {
        let store = &mut self.0;
        store.fill_ids(transaction, orders.len()).await?;
        let touch = Touch::of(orders, std::iter::empty());
        let changed = |abort| match abort {
            Abort::Sql(error) => error,
            Abort::Conflict => sqlx::Error::RowNotFound,
        };
        let (loaded, locked) = store.load(transaction, &touch).await.map_err(changed)?;
        let mut decisions = decide(loaded, orders, limits, &mut store.ids);
        decisions.writes.keys.clear();
        decisions.writes.events.clear();
        if !decisions.writes.balanced() {
            return Err(sqlx::Error::Protocol("postings that do not sum to zero".to_owned()));
        }
        if !decisions.writes.transactions.is_empty()
            && !write::write(transaction, &decisions.writes, &locked).await?
        {
            return Err(sqlx::Error::RowNotFound);
        }
        Ok(decisions.answers)
    }

    /// Ends and starts the plans of these numbers that are due.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn bring_up_to_date(
        &self,
        transaction: &mut PgConnection,
        phones: &[i64],
    ) -> Result<(), sqlx::Error> {
        lifecycle::advance(transaction, phones, self.0.clock.now(), Telling::Quiet).await.map(|_| ())
    }
}
