//! The cluster's own settings, from the size of the machine.

use std::fmt::Write as _;
use std::path::Path;

const MB: u64 = 1024 * 1024;

/// What the settings are made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Memory that this process may use, in bytes.
    pub memory: u64,
    /// Free space where the cluster is, in bytes.
    pub free_disk: u64,
}

impl Machine {
    /// Blocking.
    pub(super) fn measure(home: &Path) -> Machine {
        let free_disk =
            rustix::fs::statvfs(home).map_or(4096 * MB, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        Machine { memory: memory().unwrap_or(1024 * MB), free_disk }
    }
}

/// The machine's memory, or the container's when that is less.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    let total = kilobytes.saturating_mul(1024);
    let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
        .min();
    Some(limit.map_or(total, |limit| limit.min(total)))
}

/// The cluster's whole configuration.
pub(super) fn text(
    machine: Machine,
    socket: &Path,
    log_folder: &Path,
    connections: u32,
    shared_buffers_mb: Option<u32>,
    wal_compression: &str,
) -> String {
    let memory = machine.memory / MB;
    // A page that does not fit is written by whoever needs its place, in the middle of a payment, and again when it changes.
    let shared_buffers = shared_buffers_mb.map_or((memory / 5).clamp(64, 8192), u64::from);
    let max_wal = (machine.free_disk / MB / 8).clamp(256, 8192);
    let pairs: [(&str, String); 31] = [
        ("listen_addresses", quoted("")),
        ("port", "5432".to_owned()),
        ("unix_socket_directories", quoted(&quote_item(socket))),
        ("unix_socket_permissions", "0700".to_owned()),
        // Two processes with their pools and shards, and room for an administrator.
        ("max_connections", connections.saturating_mul(2).saturating_add(32).max(64).to_string()),
        ("fsync", "on".to_owned()),
        ("synchronous_commit", "on".to_owned()),
        ("full_page_writes", "on".to_owned()),
        ("wal_level", "replica".to_owned()),
        ("wal_compression", wal_compression.to_owned()),
        ("wal_buffers", format!("{}MB", (shared_buffers / 32).clamp(4, 64))),
        ("max_wal_size", format!("{max_wal}MB")),
        ("min_wal_size", format!("{}MB", (max_wal / 4).clamp(80, 1024))),
        ("checkpoint_timeout", "15min".to_owned()),
        ("checkpoint_completion_target", "0.9".to_owned()),
        ("shared_buffers", format!("{shared_buffers}MB")),
        ("effective_cache_size", format!("{}MB", (memory / 2).max(128))),
        ("maintenance_work_mem", format!("{}MB", (memory / 32).clamp(32, 512))),
        ("work_mem", format!("{}MB", (memory / 1024).clamp(4, 16))),
        ("random_page_cost", "1.1".to_owned()),
        ("jit", "off".to_owned()),
        ("timezone", quoted("UTC")),
        ("log_timezone", quoted("UTC")),
        // A week of logs, a file a day, each overwritten after a week.
        ("logging_collector", "on".to_owned()),
        ("log_directory", quoted(&log_folder.display().to_string())),
        ("log_filename", quoted("postgresql-%a.log")),
        ("log_truncate_on_rotation", "on".to_owned()),
        ("log_rotation_size", "0".to_owned()),
        // Neither statements nor rows in the log: they hold phone numbers.
        ("log_error_verbosity", "terse".to_owned()),
        ("log_min_error_statement", "panic".to_owned()),
        ("log_checkpoints", "off".to_owned()),
    ];
    let mut text = String::from(
        "# Written anew at every start by gencharge; changes belong into the cluster's\n# postgresql.auto.conf (ALTER SYSTEM).\n",
    );
    for (name, value) in pairs {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// An item of a comma-separated list, safe for a path with commas or blanks.
fn quote_item(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, name: &str) -> String {
        let start = format!("{name} = ");
        text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().to_owned()
    }

    fn of(memory_gb: u64, disk_gb: u64, buffers: Option<u32>) -> String {
        let machine = Machine { memory: memory_gb * 1024 * MB, free_disk: disk_gb * 1024 * MB };
        text(machine, Path::new("/a b/it's"), Path::new("/log"), 16, buffers, "lz4")
    }

    #[test]
    fn follows_the_size_of_the_machine_within_bounds() {
        for (memory, disk, buffers, wal) in
            [(1, 1, "204MB", "256MB"), (8, 16, "1638MB", "2048MB"), (64, 100, "8192MB", "8192MB")]
        {
            let text = of(memory, disk, None);
            assert_eq!(value(&text, "shared_buffers"), buffers);
            assert_eq!(value(&text, "max_wal_size"), wal);
        }
        assert_eq!(value(&of(24, 100, Some(300)), "shared_buffers"), "300MB");
    }

    #[test]
    fn is_durable_and_reachable_only_by_its_socket() {
        let text = of(8, 16, None);
        assert_eq!(value(&text, "listen_addresses"), "''");
        assert_eq!(value(&text, "unix_socket_permissions"), "0700");
        assert_eq!(value(&text, "unix_socket_directories"), "'\"/a b/it''s\"'");
        assert_eq!((value(&text, "fsync"), value(&text, "synchronous_commit")), ("on".into(), "on".into()));
    }
}
