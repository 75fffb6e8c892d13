//! Who did something, as events and documents name them.

use std::fmt;
use std::str::FromStr;

use super::{AdminId, UserId};

/// Whoever did something. Its text is `US_<id>`, `AD_<id>` or `SYSTEM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A customer.
    User(UserId),
    /// An administrator.
    Admin(AdminId),
    /// Nobody: the system by itself, or someone at the command line.
    System,
}

/// The text names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be US_<id>, AD_<id> or SYSTEM")]
pub struct UnknownActor;

impl Actor {
    /// The administrator, if it is one.
    #[must_use]
    pub const fn admin_id(self) -> Option<AdminId> {
        match self {
            Self::Admin(id) => Some(id),
            Self::User(_) | Self::System => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "US_{}", id.get()),
            Self::Admin(id) => write!(f, "AD_{}", id.get()),
            Self::System => f.write_str("SYSTEM"),
        }
    }
}

impl FromStr for Actor {
    type Err = UnknownActor;

    fn from_str(text: &str) -> Result<Self, UnknownActor> {
        let id = |digits: &str| digits.parse().ok().filter(|id| *id >= 0).ok_or(UnknownActor);
        if let Some(digits) = text.strip_prefix("US_") {
            return id(digits).map(|id| Self::User(UserId(id)));
        }
        if let Some(digits) = text.strip_prefix("AD_") {
            return id(digits).map(|id| Self::Admin(AdminId(id)));
        }
        if text == "SYSTEM" { Ok(Self::System) } else { Err(UnknownActor) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_names_it() {
        for actor in [Actor::User(UserId(7)), Actor::Admin(AdminId(15)), Actor::System] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        for bad in ["", "7", "US_", "US_-1", "us_7", "AD_1x", "system"] {
            assert_eq!(bad.parse::<Actor>(), Err(UnknownActor), "{bad}");
        }
    }
}
