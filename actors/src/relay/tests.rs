use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;

use super::*;
use crate::kernel::{Clock, EventId, ManualClock};

/// An outbox in memory, on a clock that the test moves.
struct Shelf {
    clock: ManualClock,
    rows: Mutex<BTreeMap<i64, Row>>,
}

#[derive(Clone, Default)]
struct Row {
    created_at: DateTime<Utc>,
    claimed_until: Option<DateTime<Utc>>,
    attempts: u32,
    delivered: bool,
    parked: Option<String>,
}

impl Shelf {
    fn with(ids: &[i64]) -> Arc<Self> {
        let clock = ManualClock::at(DateTime::from_timestamp(1_700_000_000, 0).unwrap());
        let row = Row { created_at: clock.now(), ..Row::default() };
        Arc::new(Self { clock, rows: Mutex::new(ids.iter().map(|id| (*id, row.clone())).collect()) })
    }

    fn row(&self, id: i64) -> Row {
        self.rows.lock().unwrap()[&id].clone()
    }
}

impl Outbox for Shelf {
    fn claim(&self, limits: ClaimLimits, lease: Duration) -> BoxFuture<'_, Result<Vec<Batch>, OutboxError>> {
        let now = self.clock.now();
        let mut rows = self.rows.lock().unwrap();
        let claimed = rows
            .iter_mut()
            .filter(|(_, row)| {
                !row.delivered && row.parked.is_none() && row.claimed_until.is_none_or(|until| until <= now)
            })
            .take(usize::try_from(limits.batches).unwrap())
            .map(|(id, row)| {
                row.attempts += 1;
                row.claimed_until = Some(now + lease);
                Batch {
                    batch_id: *id,
                    created_at: row.created_at,
                    attempts: row.attempts,
                    events: vec![OutboxEvent {
                        event_id: EventId(*id),
                        type_name: "test".to_owned(),
                        txn_id: None,
                        data: "{}".to_owned(),
                        addressee: None,
                    }],
                }
            })
            .collect();
        Box::pin(async { Ok(claimed) })
    }

    fn delivered<'a>(&'a self, batch_ids: &'a [i64]) -> BoxFuture<'a, Result<u64, OutboxError>> {
        let mut rows = self.rows.lock().unwrap();
        for id in batch_ids {
            rows.get_mut(id).unwrap().delivered = true;
        }
        let count = u64::try_from(batch_ids.len()).unwrap();
        Box::pin(async move { Ok(count) })
    }

    fn release<'a>(
        &'a self,
        batch_ids: &'a [i64],
        pause: Duration,
        counted: bool,
        _: &'a str,
    ) -> BoxFuture<'a, Result<(), OutboxError>> {
        let mut rows = self.rows.lock().unwrap();
        for id in batch_ids {
            let row = rows.get_mut(id).unwrap();
            row.claimed_until = Some(self.clock.now() + pause);
            row.attempts -= u32::from(!counted);
        }
        Box::pin(async { Ok(()) })
    }

    fn park<'a>(&'a self, batch_id: i64, error: &'a str) -> BoxFuture<'a, Result<(), OutboxError>> {
        self.rows.lock().unwrap().get_mut(&batch_id).unwrap().parked = Some(error.to_owned());
        Box::pin(async { Ok(()) })
    }

    fn standing(&self) -> BoxFuture<'_, Result<Standing, OutboxError>> {
        Box::pin(async { Ok(Standing::default()) })
    }
}

/// A bus that refuses what holds a bad batch, and records the rest.
#[derive(Default)]
struct Picky {
    bad: Option<i64>,
    held: Option<i64>,
    away: Mutex<bool>,
    seen: Mutex<Vec<Vec<i64>>>,
}

impl Bus for Picky {
    fn deliver(&self, batches: Arc<[Batch]>) -> BoxFuture<'_, Result<Option<Held>, DeliverError>> {
        let ids: Vec<_> = batches.iter().map(|batch| batch.batch_id).collect();
        let answer = if *self.away.lock().unwrap() {
            Err(DeliverError::Unavailable("away".to_owned()))
        } else if self.bad.is_some_and(|bad| ids.contains(&bad)) {
            Err(DeliverError::Refused("bad".to_owned()))
        } else {
            let held = |id: &i64| self.held.is_some_and(|held| held == *id);
            let (held, seen): (Vec<_>, Vec<_>) = ids.into_iter().partition(held);
            self.seen.lock().unwrap().push(seen);
            let pause = Duration::from_secs(60);
            let batch_ids: std::collections::BTreeSet<_> = held.into_iter().collect();
            Ok((!batch_ids.is_empty()).then(|| Held { batch_ids, pause, why: "mute".to_owned() }))
        };
        Box::pin(async move { answer })
    }
}

fn relay(shelf: &Arc<Shelf>, bus: &Arc<Picky>) -> Relay {
    let clock = Arc::new(shelf.clock.clone());
    let settings = RelaySettings { max_attempts: 3, ..RelaySettings::default() };
    Relay::new(Arc::<Shelf>::clone(shelf), Arc::<Picky>::clone(bus), clock, settings)
}

