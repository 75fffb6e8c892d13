//! Notices for people: their store and their list.

mod routes;
mod store;

pub use routes::{Docs, NotificationDocument, routes};
pub use store::PgNotificationStore;

use std::sync::Arc;

use gencharge_actors::kernel::{AccountStatus, AdminId, Clock, UserId, UserType};
use gencharge_actors::notification::{
    Audience, NoticePage, NotificationStore, NotificationStoreError, Recipient,
};
use sqlx::PgPool;

/// Reads notices. Writing is the notification actor's.
#[derive(Clone)]
pub struct Notifications {
    store: Arc<dyn NotificationStore>,
    people: PgPool,
    clock: Arc<dyn Clock>,
}

/// Why a list could not be given.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The documents.
    #[error(transparent)]
    Store(#[from] NotificationStoreError),
    /// The people.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

impl Notifications {
    /// Notices from `store`; `people` tells which groups a customer belongs to.
    #[must_use]
    pub fn new(store: Arc<dyn NotificationStore>, people: PgPool, clock: Arc<dyn Clock>) -> Self {
        Self { store, people, clock }
    }

    /// A customer's own notices and those of the customer's groups.
    ///
    /// # Errors
    /// [`ListError`]: a store is away or refuses.
    pub async fn of_user(&self, user: UserId, offset: i64, limit: i64) -> Result<NoticePage, ListError> {
        let (user_type, status) = store::standing(&self.people, user).await?;
        let mut groups = vec![Recipient::AllUsers];
        groups.extend(user_type.map(|user_type| match user_type {
            UserType::Prepaid => Recipient::PrepaidUsers,
            UserType::Postpaid => Recipient::PostpaidUsers,
        }));
        groups.extend((status == Some(AccountStatus::Blocked)).then_some(Recipient::Blocked));
        self.page(Audience { own: Recipient::User(user), groups }, offset, limit).await
    }

    /// An administrator's own notices and those to all administrators.
    ///
    /// # Errors
    /// [`ListError`]: a store is away or refuses.
    pub async fn of_admin(&self, admin: AdminId, offset: i64, limit: i64) -> Result<NoticePage, ListError> {
        self.page(
            Audience { own: Recipient::Admin(admin), groups: vec![Recipient::AllAdmins] },
            offset,
            limit,
        )
        .await
    }

    async fn page(&self, audience: Audience, offset: i64, limit: i64) -> Result<NoticePage, ListError> {
        Ok(self.store.mine(&audience, self.clock.now(), offset, limit).await?)
    }
}
