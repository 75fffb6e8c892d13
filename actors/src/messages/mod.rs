//! Messages: commands that come in as such (what a broker's consumer hands over, and what it wants to know back), and
//! what becomes of those that nobody could take.
//!
//! The consumer settles the message by the [`Outcome`], never before: a message whose handling was cut off by a crash
//! comes again, so a handler has to do the same thing once however often it is asked.

mod parked;

pub use parked::{Archive, ArchiveError, Parked, Replay, ReplayError};

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

/// A command as a producer sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncomingCommand {
    /// The producer, vouched for by the broker; `None` when the message does not name one, and then nobody may be
    /// believed, whatever the body says.
    pub user_id: Option<Arc<str>>,
    /// The routing key it was published with.
    pub routing_key: String,
    /// The media type that the producer gave.
    pub content_type: Option<String>,
    /// Headers that are text or numbers, as text.
    pub headers: BTreeMap<String, String>,
    /// When the producer says that it sent it; whole seconds.
    pub sent_at: Option<DateTime<Utc>>,
    /// The message itself, not yet looked at.
    pub body: Arc<[u8]>,
    /// True when it may have been handed over before.
    pub redelivered: bool,
    /// How often handling it has failed ([`Outcome::Retry`] or a panic).
    pub tries: u32,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that it asks for is committed, its answer to the producer in the outbox included. A refusal that
    /// the producer is told of is done too.
    Done,
    /// Nobody can ever do it: it is set aside for a person to look at.
    Park(ParkReason),
    /// Not now, and not its fault (a store is away, too much waits): it comes again after a pause.
    Retry(String),
}

/// Why a message was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkReason {
    /// A stable word.
    pub code: &'static str,
    /// What is wrong, for the person who looks; no message content beyond names of fields.
    pub detail: String,
}

impl ParkReason {
    /// With a sentence for the person who looks.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// Does what commands ask for. Hundreds are asked for at once, so that they can be committed together.
pub trait CommandHandler: Send + Sync {
    /// Does it. A panic counts as a failed try of this message alone.
    fn handle(&self, command: IncomingCommand) -> BoxFuture<'_, Outcome>;
}
