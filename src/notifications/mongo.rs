//! Notice documents in MongoDB.
//!
//! Every notice has a place (`seq`), and nobody may be shown a place before those in front of it are there. So a writer
//! first opens a turn: it takes its places and notes in one step that they are not filled yet. Readers of the order stop
//! before the first place of an open turn. The turn is closed when its notices are written, or forgotten after a minute
//! when its writer is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use gencharge_actors::kernel::Clock;
use gencharge_actors::notification::{
    Audience, Change, Channels, Notice, NoticeId, NoticePage, NotificationStore, NotificationStoreError,
    Posted, Recipient,
};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document as Row, doc};
use mongodb::error::Error;
use serde_json::Value;

use crate::platform::documents::mongo::{
    DUPLICATE_KEY, MongoDocumentStore, code_of, from_row, known_already, to_bson, within,
};
use crate::platform::documents::{Collection, Document, DocumentError, moment};

/// The notices.
static NOTIFICATIONS: Collection = Collection {
    name: "notifications",
    required: &["recipient_type", "created_at", "seq"],
    indexes: &[&["seq"], &["recipient_id", "recipient_type", "-seq"]],
    expires: None,
};

/// One document: the last place that was taken, and the open turns.
static TURNS: Collection =
    Collection { name: "notification_turns", required: &["last", "open"], indexes: &[], expires: None };

/// What the store works on, to be prepared by its server.
pub const MONGO_COLLECTIONS: &[&Collection] = &[&NOTIFICATIONS, &TURNS];

/// How long a turn may stay open; far longer than any write may take.
const TURN: TimeDelta = TimeDelta::seconds(60);
/// Tries for a turn that another process takes first.
const TRIES: u32 = 20;

/// The collection behind the port.
pub struct MongoNotificationStore {
    server: Arc<MongoDocumentStore>,
    clock: Arc<dyn Clock>,
    /// The last place as this process knows it: right unless another process wrote since.
    last: AtomicI64,
}

impl MongoNotificationStore {
    /// Works on `server`, which prepares [`MONGO_COLLECTIONS`].
    #[must_use]
    pub const fn new(server: Arc<MongoDocumentStore>, clock: Arc<dyn Clock>) -> Self {
        Self { server, clock, last: AtomicI64::new(0) }
    }

    /// Opens a turn of `wanted` places. Answers the first of them, which names the turn.
    async fn open_turn(&self, wanted: i64) -> Result<i64, DocumentError> {
        let turns = self.server.collection(&TURNS).await?;
        let at = moment(self.clock.now());
        for _ in 0..TRIES {
            let last = self.last.load(Ordering::Acquire);
            let (first, next) = (last.saturating_add(1), last.saturating_add(wanted));
            let open = doc! { "first": first, "at": &at };
            let take = doc! { "$set": { "last": next }, "$push": { "open": open } };
            let taken =
                within(turns.update_one(doc! { "_id": turns_id(), "last": last }, take).into_future());
            if taken.await?.matched_count == 1 {
                self.last.store(next, Ordering::Release);
                return Ok(first);
            }
            self.learn(&turns).await?;
        }
        Err(DocumentError::Unavailable("MongoDB: too many writers of notices at once".to_owned()))
    }

    /// Reads the last place, or makes the document that has it. Forgets turns whose writers are gone.
    async fn learn(&self, turns: &mongodb::Collection<Row>) -> Result<(), DocumentError> {
        let known = within(turns.find_one(doc! { "_id": turns_id() }).into_future()).await?;
        let last = match known {
            Some(known) => {
                let stale = doc! { "at": { "$lt": moment(self.clock.now() - TURN) } };
                let forget = doc! { "$pull": { "open": stale } };
                within(turns.update_one(doc! { "_id": turns_id() }, forget).into_future()).await?;
                whole(known.get("last"))
            }
            None => {
                let fresh = doc! { "_id": turns_id(), "last": 0_i64, "open": [] };
                within(async {
                    match turns.insert_one(fresh).await {
                        Err(error) if code_of(&error) != Some(DUPLICATE_KEY) => Err(error),
                        _ => Ok(()),
                    }
                })
                .await?;
                0
            }
        };
        self.last.store(last, Ordering::Release);
        Ok(())
    }

