//! What a store of notices must do.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join;
use gencharge::notifications::{MONGO_COLLECTIONS, MongoNotificationStore, PgNotificationStore};
use gencharge::platform::documents::mongo::MongoDocumentStore;
use gencharge_actors::kernel::{SystemClock, UserId};
use gencharge_actors::notification::{
    Audience, Change, Channels, Notice, NoticeId, NoticeKind, NoticeStatus, NotificationStore, Recipient,
    Sender,
};

use crate::support::app::with_app;
use crate::support::server;

#[test]
fn postgres_keeps_notices() {
    with_app(async |app| {
        let store = || PgNotificationStore::new(app.pool.clone());
        suite(&store(), &store()).await;
    });
}

#[test]
fn mongodb_keeps_notices() {
    let Some(server) = server("GENCHARGE_TEST_MONGODB_URL") else { return };
    actix_web::rt::System::new().block_on(async {
        let url = format!("{}/gencharge_it_{}_notices", server.trim_end_matches('/'), std::process::id());
        let store = async || {
            let server = MongoDocumentStore::new(&url, MONGO_COLLECTIONS.to_vec()).await.unwrap();
            MongoNotificationStore::new(Arc::new(server), Arc::new(SystemClock))
        };
        suite(&store().await, &store().await).await;
        let client = mongodb::Client::with_uri_str(&url).await.unwrap();
        client.default_database().unwrap().drop().await.unwrap();
    });
}

/// Every promise of the port; `other` is the same store in another process. Nothing is in it before.
async fn suite(store: &dyn NotificationStore, other: &dyn NotificationStore) {
    assert_eq!(store.head().await.unwrap(), 0);
    lists(store, other).await;
    order(store, other).await;
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 123_456_000).unwrap()
}

fn notice(number: i64, recipient: Recipient) -> Notice {
    Notice {
        id: NoticeId::of_announcement(number, now()),
        sender: Sender::System,
        description: format!("notice {number}"),
        recipient,
        status: NoticeStatus::Delivered,
        kind: NoticeKind::InApp,
        attachments: "{\"amount\": 199.5, \"$set\": {\"a\": [1]}}".to_owned(),
        created_at: now(),
        scheduled_at: None,
        channels: Channels::EMAIL,
    }
}

fn audience(user: i64) -> Audience {
    let groups = vec![Recipient::AllUsers, Recipient::PrepaidUsers];
    Audience { own: Recipient::User(UserId(user)), groups, muted: vec!["marketing"] }
}

async fn lists(store: &dyn NotificationStore, other: &dyn NotificationStore) {
    let mine = Recipient::User(UserId(7));
    let muted = "{\"category\": \"marketing\"}".to_owned();
    let notices = [
        notice(1, mine),
        notice(2, Recipient::User(UserId(8))),
        notice(3, Recipient::AllUsers),
        Notice { attachments: muted, ..notice(4, Recipient::AllUsers) },
        Notice { scheduled_at: Some(now() + TimeDelta::hours(1)), ..notice(5, Recipient::PrepaidUsers) },
        notice(6, Recipient::Blocked),
    ];
    assert_eq!(store.put(&notices, false).await.unwrap(), 6);
    assert_eq!(other.put(&notices[..2], true).await.unwrap(), 0, "they are there");
    let more = [notice(6, Recipient::Blocked), notice(7, mine)];
    assert_eq!(other.put(&more, false).await.unwrap(), 1, "one is new");
    let said = async |at, offset, limit| {
        let page = store.mine(&audience(7), at, offset, limit).await.unwrap();
        let said: Vec<_> =
            page.documents.iter().map(|it| it["description"].as_str().unwrap().to_owned()).collect();
        (said, page.total)
    };
    let words = |numbers: &[u32]| numbers.iter().map(|number| format!("notice {number}")).collect::<Vec<_>>();
    assert_eq!(said(now(), 0, 10).await, (words(&[7, 3, 1]), 3));
    assert_eq!(said(now(), 1, 1).await, (words(&[3]), 3));
    assert_eq!(said(now() + TimeDelta::hours(1), 0, 10).await, (words(&[7, 5, 3, 1]), 4));
    let page = store.mine(&audience(7), now(), 0, 10).await.unwrap();
    let shown = &page.documents[2];
    let expected = serde_json::json!({
        "_id": notices[0].id.to_string(), "sender_type": "system", "description": "notice 1",
        "recipient_type": "user", "recipient_id": 7, "status": "delivered", "type": "in-app",
        "attachments": {"amount": 199.5, "$set": {"a": [1]}}, "created_at": "2027-01-15T08:00:00.123456Z",
        "scheduled_at": null,
    });
    assert_eq!(shown, &expected);
    let change = |own, id, change| store.change(own, id, change);
    let theirs = Recipient::User(UserId(8));
    assert!(!change(theirs, notices[0].id, Change::View).await.unwrap(), "it is another's");
    assert!(change(mine, notices[0].id, Change::View).await.unwrap());
    assert!(change(mine, notices[0].id, Change::View).await.unwrap());
    let page = store.mine(&audience(7), now(), 2, 1).await.unwrap();
    assert_eq!(page.documents[0]["status"], "viewed");
    assert!(!change(theirs, notices[0].id, Change::Delete).await.unwrap());
    assert!(change(mine, notices[0].id, Change::Delete).await.unwrap());
    assert!(!change(mine, notices[0].id, Change::Delete).await.unwrap());
    let posted = store.posted(Some(&audience(7)), 0, 10).await.unwrap();
    let said: Vec<_> = posted.iter().map(|it| it.document["description"].as_str().unwrap()).collect();
    assert_eq!(said, ["notice 3", "notice 5", "notice 7"]);
    assert_eq!((posted[0].recipient, posted[0].channels), (Recipient::AllUsers, Channels::EMAIL));
    assert_eq!(posted[2].seq, store.head().await.unwrap());
}

/// Two processes write while a third reads on from what it has seen: it misses nothing.
async fn order(store: &dyn NotificationStore, other: &dyn NotificationStore) {
    const BATCHES: i64 = 20;
    const SIZE: i64 = 25;
    let start = store.head().await.unwrap();
    let write = async |to: &dyn NotificationStore, base: i64| {
        for batch in 0..BATCHES {
            let notices: Vec<_> =
                (0..SIZE).map(|at| notice(base + batch * SIZE + at, Recipient::AllAdmins)).collect();
            to.put(&notices, false).await.unwrap();
        }
    };
    let wanted = usize::try_from(2 * BATCHES * SIZE).unwrap();
    let read = async {
        let (mut after, mut seen) = (start, HashSet::new());
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
        while seen.len() < wanted {
            assert!(tokio::time::Instant::now() < deadline, "{} of {wanted}", seen.len());
            for posted in store.posted(None, after, 40).await.unwrap() {
                assert!(posted.seq > after, "in order");
                after = posted.seq;
                seen.insert(posted.document["_id"].as_str().unwrap().to_owned());
            }
        }
        assert_eq!(after, store.head().await.unwrap());
    };
    join(join(write(store, 1_000), write(other, 9_000)), read).await;
}
