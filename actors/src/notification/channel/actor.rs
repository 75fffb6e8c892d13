//! The actor of one channel: follows the notices, delivers copies, remembers what failed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, ResponseActFuture, WrapFuture};
use chrono::TimeDelta;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{Channel, Contact, DeliveryError, DeliveryStore, Failure, Message, People, SendError, Settled};
use crate::kernel::{Clock, PhoneNumber, Random, UserId};
use crate::notification::{Channels, Language, NotificationStore, NotificationStoreError, Posted, Recipient};
use crate::runtime::{Gauge, Lifecycle, Probe};

/// Notices read at once.
const PAGE: u32 = 200;
/// Copies delivered in one round.
const ROUND: usize = 50;
/// Deliveries under way at once.
const AT_ONCE: usize = 8;
/// How long one delivery may take.
const SEND_WITHIN: Duration = Duration::from_secs(15);
/// How long the stores may take for one step.
const STORE_WITHIN: Duration = Duration::from_secs(10);
/// How long a claim holds. Longer than everything a round does together.
const LEASE: Duration = Duration::from_secs(240);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(30);
/// How often a channel that another process holds is asked for.
const STANDBY: Duration = Duration::from_secs(5);
/// The pause when there is nothing to do.
const IDLE: Duration = Duration::from_millis(500);
/// The shortest pause between rounds.
const BREATH: Duration = Duration::from_millis(50);
/// The longest pause while the provider or a store is away.
const AWAY: Duration = Duration::from_secs(60);
/// News older than this is not news: it is not delivered any more.
const STALE: TimeDelta = TimeDelta::hours(24);
/// Tries after which a copy is dead.
const ATTEMPTS: u32 = 10;
/// The wait before the second try, in seconds; it doubles with each.
const RETRY_SECONDS: i64 = 10;
/// The longest wait between tries, in seconds.
const RETRY_SECONDS_MAX: i64 = 1800;

/// Which channel, and its bounds.
#[derive(Clone, Copy, Debug)]
pub struct ChannelSettings {
    /// Its name in the store and in the actor's name.
    pub name: &'static str,
    /// What of a notice's channels it is.
    pub kind: Channels,
    /// Messages a second, at most.
    pub per_second: u32,
    /// For customers who did not choose.
    pub language: Language,
}

/// What a channel's actor works with.
#[derive(Clone)]
pub struct ChannelParts {
    /// The way out.
    pub channel: Arc<dyn Channel>,
    /// The notices.
    pub notices: Arc<dyn NotificationStore>,
    /// Positions and failures.
    pub deliveries: Arc<dyn DeliveryStore>,
    /// The customers.
    pub people: Arc<dyn People>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For the owner's number.
    pub random: Arc<dyn Random>,
}

/// Delivers copies of notices through one channel. It takes no messages.
///
/// Gauges: `delivered`, `failed`, `dead`, `stale` (too old to be delivered), `rounds`, `position`, `holding` (1: this
/// process works on the channel).
pub struct ChannelActor {
    settings: ChannelSettings,
    parts: ChannelParts,
    probe: Probe,
    stop: watch::Sender<bool>,
    ended: watch::Sender<bool>,
}

impl ChannelActor {
    /// The actor of one channel.
    #[must_use]
    pub fn new(settings: ChannelSettings, parts: ChannelParts, probe: &Probe) -> Self {
        let (stop, ended) = (watch::Sender::new(false), watch::Sender::new(false));
        Self { settings, parts, probe: probe.clone(), stop, ended }
    }
}

impl Actor for ChannelActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let mut run = Run::new(self.settings, self.parts.clone(), &self.probe);
        let (mut stop, ended) = (self.stop.subscribe(), self.ended.clone());
        let rounds = async move {
            while !*stop.borrow() {
                let pause = run.round().await;
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
            }
            run.let_go().await;
            ended.send_replace(true);
        };
        ctx.spawn(rounds.into_actor(self));
    }
}

impl Lifecycle for ChannelActor {
    /// The round under way ends; what was not delivered is where it was.
    fn drain(&mut self, _: &mut Context<Self>) -> ResponseActFuture<Self, ()> {
        self.stop.send_replace(true);
        let mut ended = self.ended.subscribe();
        Box::pin(
            async move {
                let _ = ended.wait_for(|ended| *ended).await;
            }
            .into_actor(self),
        )
    }
}

