//! Keeps the gate current: one PostgreSQL connection that LISTENs, and readings from SQL for what it hears.
//!
//! A notification is a hint; the state itself is always read from SQL. A heartbeat on the same connection bounds how long
//! a dead connection can go unnoticed, so that a change made elsewhere bites here within a second either way.

use std::time::Duration;

use gencharge_actors::kernel::AccountStatus;
use sqlx::postgres::PgListener;
use sqlx::{PgConnection, PgPool};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::gate::{Gate, Reading};

/// The channel of everything that takes tokens or rights back.
pub const CHANNEL: &str = "gencharge_access";

const HEARTBEAT: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_millis(250);
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// Customers or sessions heard of at once, beyond which everything is read anew.
const MANY: usize = 256;

/// What a notification says has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// One session was revoked; with the end of its last access token (Unix seconds).
    Session(Uuid, i64),
    /// A customer's state or sessions changed.
    User(i64),
    /// An administrator's sessions were revoked.
    Admin(i64),
    /// Roles, permissions or administrators changed.
    Book,
}

impl Hint {
    /// The payload of the notification.
    #[must_use]
    pub fn payload(self) -> String {
        match self {
            Self::Session(session, until) => format!("s:{session}:{until}"),
            Self::User(id) => format!("u:{id}"),
            Self::Admin(id) => format!("a:{id}"),
            Self::Book => "b".to_owned(),
        }
    }

    /// `None` for payloads this version does not know; everything is then read anew.
    fn parse(payload: &str) -> Option<Self> {
        if payload == "b" {
            return Some(Self::Book);
        }
        let (kind, rest) = payload.split_once(':')?;
        match kind {
            "s" => {
                let (session, until) = rest.split_once(':')?;
                Some(Self::Session(session.parse().ok()?, until.parse().ok()?))
            }
            "u" => Some(Self::User(rest.parse().ok()?)),
            "a" => Some(Self::Admin(rest.parse().ok()?)),
            _ => None,
        }
    }

    /// Sends the notification when the transaction commits.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn notify(self, db: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(self.payload()).execute(db).await?;
        Ok(())
    }
}

