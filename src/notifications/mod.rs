//! Notices for people: their store, their list, and the stream of new ones.

mod routes;
mod shape;
mod store;
mod stream;

pub use routes::{Docs, routes};
pub use shape::NotificationDocument;
pub use store::PgNotificationStore;

use std::sync::Arc;

use gencharge_actors::kernel::{AdminId, Clock, UserId};
use gencharge_actors::notification::{
    Audience, Change, Hub, NoticeId, NoticePage, NotificationStoreError, Recipient,
};
use sqlx::PgPool;

/// Notices of groups whose `attachments.category` is this are for those who wish for marketing only.
const MARKETING: &str = "marketing";
/// The same for promotional offers.
const PROMOTION: &str = "promotion";

/// Reads notices and changes their readers' own. Writing new ones is the notification actor's.
#[derive(Clone)]
pub struct Notifications {
    hub: Hub,
    people: PgPool,
    clock: Arc<dyn Clock>,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    /// The documents.
    #[error(transparent)]
    Store(#[from] NotificationStoreError),
    /// The people.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

impl Notifications {
    /// Notices from the store of `hub`; `people` tells which groups a customer belongs to.
    #[must_use]
    pub const fn new(hub: Hub, people: PgPool, clock: Arc<dyn Clock>) -> Self {
        Self { hub, people, clock }
    }

    /// A customer, and the groups that the customer belongs to.
    ///
    /// # Errors
    /// The database is away.
    pub async fn audience_of_user(&self, user: UserId) -> Result<Audience, NotificationError> {
        let mut audience =
            Audience { own: Recipient::User(user), groups: vec![Recipient::AllUsers], muted: Vec::new() };
        if let Some(standing) = store::standing(&self.people, user).await? {
            audience.groups.extend(match standing.user_type.as_deref() {
                Some("prepaid") => Some(Recipient::PrepaidUsers),
                Some("postpaid") => Some(Recipient::PostpaidUsers),
                _ => None,
            });
            audience.groups.extend((standing.status == "blocked").then_some(Recipient::Blocked));
            audience.muted.extend((!standing.marketing).then_some(MARKETING));
            audience.muted.extend((!standing.promotions).then_some(PROMOTION));
        }
        Ok(audience)
    }

    /// An administrator, and the groups that the administrator belongs to.
    #[must_use]
    pub fn audience_of_admin(admin: AdminId) -> Audience {
        Audience { own: Recipient::Admin(admin), groups: vec![Recipient::AllAdmins], muted: Vec::new() }
    }

    /// Some of the notices that a reader sees, newest first.
    ///
    /// # Errors
    /// [`NotificationError`]: a store is away or refuses.
    pub async fn page(
        &self,
        audience: &Audience,
        offset: i64,
        limit: i64,
    ) -> Result<NoticePage, NotificationError> {
        Ok(self.hub.store().mine(audience, self.clock.now(), offset, limit).await?)
    }

    /// Ends every stream of this process, which is stopping.
    pub fn end_streams(&self) {
        self.hub.close();
    }

    /// Changes a reader's own notice; false when there is none of that id (those to groups are nobody's own).
    ///
    /// # Errors
    /// [`NotificationError`]: the store is away or refuses.
    pub async fn change(
        &self,
        own: Recipient,
        id: NoticeId,
        change: Change,
    ) -> Result<bool, NotificationError> {
        Ok(self.hub.store().change(own, id, change).await?)
    }
}
