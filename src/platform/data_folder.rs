//! The folder for everything that the process keeps on disk.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Creates the folder if it is missing and gives its real, absolute path.
///
/// Others cannot list it. Made by root it can be passed through, so that the embedded database, which runs under an
/// unprivileged user, reaches its own folder in it.
///
/// # Errors
/// Those of the file system.
pub fn create(folder: &Path) -> io::Result<PathBuf> {
    let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
    if !folder.is_dir() {
        fs::DirBuilder::new().recursive(true).mode(mode).create(folder)?;
    }
    folder.canonicalize()
}
