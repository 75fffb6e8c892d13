//! The processes of a cluster, seen from outside: which one leads it, whether it lives, how to end it.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::binaries::Binaries;
use super::error::{EmbeddedError, at};
use super::place::Place;

/// Between two looks at a process that starts or ends.
const LOOK: Duration = Duration::from_millis(20);
/// A fast shutdown writes a checkpoint.
const FAST_STOP: Duration = Duration::from_secs(60);
/// An immediate one does not.
const IMMEDIATE_STOP: Duration = Duration::from_secs(10);

/// What `postmaster.pid` says of a process that lives and leads this cluster.
#[derive(Debug)]
pub(super) struct Postmaster {
    pid: Pid,
    socket: PathBuf,
    status: String,
}

/// How far a living postmaster is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Starting,
    Ready,
    Stopping,
}

impl Postmaster {
    /// The living postmaster of the cluster, if there is one.
    pub(super) fn find(cluster: &Path) -> Option<Postmaster> {
        let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid = Pid::from_raw(lines.next()?.trim().parse().ok()?)?;
        // After: data folder, start time, port. A file half written has no socket yet.
        let socket = PathBuf::from(lines.nth(3).unwrap_or_default().trim());
        let status = lines.nth(2).unwrap_or("starting").trim().to_owned();
        works_in(pid, cluster).then_some(Postmaster { pid, socket, status })
    }

    pub(super) fn stage(&self) -> Stage {
        match self.status.as_str() {
            "ready" | "standby" => Stage::Ready,
            "stopping" => Stage::Stopping,
            _ => Stage::Starting,
        }
    }

    /// Whether clients find it where they look.
    pub(super) fn listens_in(&self, socket: &Path) -> bool {
        self.socket == socket && socket.join(".s.PGSQL.5432").exists()
    }

    /// Ends it: fast (transactions roll back, a checkpoint is written), and at once when that takes too long.
    pub(super) async fn stop(&self, cluster: &Path, child: &mut Option<Child>) -> bool {
        for (signal, patience) in [(Signal::INT, FAST_STOP), (Signal::QUIT, IMMEDIATE_STOP)] {
            if let Err(error) = kill_process(self.pid, signal) {
                tracing::debug!(%error, "the embedded database could not be told to stop");
            }
            let deadline = Instant::now() + patience;
            while Instant::now() < deadline {
                reap(child);
                if !works_in(self.pid, cluster) {
                    return true;
                }
                sleep(LOOK).await;
            }
            tracing::warn!(seconds = patience.as_secs(), "the embedded database does not stop");
        }
        false
    }
}

/// Starts `postgres`; it lives in a process group of its own, so that a Ctrl-C in the terminal reaches this process
/// only, which drains and then stops it.
pub(super) fn spawn(place: &Place, binaries: &Binaries) -> Result<Child, EmbeddedError> {
    let path = place.startup_log();
    // Anew, not over the old one: root may have made that, in a folder of somebody who is starting this now.
    let _ = fs::remove_file(&path);
    let log = fs::File::create_new(&path).map_err(at(&path))?;
    let errors = log.try_clone().map_err(at(&path))?;
    let program = binaries.program("postgres");
    place
        .command(&program)
        .arg("-D")
        .arg(place.cluster())
        .arg("-c")
        .arg(format!("config_file={}", place.settings_file().display()))
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(errors))
        .process_group(0)
        .spawn()
        .map_err(at(&program))
}

/// Forgets a child that has ended; says how it ended.
pub(super) fn reap(child: &mut Option<Child>) -> Option<std::process::ExitStatus> {
    let status = child.as_mut()?.try_wait().ok()??;
    *child = None;
    Some(status)
}

/// Waits until what a killed postmaster left behind has ended: PostgreSQL's processes leave on their own when they
/// notice, within a bound they are told to, and a new postmaster refuses to start beside them.
pub(super) async fn clear_orphans(place: &Place) {
    let cluster = &place.cluster();
    let start = Instant::now();
    let mut told = None;
    loop {
        let orphans = working_in(cluster);
        let waited = start.elapsed();
        if orphans.is_empty() || waited > Duration::from_secs(10) {
            break;
        }
        let signal = match waited.as_secs() {
            0 | 1 => None,
            2..=4 => Some(Signal::QUIT),
            _ => Some(Signal::KILL),
        };
        if signal.is_some() && signal != told {
            tracing::warn!(count = orphans.len(), "ending what a killed PostgreSQL left running");
            for pid in orphans {
                // It may have ended since; the next look shows.
                let _ = kill_process(pid, signal.unwrap_or(Signal::QUIT));
            }
            told = signal;
        }
        sleep(LOOK).await;
    }
    // Left by the killed postmaster. When its number belongs to another process by now (a container that was started
    // again), or to a dead one that nobody reaps, PostgreSQL would take that for a living postmaster.
    for left in [cluster.join("postmaster.pid"), place.socket.join(".s.PGSQL.5432.lock")] {
        match fs::remove_file(&left) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(file = %left.display(), %error, "cannot be removed");
            }
            _ => {}
        }
    }
}

/// Whether the process lives and works in this cluster: every process of PostgreSQL does. A number that was given to
/// another process does not count, nor does one that has ended and was not yet reaped.
fn works_in(pid: Pid, cluster: &Path) -> bool {
    if cfg!(target_os = "linux") {
        fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).is_ok_and(|folder| folder == cluster)
    } else {
        rustix::process::test_kill_process(pid).is_ok()
    }
}

fn working_in(cluster: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| works_in(*pid, cluster))
        .collect()
}
