//! The port to the database.

use std::future::Future;

use super::state::{Ids, Loaded, Touch};
use super::writes::Writes;

/// Why a batch's transaction did not (or may not have) come to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Rolled back: another writer came between. Worth deciding again at once.
    #[error("conflict with another writer")]
    Conflict,
    /// The store cannot be reached, and nothing was committed.
    #[error("the store is away")]
    Away,
    /// The connection broke while committing: the batch may or may not stand.
    #[error("the commit's outcome is unknown")]
    Unknown,
    /// The store refused the writes for a reason that trying again will not mend; nothing was committed.
    #[error("the store refused the batch")]
    Refused,
}

impl StoreError {
    /// True when nothing of the batch can have been committed.
    #[must_use]
    pub const fn certainly_aborted(self) -> bool {
        match self {
            Self::Conflict | Self::Away | Self::Refused => true,
            Self::Unknown => false,
        }
    }
}

/// Runs batches. One call is one database transaction.
///
/// The order of locks is the same everywhere: the catalogue's shared lock, then wallets (with their numbers) by id.
pub trait WalletStore: Unpin + 'static {
    /// Locks and loads what `touch` names, has it decided, writes and commits durably.
    ///
    /// # Errors
    /// [`StoreError`], which tells whether the batch certainly did not happen.
    fn transact<'a>(
        &'a mut self,
        touch: &'a Touch,
        orders: usize,
        decide: &'a mut (dyn FnMut(Loaded, &mut Ids) -> Writes + 'a),
    ) -> impl Future<Output = Result<(), StoreError>> + 'a;
}
