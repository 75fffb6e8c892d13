//! Pictures: what the bytes are is seen from the bytes, and only what was decoded and encoded again is kept.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gencharge_actors::kernel::Random;
use image::{ImageFormat, ImageReader, Limits};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;

/// The largest picture taken, in bytes.
pub const MAX_BYTES: usize = 5 * 1024 * 1024;
/// The largest width and height, in pixels.
const MAX_SIDE: u32 = 8_000;
/// The most memory that decoding one may take, in bytes.
const MAX_MEMORY: u64 = 128 * 1024 * 1024;
/// Pictures decoded at the same time.
const AT_ONCE: usize = 2;

/// Why a picture is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It is none of these, whatever its name says.
    #[error("must be a JPEG, PNG, GIF or WebP picture")]
    NoPicture,
    /// It says that it is one, and is not.
    #[error("must be a whole picture of at most 8000 by 8000 pixels")]
    Broken,
    /// The folder.
    #[error(transparent)]
    Folder(#[from] std::io::Error),
}

/// Endings of the kinds that are kept; an animation keeps its first picture, as PNG.
const KINDS: [(&str, &str); 3] = [("jpg", "image/jpeg"), ("png", "image/png"), ("webp", "image/webp")];

/// The pictures' folder; clones share it.
#[derive(Clone)]
pub struct Pictures {
    folder: PathBuf,
    random: Arc<dyn Random>,
    places: Arc<Semaphore>,
}

impl Pictures {
    /// Pictures in this folder, which is made when the first one comes.
    #[must_use]
    pub fn new(folder: &Path, random: Arc<dyn Random>) -> Self {
        Self { folder: folder.to_owned(), random, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Keeps a picture under a name of our own, and gives the name. It is durable then.
    pub(super) async fn keep(&self, bytes: Vec<u8>) -> Result<String, Unusable> {
        let _place = self.places.acquire().await.map_err(|_| Unusable::Broken)?;
        let made = actix_web::web::block(move || again(&bytes)).await.map_err(|_| Unusable::Broken)?;
        let (ending, bytes) = made?;
        let mut drawn = [0_u8; 16];
        self.random.fill(&mut drawn);
        let name = format!("{:032x}.{ending}", u128::from_be_bytes(drawn));
        tokio::fs::create_dir_all(&self.folder).await?;
        let (path, unfinished) = (self.folder.join(&name), self.folder.join(format!("{name}.part")));
        let mut file = tokio::fs::File::create(&unfinished).await?;
        file.write_all(&bytes).await?;
        file.sync_all().await?;
        tokio::fs::rename(&unfinished, &path).await?;
        tokio::fs::File::open(&self.folder).await?.sync_all().await?;
        Ok(name)
    }

    /// A kept picture and its media type; `None` when there is none of that name.
    pub(super) async fn read(&self, name: &str) -> std::io::Result<Option<(Vec<u8>, &'static str)>> {
        let Some(media) = media_of(name) else { return Ok(None) };
        match tokio::fs::read(self.folder.join(name)).await {
            Ok(bytes) => Ok(Some((bytes, media))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Forgets a picture. One that stays behind is only a waste of space.
    pub(super) async fn forget(&self, name: &str) {
        if media_of(name).is_some()
            && let Err(error) = tokio::fs::remove_file(self.folder.join(name)).await
        {
            tracing::warn!(%error, "content.picture_not_removed");
        }
    }
}

/// The media type of a name that we made; `None` for every other name, so that no path gets through.
fn media_of(name: &str) -> Option<&'static str> {
    let (stem, ending) = name.split_once('.')?;
    let ours = stem.len() == 32 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    KINDS.iter().find(|(known, _)| ours && *known == ending).map(|(_, media)| *media)
}

/// Decodes and encodes: what is kept holds pixels and nothing else.
fn again(bytes: &[u8]) -> Result<(&'static str, Vec<u8>), Unusable> {
    let format = image::guess_format(bytes).map_err(|_| Unusable::NoPicture)?;
    let (ending, kept) = match format {
        ImageFormat::Jpeg => ("jpg", ImageFormat::Jpeg),
        ImageFormat::Png | ImageFormat::Gif => ("png", ImageFormat::Png),
        ImageFormat::WebP => ("webp", ImageFormat::WebP),
        _ => return Err(Unusable::NoPicture),
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_MEMORY);
    reader.limits(limits);
    let picture = reader.decode().map_err(|_| Unusable::Broken)?;
    let mut encoded = Cursor::new(Vec::new());
    let written = match kept {
        ImageFormat::Jpeg => picture.to_rgb8().write_to(&mut encoded, kept),
        _ => picture.to_rgba8().write_to(&mut encoded, kept),
    };
    written.map_err(|_| Unusable::Broken)?;
    Ok((ending, encoded.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_lead_to_files() {
        let name = format!("{}.png", "0a".repeat(16));
        assert_eq!(media_of(&name), Some("image/png"));
        for bad in
            ["", "x.png", "../../etc/passwd", &format!("{}.html", "0a".repeat(16)), &format!("../{name}")]
        {
            assert_eq!(media_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_not_a_picture_is_refused_whatever_it_claims() {
        assert!(matches!(again(b"<svg onload='x'>"), Err(Unusable::NoPicture)));
        assert!(matches!(again(b"\x89PNG\r\n\x1a\nnothing"), Err(Unusable::Broken)));
        let mut png = Cursor::new(Vec::new());
        image::RgbaImage::new(3, 2).write_to(&mut png, ImageFormat::Png).unwrap();
        let mut bytes = png.into_inner();
        bytes.extend_from_slice(b"<script>hidden behind the picture</script>");
        let (ending, kept) = again(&bytes).unwrap();
        assert_eq!(ending, "png");
        assert!(!kept.windows(8).any(|part| part == b"<script>"));
    }
}
