//! What the demo keeps as documents.

use std::sync::Arc;

use gencharge_actors::kernel::{AdminId, Clock as _, SystemClock, SystemRandom};

use crate::app::Parts;
use crate::app::stores::Stores;
use crate::cli::Failure;
use crate::config::Config;
use crate::contact::seed_forms;
use crate::content::{Pictures, seed_content};
use crate::platform::postgres::Database;
use crate::platform::tls;

/// Makes content and contact forms where there are none, in the store that the settings name.
///
/// # Errors
/// Those of the store, and of the folder for pictures.
pub async fn seed_documents(config: &Config, database: &Database) -> Result<(), Failure> {
    tls::use_ring();
    let parts = Parts::new(config.clone(), database.pool().clone())?;
    let stores = Stores::open(&parts, None).await?;
    let editor: Option<i64> = sqlx::query_scalar(
        "SELECT min(admin_id) FROM admins JOIN roles USING (role_id) WHERE role_name = 'ContentEditor'",
    )
    .fetch_one(database.pool())
    .await?;
    let now = SystemClock.now();
    let pictures = Pictures::new(&config.data_dir.join("uploads"), Arc::clone(&parts.random));
    let documents = stores.documents.as_ref();
    let admin = AdminId(editor.unwrap_or(1));
    seed_content(documents, &pictures, admin, now, &SystemRandom).await?;
    seed_forms(documents, now, &SystemRandom).await?;
    Ok(())
}
