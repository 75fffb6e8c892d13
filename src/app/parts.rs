//! What the application is built from.

use std::sync::Arc;

use gencharge_actors::kernel::{Clock, Random, SystemClock, SystemRandom};
use sqlx::PgPool;

use crate::config::{Config, Secret, SecretKeyError, secret_key};

/// What the application is built from.
#[derive(Clone)]
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// The key that everything secret is derived from (`config::secret_key`).
    pub secret: Secret,
    /// SQL.
    pub pool: PgPool,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness fit for secrets.
    pub random: Arc<dyn Random>,
}

impl Parts {
    /// With the real time and randomness.
    ///
    /// # Errors
    /// [`SecretKeyError`]
    pub fn new(config: Config, pool: PgPool) -> Result<Self, SecretKeyError> {
        let secret = secret_key(&config)?;
        Ok(Self { config, secret, pool, clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) })
    }
}
