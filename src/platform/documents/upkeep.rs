//! Ends the life of documents.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use gencharge_actors::kernel::Clock;
use gencharge_actors::upkeep::{Tidied, Upkeep, UpkeepError};

use super::{Collection, DocumentError, DocumentStore};

/// Documents deleted by one step.
const CHUNK: u32 = 5_000;
/// Steps for one collection in one round.
const CHUNKS: u32 = 40;

/// Deletes what the collections declare to be over, where the store does not do it by itself.
pub struct DocumentUpkeep {
    store: Arc<dyn DocumentStore>,
    collections: &'static [&'static Collection],
    clock: Arc<dyn Clock>,
}

impl DocumentUpkeep {
    /// Looks after `collections`.
    #[must_use]
    pub const fn new(
        store: Arc<dyn DocumentStore>,
        collections: &'static [&'static Collection],
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, collections, clock }
    }

    async fn round(&self) -> Result<Tidied, DocumentError> {
        let (now, mut tidied) = (self.clock.now(), Tidied::default());
        for collection in self.collections {
            let mut deleted = u64::from(CHUNK);
            let mut chunks = 0;
            while deleted == u64::from(CHUNK) && chunks < CHUNKS {
                deleted = self.store.expire(collection, now, CHUNK).await?;
                tidied.deleted += deleted;
                chunks += 1;
            }
            tidied.more |= deleted == u64::from(CHUNK);
        }
        Ok(tidied)
    }
}

impl Upkeep for DocumentUpkeep {
    fn tidy(&self) -> BoxFuture<'_, Result<Tidied, UpkeepError>> {
        Box::pin(async move { self.round().await.map_err(|error| UpkeepError(error.to_string())) })
    }
}
