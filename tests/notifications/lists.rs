//! Who sees which notices.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use gencharge::notifications::{NotificationServices, Notifications, PgNotificationStore};
use gencharge::platform::documents::postgres::PgDocumentStore;
use gencharge_actors::kernel::{AdminId, Clock, SystemClock, SystemRandom, UserId};
use gencharge_actors::notification::{Hub, Language};
use sqlx::PgPool;

use crate::support::database::TestDatabase;

struct Given<'a> {
    pool: &'a PgPool,
    now: DateTime<Utc>,
    next: i64,
}

impl Given<'_> {
    async fn notice(&mut self, text: &str, kind: &str, id: Option<i64>, scheduled: Option<TimeDelta>) {
        self.next += 1;
        sqlx::query(
            "INSERT INTO notifications VALUES (lpad($1::text, 24, '0'), $2, $3, $4, $5,
                 jsonb_build_object('sender_type', 'system', 'description', $6::text, 'status', 'delivered',
                     'type', 'in-app', 'attachments', '{}'::jsonb))",
        )
        .bind(self.next)
        .bind(kind)
        .bind(id)
        .bind(self.now + TimeDelta::seconds(self.next))
        .bind(scheduled.map(|after| self.now + after))
        .bind(text)
        .execute(self.pool)
        .await
        .unwrap();
    }
}

fn texts(documents: &[serde_json::Value]) -> Vec<&str> {
    documents.iter().map(|document| document["description"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn everybody_sees_own_and_group_notices_newest_first_and_nobody_elses() {
    let database = TestDatabase::new("mine").await;
    let pool = &database.pool;
    for (user, kind) in [(5, Some("prepaid")), (6, Some("postpaid")), (7, None)] {
        sqlx::query(
            "INSERT INTO users (user_id, phone, user_type, referral_code, created_at)
             VALUES ($1, 919000000000 + $1, $2, 'C' || $1::text, now())",
        )
        .bind(i64::from(user))
        .bind(kind)
        .execute(pool)
        .await
        .unwrap();
    }
    let mut given = Given { pool, now: SystemClock.now() - TimeDelta::hours(1), next: 0 };
    given.notice("user 5", "user", Some(5), None).await;
    given.notice("admin 5", "admin", Some(5), None).await;
    given.notice("all users", "all_user", None, None).await;
    given.notice("prepaid", "prepaid_users", None, None).await;
    given.notice("postpaid", "postpaid_users", None, None).await;
    given.notice("all admins", "all_admin", None, None).await;
    given.notice("blocked", "blocked", None, None).await;
    given.notice("due", "user", Some(5), Some(TimeDelta::minutes(1))).await;
    given.notice("not yet", "user", Some(5), Some(TimeDelta::days(1))).await;

    let hub = Hub::new(Arc::new(PgNotificationStore::new(pool.clone())));
    let notifications = Notifications::new(NotificationServices {
        hub,
        pool: pool.clone(),
        documents: Arc::new(PgDocumentStore::new(pool.clone())),
        timezone: chrono_tz::Asia::Kolkata,
        language: Language::English,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    });
    let of_user = async |id, offset, limit| {
        let audience = notifications.audience_of_user(UserId(id)).await.unwrap();
        notifications.page(&audience, offset, limit).await.unwrap()
    };
    let five = of_user(5, 0, 50).await;
    assert_eq!(texts(&five.documents), ["due", "prepaid", "all users", "user 5"]);
    assert_eq!(five.total, 4);
    assert_eq!(texts(&of_user(6, 0, 50).await.documents), ["postpaid", "all users"]);
    assert_eq!(texts(&of_user(7, 0, 50).await.documents), ["all users"]);
    let admin = notifications.page(&Notifications::audience_of_admin(AdminId(5)), 0, 50).await.unwrap();
    assert_eq!(texts(&admin.documents), ["all admins", "admin 5"]);

    let second = of_user(5, 1, 2).await;
    assert_eq!((texts(&second.documents), second.total), (vec!["prepaid", "all users"], 4));
    let beyond = of_user(5, 100, 2).await;
    assert_eq!((beyond.documents.len(), beyond.total), (0, 4));

    let mut keys: Vec<_> = five.documents[3].as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "_id",
            "attachments",
            "created_at",
            "description",
            "recipient_id",
            "recipient_type",
            "scheduled_at",
            "sender_type",
            "status",
            "type"
        ]
    );
}