#[tokio::test(start_paused = true)]
async fn fresh_batches_go_together_and_are_marked() {
    let (shelf, bus) = (Shelf::with(&[1, 2, 3]), Arc::new(Picky::default()));
    shelf.clock.advance(TimeDelta::milliseconds(700));
    let cycle = relay(&shelf, &bus).cycle().await.unwrap();
    assert_eq!((cycle.batches, cycle.events, cycle.lag), (3, 3, Duration::from_millis(700)));
    assert_eq!(*bus.seen.lock().unwrap(), [[1, 2, 3]]);
    assert_eq!(relay(&shelf, &bus).cycle().await.unwrap().claimed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_bad_batch_takes_nobody_with_it_and_is_parked_after_its_tries() {
    let (shelf, bus) = (Shelf::with(&[1, 2, 3]), Arc::new(Picky { bad: Some(2), ..Picky::default() }));
    let relay = relay(&shelf, &bus);
    let cycle = relay.cycle().await.unwrap();
    assert_eq!((cycle.batches, cycle.released, cycle.parked), (2, 1, 0));
    assert_eq!(*bus.seen.lock().unwrap(), [[1], [3]]);
    assert_eq!(relay.cycle().await.unwrap().claimed, 0, "the pause holds");
    for parked in [0, 1] {
        shelf.clock.advance(TimeDelta::minutes(1));
        assert_eq!(relay.cycle().await.unwrap().parked, parked);
    }
    assert_eq!(shelf.row(2).parked.as_deref(), Some("refused: bad"));
    shelf.clock.advance(TimeDelta::days(1));
    assert_eq!(relay.cycle().await.unwrap().claimed, 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_never_parks_anything() {
    let (shelf, bus) = (Shelf::with(&[1, 2]), Arc::new(Picky::default()));
    let relay = relay(&shelf, &bus);
    *bus.away.lock().unwrap() = true;
    for _ in 0..50 {
        let cycle = relay.cycle().await.unwrap();
        assert_eq!((cycle.released, cycle.parked), (2, 0));
        shelf.clock.advance(TimeDelta::minutes(2));
    }
    *bus.away.lock().unwrap() = false;
    assert_eq!(relay.cycle().await.unwrap().batches, 2);
    assert_eq!(*bus.seen.lock().unwrap(), [[1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn who_is_held_up_holds_up_nobody_else_and_is_never_parked() {
    let (shelf, bus) = (Shelf::with(&[1, 2, 3]), Arc::new(Picky { held: Some(2), ..Picky::default() }));
    let stuck = relay(&shelf, &bus);
    let cycle = stuck.cycle().await.unwrap();
    assert_eq!((cycle.batches, cycle.held, cycle.released), (2, 1, 0));
    assert_eq!(*bus.seen.lock().unwrap(), [[1, 3]]);
    assert_eq!(stuck.cycle().await.unwrap().claimed, 0, "the pause holds");
    for _ in 0..50 {
        shelf.clock.advance(TimeDelta::minutes(1));
        let cycle = stuck.cycle().await.unwrap();
        assert_eq!((cycle.held, cycle.parked), (1, 0));
    }
    shelf.clock.advance(TimeDelta::minutes(1));
    assert_eq!(relay(&shelf, &Arc::default()).cycle().await.unwrap().batches, 1);
}

/// Never answers.
struct Mute;

impl Bus for Mute {
    fn deliver(&self, _: Arc<[Batch]>) -> BoxFuture<'_, Result<Option<Held>, DeliverError>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_without_answer_counts_and_ends() {
    let shelf = Shelf::with(&[1]);
    let clock = Arc::new(shelf.clock.clone());
    let settings = RelaySettings { max_attempts: 2, ..RelaySettings::default() };
    let relay = Relay::new(Arc::<Shelf>::clone(&shelf), Arc::new(Mute), clock, settings);
    assert_eq!(relay.cycle().await.unwrap().released, 1);
    shelf.clock.advance(TimeDelta::minutes(1));
    assert_eq!(relay.cycle().await.unwrap().parked, 1);
}

#[test]
fn the_actor_delivers_when_woken_and_empties_the_outbox_at_the_end() {
    actix::System::new().block_on(wake_and_flush());
}

async fn wake_and_flush() {
    use crate::runtime::{Spec, Stage, Universe};

    let (shelf, bus) = (Shelf::with(&[]), Arc::new(Picky::default()));
    let universe = Universe::new();
    let signal = OutboxSignal::default();
    let parts = (Arc::clone(&shelf), Arc::clone(&bus), signal.clone());
    // Only the wake can find the first batch within this test's time, only the flush the second.
    let pace = Pace { poll: Duration::from_secs(3600), ..Pace::default() };
    let actor = universe
        .supervise(Spec::new("relay").stage(Stage::Outflow), move |probe| {
            RelayActor::new(relay(&parts.0, &parts.1), parts.2.clone(), pace, probe)
        })
        .unwrap();
    let put = |id| {
        let row = Row { created_at: shelf.clock.now(), ..Row::default() };
        shelf.rows.lock().unwrap().insert(id, row);
    };
    let delivered =
        || actor.state().gauges.iter().find(|(name, _)| *name == "delivered").map(|(_, count)| *count);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    put(1);
    signal.wake();
    while delivered() != Some(1) {
        assert!(std::time::Instant::now() < deadline, "not delivered after a wake");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    put(2);
    universe.shutdown(Duration::from_secs(10)).await.unwrap();
    assert!(shelf.row(2).delivered, "left behind by the shutdown");
}
