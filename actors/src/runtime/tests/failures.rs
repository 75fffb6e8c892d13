use super::*;

fn quick_check() -> Limits {
    Limits {
        ping_every: Duration::from_millis(10),
        ping_deadline: Duration::from_millis(100),
        ..Limits::default()
    }
}

#[test]
fn a_panic_costs_one_answer_and_one_life() {
    world(async |universe| {
        let robot = universe.supervise(Spec::new("robot"), Robot::new).unwrap();
        assert_eq!(robot.ask(Echo(1), SOON).await, Ok(1));
        assert_eq!(robot.ask(Panic, SOON).await, Err(AskError::Unknown));
        assert_eq!(robot.ask(Echo(2), SOON).await, Ok(2));
        let state = robot.state();
        assert_eq!(state.restarts, 1);
        assert_eq!(state.status, Status::Running);
        assert_eq!(state.last_error.as_deref(), Some("panicked: on purpose"));
        assert_eq!(gauge(&robot, "lives"), 2);
        assert_eq!(gauge(&robot, "handled"), 2, "counters go on across lives");
        assert!(universe.ready());
        assert_eq!(*universe.fatal().borrow(), None);
    });
}

#[test]
fn what_waits_in_the_mailbox_survives_a_crash() {
    world(async |universe| {
        let robot = universe.supervise(Spec::new("robot"), Robot::new).unwrap();
        let release = hold(&robot).await;
        let asks = async { tokio::join!(robot.ask(Panic, SOON), robot.ask(Echo(5), SOON)) };
        let releaser = async {
            until("both waiting", || robot.state().mailbox_depth == 2).await;
            drop(release);
        };
        let ((panicked, waiting), ()) = tokio::join!(asks, releaser);
        assert_eq!(panicked, Err(AskError::Unknown));
        assert_eq!(waiting, Ok(5));
        assert_eq!(robot.state().restarts, 1);
    });
}

#[test]
fn an_error_stop_restarts_and_shows_the_error() {
    world(async |universe| {
        let robot = universe.supervise(Spec::new("robot"), Robot::new).unwrap();
        assert_eq!(robot.ask(Fail("connection lost"), SOON).await, Ok(()));
        assert_eq!(robot.ask(Echo(1), SOON).await, Ok(1));
        let state = robot.state();
        assert_eq!(state.restarts, 1);
        assert_eq!(state.last_error.as_deref(), Some("connection lost"));
        robot.ask(Quit, SOON).await.unwrap();
        assert_eq!(robot.ask(Echo(1), SOON).await, Ok(1));
        let state = robot.state();
        assert_eq!(state.restarts, 2);
        assert_eq!(
            state.last_error.as_deref(),
            Some("stopped without being asked"),
            "the error of the life before is not repeated"
        );
    });
}

#[test]
fn an_async_freeze_is_noticed_and_cured() {
    world(async |universe| {
        let spec = Spec::new("robot").limits(quick_check());
        let robot = universe.supervise(spec, Robot::new).unwrap();
        let (frozen, waiting) = tokio::join!(robot.ask(Freeze, SOON), robot.ask(Echo(3), SOON));
        assert_eq!(frozen, Err(AskError::Unknown));
        assert_eq!(waiting, Ok(3), "waited in the mailbox for the next life");
        let state = robot.state();
        assert_eq!(state.restarts, 1);
        assert_eq!(state.last_error.as_deref(), Some("did not read its mailbox for 100ms"));
        assert_eq!(*universe.fatal().borrow(), None);
    });
}

#[test]
fn an_idle_actor_is_not_taken_for_frozen() {
    world(async |universe| {
        let limits = Limits {
            ping_every: Duration::from_millis(1),
            ping_deadline: Duration::from_millis(200),
            ..Limits::default()
        };
        let robot = universe.supervise(Spec::new("robot").limits(limits), Robot::new).unwrap();
        until("several checks later", || robot.state().running_for > Duration::from_millis(500)).await;
        assert_eq!(robot.state().restarts, 0);
    });
}

#[test]
fn a_blocked_thread_is_given_up() {
    world(async |universe| {
        let spec = Spec::new("robot").limits(quick_check());
        let robot = universe.supervise(spec, Robot::new).unwrap();
        let (release, released) = std_mpsc::channel();
        robot.try_tell(Block(released)).unwrap();
        let fatal = timeout(SOON, universe.given_up()).await.unwrap();
        assert_eq!(&*fatal.actor, "robot");
        assert!(fatal.reason.contains("thread is blocked"), "{}", fatal.reason);
        assert!(!universe.ready());
        assert_eq!(robot.ask(Echo(1), SOON).await, Err(AskError::Down));
        drop(release);
        assert_eq!(robot.state().status, Status::Failed, "it stays given up");
    });
}

#[test]
fn a_crash_storm_ends_in_giving_up() {
    world(async |universe| {
        let limits = Limits { restarts: 3, backoff: Duration::from_millis(1), ..Limits::default() };
        let robot = universe.supervise(Spec::new("robot").limits(limits), Robot::new).unwrap();
        let other = universe.supervise(Spec::new("other"), Robot::new).unwrap();
        for _ in 0..4 {
            assert!(universe.fatal().borrow().is_none());
            assert_eq!(robot.ask(Panic, SOON).await, Err(AskError::Unknown));
        }
        let fatal = timeout(SOON, universe.given_up()).await.unwrap();
        assert_eq!(&*fatal.actor, "robot");
        assert_eq!(fatal.reason, "panicked: on purpose");
        assert!(!universe.ready());
        let state = robot.state();
        assert_eq!((state.status, state.restarts), (Status::Failed, 3));
        assert_eq!(robot.ask(Echo(1), SOON).await, Err(AskError::Down));
        assert_eq!(robot.try_tell(Echo(1)), Err(NotAccepted::Down));
        assert_eq!(other.ask(Echo(1), SOON).await, Ok(1));
    });
}

#[test]
fn a_factory_that_cannot_make_an_actor_counts_as_a_crash() {
    world(async |universe| {
        let limits = Limits { restarts: 2, backoff: Duration::from_millis(20), ..Limits::default() };
        let factory = |_: &Probe| -> Robot { panic!("no parts") };
        let robot = universe.supervise(Spec::new("robot").limits(limits), factory).unwrap();
        let outcome = robot.ask(Echo(1), SOON).await;
        assert_eq!(outcome, Err(AskError::Down), "never taken, so certainly not done");
        let fatal = timeout(SOON, universe.given_up()).await.unwrap();
        assert_eq!(fatal.reason, "panicked: no parts");
    });
}

/// Panics again when it is told to stop, on top of the first panic.
struct SoreLoser;

impl Actor for SoreLoser {
    type Context = Context<Self>;
    fn stopped(&mut self, _: &mut Context<Self>) {
        panic!("while stopping");
    }
}

impl Lifecycle for SoreLoser {}

impl Handler<Panic> for SoreLoser {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("first");
    }
}

#[test]
fn a_panic_while_stopping_does_not_end_the_supervision() {
    world(async |universe| {
        let loser = universe.supervise(Spec::new("loser"), |_| SoreLoser).unwrap();
        assert_eq!(loser.ask(Panic, SOON).await, Err(AskError::Unknown));
        assert_eq!(loser.ask(Panic, SOON).await, Err(AskError::Unknown));
        until("second restart", || loser.state().restarts == 2).await;
        assert_eq!(loser.state().last_error.as_deref(), Some("panicked: first"));
    });
}
