//! Values that must not be shown, and the key that signs tokens.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use rand::TryRng as _;

use super::Config;

/// A value whose `Debug` shows nothing; [`Secret::expose`] is the only way to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value itself: for its one use, never for a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum SecretKeyError {
    /// The file cannot be read or made.
    #[error(
        "the secret key {path} cannot be read or made: {source}; set GENCHARGE_SECRET_KEY or make the folder writable"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{0} does not hold a key of 64 hexadecimal digits; remove it (everybody has to sign in again) or set GENCHARGE_SECRET_KEY"
    )]
    Malformed(PathBuf),
    /// Others could read it.
    #[error(
        "{0} can be read by other users; `chmod 600` it, and remove it first if somebody may have seen it"
    )]
    Readable(PathBuf),
    /// Production has no made-up key.
    #[error("GENCHARGE_SECRET_KEY: required in production")]
    Missing,
}

/// The key that signs tokens: the one given, or in development the one kept in `secret.key` of the data folder,
/// which is made there (mode 0600) at first.
///
/// # Errors
/// When the file cannot be read or written, is readable by others, or holds no key.
pub fn secret_key(config: &Config) -> Result<Secret, SecretKeyError> {
    if let Some(key) = &config.auth.secret_key {
        return Ok(key.clone());
    }
    if config.is_production() {
        return Err(SecretKeyError::Missing);
    }
    let path = config.data_dir.join("secret.key");
    let io = |source| SecretKeyError::Io { path: path.clone(), source };
    if !path.exists() {
        crate::platform::data_folder::create(&config.data_dir).map_err(io)?;
        make(config).map_err(io)?;
    }
    if fs::metadata(&path).map_err(io)?.mode() & 0o077 != 0 {
        return Err(SecretKeyError::Readable(path));
    }
    let text = fs::read_to_string(&path).map_err(io)?;
    let key = text.trim();
    if key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(Secret::new(key))
    } else {
        Err(SecretKeyError::Malformed(path))
    }
}

/// Writes a new key so that a crash leaves all of it or nothing, and two processes end with the same one.
fn make(config: &Config) -> io::Result<()> {
    let mut bytes = [0_u8; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let draft = config.data_dir.join(format!("secret.key.{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(file, "{hex}")?;
    file.sync_all()?;
    // A link, not a rename: it never replaces a key that another process has just made.
    let linked = fs::hard_link(&draft, config.data_dir.join("secret.key"));
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