    async fn write(&self, notices: &[Notice]) -> Result<u64, DocumentError> {
        let target = self.server.collection(&NOTIFICATIONS).await?;
        let wanted = i64::try_from(notices.len()).unwrap_or(i64::MAX);
        let first = self.open_turn(wanted).await?;
        let rows =
            (first..).zip(notices).map(|(seq, notice)| row(notice, seq)).collect::<Result<Vec<_>, _>>()?;
        let known = within(async {
            match target.insert_many(&rows).ordered(false).await {
                Ok(_) => Ok(0),
                Err(error) => known_already(&error).ok_or(error),
            }
        });
        // When the outcome is unknown the turn stays open: what is late must not appear behind a reader's back.
        let known = known.await?;
        let turns = self.server.collection(&TURNS).await?;
        let closed = doc! { "$pull": { "open": { "first": first } } };
        within(turns.update_one(doc! { "_id": turns_id() }, closed).into_future()).await?;
        Ok(u64::try_from(notices.len().saturating_sub(known)).unwrap_or(0))
    }

    /// The last place in front of every open turn.
    async fn settled(&self) -> Result<i64, DocumentError> {
        let turns = self.server.collection(&TURNS).await?;
        let Some(known) = within(turns.find_one(doc! { "_id": turns_id() }).into_future()).await? else {
            return Ok(0);
        };
        let stale = moment(self.clock.now() - TURN);
        let open = known.get_array("open").map(Vec::as_slice).unwrap_or_default();
        let firsts = open
            .iter()
            .filter_map(Bson::as_document)
            .filter(|turn| turn.get_str("at").is_ok_and(|at| at >= stale.as_str()))
            .map(|turn| whole(turn.get("first")).saturating_sub(1));
        Ok(firsts.min().unwrap_or(i64::MAX).min(whole(known.get("last"))))
    }
}

fn turns_id() -> ObjectId {
    ObjectId::from_bytes([0; 12])
}

fn whole(value: Option<&Bson>) -> i64 {
    match value {
        Some(Bson::Int64(number)) => *number,
        Some(Bson::Int32(number)) => i64::from(*number),
        _ => 0,
    }
}

fn row(notice: &Notice, seq: i64) -> Result<Row, DocumentError> {
    let json = |value: Result<Value, serde_json::Error>| match value {
        Ok(value) => to_bson(value),
        Err(error) => Err(DocumentError::Refused(error.to_string())),
    };
    Ok(doc! {
        "_id": ObjectId::parse_str(notice.id.to_string()).map_err(Error::from)?,
        "seq": seq,
        "channels": i32::from(notice.channels.bits()),
        "recipient_type": notice.recipient.kind(),
        "recipient_id": notice.recipient.id(),
        "created_at": moment(notice.created_at),
        "scheduled_at": notice.scheduled_at.map(moment),
        "sender_type": json(serde_json::to_value(notice.sender))?,
        "description": notice.description.as_str(),
        "status": json(serde_json::to_value(notice.status))?,
        "type": json(serde_json::to_value(notice.kind))?,
        "attachments": json(serde_json::from_str(&notice.attachments))?,
    })
}

/// A document as clients see it.
fn shown(mut document: Document) -> Value {
    document.remove("seq");
    document.remove("channels");
    for field in ["created_at", "scheduled_at"] {
        if let Some(Value::String(text)) = document.get_mut(field)
            && let Ok(at) = DateTime::parse_from_rfc3339(text)
        {
            *text = at.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true);
        }
    }
    Value::Object(document)
}

fn posted(document: Document) -> Option<Posted> {
    let kind = document.get("recipient_type")?.as_str()?;
    let recipient = Recipient::of(kind, document.get("recipient_id").and_then(Value::as_i64))?;
    let channels = document.get("channels").and_then(Value::as_u64).unwrap_or_default();
    let channels = Channels::of_bits(u8::try_from(channels).unwrap_or_default());
    let seq = document.get("seq")?.as_i64()?;
    Some(Posted { seq, recipient, channels, document: shown(document) })
}

