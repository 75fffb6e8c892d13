//! What the integration tests share.

pub mod app;
pub mod broker;
pub mod cluster;
pub mod database;
pub mod folder;
pub mod money;
pub mod own_broker;
pub mod process;
pub mod providers;
pub mod proxy;
pub mod stores;
pub mod trap;

use std::time::Duration;

/// Asks again and again until there is an answer; fails the test after `limit`.
pub async fn eventually<T>(what: &str, limit: Duration, ask: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_every(Duration::from_millis(20), what, limit, ask).await
}

/// The same with another pause between two asks, for answers that are dear or far away.
pub async fn eventually_every<T>(
    pause: Duration,
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} did not happen within {limit:?}");
        tokio::time::sleep(pause).await;
    }
}

/// The address of a server that some tests need, where there is one; `./dev test` starts them and says what is missing.
pub fn server(setting: &str) -> Option<String> {
    let address = std::env::var(setting).ok().filter(|address| !address.is_empty());
    if address.is_none() {
        eprintln!("skipped: {setting} is not set");
    }
    address
}
