//! Announcements of administrators: documents that wait for their time. One that is due becomes one notice to its group,
//! which every reader of the group finds in the list; nothing is written for each of them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{AdminId, Clock, Random};
use gencharge_actors::notification::{
    AnnounceError, Announcements, Channels, Hub, Notice, NoticeId, NoticeKind, NoticeStatus, Recipient,
    Sender,
};
use serde_json::{Map, Value, json};

use super::NotificationError;
use crate::platform::documents::{
    Collection, Document, DocumentError, DocumentStore, Filter, Search, moment,
};

/// The documents `{_id, description, recipient_type, attachments, created_by, created_at, scheduled_at, due_at, state}`;
/// `state` is `waiting` or `published`.
pub static ANNOUNCEMENTS: Collection = Collection {
    name: "announcements",
    required: &["description", "recipient_type", "created_at", "due_at", "state"],
    indexes: &[&["state", "due_at"], &["-created_at"]],
    expires: None,
};

/// Announcements published in one go.
const AT_ONCE: u64 = 100;

/// A checked announcement.
#[derive(Clone, Debug)]
pub(super) struct NewAnnouncement {
    pub description: String,
    pub attachments: Map<String, Value>,
    pub recipient: Recipient,
    pub scheduled_at: Option<DateTime<Utc>>,
}

/// Announcements and where they are published; clones share both.
#[derive(Clone)]
pub struct DueAnnouncements {
    documents: Arc<dyn DocumentStore>,
    hub: Hub,
    clock: Arc<dyn Clock>,
}

impl DueAnnouncements {
    /// Announcements in `documents`, published to the store of `hub`.
    #[must_use]
    pub fn new(documents: Arc<dyn DocumentStore>, hub: Hub, clock: Arc<dyn Clock>) -> Self {
        Self { documents, hub, clock }
    }

    /// The notice that a new announcement is or will be.
    pub(super) fn prepare(&self, new: NewAnnouncement, random: &dyn Random) -> Notice {
        let now = self.clock.now();
        let number = i64::try_from(random.below(1 << 55)).unwrap_or(0);
        Notice {
            id: NoticeId::of_announcement(number, now),
            sender: Sender::Admin,
            description: new.description,
            recipient: new.recipient,
            status: NoticeStatus::Delivered,
            kind: NoticeKind::Announcement,
            attachments: Value::Object(new.attachments).to_string(),
            created_at: now,
            scheduled_at: new.scheduled_at,
            channels: Channels::NONE,
        }
    }

    /// Keeps it until it is due.
    pub(super) async fn keep(&self, notice: &Notice, by: AdminId) -> Result<(), NotificationError> {
        let now = notice.created_at;
        let document = json!({
            "_id": notice.id.to_string(),
            "description": notice.description,
            "recipient_type": notice.recipient.kind(),
            "attachments": notice.attachments,
            "created_by": by.get(),
            "created_at": moment(now),
            "scheduled_at": notice.scheduled_at.map(moment),
            "due_at": moment(notice.scheduled_at.unwrap_or(now).max(now)),
            "state": "waiting",
        });
        let Value::Object(document) = document else { return Ok(()) };
        self.documents.insert(&ANNOUNCEMENTS, vec![document]).await?;
        Ok(())
    }

    /// Publishes one that is due at once. When it fails, the announcer does it.
    pub(super) async fn publish(&self, notice: &Notice) -> Result<(), NotificationError> {
        if notice.scheduled_at.is_none_or(|at| at <= self.clock.now()) {
            self.post(std::slice::from_ref(notice)).await?;
        }
        Ok(())
    }

    /// Takes back one that was not published; false when there is none of that id.
    pub(super) async fn cancel(&self, id: NoticeId) -> Result<bool, NotificationError> {
        let waiting = Filter::All(vec![
            Filter::Equal("_id", id.to_string().into()),
            Filter::Equal("state", "waiting".into()),
        ]);
        Ok(self.documents.delete(&ANNOUNCEMENTS, waiting).await? > 0)
    }

    /// Some announcements as notices, newest first, and how many there are.
    pub(super) async fn list(
        &self,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<Document>, u64), NotificationError> {
        let total = self.documents.count(&ANNOUNCEMENTS, Filter::Everything).await?;
        let search = Search { filter: Filter::Everything, sort: &["-created_at"], offset, limit };
        Ok((self.documents.find(&ANNOUNCEMENTS, search).await?, total))
    }

    async fn due(&self) -> Result<Vec<Notice>, DocumentError> {
        let until = Value::String(moment(self.clock.now() + chrono::TimeDelta::microseconds(1)));
        let filter = Filter::All(vec![
            Filter::Equal("state", "waiting".into()),
            Filter::Within("due_at", None, Some(until)),
        ]);
        let search = Search { filter, sort: &["due_at"], offset: 0, limit: AT_ONCE };
        let found = self.documents.find(&ANNOUNCEMENTS, search).await?;
        found
            .iter()
            .map(|document| {
                notice_of(document).ok_or_else(|| DocumentError::Refused("an odd announcement".to_owned()))
            })
            .collect()
    }

    /// First the notices, then the marks: what is repeated in between changes nothing, as the ids are the same.
    async fn post(&self, notices: &[Notice]) -> Result<(), NotificationError> {
        self.hub.store().put(notices, true).await?;
        self.hub.wake();
        let ids = notices.iter().map(|notice| notice.id.to_string().into()).collect();
        let mut published = Document::new();
        published.insert("state".to_owned(), "published".into());
        self.documents.update(&ANNOUNCEMENTS, Filter::OneOf("_id", ids), published).await?;
        Ok(())
    }
}

fn notice_of(document: &Document) -> Option<Notice> {
    let text = |field: &str| document.get(field).and_then(Value::as_str);
    let time = |field: &str| text(field).and_then(|text| text.parse().ok());
    Some(Notice {
        id: NoticeId::parse(text("_id")?)?,
        sender: Sender::Admin,
        description: text("description")?.to_owned(),
        recipient: Recipient::of(text("recipient_type")?, None)?,
        status: NoticeStatus::Delivered,
        kind: NoticeKind::Announcement,
        attachments: text("attachments")?.to_owned(),
        created_at: time("created_at")?,
        scheduled_at: time("scheduled_at"),
        channels: Channels::NONE,
    })
}

impl Announcements for DueAnnouncements {
    async fn publish_due(&self) -> Result<usize, AnnounceError> {
        let failed = |error: &dyn std::fmt::Display| AnnounceError(error.to_string());
        let due = self.due().await.map_err(|error| failed(&error))?;
        if !due.is_empty() {
            self.post(&due).await.map_err(|error| failed(&error))?;
        }
        Ok(due.len())
    }
}
