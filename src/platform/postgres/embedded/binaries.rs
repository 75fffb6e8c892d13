//! Finding PostgreSQL's programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::EmbeddedError;

/// A folder with `initdb` and `postgres` of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub folder: PathBuf,
    /// Such as `15`.
    pub major: u32,
}

impl Binaries {
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The programs to use for the data in `cluster`: of its version when it exists, else the newest.
pub(super) fn find(wanted: Option<&Path>, cluster: &Path) -> Result<Binaries, EmbeddedError> {
    let folders = match wanted {
        Some(folder) => vec![folder.to_owned()],
        None => candidates(),
    };
    let mut found: Vec<Binaries> = folders.iter().filter_map(|folder| inspect(folder)).collect();
    // The sort is stable: among equal versions the first place looked at wins.
    found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
    let Ok(version) = fs::read_to_string(cluster.join("PG_VERSION")) else {
        return found
            .into_iter()
            .next()
            .ok_or_else(|| EmbeddedError::NoBinaries { looked: listed(&folders) });
    };
    let needed = version.trim();
    let majors: Vec<String> = found.iter().map(|binaries| binaries.major.to_string()).collect();
    match found.into_iter().find(|binaries| binaries.major.to_string() == needed) {
        Some(binaries) => Ok(binaries),
        None if majors.is_empty() => Err(EmbeddedError::NoBinaries { looked: listed(&folders) }),
        None => Err(EmbeddedError::WrongVersion {
            cluster: cluster.to_owned(),
            needed: needed.to_owned(),
            found: majors.join(", "),
        }),
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output()
        && output.status.success()
    {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    for root in ["/usr/lib/postgresql", "/usr/local/lib/postgresql", "/opt/homebrew/opt"] {
        let Ok(entries) = fs::read_dir(root) else { continue };
        folders.extend(entries.flatten().map(|entry| entry.path().join("bin")).filter(|bin| bin.is_dir()));
    }
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path).filter(|folder| folder.join("initdb").is_file()));
    }
    if folders.is_empty() {
        folders.push(PathBuf::from("/usr/lib/postgresql/*/bin"));
    }
    folders
}

/// `None` when a program is missing or does not run.
fn inspect(folder: &Path) -> Option<Binaries> {
    if !folder.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").stdin(Stdio::null()).output().ok()?;
    // postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1), or 18beta1
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some(Binaries { folder: folder.to_owned(), major: digits.parse().ok()? })
}

fn listed(folders: &[PathBuf]) -> String {
    let texts: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    texts.join(", ")
}