/// Why a round could not be done.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Deliveries(#[from] DeliveryError),
    #[error(transparent)]
    Notices(#[from] NotificationStoreError),
    #[error(transparent)]
    People(#[from] super::PeopleError),
    #[error("a store did not answer in time")]
    Late,
}

/// A copy to be delivered.
struct Copy {
    failure: Failure,
    message: Message,
    /// True when it failed before.
    again: bool,
}

struct Run {
    settings: ChannelSettings,
    parts: ChannelParts,
    owner: i64,
    /// Where the channel is, while this process holds it, and when the claim is to be renewed.
    held: Option<(i64, Instant)>,
    /// Rounds in a row in which the provider or a store was away.
    away: u32,
    probe: Probe,
    delivered: Gauge,
    failed: Gauge,
    dead: Gauge,
    stale: Gauge,
    rounds: Gauge,
    position: Gauge,
    holding: Gauge,
}

impl Run {
    fn new(settings: ChannelSettings, parts: ChannelParts, probe: &Probe) -> Self {
        let owner = i64::try_from(parts.random.below(u64::MAX >> 1)).unwrap_or(i64::MAX);
        Self {
            settings,
            parts,
            owner,
            held: None,
            away: 0,
            delivered: probe.gauge("delivered"),
            failed: probe.gauge("failed"),
            dead: probe.gauge("dead"),
            stale: probe.gauge("stale"),
            rounds: probe.gauge("rounds"),
            position: probe.gauge("position"),
            holding: probe.gauge("holding"),
            probe: probe.clone(),
        }
    }

    /// One round; answers how long to rest.
    async fn round(&mut self) -> Duration {
        self.rounds.add(1);
        match self.work().await {
            Ok(Some(pause)) => pause,
            Ok(None) => STANDBY,
            Err(error) => {
                tracing::warn!(channel = self.settings.name, error.message = %error, "messages.wait");
                self.probe.note(&error);
                // Whether the last word of the store was written is unknown: ask anew.
                self.held = None;
                self.away = self.away.saturating_add(1);
                self.backoff()
            }
        }
    }

    /// Lets another process have the channel at once; otherwise it waits for the claim to run out.
    async fn let_go(&mut self) {
        if self.held.take().is_some()
            && let Ok(Err(error)) =
                timeout(STORE_WITHIN, self.parts.deliveries.release(self.settings.name, self.owner)).await
        {
            self.probe.note(&error);
        }
    }

    fn backoff(&self) -> Duration {
        let doublings = self.away.min(7);
        Duration::from_millis(500).saturating_mul(1 << doublings).min(AWAY)
    }

    async fn work(&mut self) -> Result<Option<Duration>, RoundError> {
        let Some(position) = self.hold().await? else { return Ok(None) };
        let name = self.settings.name;
        // While the provider is away, one message at a time asks whether it is back.
        let most = if self.away > 0 { 1 } else { ROUND };
        let now = self.parts.clock.now();
        let limit = u32::try_from(most).unwrap_or(1);
        let due = within(self.parts.deliveries.due(name, now, limit)).await??;
        let fresh = within(self.parts.notices.posted(None, position, PAGE)).await??;
        let (mut settled, mut fresh, more) = self.choose(position, fresh, most.saturating_sub(due.len()));
        let again: Vec<_> = due.iter().map(|failure| failure.notice.clone()).collect();
        fresh.splice(0..0, due);
        let people: Vec<_> = fresh.iter().map(|failure| failure.to).collect();
        let contacts = if people.is_empty() {
            HashMap::new()
        } else {
            within(self.parts.people.contacts(&people)).await??
        };
        let mut copies = Vec::with_capacity(fresh.len());
        for failure in fresh {
            let again = again.contains(&failure.notice);
            match self.message(&failure, contacts.get(&failure.to)) {
                Some(message) => copies.push(Copy { failure, message, again }),
                // Gone, or not wanted any more.
                None => settled.done.extend(again.then_some(failure.notice)),
            }
        }
        let sent = copies.len();
        let all_away = self.deliver(copies, &mut settled).await;
        self.settle(position, settled).await?;
        if all_away && sent > 0 {
            self.away = self.away.saturating_add(1);
            return Ok(Some(self.backoff()));
        }
        self.away = if sent > 0 { 0 } else { self.away };
        if self.away > 0 {
            return Ok(Some(self.backoff()));
        }
        let paced = Duration::from_secs(1).saturating_mul(u32::try_from(sent).unwrap_or(u32::MAX))
            / self.settings.per_second.max(1);
        Ok(Some(if more || sent > 0 { paced.max(BREATH) } else { IDLE }))
    }

    /// The position, while this process holds the channel.
    async fn hold(&mut self) -> Result<Option<i64>, RoundError> {
        if let Some((position, renew_at)) = self.held
            && Instant::now() < renew_at
        {
            return Ok(Some(position));
        }
        let head = within(self.parts.notices.head()).await??;
        let claim = self.parts.deliveries.claim(self.settings.name, self.owner, LEASE, head);
        let position = within(claim).await??;
        self.held = position.map(|position| (position, Instant::now() + RENEW));
        self.holding.set(u64::from(position.is_some()));
        Ok(position)
    }

    /// What of the notices is for this channel, up to `most`; how far that reaches; whether there is more.
    fn choose(&self, position: i64, posted: Vec<Posted>, most: usize) -> (Settled, Vec<Failure>, bool) {
        let mut settled = Settled { position, ..Settled::default() };
        let mut chosen = Vec::new();
        let oldest = self.parts.clock.now() - STALE;
        let mut more = posted.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        for notice in posted {
            if let Recipient::User(to) = notice.recipient
                && notice.channels.contain(self.settings.kind)
            {
                if chosen.len() >= most {
                    more = true;
                    break;
                }
                let failure = copy_of(&notice, to);
                if failure.at < oldest {
                    self.stale.add(1);
                } else {
                    chosen.push(failure);
                }
            }
            settled.position = notice.seq;
        }
        (settled, chosen, more)
    }

    fn message(&self, copy: &Failure, contact: Option<&Contact>) -> Option<Message> {
        let contact = contact?;
        if self.settings.kind == Channels::EMAIL {
            let to = contact.email.as_deref().filter(|_| contact.wishes.email)?;
            let language = contact.language(self.settings.language);
            Some(Message::email(&copy.notice, to, &copy.text, copy.at, language))
        } else {
            let phone: Option<PhoneNumber> = contact.wishes.sms.then_some(contact.phone);
            Some(Message::sms(&copy.notice, phone?, &copy.text, copy.at))
        }
    }

    /// Delivers; answers whether the provider took none because it is away.
    async fn deliver(&self, copies: Vec<Copy>, settled: &mut Settled) -> bool {
        let channel = &self.parts.channel;
        let mut outcomes = futures_util::stream::iter(copies)
            .map(|copy| async move {
                let late = || Err(SendError::Away("no answer in time".to_owned()));
                let sent = timeout(SEND_WITHIN, channel.send(&copy.message)).await;
                (copy, sent.unwrap_or_else(|_| late()))
            })
            .buffer_unordered(AT_ONCE);
        let mut all_away = true;
        while let Some((copy, outcome)) = outcomes.next().await {
            let Copy { failure, again, .. } = copy;
            match outcome {
                Ok(()) => {
                    all_away = false;
                    self.delivered.add(1);
                    settled.done.extend(again.then_some(failure.notice));
                }
                Err(error) => {
                    all_away &= matches!(error, SendError::Away(_));
                    settled.failed.push(self.failed(failure, &error));
                }
            }
        }
        all_away
    }

    fn failed(&self, failure: Failure, error: &SendError) -> Failure {
        let attempts = failure.attempts.saturating_add(1);
        let again = matches!(error, SendError::Away(_)) && attempts < ATTEMPTS;
        let doublings = attempts.saturating_sub(1).min(20);
        let seconds = RETRY_SECONDS.saturating_mul(1 << doublings).min(RETRY_SECONDS_MAX);
        let next = again.then(|| self.parts.clock.now() + TimeDelta::seconds(seconds));
        self.failed.add(1);
        if next.is_none() {
            self.dead.add(1);
            tracing::error!(
                channel = self.settings.name,
                notice.id = failure.notice,
                attempts,
                error.message = %error,
                "a message is dead: it is kept and will not be tried again by itself"
            );
        }
        self.probe.note(error);
        Failure { attempts, error: error.to_string().chars().take(300).collect(), next, ..failure }
    }

    async fn settle(&mut self, before: i64, settled: Settled) -> Result<(), RoundError> {
        if settled == (Settled { position: before, ..Settled::default() }) {
            return Ok(());
        }
        let now = self.parts.clock.now();
        let write = self.parts.deliveries.settle(self.settings.name, self.owner, &settled, now);
        if within(write).await?? {
            self.held = self.held.map(|(_, renew_at)| (settled.position, renew_at));
            self.position.set(u64::try_from(settled.position).unwrap_or_default());
        } else {
            self.held = None;
        }
        Ok(())
    }
}

async fn within<T>(work: impl Future<Output = T>) -> Result<T, RoundError> {
    timeout(STORE_WITHIN, work).await.map_err(|_| RoundError::Late)
}

fn copy_of(notice: &Posted, to: UserId) -> Failure {
    let text = |field: &str| notice.document.get(field).and_then(|value| value.as_str()).unwrap_or_default();
    Failure {
        notice: text("_id").to_owned(),
        to,
        text: text("description").to_owned(),
        at: text("created_at").parse().unwrap_or_default(),
        attempts: 0,
        error: String::new(),
        next: None,
    }
}
