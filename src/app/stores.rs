//! Which store is behind each port, and the collections of all features.

use std::sync::Arc;

use sqlx::PgPool;

use crate::audit::AUDIT_LOGS;
use crate::platform::bus::rabbit::Rabbit;
use crate::platform::documents::postgres::PgDocumentStore;
use crate::platform::documents::{Collection, DocumentError, DocumentStore};

/// Every collection that a feature keeps documents in.
pub const COLLECTIONS: &[&Collection] = &[&AUDIT_LOGS];

/// The stores behind the ports; clones share them.
#[derive(Clone)]
pub struct Stores {
    /// Documents.
    pub documents: Arc<dyn DocumentStore>,
    /// The message broker, where there is one. It is not connected to here: it may come later.
    pub rabbit: Option<Rabbit>,
}

impl Stores {
    /// Opens them and makes the collections.
    ///
    /// # Errors
    /// [`DocumentError`] when the collections cannot be made.
    pub async fn open(pool: &PgPool, rabbit: Option<Rabbit>) -> Result<Self, DocumentError> {
        let documents = PgDocumentStore::new(pool.clone());
        documents.prepare(COLLECTIONS).await?;
        Ok(Self { documents: Arc::new(documents), rabbit })
    }
}
