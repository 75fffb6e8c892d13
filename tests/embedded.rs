//! The embedded PostgreSQL, with real processes: created once, found again, taken over, started again, shared.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Signal, kill_process};

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::folder::TempFolder;
use crate::support::process::{Running, free_port, gencharge, healthy, program, said, succeed};

const PATIENCE: Duration = Duration::from_secs(60);

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn is_created_once_kept_and_stopped_with_the_command() {
    let folder = TempFolder::new("once");
    let data = folder.path().join("data");
    let cluster = Cluster::of(&data);
    succeed(gencharge(&data, &["migrate"]));
    assert!(cluster.postmaster().is_none(), "it runs on after the command");
    let identity = std::fs::read(cluster.home().join("cluster/global/pg_control")).unwrap();
    let started = std::time::Instant::now();
    succeed(gencharge(&data, &["migrate"]));
    assert!(started.elapsed() < Duration::from_secs(30));
    let again = std::fs::read(cluster.home().join("cluster/global/pg_control")).unwrap();
    assert_eq!(identity[..8], again[..8], "the system identifier changed: the data was not kept");
    for private in ["", "cluster", "socket"] {
        let mode = std::fs::metadata(cluster.home().join(private)).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{private:?} is open to others");
    }
}

#[tokio::test]
async fn a_data_folder_with_a_long_path_gets_a_short_socket() {
    let folder = TempFolder::new("long");
    let data = folder.path().join("x".repeat(100)).join("data");
    let cluster = Cluster::of(&data);
    succeed(gencharge(&data, &["migrate"]));
    let socket = cluster.recorded("socket_folder").unwrap();
    assert!(socket.as_os_str().len() <= 93 && !socket.starts_with(&data), "{}", socket.display());
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o777, 0o700);
    succeed(gencharge(&data, &["migrate"]));
    assert_eq!(cluster.recorded("socket_folder").unwrap(), socket, "a new folder at each start");
    std::fs::remove_dir_all(&socket).unwrap();
    succeed(gencharge(&data, &["migrate"]));
    std::fs::remove_dir_all(cluster.recorded("socket_folder").unwrap()).unwrap();
}

#[tokio::test]
async fn after_kill_9_of_the_app_the_next_one_takes_over() {
    let folder = TempFolder::new("takeover");
    let data = folder.path().join("data");
    let cluster = Cluster::of(&data);
    let mut app = Running::start(gencharge(&data, &["serve"]));
    let before = cluster.ready().await;
    app.signal(Signal::KILL);
    app.ended().await;
    assert_eq!(cluster.postmaster(), Some(before), "PostgreSQL died with the app");
    let mut next = Running::start(gencharge(&data, &["serve"]));
    // While the next one has not come up, a command attaches to it or owns the cluster itself: both are fine.
    succeed(gencharge(&data, &["migrate"]));
    assert_eq!(cluster.ready().await, before, "a second PostgreSQL was started");
    next.signal(Signal::TERM);
    next.ended().await;
    assert!(cluster.postmaster().is_none(), "the one who took over did not stop it");
}

#[tokio::test]
async fn after_kill_9_of_postgresql_the_app_starts_it_again() {
    let folder = TempFolder::new("again");
    let data = folder.path().join("data");
    let cluster = Cluster::of(&data);
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = gencharge(&data, &["serve"]);
    command.env("GENCHARGE_BIND", &address);
    let mut app = Running::start(command);
    let mut postmaster = cluster.ready().await;
    // A database that is killed while the schema is being made ends the start; this is about what comes after.
    healthy(&address).await;
    for _ in 0..3 {
        kill_process(postmaster, Signal::KILL).unwrap();
        let next = eventually("another postmaster", PATIENCE, async || {
            cluster.postmaster().filter(|pid| *pid != postmaster)
        });
        postmaster = next.await;
        assert_eq!(cluster.ready().await, postmaster);
    }
    app.signal(Signal::INT);
    app.ended().await;
    assert!(cluster.postmaster().is_none());
}

#[tokio::test]
async fn both_killed_at_once_start_cleanly() {
    let folder = TempFolder::new("both");
    let data = folder.path().join("data");
    let cluster = Cluster::of(&data);
    let mut app = Running::start(gencharge(&data, &["serve"]));
    let postmaster = cluster.ready().await;
    app.signal(Signal::KILL);
    kill_process(postmaster, Signal::KILL).unwrap();
    app.ended().await;
    succeed(gencharge(&data, &["migrate"]));
    assert!(cluster.postmaster().is_none());
}

#[tokio::test]
async fn several_processes_share_it_and_the_last_one_stops_it() {
    let folder = TempFolder::new("shared");
    let data = folder.path().join("data");
    let cluster = Cluster::of(&data);
    let mut first = Running::start(gencharge(&data, &["serve"]));
    let mut second = Running::start(gencharge(&data, &["serve"]));
    let postmaster = cluster.ready().await;
    succeed(gencharge(&data, &["migrate"]));
    assert_eq!(cluster.postmaster(), Some(postmaster), "a command beside a server stopped its database");
    first.signal(Signal::TERM);
    first.ended().await;
    assert_eq!(cluster.ready().await, postmaster, "the first one to leave took the database with it");
    second.signal(Signal::KILL);
    second.ended().await;
    assert_eq!(cluster.postmaster(), Some(postmaster));
    succeed(gencharge(&data, &["migrate"]));
    assert!(cluster.postmaster().is_none());
}

