//! The demo's contact forms.

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::kernel::Random;
use serde_json::json;

use super::service::CONTACT_FORMS;
use crate::platform::documents::{Document, DocumentError, DocumentStore, Filter, moment, new_id};

/// Name, address, message, settled.
const FORMS: &[(&str, &str, &str, bool)] = &[
    (
        "Aarav Sharma",
        "aarav.sharma@example.com",
        "My recharge went through. Where do I find its receipt?",
        true,
    ),
    ("Sunita Kale", "sunita.kale@example.com", "Can I keep my number when I change to postpaid?", true),
    (
        "Diya Menon",
        "diya.menon@example.com",
        "I sent Rs 150 to the wrong friend. Can it be taken back?",
        true,
    ),
    ("Peter D'Souza", "peter.dsouza@example.com", "Do you sell roaming packs for Sri Lanka?", false),
    (
        "Kabir Singh",
        "kabir.singh@example.com",
        "The data booster waits behind my plan. May it start now?",
        false,
    ),
    (
        "Mira Joshi",
        "mira.joshi@example.com",
        "We are a shop and would like to recharge for customers.",
        false,
    ),
];

/// Makes the demo's forms, when there are none at all.
///
/// # Errors
/// Those of the store.
pub async fn seed_forms(
    documents: &dyn DocumentStore,
    now: DateTime<Utc>,
    random: &dyn Random,
) -> Result<(), DocumentError> {
    if documents.count(&CONTACT_FORMS, Filter::Everything).await? > 0 {
        return Ok(());
    }
    let forms = FORMS.iter().zip(1_i64..).map(|((name, email, description, resolved), days)| {
        let at = now - TimeDelta::days(38 - 6 * days) - TimeDelta::minutes(71 * days);
        let fields = [
            ("_id", json!(new_id(at, random))),
            ("name", json!(name)),
            ("email", json!(email)),
            ("description", json!(description)),
            ("created_at", json!(moment(at))),
            ("resolved", json!(resolved)),
        ];
        Document::from_iter(fields.map(|(field, value)| (field.to_owned(), value)))
    });
    documents.insert(&CONTACT_FORMS, forms.collect()).await?;
    Ok(())
}
