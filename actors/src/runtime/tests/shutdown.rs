use std::{
    cell::RefCell,
    sync::{Arc, Mutex},
};

use super::*;

#[test]
fn shutdown_finishes_what_was_accepted_and_refuses_the_rest() {
    world(async |universe| {
        let robot = universe.supervise(Spec::new("robot"), Robot::new).unwrap();
        let release = hold(&robot).await;
        let asks = async { tokio::join!(robot.ask(Echo(1), SOON), robot.ask(Echo(2), SOON)) };
        let late = async {
            until("accepted", || robot.state().mailbox_depth == 2).await;
            let shutdown = universe.shutdown(SOON);
            let refused = async {
                until("draining", || robot.state().status == Status::Draining).await;
                let refused = robot.ask(Echo(3), SOON).await;
                drop(release);
                refused
            };
            tokio::join!(shutdown, refused)
        };
        let ((first, second), (shutdown, refused)) = tokio::join!(asks, late);
        assert_eq!((first, second), (Ok(1), Ok(2)));
        assert_eq!(refused, Err(AskError::Down));
        shutdown.unwrap();
        assert_eq!(robot.state().status, Status::Stopped);
        assert_eq!(robot.state().restarts, 0);
        assert_eq!(robot.try_tell(Echo(4)), Err(NotAccepted::Down));
    });
}

#[test]
fn shutdown_waits_for_answers_that_are_still_being_made() {
    world(async |universe| {
        let robot = universe.supervise(Spec::new("robot"), Robot::new).unwrap();
        let (release, released) = oneshot::channel();
        let shutdown = async {
            until("taken", || gauge(&robot, "handled") == 1).await;
            let releaser = async {
                until("draining", || robot.state().status == Status::Draining).await;
                let stopped = until("stopped", || robot.state().status == Status::Stopped);
                let early = timeout(Duration::from_millis(50), stopped).await;
                assert!(early.is_err(), "ended with an answer outstanding");
                drop(release);
            };
            tokio::join!(universe.shutdown(SOON), releaser).0
        };
        let (answer, shutdown) = tokio::join!(robot.ask(Await(released), SOON), shutdown);
        assert_eq!(answer, Ok(()));
        shutdown.unwrap();
    });
}

#[test]
fn a_crash_while_draining_does_not_lose_the_rest() {
    world(async |universe| {
        let robot = universe.supervise(Spec::new("robot"), Robot::new).unwrap();
        let release = hold(&robot).await;
        let asks = async { tokio::join!(robot.ask(Panic, SOON), robot.ask(Echo(2), SOON)) };
        let shutdown = async {
            until("accepted", || robot.state().mailbox_depth == 2).await;
            let releaser = async {
                until("draining", || robot.state().status == Status::Draining).await;
                drop(release);
            };
            tokio::join!(universe.shutdown(SOON), releaser).0
        };
        let ((panicked, waiting), shutdown) = tokio::join!(asks, shutdown);
        assert_eq!(panicked, Err(AskError::Unknown));
        assert_eq!(waiting, Ok(2));
        shutdown.unwrap();
    });
}

#[test]
fn an_actor_that_does_not_finish_is_named_and_stopped() {
    world(async |universe| {
        let robot = universe.supervise(Spec::new("robot"), Robot::new).unwrap();
        let asks = async { tokio::join!(robot.ask(Freeze, SOON), robot.ask(Echo(2), SOON)) };
        let shutdown = async {
            until("frozen", || {
                let state = robot.state();
                state.unanswered == 2 && state.mailbox_depth == 1
            })
            .await;
            universe.shutdown(Duration::from_millis(50)).await
        };
        let ((frozen, waiting), shutdown) = tokio::join!(asks, shutdown);
        let left = shutdown.unwrap_err();
        assert_eq!(left.overdue, [Arc::from("robot")]);
        assert!(!left.threads_left);
        assert_eq!(frozen, Err(AskError::Unknown));
        assert_eq!(waiting, Err(AskError::Down), "never taken, so certainly not done");
    });
}

