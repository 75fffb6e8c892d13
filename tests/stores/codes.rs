//! What a store of one-time codes must do.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use gencharge::auth::codes::{
    COOL_DOWN, Claim, CodeStore, HOUR, Issued, MAX_TRIES, NewCode, PgCodes, Purpose, RedisCodes, Taken,
};
use gencharge::platform::redis::Redis;
use gencharge_actors::kernel::{PhoneNumber, UserType};

use crate::support::app::with_app;
use crate::support::server;

#[test]
fn postgres_keeps_codes() {
    with_app(async |app| suite(&PgCodes::new(app.pool.clone())).await);
}

#[test]
fn redis_keeps_codes() {
    let Some(url) = server("GENCHARGE_TEST_REDIS_URL") else { return };
    actix_web::rt::System::new().block_on(async {
        let redis = Redis::new(&url, &format!("gencharge_it_{}_codes", std::process::id())).unwrap();
        suite(&RedisCodes::new(redis)).await;
    });
}

/// Every promise of the port; each part has numbers of its own.
async fn suite(store: &dyn CodeStore) {
    codes_are_used_once(store).await;
    codes_die(store).await;
    numbers_wait(store).await;
    many_at_once(store).await;
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn code(last: u32, purpose: Purpose, hash: &[u8], now: DateTime<Utc>) -> NewCode {
    NewCode {
        phone: PhoneNumber::parse(&format!("98765{last:05}")).unwrap(),
        purpose,
        hash: hash.to_vec(),
        now,
        ttl: TimeDelta::minutes(5),
        per_hour: 3,
        user_type: None,
    }
}

async fn take(store: &dyn CodeStore, code: &NewCode, hash: &[u8], now: DateTime<Utc>) -> Option<Taken> {
    let claim = Claim { phone: code.phone, purpose: code.purpose, hash: hash.to_vec(), now };
    store.take(claim).await.unwrap()
}

async fn codes_are_used_once(store: &dyn CodeStore) {
    let now = start();
    let signup =
        NewCode { user_type: Some(UserType::Postpaid), ..code(1, Purpose::Signup, &[7, 0, 255], now) };
    assert_eq!(take(store, &signup, &[7, 0, 255], now).await, None, "nothing was issued");
    assert_eq!(store.issue(signup.clone()).await.unwrap(), Issued::Yes);
    let login = NewCode { purpose: Purpose::Login, ..signup.clone() };
    assert_eq!(take(store, &login, &[7, 0, 255], now).await, None, "a code is for one purpose");
    assert_eq!(take(store, &signup, &[7, 0, 254], now).await, None);
    let right = Some(Taken { user_type: Some(UserType::Postpaid) });
    assert_eq!(take(store, &signup, &[7, 0, 255], now).await, right);
    assert_eq!(take(store, &signup, &[7, 0, 255], now).await, None, "used");
    // A used code ends the cool-down, and the next one knows nothing of the last.
    assert_eq!(store.issue(code(1, Purpose::Login, b"next", now)).await.unwrap(), Issued::Yes);
    assert_eq!(take(store, &login, b"next", now).await, Some(Taken { user_type: None }));
}

async fn codes_die(store: &dyn CodeStore) {
    let now = start();
    let tried = code(2, Purpose::Login, b"right", now);
    store.issue(tried.clone()).await.unwrap();
    for _ in 0..MAX_TRIES {
        assert_eq!(take(store, &tried, b"wrong", now).await, None);
    }
    assert_eq!(take(store, &tried, b"right", now).await, None, "dead after its tries");
    let late = code(3, Purpose::Login, b"right", now);
    store.issue(late.clone()).await.unwrap();
    assert_eq!(take(store, &late, b"right", now + late.ttl).await, None, "expired");
    assert!(take(store, &late, b"right", now + late.ttl - TimeDelta::seconds(1)).await.is_some());
}

async fn numbers_wait(store: &dyn CodeStore) {
    let at = |seconds| start() + TimeDelta::seconds(seconds);
    let issue = async |seconds| store.issue(code(4, Purpose::Login, b"x", at(seconds))).await.unwrap();
    assert_eq!(issue(0).await, Issued::Yes);
    assert_eq!(issue(10).await, Issued::Wait { seconds: 21 });
    let cool = COOL_DOWN.num_seconds();
    assert_eq!(issue(cool).await, Issued::Yes);
    assert_eq!(issue(2 * cool).await, Issued::Yes);
    assert_eq!(issue(3 * cool).await, Issued::Wait { seconds: 3600 - 90 + 1 }, "three in an hour");
    let hour = HOUR.num_seconds();
    assert_eq!(issue(hour - 1).await, Issued::Wait { seconds: 2 });
    assert_eq!(issue(hour).await, Issued::Yes, "a new hour");
    assert_eq!(issue(hour + cool).await, Issued::Yes);
}

async fn many_at_once(store: &dyn CodeStore) {
    let new = code(5, Purpose::Login, b"right", start());
    let issued = join_all((0..32).map(|_| store.issue(new.clone()))).await;
    assert_eq!(issued.into_iter().filter(|issued| matches!(issued, Ok(Issued::Yes))).count(), 1);
    let claims = join_all((0..32).map(|_| take(store, &new, b"right", start()))).await;
    assert_eq!(claims.into_iter().flatten().count(), 1, "one code signs in once");
}
