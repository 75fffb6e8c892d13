//! The embedded PostgreSQL of a data folder, seen from outside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use super::eventually;

const PATIENCE: Duration = Duration::from_secs(60);

/// One data folder and what is known of its cluster; ends the cluster with the test.
pub struct Cluster {
    data: PathBuf,
}

impl Cluster {
    pub fn of(data: &Path) -> Cluster {
        Cluster { data: data.to_owned() }
    }

    pub fn recorded(&self, name: &str) -> Option<PathBuf> {
        let text = std::fs::read(self.data.join("postgres.json")).ok()?;
        let record: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Some(PathBuf::from(record[name].as_str()?))
    }

    pub fn home(&self) -> PathBuf {
        self.recorded("home").unwrap()
    }

    /// The postmaster, if it lives.
    pub fn postmaster(&self) -> Option<Pid> {
        let cluster = self.recorded("home")?.join("cluster");
        let text = std::fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
        let pid: i32 = text.lines().next()?.parse().ok()?;
        let works_in = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        (works_in == cluster).then_some(Pid::from_raw(pid)?)
    }

    /// A connection of one's own.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let socket = self.recorded("socket_folder").ok_or(sqlx::Error::PoolClosed)?;
        let options = PgConnectOptions::new_without_pgpass().socket(socket).username("gencharge");
        options.database("gencharge").connect().await
    }

    async fn query(&self, statement: &'static str) -> Result<i64, sqlx::Error> {
        let mut connection = self.connect().await?;
        let number = sqlx::query_scalar(statement).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(number)
    }

    /// Waits until it answers; gives its postmaster.
    pub async fn ready(&self) -> Pid {
        eventually("a ready database", PATIENCE, async || {
            let migrated = "SELECT count(*) FROM _sqlx_migrations WHERE success";
            self.query(migrated).await.ok().filter(|count| *count > 0)?;
            self.postmaster()
        })
        .await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(pid) = self.postmaster() {
            let _ = kill_process(pid, Signal::QUIT);
        }
    }
}
