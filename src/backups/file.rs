//! The file: a line that names the format, a zstd stream of frames, and the SHA-256 of everything before it.
//!
//! A frame is its kind (one byte), its length (four, little endian) and so many bytes. The manifest is the last frame, so a
//! file without one was cut off. While it is written the file is called `.part`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::error::BackupError;
use super::totals::Totals;

/// What the names of files end with.
pub(super) const EXTENSION: &str = "gcb";
const MAGIC: &[u8] = b"GENCHARGE BACKUP 1\n";
const SEAL: u64 = 32;
/// The longest frame.
const MAX_FRAME: usize = 64 << 20;
/// Rows are cut into frames of about this size.
pub(super) const CHUNK: usize = 256 << 10;
/// Frames waiting between the database and the file.
const AHEAD: usize = 8;
/// zstd's usual one.
const LEVEL: i32 = 3;

/// The first frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub created_at: DateTime<Utc>,
    /// Version and checksum of each migration of the schema.
    pub migrations: Vec<(i64, String)>,
    /// True when tables or rows were left out.
    pub partial: bool,
}

/// What comes before a table's rows, which are PostgreSQL's COPY text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Table {
    pub name: String,
    pub columns: Vec<String>,
    /// Of a table partitioned by `created_at`: its first and last.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

/// The last frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Each table's rows.
    pub tables: Vec<(String, u64)>,
    /// Each collection's documents.
    pub collections: Vec<(String, u64)>,
    /// Each sequence's last value.
    pub sequences: Vec<(String, i64)>,
    /// The ledger's.
    pub totals: Totals,
}

/// A piece of the file.
#[derive(Debug)]
pub(super) enum Frame {
    Header(Header),
    Table(Table),
    Rows(Vec<u8>),
    Collection(String),
    /// JSON objects.
    Documents(Vec<crate::platform::documents::Document>),
    Manifest(Manifest),
}

impl Frame {
    fn encode(self) -> serde_json::Result<(u8, Vec<u8>)> {
        Ok(match self {
            Self::Header(header) => (1, serde_json::to_vec(&header)?),
            Self::Table(table) => (2, serde_json::to_vec(&table)?),
            Self::Rows(rows) => (3, rows),
            Self::Collection(name) => (4, serde_json::to_vec(&name)?),
            Self::Documents(documents) => (5, serde_json::to_vec(&documents)?),
            Self::Manifest(manifest) => (6, serde_json::to_vec(&manifest)?),
        })
    }

    fn decode(kind: u8, bytes: Vec<u8>) -> Result<Self, BackupError> {
        let decoded = match kind {
            1 => serde_json::from_slice(&bytes).map(Self::Header),
            2 => serde_json::from_slice(&bytes).map(Self::Table),
            3 => Ok(Self::Rows(bytes)),
            4 => serde_json::from_slice(&bytes).map(Self::Collection),
            5 => serde_json::from_slice(&bytes).map(Self::Documents),
            6 => serde_json::from_slice(&bytes).map(Self::Manifest),
            _ => return Err(BackupError::Damaged(format!("a frame of an unknown kind ({kind})"))),
        };
        decoded.map_err(|error| BackupError::Damaged(format!("a frame cannot be read: {error}")))
    }
}

/// What a finished file is.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub bytes: u64,
    /// In hex.
    pub sha256: String,
}

/// Counts and sums what goes to the disk.
struct Summed {
    file: BufWriter<File>,
    sum: Sha256,
    bytes: u64,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.sum.update(bytes);
        self.bytes += u64::try_from(bytes.len()).unwrap_or_default();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a file; compression has a thread of its own. Dropped before [`Writer::seal`], it leaves nothing.
pub(super) struct Writer {
    frames: mpsc::Sender<Frame>,
    thread: JoinHandle<io::Result<Option<Sealed>>>,
    path: PathBuf,
}

impl Writer {
    /// Begins `path`, under another name.
    pub(super) fn create(path: PathBuf) -> Self {
        let (frames, receiver) = mpsc::channel(AHEAD);
        let to = path.clone();
        let thread = tokio::task::spawn_blocking(move || {
            let mut part = to.clone().into_os_string();
            part.push(".part");
            let part = PathBuf::from(part);
            let outcome = write_all(&part, &to, receiver);
            if !matches!(outcome, Ok(Some(_))) {
                // The job was cut off or failed; what is left is of no use.
                let _ = std::fs::remove_file(&part);
            }
            outcome
        });
        Self { frames, thread, path }
    }

    /// Adds a frame.
    pub(super) async fn put(&self, frame: Frame) -> Result<(), BackupError> {
        // The thread ended early: `seal` tells why.
        self.frames.send(frame).await.map_err(|_| BackupError::CutOff)
    }