#[tokio::test]
async fn many_commands_at_once_create_one_cluster_and_leave_none_running() {
    let folder = TempFolder::new("crowd");
    let data = folder.path().join("data");
    let cluster = Cluster::of(&data);
    let commands: Vec<_> = (0..6)
        .map(|_| {
            let mut command = gencharge(&data, &["migrate"]);
            std::thread::spawn(move || command.output().unwrap())
        })
        .collect();
    for command in commands {
        let output = command.join().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    assert!(cluster.postmaster().is_none());
}

#[tokio::test]
async fn a_stale_number_of_another_process_is_not_taken_for_postgresql() {
    let folder = TempFolder::new("stale");
    let data = folder.path().join("data");
    let cluster = Cluster::of(&data);
    succeed(gencharge(&data, &["migrate"]));
    let pid_file = cluster.home().join("cluster/postmaster.pid");
    let me = std::process::id();
    let home = cluster.home();
    let text = format!("{me}\n{0}/cluster\n1\n5432\n{0}/socket\n\n  1 1\nready   \n", home.display());
    std::fs::write(&pid_file, text).unwrap();
    let owner = std::fs::metadata(&home).unwrap();
    std::os::unix::fs::chown(&pid_file, Some(owner.uid()), Some(owner.gid())).unwrap();
    succeed(gencharge(&data, &["migrate"]));
}

#[tokio::test]
async fn missing_programs_are_named_with_both_ways_out() {
    let folder = TempFolder::new("missing");
    let mut command = gencharge(&folder.path().join("data"), &["migrate"]);
    let output = command.env("GENCHARGE_PG_BIN", "/nowhere").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    for part in ["/nowhere", "apt-get install postgresql", "DATABASE_URL"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

#[tokio::test]
async fn as_root_it_runs_as_somebody_else_and_out_of_closed_folders() {
    if !is_root() {
        eprintln!("not run: needs root");
        return;
    }
    let folder = TempFolder::new("root");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let data = folder.path().join("data");
    let cluster = Cluster::of(&data);
    let mut app = Running::start(gencharge(&data, &["serve"]));
    let postmaster = cluster.ready().await;
    let home = cluster.home();
    assert!(home.starts_with("/var/lib/gencharge"), "{}", home.display());
    let process = std::fs::metadata(format!("/proc/{}", postmaster.as_raw_nonzero())).unwrap();
    assert_ne!(process.uid(), 0);
    // Nobody else gets to the socket.
    let stranger = Command::new("ls").arg(home.join("socket")).uid(12_345).gid(12_345).output().unwrap();
    assert!(!stranger.status.success(), "{}", said(&stranger));
    app.signal(Signal::TERM);
    app.ended().await;
    assert!(cluster.postmaster().is_none());
    // The folder was moved: its database goes with it.
    let moved = folder.path().join("moved");
    std::fs::rename(&data, &moved).unwrap();
    succeed(gencharge(&moved, &["migrate"]));
    assert_eq!(Cluster::of(&moved).home(), home);
    // It was copied: two folders cannot share one database.
    let copy = folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(moved.join("postgres.json"), copy.join("postgres.json")).unwrap();
    let output = gencharge(&copy, &["migrate"]).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("which still exists"), "{}", said(&output));
    std::fs::remove_dir_all(home.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn an_ordinary_user_has_it_in_the_data_folder() {
    if !is_root() {
        eprintln!(
            "not run: needs root to become somebody else (every other test here runs as an ordinary user then)"
        );
        return;
    }
    let folder = TempFolder::new("user");
    let binary = folder.path().join("gencharge");
    std::fs::copy(env!("CARGO_BIN_EXE_gencharge"), &binary).unwrap();
    // `nobody` is a user with a name, which initdb asks for.
    let nobody = 65_534;
    let base = folder.path().join("home");
    std::fs::create_dir(&base).unwrap();
    std::os::unix::fs::chown(&base, Some(nobody), Some(nobody)).unwrap();
    let data = base.join("data");
    let cluster = Cluster::of(&data);
    let run = || {
        let mut command = program(&binary, &data, &["migrate"]);
        command.uid(nobody).gid(nobody);
        command
    };
    succeed(run());
    assert_eq!(cluster.home(), data.join("postgres"));
    assert_eq!(std::fs::metadata(&data).unwrap().mode() & 0o777, 0o700);
    // Root may look after it, and the user goes on afterwards.
    succeed(gencharge(&data, &["migrate"]));
    succeed(run());
    assert!(cluster.postmaster().is_none());
}
