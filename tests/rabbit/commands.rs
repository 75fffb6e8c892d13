//! Commands come in: settled by their outcome, tried again, set aside.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use gencharge::platform::bus::rabbit::{CommandFeed, ParkingFeed, Rabbit};
use gencharge_actors::kernel::SystemClock;
use gencharge_actors::messages::{
    Archive, ArchiveError, CommandHandler, IncomingCommand, Outcome, ParkReason, Parked, Replay as _,
};
use gencharge_actors::runtime::{Spec, TaskActor, Universe};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString};

use crate::support::broker::Broker;
use crate::support::eventually;

const PATIENCE: Duration = Duration::from_secs(60);

/// Does what the body says, and remembers what it was given.
#[derive(Default)]
struct Script {
    seen: Mutex<HashMap<String, Vec<IncomingCommand>>>,
}

impl Script {
    fn seen(&self, body: &str) -> Vec<IncomingCommand> {
        self.seen.lock().unwrap().get(body).cloned().unwrap_or_default()
    }
}

impl CommandHandler for Script {
    fn handle(&self, command: IncomingCommand) -> BoxFuture<'_, Outcome> {
        let body = String::from_utf8_lossy(&command.body).into_owned();
        let times = {
            let mut seen = self.seen.lock().unwrap();
            let times = seen.entry(body.clone()).or_default();
            times.push(command);
            times.len()
        };
        Box::pin(async move {
            match body.as_str() {
                "poison" => panic!("poison"),
                "park" => Outcome::Park(ParkReason::new("unknown_type", "type: no such type")),
                "later" if times < 3 => Outcome::Retry("the store is away".to_owned()),
                _ => Outcome::Done,
            }
        })
    }
}

#[derive(Default)]
struct Kept(Mutex<Vec<Parked>>);

impl Archive for Kept {
    fn keep<'a>(&'a self, parked: &'a [Parked]) -> BoxFuture<'a, Result<(), ArchiveError>> {
        self.0.lock().unwrap().extend_from_slice(parked);
        Box::pin(async { Ok(()) })
    }
}

struct World {
    universe: Universe,
    script: Arc<Script>,
    kept: Arc<Kept>,
}

impl World {
    fn start(rabbit: &Rabbit) -> World {
        let universe = Universe::new();
        let (script, kept) = (Arc::new(Script::default()), Arc::new(Kept::default()));
        let (broker, handler) = (rabbit.clone(), Arc::clone(&script));
        universe
            .supervise(Spec::new("commands"), move |probe| {
                let feed = CommandFeed::new(
                    broker.clone(),
                    Arc::<Script>::clone(&handler),
                    Arc::new(SystemClock),
                    probe,
                );
                TaskActor::new(|ending| feed.run(ending))
            })
            .unwrap();
        let (broker, archive) = (rabbit.clone(), Arc::clone(&kept));
        universe
            .supervise(Spec::new("parking"), move |probe| {
                let feed = ParkingFeed::new(
                    broker.clone(),
                    Arc::<Kept>::clone(&archive),
                    Arc::new(SystemClock),
                    probe,
                );
                TaskActor::new(|ending| feed.run(ending))
            })
            .unwrap();
        World { universe, script, kept }
    }

    async fn parked(&self, body: &str) -> Parked {
        eventually(&format!("{body} parked"), PATIENCE, async || {
            self.kept.0.lock().unwrap().iter().find(|parked| &*parked.body == body.as_bytes()).cloned()
        })
        .await
    }

    async fn seen(&self, body: &str, times: usize) -> Vec<IncomingCommand> {
        eventually(&format!("{body} seen {times} times"), PATIENCE, async || {
            let seen = self.script.seen(body);
            (seen.len() >= times).then_some(seen)
        })
        .await
    }
}

fn headers(pairs: &[(&str, &str)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert((*name).into(), AMQPValue::LongString(LongString::from(*value)));
    }
    table
}

#[test]
fn every_outcome_settles_its_command_and_the_queue_goes_on() {
    let Some(broker) = Broker::of_test() else { return };
    actix_web::rt::System::new().block_on(async {
        let client = broker.client().await;
        let rabbit = broker.rabbit();
        let world = World::start(&rabbit);
        let commands = broker.topology.commands();
        let properties = BasicProperties::default()
            .with_user_id("guest".into())
            .with_content_type("application/json".into())
            .with_message_id("m-1".into())
            .with_correlation_id("c-1".into())
            .with_timestamp(1_700_000_000)
            .with_headers(headers(&[("color", "green")]));
        for body in ["poison", "park", "later", "done"] {
            client
                .publish(&commands, "gencharge.recharge.requested.v1", properties.clone(), body.as_bytes())
                .await;
        }
        // Nobody's: the broker vouches for no sender.
        client.publish(&commands, "k", BasicProperties::default(), b"nobody").await;
        client.publish(&commands, "k", properties.clone(), &vec![b'x'; 70_000]).await;

        let done = &world.seen("done", 1).await[0];
        assert_eq!(done.user_id.as_deref(), Some("guest"));
        assert_eq!((done.tries, done.redelivered), (0, false));
        assert_eq!(
            done.headers,
            HashMap::from([("color".to_owned(), "green".to_owned())]).into_iter().collect()
        );
        assert_eq!(done.routing_key, "gencharge.recharge.requested.v1");
        assert_eq!(world.seen("nobody", 1).await[0].user_id, None);

        let later = world.seen("later", 3).await;
        assert_eq!(later.iter().map(|command| command.tries).collect::<Vec<_>>(), [0, 1, 2]);
        let same = IncomingCommand { tries: 0, redelivered: false, ..later[2].clone() };
        assert_eq!(same, later[0], "a try later it is the same command");

        let parked = world.parked("park").await;
        assert_eq!((&*parked.code, &*parked.detail), ("unknown_type", "type: no such type"));
        assert_eq!((&*parked.queue, &*parked.routing_key), (&*commands, "gencharge.recharge.requested.v1"));
        assert_eq!(parked.user_id.as_deref(), Some("guest"));
        assert_eq!(
            (parked.message_id.as_deref(), parked.correlation_id.as_deref()),
            (Some("m-1"), Some("c-1"))
        );
        assert_eq!(parked.headers["color"], "green");
        assert_eq!(world.parked("poison").await.code, "handler_failed");
        assert_eq!(world.script.seen("poison").len(), 5);
        assert_eq!(world.parked(&"x".repeat(70_000)).await.code, "body_too_large");

        rabbit.replay(&parked).await.unwrap();
        let again = world.seen("park", 2).await;
        assert_eq!(again[0].user_id, again[1].user_id);
        eventually("it is parked again", PATIENCE, async || {
            let kept = world.kept.0.lock().unwrap();
            let times: Vec<_> =
                kept.iter().filter(|parked| &*parked.body == b"park").map(|parked| &parked.token).collect();
            (times.len() == 2 && times[0] != times[1]).then_some(())
        })
        .await;
        assert_eq!(client.depth(&commands).await, 0);
        world.universe.shutdown(Duration::from_secs(20)).await.unwrap();
    });
}
