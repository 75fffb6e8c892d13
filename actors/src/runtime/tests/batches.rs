use futures_util::future::join_all;

use super::*;

/// Answers a pile at a time, with the pile's size.
struct Shard {
    pile: Vec<Reply<usize>>,
    gate: Option<oneshot::Receiver<()>>,
    probe: Probe,
}

struct Command;
struct PanicInBatch;
struct Gate(oneshot::Receiver<()>);

impl Message for Command {
    type Result = usize;
}
impl Message for PanicInBatch {
    type Result = ();
}
impl Message for Gate {
    type Result = ();
}

impl Actor for Shard {
    type Context = Context<Self>;
}

impl Lifecycle for Shard {
    fn after_turn(&mut self, ctx: &mut Context<Self>) {
        if let Some(gate) = self.gate.take() {
            self.probe.gauge("gated").set(1);
            let opened = async {
                let _ = gate.await;
            };
            ctx.wait(opened.into_actor(self));
        } else {
            self.probe.gauge("batches").add(1);
            let batch = std::mem::take(&mut self.pile);
            let commit = async move {
                tokio::task::yield_now().await;
                let size = batch.len();
                batch.into_iter().for_each(|reply| reply.send(size));
            };
            ctx.wait(commit.into_actor(self));
        }
    }
}

impl Handler<Command> for Shard {
    type Result = Later<usize>;
    fn handle(&mut self, _: Command, _: &mut Context<Self>) -> Later<usize> {
        let (later, reply) = later();
        self.pile.push(reply);
        later
    }
}

impl Handler<PanicInBatch> for Shard {
    type Result = ();
    fn handle(&mut self, _: PanicInBatch, _: &mut Context<Self>) {
        panic!("in the middle of a batch");
    }
}

impl Handler<Gate> for Shard {
    type Result = ();
    fn handle(&mut self, Gate(gate): Gate, _: &mut Context<Self>) {
        self.gate = Some(gate);
    }
}

async fn gated_shard(universe: &Universe) -> (Handle<Shard>, oneshot::Sender<()>) {
    let shard = universe
        .supervise(Spec::new("shard"), |probe| Shard { pile: Vec::new(), gate: None, probe: probe.clone() })
        .unwrap();
    let (open, gate) = oneshot::channel();
    shard.try_tell(Gate(gate)).unwrap();
    until("gated", || gauge(&shard, "gated") == 1).await;
    (shard, open)
}

#[test]
fn what_waits_while_a_batch_commits_forms_the_next_ones_up_to_a_turn() {
    world(async |universe| {
        let (shard, open) = gated_shard(&universe).await;
        let asks = join_all((0..600).map(|_| shard.ask(Command, SOON)));
        let opener = async {
            until("all waiting", || shard.state().mailbox_depth == 600).await;
            drop(open);
        };
        let (sizes, ()) = tokio::join!(asks, opener);
        let sizes: Vec<_> = sizes.into_iter().map(Result::unwrap).collect();
        let expected = [[256; 256].as_slice(), &[256; 256], &[88; 88]].concat();
        assert_eq!(sizes, expected);
        assert_eq!(gauge(&shard, "batches"), 3);
    });
}

#[test]
fn a_panic_in_a_batch_leaves_its_callers_unknown_and_the_waiting_untouched() {
    world(async |universe| {
        let (shard, open) = gated_shard(&universe).await;
        let asks = async {
            tokio::join!(shard.ask(Command, SOON), shard.ask(PanicInBatch, SOON), shard.ask(Command, SOON))
        };
        let opener = async {
            until("all waiting", || shard.state().mailbox_depth == 3).await;
            drop(open);
        };
        let ((before, panicked, after), ()) = tokio::join!(asks, opener);
        assert_eq!(before, Err(AskError::Unknown));
        assert_eq!(panicked, Err(AskError::Unknown));
        assert_eq!(after, Ok(1), "handled by the next life, in a batch of its own");
        assert_eq!(shard.state().restarts, 1);
    });
}

#[test]
fn a_told_message_needs_no_answer() {
    world(async |universe| {
        let (shard, open) = gated_shard(&universe).await;
        shard.try_tell(Command).unwrap();
        drop(open);
        assert!(shard.ask(Command, SOON).await.is_ok());
        assert_eq!(shard.state().restarts, 0);
    });
}
