//! The states of a customer's account and what leads from one to another, pure.
//!
//! ```text
//!            Block                Deactivate
//! blocked <---------- active -----------------> deactive
//!         ----------> active <-----------------
//!           Unblock               Reactivate (also the next sign-in)
//! ```

use crate::kernel::AccountStatus;

/// A change of state. Each leads from exactly one state to one other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// An administrator stops the account.
    Block,
    /// An administrator lets it go on.
    Unblock,
    /// The customer pauses it.
    Deactivate,
    /// The customer resumes it, by asking or by signing in.
    Reactivate,
}

/// The change does not lead from the state that the account is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account is {}", .0.as_str())]
pub struct WrongState(pub AccountStatus);

impl Change {
    /// Every change.
    pub const ALL: [Self; 4] = [Self::Block, Self::Unblock, Self::Deactivate, Self::Reactivate];

    /// The state it leads from.
    #[must_use]
    pub const fn from(self) -> AccountStatus {
        match self {
            Self::Block | Self::Deactivate => AccountStatus::Active,
            Self::Unblock => AccountStatus::Blocked,
            Self::Reactivate => AccountStatus::Deactive,
        }
    }

    /// The state it leads to.
    #[must_use]
    pub const fn to(self) -> AccountStatus {
        match self {
            Self::Block => AccountStatus::Blocked,
            Self::Deactivate => AccountStatus::Deactive,
            Self::Unblock | Self::Reactivate => AccountStatus::Active,
        }
    }

    /// The state after the change.
    ///
    /// # Errors
    /// [`WrongState`] when the account is in another state than the one it leads from.
    pub fn apply(self, state: AccountStatus) -> Result<AccountStatus, WrongState> {
        if state == self.from() { Ok(self.to()) } else { Err(WrongState(state)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever customers and administrators do, in whatever order: nothing but an administrator undoes a block, nothing
        /// but the customer undoes a pause, and a refused change changes nothing.
        #[test]
        fn only_its_maker_undoes_a_state(steps in prop::collection::vec(prop::sample::select(&Change::ALL), 0..60)) {
            let mut state = AccountStatus::Active;
            for change in steps {
                let before = state;
                match change.apply(before) {
                    Ok(after) => {
                        prop_assert_ne!(before, after);
                        prop_assert_eq!(before == AccountStatus::Blocked, change == Change::Unblock);
                        prop_assert_eq!(before == AccountStatus::Deactive, change == Change::Reactivate);
                        state = after;
                    }
                    Err(WrongState(told)) => {
                        prop_assert_eq!(told, before);
                        prop_assert_ne!(change.from(), before);
                    }
                }
            }
        }
    }
}