/// Writes down when it has drained; a consumer asks a worker for help while draining.
struct Drainer {
    name: &'static str,
    log: Arc<Mutex<Vec<&'static str>>>,
    helper: Option<Handle<Robot>>,
}

impl Actor for Drainer {
    type Context = Context<Self>;
}

impl Lifecycle for Drainer {
    fn drain(&mut self, _: &mut Context<Self>) -> ResponseActFuture<Self, ()> {
        let (name, log, helper) = (self.name, Arc::clone(&self.log), self.helper.clone());
        let rest = async move {
            if let Some(helper) = helper {
                assert_eq!(helper.ask(Echo(1), SOON).await, Ok(1));
            }
            tokio::task::yield_now().await;
            log.lock().unwrap().push(name);
        };
        Box::pin(rest.into_actor(self))
    }
}

#[test]
fn stages_drain_one_after_the_other() {
    world(async |universe| {
        let log = Arc::default();
        let robot = universe.supervise(Spec::new("robot"), Robot::new).unwrap();
        let start = |name, stage, helper: Option<Handle<Robot>>| {
            let log = Arc::clone(&log);
            let factory = move |_: &Probe| Drainer { name, log: Arc::clone(&log), helper: helper.clone() };
            universe.supervise(Spec::new(name).stage(stage), factory).unwrap();
        };
        start("relay", Stage::Outflow, None);
        start("wallet", Stage::Work, None);
        start("consumer", Stage::Intake, Some(robot));
        universe.shutdown(SOON).await.unwrap();
        assert_eq!(*log.lock().unwrap(), ["consumer", "wallet", "relay"]);
        let states = universe.snapshot();
        assert!(
            states.iter().all(|actor| actor.status == Status::Stopped && actor.restarts == 0),
            "{states:?}"
        );
    });
}

/// Makes a thread's end slow, so that a shutdown that does not wait for it is caught.
struct SlowToLeave(#[expect(dead_code, reason = "counted by its owner")] Arc<()>);

impl Drop for SlowToLeave {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

thread_local! {
    /// Dropped when the thread has ended.
    static ON_THIS_THREAD: RefCell<Option<SlowToLeave>> = const { RefCell::new(None) };
}

fn marking_its_thread(mark: &Arc<()>) -> impl Fn(&Probe) -> Robot + use<> {
    let mark = Arc::clone(mark);
    move |probe| {
        ON_THIS_THREAD.with_borrow_mut(|on_this_thread| {
            on_this_thread.get_or_insert_with(|| SlowToLeave(Arc::clone(&mark)));
        });
        Robot::new(probe)
    }
}

#[test]
fn no_thread_is_left_after_shutdown() {
    world(async |universe| {
        let mark = Arc::new(());
        for name in ["a", "b"] {
            let robot = universe.supervise(Spec::new(name), marking_its_thread(&mark)).unwrap();
            assert_eq!(robot.ask(Panic, SOON).await, Err(AskError::Unknown));
            assert_eq!(robot.ask(Echo(1), SOON).await, Ok(1));
        }
        assert_eq!(Arc::strong_count(&mark), 5, "one in each factory, one on each thread");
        universe.shutdown(SOON).await.unwrap();
        assert_eq!(Arc::strong_count(&mark), 1);
    });
}

#[test]
fn a_dropped_universe_ends_its_actors() {
    System::new().block_on(async {
        let mark = Arc::new(());
        let universe = Universe::new();
        let robot = universe.supervise(Spec::new("robot"), marking_its_thread(&mark)).unwrap();
        assert_eq!(robot.ask(Echo(1), SOON).await, Ok(1));
        drop(universe);
        until("the thread ended", || Arc::strong_count(&mark) == 1).await;
        assert_eq!(robot.ask(Echo(2), SOON).await, Err(AskError::Down));
    });
}
