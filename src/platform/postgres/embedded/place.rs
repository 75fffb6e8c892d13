//! Where the cluster, its socket and its logs are, and which user they belong to.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rand::TryRng as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::error::{EmbeddedError, at};

/// A socket's path has at most 107 bytes; `/.s.PGSQL.5432` takes 14 of them.
const LONGEST_SOCKET_FOLDER: usize = 93;
/// Where the cluster goes when its user cannot enter the data folder.
const SYSTEM_FOLDER: &str = "/var/lib/gencharge";

/// The user that PostgreSQL runs as, when this process is root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub uid: u32,
    pub gid: u32,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// 0700, of the cluster's user; as root nothing is written in it, for that user could have put a link there.
    pub home: PathBuf,
    /// The folder of the socket, 0700.
    pub socket: PathBuf,
    /// `None`: as this process.
    pub account: Option<Account>,
}

/// `postgres.json` in the data folder.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    data_folder: PathBuf,
    home: PathBuf,
    socket_folder: PathBuf,
}

impl Place {
    pub(super) fn cluster(&self) -> PathBuf {
        self.home.join("cluster")
    }

    /// What `postgres` said before its own log began. Beside the home, in a folder of this process' user.
    pub(super) fn startup_log(&self) -> PathBuf {
        self.home.with_file_name("postgres-startup.log")
    }

    /// The cluster's whole configuration, beside the home.
    pub(super) fn settings_file(&self) -> PathBuf {
        self.home.with_file_name("postgres.conf")
    }

    pub(super) fn log_folder(&self) -> PathBuf {
        self.home.join("log")
    }

    /// A command that runs as the cluster's user, with nothing of this process' environment: `PGPORT`, `PGDATA` and
    /// the like must not reach it.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .current_dir(&self.home)
            .stdin(Stdio::null());
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    /// Where an earlier start of this data folder put things; `None` before the first.
    pub(super) fn recorded(data: &Path) -> Option<Place> {
        let record = read_record(data)?;
        let account = account_of(&record.home.join("cluster")).ok().flatten();
        (record.data_folder == data).then_some(Place {
            home: record.home,
            socket: record.socket_folder,
            account,
        })
    }

    /// Decides where things go, makes the folders and writes it down. Only the process that owns the cluster does so.
    ///
    /// Blocking.
    pub(super) fn prepare(data: &Path) -> Result<Place, EmbeddedError> {
        let record = read_record(data);
        let (home, account) = match &record {
            Some(record) => recorded_home(data, record)?,
            None => new_home(data)?,
        };
        private_folder(&home, account)?;
        let known = record.filter(|record| record.data_folder == data).map(|record| record.socket_folder);
        let mut place = Place { socket: home.join("socket"), home, account };
        if place.socket.as_os_str().len() > LONGEST_SOCKET_FOLDER {
            place.socket = short_folder(account, known)?;
        } else if !place.socket.is_dir() {
            let made = place.command(Path::new("mkdir")).args(["-m", "700"]).arg(&place.socket).status();
            made.map_err(at(&place.socket))?;
        }
        write_record(data, &place)?;
        Ok(place)
    }
}

fn record_path(data: &Path) -> PathBuf {
    data.join("postgres.json")
}

fn read_record(data: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(record_path(data)).ok()?).ok()
}

