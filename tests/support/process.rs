//! The program as a process of its own.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::eventually;

/// The program with a clean environment, an embedded database in `data` and a free port. `GENCHARGE_TEST_PROGRAM` names
/// another build of it, such as an optimised one.
pub fn gencharge(data: &Path, arguments: &[&str]) -> Command {
    let given = std::env::var_os("GENCHARGE_TEST_PROGRAM");
    let binary = given.as_deref().unwrap_or(OsStr::new(env!("CARGO_BIN_EXE_gencharge")));
    program(Path::new(binary), data, arguments)
}

/// The same for another copy of the program.
pub fn program(binary: &Path, data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(std::env::var_os("GENCHARGE_PG_BIN").map(|folder| ("GENCHARGE_PG_BIN", folder)))
        .env("GENCHARGE_DATA_DIR", data)
        .env("GENCHARGE_BIND", "127.0.0.1:0")
        .env("GENCHARGE_PG_SHARED_BUFFERS_MB", "32")
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

/// Runs to the end and demands success.
pub fn succeed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Both outputs, for a message.
pub fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A process that is killed when the test ends.
pub struct Running(Child);

impl Running {
    pub fn start(mut command: Command) -> Running {
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    pub async fn ended(&mut self) -> std::process::ExitStatus {
        eventually("the end of the process", Duration::from_secs(60), async || self.0.try_wait().unwrap())
            .await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port that nothing listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until a server answers there.
pub async fn healthy(address: &str) {
    gencharge::platform::tls::use_ring();
    let url = format!("http://{address}/plans/public/all");
    eventually("a server that answers", PATIENCE, async || {
        let answer = reqwest::get(&url).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
}

/// A number of `/metrics`.
pub async fn metric(http: &reqwest::Client, address: &str, name: &str) -> Option<u64> {
    let text = http.get(format!("http://{address}/metrics")).send().await.ok()?.text().await.ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}
