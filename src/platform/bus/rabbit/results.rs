//! Partners' results on their way out: a connection of their own and a channel for each partner, because the broker holds up a
//! channel, and in the end its connection, while a queue does not answer. Who does not answer waits; nobody waits for him.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::link::{Fate, Link, LinkError, Outgoing, Publisher, Rabbit, SETTLE};

/// How long a queue that did not answer is left alone.
const QUIET: Duration = Duration::from_secs(30);
/// Between two that did not answer together: one of them may only have been held up by the other.
const APART: Duration = Duration::from_secs(5);
/// Partners remembered as such.
const QUIET_PARTNERS: usize = 1024;
/// Channels that are kept for the next delivery.
const CHANNELS: usize = 512;

/// Messages for partners, by the partner's user.
pub type Addressed = BTreeMap<String, Vec<Outgoing>>;
/// Partners whose messages wait, and until when.
pub type Waiting = BTreeMap<String, Instant>;

/// Publishes to the queues of results.
pub struct ResultsBus {
    rabbit: Rabbit,
    open: Mutex<Option<Open>>,
    quiet: std::sync::Mutex<Waiting>,
}

struct Open {
    link: Link,
    channels: BTreeMap<String, Publisher>,
}

impl ResultsBus {
    /// A bus over `rabbit`.
    #[must_use]
    pub fn new(rabbit: Rabbit) -> Self {
        Self { rabbit, open: Mutex::default(), quiet: std::sync::Mutex::default() }
    }

    /// The partners whose queues are left alone now.
    #[must_use]
    pub fn quiet(&self) -> Waiting {
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        quiet.retain(|_, until| *until > now);
        quiet.clone()
    }

    fn leave_alone(&self, partners: &Waiting) {
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let room = QUIET_PARTNERS.saturating_sub(quiet.len());
        quiet.extend(partners.iter().take(room).map(|(partner, until)| (partner.clone(), *until)));
    }

    /// Publishes; gives the partners whose queues did not take all of theirs. A queue that is missing is made.
    ///
    /// # Errors
    /// The connection was lost: each message may have been taken or not.
    pub async fn publish(&self, messages: &Addressed) -> Result<Waiting, LinkError> {
        if messages.is_empty() {
            return Ok(Waiting::new());
        }
        let mut place = self.open.lock().await;
        // Taken out, so that a cut-off delivery leaves no channel with confirms that nobody waits for.
        let mut open = match place.take() {
            Some(open) => open,
            None => Open { link: self.rabbit.visit("results").await?, channels: BTreeMap::new() },
        };
        for partner in messages
            .keys()
            .filter(|partner| !open.channels.contains_key(*partner))
            .cloned()
            .collect::<Vec<_>>()
        {
            open.channels.insert(partner, open.link.publisher().await?);
        }
        let channels = &open.channels;
        let sent = join_all(messages.iter().filter_map(|(partner, messages)| {
            let channel = channels.get(partner)?;
            Some(async move { channel.publish(messages).await.map(|fates| (partner, fates)) })
        }));
        let sent = sent.await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (waiting, is_mute) = missed(&open.link, sent).await?;
        self.leave_alone(&waiting);
        if !is_mute && open.channels.len() <= CHANNELS {
            *place = Some(open);
        }
        Ok(waiting)
    }
}

/// Who waits, and whether one of them got no answer.
async fn missed(link: &Link, sent: Vec<(&String, Vec<Fate>)>) -> Result<(Waiting, bool), LinkError> {
    let (now, mut waiting, mut is_mute) = (Instant::now(), Waiting::new(), false);
    let mut quiet = QUIET;
    for (partner, fates) in sent {
        if fates.contains(&Fate::Unroutable) {
            link.declare_results(partner).await?;
            waiting.insert(partner.clone(), now + SETTLE);
        } else if fates.iter().any(|fate| *fate != Fate::Confirmed) {
            is_mute |= fates.contains(&Fate::Silent);
            waiting.insert(partner.clone(), now + quiet);
            quiet += APART;
        }
    }
    Ok((waiting, is_mute))
}
