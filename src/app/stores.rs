//! Which store is behind each port, and the collections of all features.

use std::sync::Arc;

use gencharge_actors::notification::NotificationStore;
use sqlx::PgPool;

use super::Parts;
use crate::audit::AUDIT_LOGS;
use crate::auth::codes::{CodeStore, PgCodes, RedisCodes};
use crate::backups::BACKUP_LOGS;
use crate::config::Config;
use crate::contact::CONTACT_FORMS;
use crate::content::CONTENT;
use crate::notifications::{ANNOUNCEMENTS, MONGO_COLLECTIONS, MongoNotificationStore, PgNotificationStore};
use crate::platform::Server;
use crate::platform::bus::rabbit::Rabbit;
use crate::platform::documents::mongo::MongoDocumentStore;
use crate::platform::documents::postgres::PgDocumentStore;
use crate::platform::documents::{Collection, DocumentError, DocumentStore};
use crate::platform::redis::{Failure, Redis};

/// Every collection that a feature keeps documents in.
pub const COLLECTIONS: &[&Collection] =
    &[&AUDIT_LOGS, &BACKUP_LOGS, &CONTACT_FORMS, &CONTENT, &ANNOUNCEMENTS];

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableStore {
    /// Documents.
    #[error(transparent)]
    Documents(#[from] DocumentError),
    /// Redis.
    #[error(transparent)]
    Redis(#[from] Failure),
}

/// The stores behind the ports; clones share them.
#[derive(Clone)]
pub struct Stores {
    /// Documents: in MongoDB when there is one, else in PostgreSQL.
    pub documents: Arc<dyn DocumentStore>,
    /// The message broker, where there is one. It is not connected to here: it may come later.
    pub rabbit: Option<Rabbit>,
    /// Notices in MongoDB, when there is one.
    notices: Option<Arc<MongoNotificationStore>>,
    /// One-time codes: in Redis when there is one, else in PostgreSQL.
    pub codes: Arc<dyn CodeStore>,
    /// Redis, when there is one.
    pub redis: Option<Redis>,
    /// The servers beside PostgreSQL.
    pub servers: Vec<Arc<dyn Server>>,
}

impl Stores {
    /// Opens them and makes the collections. A server that is away does not fail the start: what needs it answers 503
    /// until it is back.
    ///
    /// # Errors
    /// [`UnusableStore`] when an address cannot be used, or the collections cannot be made in PostgreSQL.
    pub async fn open(parts: &Parts, rabbit: Option<Rabbit>) -> Result<Self, UnusableStore> {
        let Parts { config: Config { services: config, .. }, pool, clock, .. } = parts;
        let mut servers: Vec<Arc<dyn Server>> = Vec::new();
        let mut notices = None;
        let documents: Arc<dyn DocumentStore> = match &config.mongodb_url {
            Some(url) => {
                let collections = COLLECTIONS.iter().chain(MONGO_COLLECTIONS).copied().collect();
                let mongo = Arc::new(MongoDocumentStore::new(url.expose(), collections).await?);
                match mongo.prepare().await {
                    Err(error @ DocumentError::Unavailable(_)) => {
                        tracing::warn!(%error, "documents.unavailable_at_start");
                    }
                    prepared => prepared?,
                }
                servers.push(Arc::<MongoDocumentStore>::clone(&mongo));
                notices = Some(Arc::new(MongoNotificationStore::new(Arc::clone(&mongo), Arc::clone(clock))));
                mongo
            }
            None => {
                let postgres = PgDocumentStore::new(pool.clone());
                postgres.prepare(COLLECTIONS).await?;
                Arc::new(postgres)
            }
        };
        let redis = match &config.redis_url {
            Some(url) => Some(Redis::new(url.expose(), &config.redis_prefix)?),
            None => None,
        };
        let codes: Arc<dyn CodeStore> = match &redis {
            Some(redis) => {
                servers.push(Arc::new(redis.clone()));
                Arc::new(RedisCodes::new(redis.clone()))
            }
            None => Arc::new(PgCodes::new(pool.clone())),
        };
        Ok(Self { documents, notices, codes, redis, rabbit, servers })
    }

    /// Notices: in MongoDB when there is one, else in PostgreSQL through `pool`.
    #[must_use]
    pub fn notices(&self, pool: &PgPool) -> Arc<dyn NotificationStore> {
        match &self.notices {
            Some(notices) => Arc::<MongoNotificationStore>::clone(notices),
            None => Arc::new(PgNotificationStore::new(pool.clone())),
        }
    }
}