    /// Waits until everything is on the disk under its own name. The manifest must have been put.
    pub(super) async fn seal(self) -> Result<Sealed, BackupError> {
        drop(self.frames);
        match self.thread.await {
            Ok(Ok(Some(sealed))) => Ok(sealed),
            Ok(Err(error)) => Err(BackupError::file(&self.path, error)),
            Ok(Ok(None)) | Err(_) => Err(BackupError::CutOff),
        }
    }
}

fn write_all(part: &Path, to: &Path, mut frames: mpsc::Receiver<Frame>) -> io::Result<Option<Sealed>> {
    let folder = to.parent().unwrap_or(Path::new("."));
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(part)?;
    let mut out = Summed { file: BufWriter::new(file), sum: Sha256::new(), bytes: 0 };
    out.write_all(MAGIC)?;
    let mut stream = zstd::stream::write::Encoder::new(out, LEVEL)?;
    let mut complete = false;
    while let Some(frame) = frames.blocking_recv() {
        complete = matches!(frame, Frame::Manifest(_));
        let (kind, bytes) = frame.encode()?;
        let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= MAX_FRAME);
        let length = length.ok_or_else(|| io::Error::other("a frame is too long"))?;
        stream.write_all(&[kind])?;
        stream.write_all(&length.to_le_bytes())?;
        stream.write_all(&bytes)?;
    }
    if !complete {
        return Ok(None);
    }
    let Summed { mut file, sum, bytes } = stream.finish()?;
    let sum: [u8; 32] = sum.finalize().into();
    file.write_all(&sum)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(part, to)?;
    File::open(folder)?.sync_all()?;
    Ok(Some(Sealed { bytes: bytes + SEAL, sha256: hex(&sum) }))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a file frame by frame.
pub(super) struct Reader {
    stream: zstd::stream::read::Decoder<'static, BufReader<io::Take<File>>>,
    ended: bool,
}

impl Reader {
    /// Opens `path`; [`check`] says whether it is whole.
    pub(super) fn open(path: &Path) -> Result<Self, BackupError> {
        let error = |error| BackupError::file(path, error);
        let mut file = File::open(path).map_err(error)?;
        let length = file.metadata().map_err(error)?.len();
        let head = u64::try_from(MAGIC.len()).unwrap_or_default();
        let body = length.checked_sub(head + SEAL);
        let body = body.ok_or_else(|| BackupError::Damaged("it is too short".to_owned()))?;
        let mut magic = vec![0; MAGIC.len()];
        file.read_exact(&mut magic).map_err(error)?;
        if magic != MAGIC {
            return Err(BackupError::Damaged("it is no backup of this version".to_owned()));
        }
        let stream =
            zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(CHUNK, file.take(body)));
        Ok(Self { stream: stream.map_err(error)?, ended: false })
    }

    /// The next frame; `None` after the manifest.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, BackupError> {
        let damaged = |error: io::Error| BackupError::Damaged(error.to_string());
        if self.ended {
            let more = self.stream.read(&mut [0]).map_err(damaged)?;
            return if more == 0 {
                Ok(None)
            } else {
                Err(BackupError::Damaged("it goes on after its end".to_owned()))
            };
        }
        let (mut kind, mut length) = ([0; 1], [0; 4]);
        self.stream.read_exact(&mut kind).map_err(damaged)?;
        self.stream.read_exact(&mut length).map_err(damaged)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(BackupError::Damaged("a frame is too long".to_owned()));
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).map_err(damaged)?;
        let [kind] = kind;
        let frame = Frame::decode(kind, bytes)?;
        self.ended = matches!(frame, Frame::Manifest(_));
        Ok(Some(frame))
    }
}

/// Reads the whole file: checksum, lengths and order of frames. Gives its first and last frame and its checksum.
pub(super) fn check(path: &Path) -> Result<(Header, Manifest, String), BackupError> {
    let sum = check_sum(path)?;
    let mut reader = Reader::open(path)?;
    let Some(Frame::Header(header)) = reader.next()? else {
        return Err(BackupError::Damaged("it does not begin with a header".to_owned()));
    };
    let mut manifest = None;
    while let Some(frame) = reader.next()? {
        if let Frame::Manifest(found) = frame {
            manifest = Some(found);
        }
    }
    let manifest = manifest.ok_or_else(|| BackupError::Damaged("it has no manifest".to_owned()))?;
    Ok((header, manifest, sum))
}

fn check_sum(path: &Path) -> Result<String, BackupError> {
    let error = |error| BackupError::file(path, error);
    let mut file = File::open(path).map_err(error)?;
    let length = file.metadata().map_err(error)?.len();
    let body = length.checked_sub(SEAL).ok_or_else(|| BackupError::Damaged("it is too short".to_owned()))?;
    let mut sum = Sha256::new();
    let mut rest = body;
    let mut buffer = vec![0; CHUNK];
    while rest > 0 {
        let wanted = usize::try_from(rest).unwrap_or(CHUNK).min(CHUNK);
        let piece = buffer.get_mut(..wanted).unwrap_or_default();
        file.read_exact(piece).map_err(error)?;
        sum.update(&*piece);
        rest = rest.saturating_sub(u64::try_from(wanted).unwrap_or_default());
    }
    file.seek(SeekFrom::Start(body)).map_err(error)?;
    let mut seal = [0; 32];
    file.read_exact(&mut seal).map_err(error)?;
    let sum: [u8; 32] = sum.finalize().into();
    if sum != seal {
        return Err(BackupError::Damaged("its checksum does not hold: it was cut off or altered".to_owned()));
    }
    Ok(hex(&sum))
}
