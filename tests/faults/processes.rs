//! Two processes on one database.

use std::time::Duration;

use futures_util::future::join;
use rustix::process::Signal;
use sqlx::ConnectOptions as _;

use super::client::{Client, customers};
use crate::support::database::TestDatabase;
use crate::support::eventually;
use crate::support::folder::TempFolder;
use crate::support::process::{Running, free_port, gencharge, healthy, succeed};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn that_write_the_same_wallets_are_exact_and_never_deadlock() {
    let (folder, database) = (TempFolder::new("two"), TestDatabase::new("two").await);
    let url = database.options().to_url_lossy().to_string();
    let data = folder.path().join("data");
    let tokens = folder.path().join("tokens");
    let command = |arguments: &[&str]| {
        let mut command = gencharge(&data, arguments);
        command.env("DATABASE_URL", &url);
        command
    };
    succeed(command(&["seed", "--demo"]));
    succeed(command(&[
        "seed",
        "--load-users",
        "6",
        "--balance",
        "5000",
        "--tokens",
        tokens.to_str().unwrap(),
    ]));
    let addresses = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let mut apps = Vec::new();
    for address in &addresses {
        let mut serve = command(&["serve"]);
        serve.env("GENCHARGE_BIND", address);
        apps.push(Running::start(serve));
        healthy(address).await;
    }
    let bases = addresses.iter().map(|address| format!("http://{address}")).collect();
    let client = Client::new(bases, customers(&std::fs::read_to_string(tokens).unwrap()));
    let enough = async {
        eventually("enough orders", PATIENCE, async || (client.acknowledged() >= 1_500).then_some(())).await;
        client.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    join(client.load(48), enough).await;
    client.settle(PATIENCE).await;
    let mut connection = database.options().connect().await.unwrap();
    client.agrees_with(&mut connection).await;
    let deadlocks: i64 =
        sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(deadlocks, 0);
    assert_eq!(client.doubtful(), 0, "an outcome was unknown though nothing failed");
    for mut app in apps {
        app.signal(Signal::TERM);
        assert!(app.ended().await.success());
    }
}
