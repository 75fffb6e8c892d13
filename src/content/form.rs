//! The multipart form: read piece by piece, each with its bound.

use actix_multipart::Multipart;
use futures_util::TryStreamExt as _;

use super::picture::MAX_BYTES;
use crate::http::Faults;
use crate::http::{Code, Problem};

/// What content can be about.
pub const TYPES: [&str; 5] =
    ["Landing_page_img1", "Landing_page_img2", "Why_Choose_us", "FAQ", "support_contact"];
const MAX_TITLE: usize = 200;
const MAX_BODY: usize = 20_000;
/// Parts of a form, known or not.
const MAX_PARTS: usize = 20;
/// Bytes of a part that is text.
const MAX_TEXT_BYTES: usize = 4 * MAX_BODY;

/// The fields that were given.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub content_type: Option<String>,
    pub title: Option<String>,
    pub body: Option<String>,
    pub image: Option<Vec<u8>>,
}

impl Form {
    /// Reads and checks a form; unknown parts are ignored, an empty image is none.
    pub(super) async fn read(mut parts: Multipart) -> Result<Self, Problem> {
        let (mut form, mut faults) = (Self::default(), Faults::default());
        let mut seen = 0;
        while let Some(mut part) = parts.try_next().await.map_err(unreadable)? {
            seen += 1;
            if seen > MAX_PARTS {
                return Err(Problem::new(Code::MalformedBody, "The form has too many parts"));
            }
            let name = part.name().unwrap_or_default().to_owned();
            let most = if name == "image" { MAX_BYTES } else { MAX_TEXT_BYTES };
            let mut bytes = Vec::new();
            while let Some(piece) = part.try_next().await.map_err(unreadable)? {
                if bytes.len().saturating_add(piece.len()) > most {
                    return Err(Problem::new(
                        Code::BodyTooLarge,
                        format!(
                            "{} may have at most {most} bytes",
                            if name == "image" { "image" } else { "a field" }
                        ),
                    ));
                }
                bytes.extend_from_slice(&piece);
            }
            match name.as_str() {
                "image" => form.image = Some(bytes).filter(|bytes| !bytes.is_empty()),
                "content_type" => form.content_type = faults.keep("content_type", known(bytes)),
                "title" => form.title = faults.keep("title", text(bytes, 1, MAX_TITLE)),
                "body" => form.body = faults.keep("body", text(bytes, 0, MAX_BODY)),
                _ => {}
            }
        }
        faults.done()?;
        Ok(form)
    }
}

fn text(bytes: Vec<u8>, least: usize, most: usize) -> Result<String, String> {
    let text = String::from_utf8(bytes).map_err(|_| "must be UTF-8".to_owned())?;
    let text = text.trim();
    if (least..=most).contains(&text.chars().count()) && !text.contains('\0') {
        Ok(text.to_owned())
    } else {
        Err(format!("must have {least} to {most} characters"))
    }
}

fn known(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes)
        .ok()
        .filter(|word| TYPES.contains(&word.as_str()))
        .ok_or_else(|| format!("must be one of: {}", TYPES.join(" ")))
}

fn unreadable(error: actix_multipart::MultipartError) -> Problem {
    Problem::new(Code::MalformedBody, format!("The body must be a multipart form: {error}"))
}
