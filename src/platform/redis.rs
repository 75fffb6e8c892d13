//! Redis, under `REDIS_URL`: one connection that comes back by itself, and hints to the other processes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands as _, Client, FromRedisValue, RedisError, ScriptInvocation};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::Server;
use crate::http::{Code, Problem};

/// How long a connection may take, and an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long one call may take with everything.
const CALL: Duration = Duration::from_secs(2);
/// The wait before a new attempt to listen.
const RETRY: Duration = Duration::from_millis(250);
/// Hints that may wait to be sent; more are left to PostgreSQL's notifications.
const HINTS: usize = 1024;

/// Why Redis did not do it, or its answer was lost.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It is away: try again later.
    #[error("Redis is away: {0}")]
    Away(String),
    /// It refused what was sent: a defect, or a wrong setting.
    #[error("Redis refused: {0}")]
    Refused(String),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let away = error.is_io_error()
            || error.is_timeout()
            || error.is_connection_dropped()
            || error.is_connection_refusal()
            || ["LOADING", "READONLY", "MASTERDOWN", "BUSY", "OOM"]
                .contains(&error.code().unwrap_or_default());
        if away { Self::Away(error.to_string()) } else { Self::Refused(error.to_string()) }
    }
}

impl From<Failure> for Problem {
    fn from(error: Failure) -> Self {
        match error {
            Failure::Away(_) => {
                tracing::warn!(%error, "redis.unavailable");
                Self::new(
                    Code::Unavailable,
                    "The store of short-lived state (Redis) is away for a moment: try again shortly",
                )
            }
            Failure::Refused(_) => {
                tracing::error!(%error, "redis.error");
                Self::internal()
            }
        }
    }
}

/// A Redis server; clones share the connection.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    connection: ConnectionManager,
    prefix: Arc<str>,
}

impl Redis {
    /// The server at `url`; nothing is connected to yet. Every key and channel begins with `prefix`.
    ///
    /// # Errors
    /// [`Failure::Refused`] when the address cannot be used; its text is not shown, it may hold a password.
    pub fn new(url: &str, prefix: &str) -> Result<Self, Failure> {
        let unusable = |_| {
            Failure::Refused(
                "REDIS_URL: expected an address such as redis://:password@host:6379/0".to_owned(),
            )
        };
        let client = Client::open(url).map_err(unusable)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1)
            .set_max_delay(RETRY);
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(unusable)?;
        Ok(Self { client, connection, prefix: prefix.into() })
    }

    /// `name` as a key or channel of this application.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    /// Runs a script.
    ///
    /// # Errors
    /// [`Failure`]; after one of [`Failure::Away`] it may have run.
    pub async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Failure> {
        let mut connection = self.connection.clone();
        within(script.invoke_async(&mut connection)).await
    }

    async fn publish(&self, channel: &str, payload: &str) -> Result<(), Failure> {
        let mut connection = self.connection.clone();
        within(connection.publish::<_, _, ()>(self.key(channel), payload)).await
    }
}

async fn within<T>(call: impl Future<Output = Result<T, RedisError>>) -> Result<T, Failure> {
    match timeout(CALL, call).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Failure::Away(format!("no answer in {} s", CALL.as_secs()))),
    }
}

impl Server for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn answers(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let mut connection = self.connection.clone();
            within(redis::cmd("PING").query_async::<()>(&mut connection)).await.is_ok()
        })
    }
}

/// Tells the other processes at once what this one has changed, where there is a Redis. Each hint goes through PostgreSQL
/// too, within its transaction; so one that is lost here is only later.
#[derive(Clone, Debug, Default)]
pub struct Announcer(Option<mpsc::Sender<(&'static str, String)>>);

impl Announcer {
    /// An announcer, and the task that sends its hints until `stop` turns true.
    pub fn new(redis: Redis, mut stop: watch::Receiver<bool>) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, mut hints) = mpsc::channel::<(&'static str, String)>(HINTS);
        let run = async move {
            let mut stopped = std::pin::pin!(async move { drop(stop.wait_for(|stop| *stop).await) });
            loop {
                let hint = tokio::select! {
                    () = &mut stopped => return,
                    hint = hints.recv() => hint,
                };
                let Some((channel, payload)) = hint else { return };
                if let Err(error) = redis.publish(channel, &payload).await {
                    tracing::warn!(%error, "redis.hint_not_sent");
                }
            }
        };
        (Self(Some(sender)), run)
    }

    /// Sends `payload` on `channel` soon; never waits.
    pub fn announce(&self, channel: &'static str, payload: String) {
        if let Some(hints) = &self.0
            && hints.try_send((channel, payload)).is_err()
        {
            tracing::warn!("redis.hints_full");
        }
    }
}

type Callback = Box<dyn Fn(&str) + Send + Sync>;

/// Hears the hints of other processes. Subscribe, then spawn [`Hearing::run`].
#[derive(Default)]
pub struct Hearing {
    subscriptions: Vec<(&'static str, Callback)>,
}

impl Hearing {
    /// Calls `callback` with the payload of every hint on `channel`. It must be quick.
    pub fn subscribe(&mut self, channel: &'static str, callback: impl Fn(&str) + Send + Sync + 'static) {
        self.subscriptions.push((channel, Box::new(callback)));
    }

    /// Listens until `stop` turns true. What is missed while the connection is away comes through PostgreSQL.
    pub async fn run(self, redis: Redis, mut stop: watch::Receiver<bool>) {
        let mut stopped = std::pin::pin!(async move { drop(stop.wait_for(|stop| *stop).await) });
        loop {
            tokio::select! {
                () = &mut stopped => return,
                ended = self.life(&redis) => if let Err(error) = ended {
                    tracing::warn!(%error, "redis.hearing_lost");
                },
            }
            tokio::select! {
                () = &mut stopped => return,
                () = sleep(RETRY) => {}
            }
        }
    }

    async fn life(&self, redis: &Redis) -> Result<(), Failure> {
        let mut hearing = within(redis.client.get_async_pubsub()).await?;
        for (channel, _) in &self.subscriptions {
            within(hearing.subscribe(redis.key(channel))).await?;
        }
        let mut heard = hearing.on_message();
        while let Some(message) = heard.next().await {
            let Ok(payload) = message.get_payload::<String>() else { continue };
            for (channel, callback) in &self.subscriptions {
                if redis.key(channel) == message.get_channel_name() {
                    callback(&payload);
                }
            }
        }
        Ok(())
    }
}