/// Loads the gate, then keeps it current until `stop` turns true.
pub async fn run(gate: Gate, mut stop: watch::Receiver<bool>) {
    let mut stopped = std::pin::pin!(async move {
        // An error means that the sender is gone: stop too.
        let _ = stop.wait_for(|stop| *stop).await;
    });
    loop {
        let ended = tokio::select! {
            () = &mut stopped => return gate.set_live(false),
            ended = listen(&gate) => ended,
        };
        gate.set_live(false);
        match ended {
            Ok(()) => tracing::warn!("access.listener_lost"),
            Err(error) => tracing::warn!(error = %error, "access.listener_failed"),
        }
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// One connection's life; ends when it is lost.
async fn listen(gate: &Gate) -> Result<(), sqlx::Error> {
    let mut listener = connect(gate.pool()).await?;
    // What commits from here on is heard, so a reading that starts now misses nothing.
    listener.listen(CHANNEL).await?;
    reload(gate).await?;
    gate.set_live(true);
    let mut housekeeping = Instant::now() + HOUSEKEEPING;
    loop {
        match timeout(HEARTBEAT, listener.try_recv()).await {
            // A change that cannot be read in time (no free connection) must not leave memory trusted.
            Ok(Ok(Some(first))) => {
                let mut payloads = vec![first.payload().to_owned()];
                while let Some(next) = listener.next_buffered() {
                    payloads.push(next.payload().to_owned());
                }
                match timeout(PATIENCE, hear(gate, &payloads)).await {
                    Ok(heard) => heard?,
                    Err(_) => return Ok(()),
                }
            }
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let beat = sqlx::query("SELECT 1").execute(&mut listener);
                match timeout(PATIENCE, beat).await {
                    Ok(done) => done.map(|_| ())?,
                    Err(_) => return Ok(()),
                }
            }
        }
        if Instant::now() >= housekeeping {
            housekeeping = Instant::now() + HOUSEKEEPING;
            gate.forget_expired();
        }
    }
}

async fn connect(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    // A lost connection must be seen as lost, not silently replaced.
    listener.eager_reconnect(false);
    Ok(listener)
}

/// Follows hints that come another way than by PostgreSQL, until their sender is gone. None of them has to be trusted: what
/// fails here comes by PostgreSQL too.
pub async fn follow(gate: Gate, mut hints: mpsc::Receiver<String>) {
    let mut payloads = Vec::new();
    while hints.recv_many(&mut payloads, MANY).await > 0 {
        if gate.is_live()
            && let Err(error) = hear(&gate, &payloads).await
        {
            tracing::warn!(%error, "access.hints_not_followed");
        }
        payloads.clear();
    }
}

/// Handles notifications that arrived together.
async fn hear(gate: &Gate, payloads: &[String]) -> Result<(), sqlx::Error> {
    let (mut users, mut admins, mut sessions) = (Vec::new(), Vec::new(), Vec::new());
    let (mut book, mut everything) = (false, false);
    for payload in payloads {
        match Hint::parse(payload) {
            Some(Hint::Session(session, until)) => sessions.push((session, until)),
            Some(Hint::User(id)) => users.push(id),
            Some(Hint::Admin(id)) => admins.push(id),
            Some(Hint::Book) => book = true,
            None => everything = true,
        }
    }
    if everything || users.len().saturating_add(admins.len()) > MANY {
        return reload(gate).await;
    }
    if book {
        gate.reload_book().await?;
    }
    let mut db = gate.pool().acquire().await?;
    loop {
        let epoch = gate.epoch();
        let mut reading = Reading { sessions: sessions.clone(), ..Reading::default() };
        if !users.is_empty() || !admins.is_empty() {
            let now = gate.clock().now();
            let revoked: Vec<(Uuid, chrono::DateTime<chrono::Utc>)> = sqlx::query_as(
                "SELECT session_id, access_expires_at FROM sessions \
                 WHERE revoked_at IS NOT NULL AND access_expires_at > $1 \
                   AND ((subject_kind = 'user' AND subject_id = ANY($2)) OR (subject_kind = 'admin' AND subject_id = ANY($3)))",
            )
            .bind(now)
            .bind(&users)
            .bind(&admins)
            .fetch_all(&mut *db)
            .await?;
            reading.sessions.extend(revoked.into_iter().map(|(session, until)| (session, until.timestamp())));
            let standing: Vec<(i64, Option<String>)> = sqlx::query_as(
                "SELECT heard.id, u.status FROM unnest($1::bigint[]) AS heard(id) LEFT JOIN users u ON u.user_id = heard.id",
            )
            .bind(&users)
            .fetch_all(&mut *db)
            .await?;
            reading.standing = standing
                .into_iter()
                .map(|(id, status)| (id, status.and_then(|word| word.parse().ok())))
                .collect();
        }
        if gate.take_over(reading, epoch) {
            return Ok(());
        }
    }
}

/// Reads everything that was taken back and may still matter.
async fn reload(gate: &Gate) -> Result<(), sqlx::Error> {
    gate.reload_book().await?;
    let mut db = gate.pool().acquire().await?;
    loop {
        let epoch = gate.epoch();
        let now = gate.clock().now();
        let sessions: Vec<(Uuid, chrono::DateTime<chrono::Utc>)> = sqlx::query_as(
            "SELECT session_id, access_expires_at FROM sessions WHERE revoked_at IS NOT NULL AND access_expires_at > $1",
        )
        .bind(now)
        .fetch_all(&mut *db)
        .await?;
        let standing: Vec<(i64, String)> =
            sqlx::query_as("SELECT user_id, status FROM users WHERE status <> 'active'")
                .fetch_all(&mut *db)
                .await?;
        let reading = Reading {
            sessions: sessions.into_iter().map(|(session, until)| (session, until.timestamp())).collect(),
            standing: standing
                .into_iter()
                .filter_map(|(id, word)| Some((id, Some(word.parse::<AccountStatus>().ok()?))))
                .collect(),
            complete: true,
        };
        if gate.take_over(reading, epoch) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_survive_the_wire() {
        for hint in
            [Hint::Session(Uuid::from_u128(5), 1_700_000_000), Hint::User(7), Hint::Admin(8), Hint::Book]
        {
            assert_eq!(Hint::parse(&hint.payload()), Some(hint));
        }
        assert_eq!(Hint::parse("x:1"), None);
    }
}
