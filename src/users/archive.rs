//! Deleting a customer: the row moves to the archive as it is, the number becomes free, and the history stays.

use gencharge_actors::kernel::{AccountStatus, AdminId, Digest128, Paise, UserId};
use gencharge_actors::wallet::{Close, Command, KeyOrigin, Order, OrderKey, Refusal};

use super::store::{Profile, Users, find, lock};

/// How often the wallet is emptied anew when money comes in meanwhile.
const TRIES: usize = 5;

/// Why a customer was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// No such customer.
    #[error("no such customer")]
    NotFound,
    /// Money comes and goes all the time.
    #[error("the wallet is busy")]
    Busy,
    /// The ledger did not do it, or may not have.
    #[error("the ledger: {0:?}")]
    Ledger(Refusal),
    /// The database.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

impl Users {
    /// Deletes a customer; gives the profile as it was. The number can sign up again at once.
    ///
    /// What the wallet holds is moved to the account of what is owed to former customers, by a wallet command whose transaction
    /// deletes the customer too: neither happens without the other.
    ///
    /// # Errors
    /// [`DeleteError`].
    pub async fn delete(&self, user: UserId, by: Option<AdminId>) -> Result<Profile, DeleteError> {
        for _ in 0..TRIES {
            let profile = match self.delete_empty(user, by).await? {
                Deleted::Done(profile) => profile,
                Deleted::HoldsMoney(profile) => {
                    let close = Close { user, phone: profile.phone, by };
                    match self.wallets.submit(self.order(close)).await {
                        Ok(_) => profile,
                        // Spent, paid in or deleted between the two: look again.
                        Err(Refusal::Rejected { .. }) => continue,
                        Err(refusal) => return Err(DeleteError::Ledger(refusal)),
                    }
                }
            };
            // Every token of the customer is refused at once; the sessions' end is heard a moment later.
            self.gate.set_standing(user, AccountStatus::Blocked);
            return Ok(profile);
        }
        Err(DeleteError::Busy)
    }

    async fn delete_empty(&self, user: UserId, by: Option<AdminId>) -> Result<Deleted, DeleteError> {
        let mut tx = self.pool.begin().await?;
        lock(&mut tx, user).await?;
        let profile = find(&mut tx, user).await?.ok_or(DeleteError::NotFound)?;
        if profile.wallet_balance != Paise::ZERO {
            return Ok(Deleted::HoldsMoney(profile));
        }
        // The time is taken under the lock: later than everything that was bought for the number.
        sqlx::query("SELECT archive_user($1, 0, $2, $3)")
            .bind(user.get())
            .bind(by.map(AdminId::get))
            .bind(self.clock.now())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Deleted::Done(profile))
    }

    fn order(&self, close: Close) -> Order {
        let mut bytes = [0_u8; 16];
        self.random.fill(&mut bytes);
        let key = Digest128(u128::from_be_bytes(bytes));
        let request = Digest128::of_request("CLOSE", "wallet", &close.user.get().to_be_bytes());
        let key = OrderKey { key, request, origin: KeyOrigin::Internal };
        Order { command: Command::Close(close), key, asked: None }
    }
}

enum Deleted {
    Done(Profile),
    HoldsMoney(Profile),
}
