//! The log of requests: one JSON object a line, written in big pieces by a thread of its own.
//!
//! A worker only formats its line into its own buffer. What does not fit (the disk is slower than the requests for long)
//! is dropped and counted, so that a log never slows or fills the process.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// What all buffers may hold, in bytes; as much again may be on its way to the disk.
const HELD: usize = 8 * 1024 * 1024;
/// A buffer of this size is written without waiting.
const LARGE: usize = 256 * 1024;
/// Lines reach the file within this time.
const PERIOD: Duration = Duration::from_millis(200);
/// How often the file is looked for under its name (another program may have moved it away).
const LOOK: Duration = Duration::from_secs(1);

/// The log of one application; clones are the same log.
#[derive(Clone)]
pub struct AccessLog(Arc<Shared>);

struct Shared {
    path: PathBuf,
    lanes: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
    /// What one lane may hold, in bytes.
    lane_limit: usize,
    dropped: AtomicU64,
    reopen: AtomicBool,
    stop: AtomicBool,
    thread: OnceLock<Thread>,
    end: Mutex<Option<JoinHandle<()>>>,
}

/// One worker's buffer.
pub(super) struct Lane {
    buffer: Arc<Mutex<Vec<u8>>>,
    shared: Arc<Shared>,
}

impl AccessLog {
    /// Opens (or makes, for its owner only) the file, and starts the thread. At most `workers` take a lane each.
    ///
    /// # Errors
    /// When the file cannot be opened or there is no thread to be had.
    pub fn open(path: &Path, workers: usize) -> io::Result<Self> {
        let file = open(path)?;
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            lanes: Mutex::default(),
            lane_limit: HELD.checked_div(workers).unwrap_or(HELD),
            dropped: AtomicU64::new(0),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            thread: OnceLock::new(),
            end: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let mut writer =
            Writer { shared: theirs, file: Some(file), spares: Vec::new(), looked: Instant::now() };
        let thread = thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run())?;
        // Set once, here.
        let _ = shared.thread.set(thread.thread().clone());
        *lock(&shared.end) = Some(thread);
        Ok(Self(shared))
    }

    /// Opens the file anew, for programs that rotate logs.
    pub fn reopen(&self) {
        self.0.reopen.store(true, Ordering::Release);
        self.0.wake();
    }

    /// Lines that did not reach the file.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Writes what is left and ends the thread. Blocks until it is done.
    pub fn close(&self) {
        self.0.stop.store(true, Ordering::Release);
        self.0.wake();
        let thread = lock(&self.0.end).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("access_log.thread_panicked");
        }
    }

    pub(super) fn lane(&self) -> Lane {
        let buffer = Arc::new(Mutex::new(Vec::new()));
        lock(&self.0.lanes).push(Arc::clone(&buffer));
        Lane { buffer, shared: Arc::clone(&self.0) }
    }
}

impl Lane {
    /// Adds a line (without its end) unless there is too much already.
    pub(super) fn line(&self, fill: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = lock(&self.buffer);
        let before = buffer.len();
        if before >= self.shared.lane_limit {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        fill(&mut buffer);
        buffer.push(b'\n');
        if before < LARGE && buffer.len() >= LARGE {
            self.shared.wake();
        }
    }
}

impl Shared {
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    file: Option<File>,
    /// One empty buffer a lane, to swap with.
    spares: Vec<Vec<u8>>,
    looked: Instant,
}

impl Writer {
    fn run(&mut self) {
        loop {
            let last = self.shared.stop.load(Ordering::Acquire);
            self.follow_the_name();
            self.write_lanes();
            if last {
                return;
            }
            thread::park_timeout(PERIOD);
        }
    }

    fn write_lanes(&mut self) {
        let lanes = lock(&self.shared.lanes).clone();
        self.spares.resize_with(lanes.len(), Vec::new);
        for (lane, spare) in lanes.iter().zip(&mut self.spares) {
            std::mem::swap(&mut *lock(lane), spare);
            if spare.is_empty() {
                continue;
            }
            let written = match &mut self.file {
                Some(file) => file.write_all(spare),
                None => Err(io::ErrorKind::NotFound.into()),
            };
            if let Err(error) = written {
                let lines = spare.iter().filter(|byte| **byte == b'\n').count();
                let lines = u64::try_from(lines).unwrap_or(u64::MAX);
                if self.shared.dropped.fetch_add(lines, Ordering::Relaxed) == 0 {
                    tracing::error!(path = %self.shared.path.display(), %error, "access_log.not_written");
                }
            }
            spare.clear();
        }
    }

    /// Opens the file anew when told to, or when its name no longer leads to it.
    fn follow_the_name(&mut self) {
        let told = self.shared.reopen.swap(false, Ordering::AcqRel);
        if !told && self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        let path = &self.shared.path;
        let same = match (&self.file, std::fs::metadata(path)) {
            (Some(file), Ok(named)) => {
                file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (named.dev(), named.ino()))
            }
            _ => false,
        };
        if told || !same {
            match open(path) {
                Ok(file) => self.file = Some(file),
                // Better into the file that was moved away than nowhere.
                Err(error) => tracing::warn!(path = %path.display(), %error, "access_log.not_reopened"),
            }
        }
    }
}

/// Appends; a new file is for its owner only.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// A panic while a buffer was held may have left half a line, nothing worse.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("gencharge-access-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder.join("access.log")
    }

    #[test]
    fn every_line_is_there_at_the_end_and_only_for_its_owner() {
        let path = place("all");
        let log = AccessLog::open(&path, 2).unwrap();
        let lanes = [log.lane(), log.lane()];
        for number in 0..10_000 {
            for lane in &lanes {
                lane.line(|buffer| write!(buffer, "{number}").unwrap());
            }
        }
        log.close();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 20_000);
        assert_eq!(log.dropped(), 0);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn beyond_the_bound_lines_are_dropped_and_counted() {
        let path = place("bound");
        let log = AccessLog::open(&path, 1).unwrap();
        let lane = log.lane();
        let held = lock(&log.0.lanes);
        // The thread waits for the list of lanes, so nothing is written meanwhile.
        for _ in 0..20 {
            lane.line(|buffer| buffer.extend_from_slice(&vec![b'x'; 1024 * 1024]));
        }
        drop(held);
        log.close();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert_eq!((lines, log.dropped()), (8, 12));
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_moved_file_is_left_for_a_new_one() {
        let path = place("moved");
        let log = AccessLog::open(&path, 1).unwrap();
        let lane = log.lane();
        lane.line(|buffer| buffer.extend_from_slice(b"before"));
        let old = path.with_extension("1");
        while std::fs::read_to_string(&path).unwrap().is_empty() {
            thread::yield_now();
        }
        std::fs::rename(&path, &old).unwrap();
        log.reopen();
        while !path.exists() {
            thread::yield_now();
        }
        lane.line(|buffer| buffer.extend_from_slice(b"after"));
        log.close();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "before\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after\n");
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
