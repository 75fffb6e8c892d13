//! Commands that come as messages: read, checked against what the partner may do, and put to the wallets.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gencharge_actors::messages::{CommandHandler, IncomingCommand, Outcome, ParkReason};
use gencharge_actors::partner::{CommandType, PartnerRef, decode};
use gencharge_actors::wallet::{Reason, Refusal, WalletStore, Wallets};

use super::book::PartnerBook;
use super::store::Permissions;

/// Does what partners ask for by message.
pub struct PartnerCommands<S: WalletStore> {
    wallets: Wallets<S>,
    partners: PartnerBook,
}

impl<S: WalletStore> PartnerCommands<S> {
    /// Over the wallets.
    #[must_use]
    pub const fn new(wallets: Wallets<S>, partners: PartnerBook) -> Self {
        Self { wallets, partners }
    }

    async fn done(&self, command: &IncomingCommand) -> Result<Outcome, ParkReason> {
        let Some(user) = &command.user_id else {
            return Err(ParkReason::new(
                "unknown_partner",
                "the broker does not say who sent it: set user_id",
            ));
        };
        let message = decode(command.content_type.as_deref(), &command.body)?;
        let partner = match self.partners.find(user).await {
            Ok(Some(partner)) => partner,
            Ok(None) => {
                return Err(ParkReason::new("unknown_partner", "no partner has this user at the broker"));
            }
            Err(error) => {
                tracing::warn!(error = %error, "partner.unreadable");
                return Ok(Outcome::Retry("the database is away".to_owned()));
            }
        };
        if !allows(partner.permissions, message.kind()) {
            return Err(ParkReason::new(
                "permission_missing",
                format!("the partner may not send {}", message.kind().name()),
            ));
        }
        let order = message.into_order(&PartnerRef { id: partner.partner_id, user: Arc::clone(user) })?;
        match self.wallets.submit(order).await {
            Ok(_) => Ok(Outcome::Done),
            Err(Refusal::Rejected { rejection, .. }) if rejection.reason == Reason::MessageExpired => {
                Err(ParkReason::new(Reason::MessageExpired.as_str(), rejection.detail))
            }
            // The partner is told.
            Err(Refusal::Rejected { .. }) => Ok(Outcome::Done),
            Err(Refusal::KeyReused) => Err(ParkReason::new(
                "idempotency_key_reused",
                "a message with this source and id asked for something else before",
            )),
            Err(Refusal::Overloaded) => Ok(Outcome::Retry("too much waits for this wallet".to_owned())),
            Err(Refusal::Unavailable) => Ok(Outcome::Retry("the ledger is away".to_owned())),
            Err(Refusal::Unknown) => Ok(Outcome::Retry("the outcome is not known yet".to_owned())),
        }
    }
}

const fn allows(permissions: Permissions, kind: CommandType) -> bool {
    match kind {
        CommandType::Recharge => permissions.recharge,
        CommandType::TopUp => permissions.wallet_topup,
    }
}

impl<S: WalletStore> CommandHandler for PartnerCommands<S> {
    fn handle(&self, command: IncomingCommand) -> BoxFuture<'_, Outcome> {
        async move { self.done(&command).await.unwrap_or_else(Outcome::Park) }.boxed()
    }
}