fn write_record(data: &Path, place: &Place) -> Result<(), EmbeddedError> {
    let record = Record {
        data_folder: data.to_owned(),
        home: place.home.clone(),
        socket_folder: place.socket.clone(),
    };
    let path = record_path(data);
    let text = serde_json::to_vec_pretty(&record).map_err(|error| at(&path)(io::Error::other(error)))?;
    if fs::read(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let draft = path.with_extension("json.new");
    fs::write(&draft, text).map_err(at(&draft))?;
    fs::rename(&draft, &path).map_err(at(&path))
}

/// The home of a data folder that has one; follows a data folder that was moved.
fn recorded_home(data: &Path, record: &Record) -> Result<(PathBuf, Option<Account>), EmbeddedError> {
    let inside = record.home == record.data_folder.join("postgres");
    if record.data_folder != data && !inside && record.data_folder.exists() {
        return Err(EmbeddedError::Copied { record: record_path(data), other: record.data_folder.clone() });
    }
    let home = if inside { data.join("postgres") } else { record.home.clone() };
    let account = match account_of(&home.join("cluster"))? {
        Some(account) => Some(account),
        None => unprivileged()?,
    };
    Ok((home, account))
}

fn new_home(data: &Path) -> Result<(PathBuf, Option<Account>), EmbeddedError> {
    let inside = data.join("postgres");
    if inside.join("cluster").exists() {
        return Ok((inside.clone(), account_of(&inside.join("cluster"))?));
    }
    let Some(account) = unprivileged()? else { return Ok((inside, None)) };
    if can_enter(data, account) {
        return Ok((inside, Some(account)));
    }
    let base = Path::new(SYSTEM_FOLDER).join(short_hash(data));
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&base).map_err(at(&base))?;
    let home = base.join("postgres");
    tracing::warn!(
        data_folder = %data.display(), database_folder = %home.display(),
        "PostgreSQL does not run as root and its user cannot enter the data folder: the database is kept elsewhere"
    );
    Ok((home, Some(account)))
}

/// The owner of an existing cluster, when that is somebody else; `None` for this process' own or for none at all.
fn account_of(cluster: &Path) -> Result<Option<Account>, EmbeddedError> {
    let Ok(metadata) = fs::metadata(cluster) else { return Ok(None) };
    let me = rustix::process::geteuid();
    if metadata.uid() == me.as_raw() && !me.is_root() {
        return Ok(None);
    }
    if !me.is_root() || metadata.uid() == 0 {
        return Err(EmbeddedError::Foreign { path: cluster.to_owned(), owner: metadata.uid() });
    }
    Ok(Some(Account { uid: metadata.uid(), gid: metadata.gid() }))
}

/// As root: somebody else to run as. `None` when this process is not root.
fn unprivileged() -> Result<Option<Account>, EmbeddedError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let ask = |option: &str, user: &str| -> Option<u32> {
        let output = Command::new("id").args([option, user]).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok().filter(|id| *id != 0)
    };
    ["postgres", "nobody"]
        .iter()
        .find_map(|user| Some(Account { uid: ask("-u", user)?, gid: ask("-g", user)? }))
        .map(Some)
        .ok_or(EmbeddedError::NoAccount)
}

/// Tried, not computed: access lists and mounts count too.
fn can_enter(folder: &Path, account: Account) -> bool {
    Command::new("true")
        .current_dir(folder)
        .uid(account.uid)
        .gid(account.gid)
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Makes a folder that only its owner enters, and hands it to the cluster's user.
fn private_folder(folder: &Path, account: Option<Account>) -> Result<(), EmbeddedError> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.map_err(at(folder))?,
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(at(folder))?;
    match account {
        Some(account) => lchown(folder, Some(account.uid), Some(account.gid)).map_err(at(folder)),
        None => Ok(()),
    }
}

/// The known folder if it is still sound, else a new one whose path is short.
fn short_folder(account: Option<Account>, known: Option<PathBuf>) -> Result<PathBuf, EmbeddedError> {
    let owner = account.map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid);
    if let Some(folder) = known.filter(|folder| is_private(folder, owner)) {
        return Ok(folder);
    }
    let mut bytes = [0_u8; 8];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| at(Path::new("/tmp"))(io::Error::other(error)))?;
    let folder = Path::new("/tmp").join(format!("gencharge-{:016x}", u64::from_le_bytes(bytes)));
    // The name is random and creating fails if it exists: nobody else can have put it there.
    fs::DirBuilder::new().mode(0o700).create(&folder).map_err(at(&folder))?;
    private_folder(&folder, account)?;
    Ok(folder)
}

fn is_private(folder: &Path, owner: u32) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|metadata| {
        metadata.is_dir() && metadata.uid() == owner && metadata.mode() & 0o777 == 0o700
    })
}

fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
