//! Partners by their user at the broker, remembered for a moment: thousands of messages a second ask.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::store::{Partner, PartnerStore};

/// How long an answer is believed. A change is in force elsewhere within this; where it was made, at once.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Answers remembered at most: unknown users could be many.
const MOST: usize = 1_000;

/// Remembers partners; clones share what they remember.
#[derive(Clone, Debug)]
pub struct PartnerBook {
    store: PartnerStore,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

type Known = (Instant, Option<Arc<Partner>>);

impl PartnerBook {
    /// Over the table.
    #[must_use]
    pub fn new(store: PartnerStore) -> Self {
        Self { store, known: Arc::default() }
    }

    /// The partner behind a user of the broker. Those who ask while it is being read wait for one reading.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn find(&self, user: &str) -> Result<Option<Arc<Partner>>, sqlx::Error> {
        let mut known = self.known.lock().await;
        if let Some((read_at, partner)) = known.get(user)
            && read_at.elapsed() < REMEMBERED
        {
            return Ok(partner.clone());
        }
        let partner = self.store.by_broker_user(user).await?.map(Arc::new);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(user.to_owned(), (Instant::now(), partner.clone()));
        Ok(partner)
    }

    /// Forgets everybody: something has changed.
    pub async fn forget(&self) {
        self.known.lock().await.clear();
    }
}