/// What the reader may see at all.
fn seen_by(audience: &Audience) -> Row {
    let groups: Vec<_> = audience.groups.iter().map(|group| group.kind()).collect();
    let muted: Vec<Bson> = audience.muted.iter().map(|word| Bson::from(*word)).collect();
    doc! { "$or": [
        { "recipient_id": audience.own.id(), "recipient_type": audience.own.kind() },
        { "recipient_id": null, "recipient_type": { "$in": groups }, "attachments.category": { "$nin": muted } },
    ] }
}

impl NotificationStore for MongoNotificationStore {
    fn put<'a>(
        &'a self,
        notices: &'a [Notice],
        _again: bool,
    ) -> BoxFuture<'a, Result<u64, NotificationStoreError>> {
        Box::pin(async move {
            if notices.is_empty() {
                return Ok(0);
            }
            self.write(notices).await.map_err(failed)
        })
    }

    fn mine<'a>(
        &'a self,
        audience: &'a Audience,
        now: DateTime<Utc>,
        offset: i64,
        limit: i64,
    ) -> BoxFuture<'a, Result<NoticePage, NotificationStoreError>> {
        Box::pin(async move {
            let due = doc! { "$or": [{ "scheduled_at": null }, { "scheduled_at": { "$lte": moment(now) } }] };
            let filter = doc! { "$and": [seen_by(audience), due] };
            let source = self.server.collection(&NOTIFICATIONS).await.map_err(failed)?;
            let total = within(source.count_documents(filter.clone()).into_future()).await.map_err(failed)?;
            let total = i64::try_from(total).unwrap_or(i64::MAX);
            if limit <= 0 {
                return Ok(NoticePage { documents: Vec::new(), total });
            }
            let find = source.find(filter).sort(doc! { "seq": -1 });
            let find = find.skip(u64::try_from(offset).unwrap_or(0)).limit(limit);
            let rows: Vec<Row> = within(async { find.await?.try_collect().await }).await.map_err(failed)?;
            let documents = rows.into_iter().map(|row| from_row(row).map(shown)).collect::<Result<_, _>>();
            Ok(NoticePage { documents: documents.map_err(failed)?, total })
        })
    }

    fn posted<'a>(
        &'a self,
        of: Option<&'a Audience>,
        after: i64,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Posted>, NotificationStoreError>> {
        Box::pin(async move {
            let settled = self.settled().await.map_err(failed)?;
            let between = doc! { "seq": { "$gt": after, "$lte": settled } };
            let filter = match of {
                None => between,
                Some(audience) => doc! { "$and": [between, seen_by(audience)] },
            };
            let source = self.server.collection(&NOTIFICATIONS).await.map_err(failed)?;
            let find = source.find(filter).sort(doc! { "seq": 1 }).limit(i64::from(limit.max(1)));
            let rows: Vec<Row> = within(async { find.await?.try_collect().await }).await.map_err(failed)?;
            let documents: Vec<Document> =
                rows.into_iter().map(from_row).collect::<Result<_, _>>().map_err(failed)?;
            Ok(documents.into_iter().filter_map(posted).collect())
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<i64, NotificationStoreError>> {
        Box::pin(async move { self.settled().await.map_err(failed) })
    }

    fn change(
        &self,
        own: Recipient,
        id: NoticeId,
        change: Change,
    ) -> BoxFuture<'_, Result<bool, NotificationStoreError>> {
        Box::pin(async move {
            let id =
                ObjectId::parse_str(id.to_string()).map_err(|error| failed(Error::from(error).into()))?;
            let which = doc! { "_id": id, "recipient_type": own.kind(), "recipient_id": own.id() };
            let target = self.server.collection(&NOTIFICATIONS).await.map_err(failed)?;
            let changed = within(async {
                Ok(match change {
                    Change::View => {
                        let viewed = doc! { "$set": { "status": "viewed" } };
                        target.update_one(which, viewed).await?.matched_count
                    }
                    Change::Delete => target.delete_one(which).await?.deleted_count,
                })
            });
            Ok(changed.await.map_err(failed)? > 0)
        })
    }
}

fn failed(error: DocumentError) -> NotificationStoreError {
    match error {
        DocumentError::Unavailable(reason) => NotificationStoreError::Unavailable(reason),
        DocumentError::Refused(reason) => NotificationStoreError::Refused(reason),
    }
}
