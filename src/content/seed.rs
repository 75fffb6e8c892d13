//! The demo's pages: content of every type.

use std::io::Cursor;

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::kernel::{AdminId, Random};
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use super::picture::{Pictures, Unusable};
use super::service::{CONTENT, PICTURES};
use crate::platform::documents::{Document, DocumentError, DocumentStore, Filter, moment, new_id};

/// Type, title, body, and whether there is a picture.
const PAGES: &[(&str, &str, &str, bool)] = &[
    (
        "Landing_page_img1",
        "Recharge in seconds",
        "Any prepaid number, any plan, from your wallet or by UPI.",
        true,
    ),
    ("Landing_page_img2", "Unlimited 5G", "Plans from Rs 299 with unlimited calls.", true),
    (
        "Why_Choose_us",
        "Paid once, whatever happens",
        "A recharge that we confirm is done, and done once.",
        false,
    ),
    (
        "Why_Choose_us",
        "Bring your friends",
        "Rs 50 for each friend, with your friend's first recharge.",
        false,
    ),
    (
        "FAQ",
        "When does my plan start?",
        "At once, when the number has none. Otherwise when the plans bought before it have ended.",
        false,
    ),
    (
        "FAQ",
        "Where is my refund?",
        "In your wallet, or where the payment came from. The list of your transactions shows it.",
        false,
    ),
    (
        "support_contact",
        "Write to us",
        "support@example.com, or the contact form. We answer within a day.",
        false,
    ),
];

/// Why the pages could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The documents.
    #[error(transparent)]
    Documents(#[from] DocumentError),
    /// A picture.
    #[error("a picture could not be kept: {0}")]
    Picture(#[from] Unusable),
}

/// Makes the demo's pages, by `admin`, when there is no content at all.
///
/// # Errors
/// [`SeedError`].
pub async fn seed_content(
    documents: &dyn DocumentStore,
    pictures: &Pictures,
    admin: AdminId,
    now: DateTime<Utc>,
    random: &dyn Random,
) -> Result<(), SeedError> {
    if documents.count(&CONTENT, Filter::Everything).await? > 0 {
        return Ok(());
    }
    let mut pages = Vec::with_capacity(PAGES.len());
    for ((kind, title, body, picture), days) in PAGES.iter().zip(1_i64..) {
        let at = now - TimeDelta::days(40 - 5 * days);
        let file = if *picture { Some(pictures.keep(gradient(days)).await?) } else { None };
        let fields = [
            ("_id", json!(new_id(at, random))),
            ("content_type", json!(kind)),
            ("title", json!(title)),
            ("body", json!(body)),
            ("image_url", file.as_ref().map_or(Value::Null, |name| json!(format!("{PICTURES}{name}")))),
            ("image_filename", json!(file)),
            ("created_by", json!(admin.get())),
            ("created_at", json!(moment(at))),
            ("updated_by", json!(admin.get())),
            ("updated_at", json!(moment(at))),
        ];
        pages.push(Document::from_iter(fields.map(|(field, value)| (field.to_owned(), value))));
    }
    documents.insert(&CONTENT, pages).await?;
    Ok(())
}

/// A picture of two colours that run into each other.
fn gradient(number: i64) -> Vec<u8> {
    let (width, height) = (960, 320);
    let shade = |part: u32, whole: u32| u8::try_from(part * 255 / whole).unwrap_or(u8::MAX);
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let (across, down) = (shade(x, width), shade(y, height));
        if number % 2 == 1 {
            Rgb([across / 2, 90, 255 - down / 2])
        } else {
            Rgb([255 - across / 2, 140, down / 2])
        }
    });
    let mut bytes = Cursor::new(Vec::new());
    // Into memory: what could fail is told when the picture is kept.
    let _ = picture.write_to(&mut bytes, ImageFormat::Png);
    bytes.into_inner()
}

#[cfg(test)]
mod tests {
    use super::super::form::TYPES;
    use super::*;

    #[test]
    fn there_is_content_of_every_type() {
        for kind in TYPES {
            assert!(PAGES.iter().any(|page| page.0 == kind), "{kind}");
        }
        assert!(PAGES.iter().all(|page| TYPES.contains(&page.0)));
    }
}
