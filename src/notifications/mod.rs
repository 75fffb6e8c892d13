//! Notices for people: their store, their list, the stream of new ones, announcements, and the ways to the outside.

mod admin;
mod announcements;
pub mod channels;
mod deliveries;
mod mongo;
mod people;
mod reminders;
mod routes;
mod shape;
mod store;
mod stream;

pub use announcements::{ANNOUNCEMENTS, DueAnnouncements};
pub use deliveries::PgDeliveries;
pub use mongo::{MONGO_COLLECTIONS, MongoNotificationStore};
pub use people::PgPeople;
pub use reminders::PgReminders;
pub use routes::{Docs, routes};
pub use shape::NotificationDocument;
pub use store::PgNotificationStore;

use std::sync::Arc;

use gencharge_actors::kernel::{AdminId, Clock, Random, UserId};
use gencharge_actors::notification::{
    Audience, Change, Hub, Language, Notice, NoticeId, NoticePage, NotificationStoreError, Recipient,
};
use sqlx::PgPool;

use self::announcements::NewAnnouncement;
use crate::audit::{self, Entry};
use crate::platform::documents::{DocumentError, DocumentStore};

/// Notices of groups whose `attachments.category` is this are for those who wish for marketing only.
const MARKETING: &str = "marketing";
/// The same for promotional offers.
const PROMOTION: &str = "promotion";

/// Reads notices, changes their readers' own, and announces. Writing what events tell is the notification actor's.
#[derive(Clone)]
pub struct Notifications {
    hub: Hub,
    announced: DueAnnouncements,
    deliveries: PgDeliveries,
    people: PgPeople,
    pool: PgPool,
    timezone: chrono_tz::Tz,
    language: Language,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// What [`Notifications`] works with.
pub struct NotificationServices {
    /// The notices, and those who listen.
    pub hub: Hub,
    /// Customers, and what was not delivered to them.
    pub pool: PgPool,
    /// Announcements.
    pub documents: Arc<dyn DocumentStore>,
    /// Where the business is.
    pub timezone: chrono_tz::Tz,
    /// For customers who did not choose.
    pub language: Language,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For ids.
    pub random: Arc<dyn Random>,
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
    /// The announcements.
    #[error(transparent)]
    Documents(#[from] DocumentError),
}

impl Notifications {
    /// Notices, announcements and deliveries of these.
    #[must_use]
    pub fn new(services: NotificationServices) -> Self {
        let NotificationServices { hub, pool, documents, timezone, language, clock, random } = services;
        Self {
            announced: DueAnnouncements::new(documents, hub.clone(), Arc::clone(&clock)),
            deliveries: PgDeliveries::new(pool.clone()),
            people: PgPeople::new(pool.clone()),
            hub,
            pool,
            timezone,
            language,
            clock,
            random,
        }
    }

    /// Those who listen, and the store.
    #[must_use]
    pub const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The announcements.
    const fn announced(&self) -> &DueAnnouncements {
        &self.announced
    }

    /// A customer, and the groups that the customer belongs to.
    ///
    /// # Errors
    /// The database is away.
    pub async fn audience_of_user(&self, user: UserId) -> Result<Audience, NotificationError> {
        let mut audience =
            Audience { own: Recipient::User(user), groups: vec![Recipient::AllUsers], muted: Vec::new() };
        if let Some(standing) = self.people.standing(user).await? {
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

    /// Keeps an announcement, records it, and publishes it when it is due. It is kept with the record, or not at all,
    /// unless the two stores part at the very end: then it is taken back.
    async fn announce(
        &self,
        new: NewAnnouncement,
        by: AdminId,
        entry: impl FnOnce(&str) -> Entry,
    ) -> Result<Notice, NotificationError> {
        let mut tx = self.pool.begin().await?;
        let notice = self.announced.prepare(new, self.random.as_ref());
        audit::record(&mut tx, self.clock.now(), entry(&notice.id.to_string())).await?;
        self.announced.keep(&notice, by).await?;
        if let Err(error) = tx.commit().await {
            self.announced.cancel(notice.id).await?;
            return Err(error.into());
        }
        if let Err(error) = self.announced.publish(&notice).await {
            tracing::warn!(error.message = %error, "notifications.published_later");
        }
        Ok(notice)
    }

    /// Takes back an announcement that was not published, and records it.
    async fn cancel(&self, id: NoticeId, entry: Entry) -> Result<bool, NotificationError> {
        let mut tx = self.pool.begin().await?;
        audit::record(&mut tx, self.clock.now(), entry).await?;
        let cancelled = self.announced.cancel(id).await?;
        if cancelled {
            tx.commit().await?;
        }
        Ok(cancelled)
    }

    /// The language of a customer's notices.
    async fn language(&self, user: UserId) -> Result<Language, NotificationError> {
        Ok(self.people.language(user).await?.unwrap_or(self.language))
    }

    /// Sets the language of a customer's notices; false when there is no such customer.
    async fn set_language(&self, user: UserId, language: Language) -> Result<bool, NotificationError> {
        Ok(self.people.set_language(user, language).await?)
    }
}
