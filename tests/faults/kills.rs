//! `kill -9` of the application, of a wallet's PostgreSQL session, and of the whole PostgreSQL, again and again under load.
//!
//! `GENCHARGE_TEST_KILLS` sets how often (3).

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::Connection as _;

use super::client::{Client, Customer, customers};
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::folder::TempFolder;
use crate::support::process::{Running, free_port, gencharge, healthy, succeed};

const PATIENCE: Duration = Duration::from_secs(60);
const LANES: usize = 16;
/// Orders that must be acknowledged between two kills.
const BETWEEN: usize = 60;

fn kills() -> usize {
    std::env::var("GENCHARGE_TEST_KILLS").map_or(3, |text| text.parse().unwrap())
}

/// An application with its own PostgreSQL, on a port that outlives its processes.
struct Victim {
    data: PathBuf,
    address: String,
    cluster: Cluster,
    app: Option<Running>,
    customers: Vec<Customer>,
    _folder: TempFolder,
}

impl Victim {
    async fn new(name: &str) -> Victim {
        let folder = TempFolder::new(name);
        let data = folder.path().join("data");
        let tokens = folder.path().join("tokens");
        let seed =
            ["seed", "--load-users", "12", "--balance", "100000", "--tokens", tokens.to_str().unwrap()];
        succeed(gencharge(&data, &["seed", "--demo"]));
        succeed(gencharge(&data, &seed));
        let customers = customers(&std::fs::read_to_string(tokens).unwrap());
        let address = format!("127.0.0.1:{}", free_port());
        let cluster = Cluster::of(&data);
        let mut victim = Victim { data, address, cluster, app: None, customers, _folder: folder };
        victim.start().await;
        victim
    }

    async fn start(&mut self) {
        self.app = Some(serve(&self.data, &self.address));
        healthy(&self.address).await;
    }

    async fn kill_app(&mut self) {
        let mut app = self.app.take().unwrap();
        app.signal(Signal::KILL);
        app.ended().await;
        self.start().await;
    }

    /// The sessions of the wallet shards; waits until there are some.
    async fn wallet_sessions(&self) -> Vec<i32> {
        eventually("a wallet's session", PATIENCE, async || {
            let mut connection = self.cluster.connect().await.ok()?;
            let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'gencharge-wallet'";
            let pids: Vec<i32> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.ok()?;
            connection.close().await.ok()?;
            (!pids.is_empty()).then_some(pids)
        })
        .await
    }

    async fn kill_session(&self, round: usize) {
        let pids = self.wallet_sessions().await;
        let victim = pids[round % pids.len()];
        kill_process(Pid::from_raw(victim).unwrap(), Signal::KILL).unwrap();
        eventually("another session", PATIENCE, async || {
            (!self.wallet_sessions().await.contains(&victim)).then_some(())
        })
        .await;
    }

    async fn kill_postgresql(&self) {
        let postmaster = eventually("a postmaster", PATIENCE, async || self.cluster.postmaster()).await;
        kill_process(postmaster, Signal::KILL).unwrap();
        eventually("the end of the postmaster", PATIENCE, async || {
            (self.cluster.postmaster() != Some(postmaster)).then_some(())
        })
        .await;
    }
}

fn serve(data: &Path, address: &str) -> Running {
    let mut command = gencharge(data, &["serve"]);
    command.env("GENCHARGE_BIND", address);
    Running::start(command)
}

/// Load, with `kill` in between, until every key is settled and everything agrees. The load goes on after each kill, so
/// that each hits orders in flight. Gives how many orders their client had to ask about again.
async fn survives(name: &str, mut kill: impl AsyncFnMut(&mut Victim, usize)) -> usize {
    let mut victim = Victim::new(name).await;
    let client = Client::new(vec![format!("http://{}", victim.address)], victim.customers.clone());
    let work = async {
        for round in 0..kills() {
            progress(&client).await;
            kill(&mut victim, round).await;
        }
        progress(&client).await;
        client.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    join(client.load(LANES), work).await;
    client.settle(PATIENCE).await;
    let mut connection = victim.cluster.connect().await.unwrap();
    client.agrees_with(&mut connection).await;
    connection.close().await.unwrap();
    let mut app = victim.app.take().unwrap();
    app.signal(Signal::TERM);
    assert!(app.ended().await.success());
    client.doubtful()
}

async fn progress(client: &Client) {
    let before = client.acknowledged();
    eventually("more acknowledged orders", PATIENCE, async || {
        (client.acknowledged() >= before + BETWEEN).then_some(())
    })
    .await;
}

#[tokio::test]
async fn of_the_application() {
    let doubtful = survives("kill-app", async |victim, _| victim.kill_app().await).await;
    assert!(doubtful > 0, "no order was in flight");
}

#[tokio::test]
async fn of_a_wallet_s_postgresql_session() {
    // The shards look their keys up again: hardly any client notices.
    survives("kill-session", async |victim, round| victim.kill_session(round).await).await;
}

#[tokio::test]
async fn of_postgresql_as_a_whole() {
    survives("kill-postgresql", async |victim, _| victim.kill_postgresql().await).await;
}

#[tokio::test]
async fn of_everything_at_once() {
    let doubtful = survives("kill-all", async |victim, _| {
        victim.kill_postgresql().await;
        victim.kill_app().await;
    })
    .await;
    assert!(doubtful > 0, "no order was in flight");
}
