use std::{
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use futures_util::future::join_all;

use super::*;

fn usable_everywhere<T: Clone + Send + Sync + 'static>(_: &T) {}

#[test]
fn concurrent_asks_each_get_their_own_answer() {
    world(async |universe| {
        let robot = universe.supervise(Spec::new("robot"), Robot::new).unwrap();
        usable_everywhere(&robot);
        let answers = join_all((0..500).map(|number| robot.ask(Echo(number), SOON))).await;
        let expected: Vec<_> = (0..500).map(Ok).collect();
        assert_eq!(answers, expected);
        assert_eq!(robot.state().unanswered, 0);
    });
}

#[test]
fn the_mailbox_bound_is_exact_under_racing_senders() {
    world(async |universe| {
        let limits = Limits { mailbox: 4, ..Limits::default() };
        let robot = universe.supervise(Spec::new("robot").limits(limits), Robot::new).unwrap();
        let release = hold(&robot).await;
        let accepted = AtomicUsize::new(0);
        let together = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                let robot = robot.clone();
                scope.spawn(|| {
                    let robot = robot;
                    together.wait();
                    for _ in 0..50 {
                        match robot.clone().try_tell(Echo(0)) {
                            Ok(()) => drop(accepted.fetch_add(1, Ordering::SeqCst)),
                            Err(reason) => assert_eq!(reason, NotAccepted::Full),
                        }
                    }
                });
            }
        });
        assert_eq!(accepted.load(Ordering::SeqCst), 4);
        assert_eq!(robot.state().mailbox_depth, 4);
        assert_eq!(robot.ask(Echo(0), SOON).await, Err(AskError::Full));
        assert_eq!(robot.state().unanswered, 0, "a refused ask is not waited for");
        drop(release);
        until("handled", || gauge(&robot, "handled") == 4).await;
        assert_eq!(robot.ask(Echo(9), SOON).await, Ok(9));
        assert_eq!(gauge(&robot, "handled"), 5, "nothing refused was handled");
    });
}

#[test]
fn a_deadline_after_the_actor_took_the_message_leaves_the_outcome_unknown() {
    world(async |universe| {
        let robot = universe.supervise(Spec::new("robot"), Robot::new).unwrap();
        let (release, released) = std_mpsc::channel();
        let outcome = robot.ask(Block(released), Duration::from_millis(20)).await;
        assert_eq!(outcome, Err(AskError::Unknown));
        assert!(!AskError::Unknown.is_certainly_not_done());
        drop(release);
        assert_eq!(robot.ask(Echo(1), SOON).await, Ok(1));
    });
}

#[test]
fn a_deadline_before_that_takes_the_message_back_for_certain() {
    world(async |universe| {
        let robot = universe.supervise(Spec::new("robot"), Robot::new).unwrap();
        let release = hold(&robot).await;
        let outcome = robot.ask(Echo(1), Duration::from_millis(20)).await;
        assert_eq!(outcome, Err(AskError::Late));
        assert!(AskError::Late.is_certainly_not_done());
        let abandoned = timeout(Duration::from_millis(20), robot.ask(Echo(2), SOON)).await;
        assert!(abandoned.is_err(), "answered while held");
        drop(release);
        assert_eq!(robot.ask(Echo(3), SOON).await, Ok(3));
        assert_eq!(gauge(&robot, "handled"), 1, "a message taken back or abandoned is never handled");
    });
}

#[test]
fn actors_can_share_a_thread() {
    world(async |universe| {
        let arbiter = universe.arbiter().unwrap();
        let a = universe.supervise(Spec::new("a").on(arbiter.clone()), Robot::new).unwrap();
        let b = universe.supervise(Spec::new("b").on(arbiter), Robot::new).unwrap();
        let c = universe.supervise(Spec::new("c"), Robot::new).unwrap();
        let thread_of_b = b.ask(WhichThread, SOON).await.unwrap();
        assert_eq!(a.ask(WhichThread, SOON).await.unwrap(), thread_of_b);
        assert_ne!(c.ask(WhichThread, SOON).await.unwrap(), thread_of_b);
        assert_eq!(a.ask(Panic, SOON).await, Err(AskError::Unknown));
        assert_eq!(b.ask(WhichThread, SOON).await, Ok(thread_of_b));
        assert_eq!(b.state().restarts, 0, "a neighbour's panic is not its own");
    });
}

#[test]
fn starting_says_what_is_wrong() {
    let nowhere = Universe::new();
    assert!(matches!(nowhere.supervise(Spec::new("robot"), Robot::new), Err(StartError::NoSystem)));
    world(async |universe| {
        let robot = universe.supervise(Spec::new("robot"), Robot::new).unwrap();
        let taken = universe.supervise(Spec::new("robot"), Robot::new);
        assert!(matches!(taken, Err(StartError::NameTaken(name)) if name == "robot"));
        until("ready", || universe.ready()).await;
        universe.shutdown(SOON).await.unwrap();
        let late = universe.supervise(Spec::new("late"), Robot::new);
        assert!(matches!(late, Err(StartError::ShuttingDown)));
        assert!(!universe.ready());
        assert_eq!(robot.state().status, Status::Stopped);
    });
}
