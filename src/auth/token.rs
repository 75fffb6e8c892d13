//! Tokens: HS256 JWTs of two types that are never interchangeable.
//!
//! Every key is derived from the one secret setting, each for one use. A refresh token's `jti` is derived from its session
//! and generation, so the store keeps neither the token nor a copy of it, and the same generation always gives the same
//! token.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{Actor, AdminId, PhoneNumber, UserId};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// The role claim of customers; administrators carry their role's name.
pub const CUSTOMER_ROLE: &str = "user";

/// Customers and administrators have separate number spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubjectKind {
    /// A customer.
    User,
    /// An administrator.
    Admin,
}

impl SubjectKind {
    /// The word as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }

    /// Whoever has this id.
    #[must_use]
    pub const fn actor(self, id: i64) -> Actor {
        match self {
            Self::User => Actor::User(UserId(id)),
            Self::Admin => Actor::Admin(AdminId(id)),
        }
    }
}

/// Whom a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Which number space.
    pub kind: SubjectKind,
    /// User id or admin id.
    pub id: i64,
    /// The phone number signed in with.
    pub phone: PhoneNumber,
    /// "user" or the role's name; informative, no right follows from it.
    pub role: String,
}

/// What a valid access token says.
#[derive(Clone, Debug)]
pub struct AccessClaims {
    /// Whom it is for.
    pub subject: Subject,
    /// The sign-in it belongs to.
    pub session: Uuid,
}

/// What a valid refresh token says.
#[derive(Clone, Debug)]
pub struct RefreshClaims {
    /// The sign-in it belongs to.
    pub session: Uuid,
    /// How many rotations came before it.
    pub generation: i64,
}

/// The token does not hold: wrong signature, type, shape or time. Which one is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid")]
pub struct InvalidToken;

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    sub: Cow<'a, str>,
    uid: i64,
    sid: Uuid,
    #[serde(borrow)]
    jti: Cow<'a, str>,
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    typ: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#gen: Option<i64>,
    iat: i64,
    exp: i64,
    /// Administrators: true. The role's name alone could be "user".
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    adm: bool,
}

const ACCESS: &str = "access";
const REFRESH: &str = "refresh";

type HmacSha256 = Hmac<Sha256>;

/// The keys for tokens and one-time codes.
#[derive(Clone)]
pub struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    header: String,
    derivation: HmacSha256,
    otp: HmacSha256,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys([secret])")
    }
}

/// The secret cannot serve as a key.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("GENCHARGE_SECRET_KEY: cannot be used as a key; give at least 32 bytes")]
pub struct UnusableSecret;

impl Keys {
    /// Derives the keys from the secret setting.
    ///
    /// # Errors
    /// [`UnusableSecret`] for fewer than 32 bytes.
    pub fn derive(secret: &str) -> Result<Self, UnusableSecret> {
        if secret.len() < 32 {
            return Err(UnusableSecret);
        }
        let master = HmacSha256::new_from_slice(secret.as_bytes()).map_err(|_| UnusableSecret)?;
        let key = |purpose: &str| {
            let mut mac = master.clone();
            mac.update(purpose.as_bytes());
            mac.finalize().into_bytes()
        };
        let mac = |purpose: &str| HmacSha256::new_from_slice(&key(purpose)).map_err(|_| UnusableSecret);
        let signing = key("gencharge/token/v1");
        let header = serde_json::to_vec(&Header::new(Algorithm::HS256)).map_err(|_| UnusableSecret)?;
        Ok(Self {
            encoding: EncodingKey::from_secret(&signing),
            decoding: DecodingKey::from_secret(&signing),
            header: URL_SAFE_NO_PAD.encode(header),
            derivation: mac("gencharge/refresh/v1")?,
            otp: mac("gencharge/otp/v1")?,
        })
    }

    /// A new access token.
    #[must_use]
    pub fn access(
        &self,
        subject: &Subject,
        session: Uuid,
        jti: Uuid,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> String {
        self.sign(&Wire {
            sub: subject.phone.national().into(),
            uid: subject.id,
            sid: session,
            jti: jti.simple().to_string().into(),
            role: subject.role.as_str().into(),
            typ: ACCESS.into(),
            r#gen: None,
            iat: from.timestamp(),
            exp: to.timestamp(),
            adm: subject.kind == SubjectKind::Admin,
        })
    }

    /// The refresh token of a session's generation: the same input gives the same token.
    #[must_use]
    pub fn refresh(
        &self,
        subject: &Subject,
        session: Uuid,
        generation: i64,
        rotated_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> String {
        self.sign(&Wire {
            sub: subject.phone.national().into(),
            uid: subject.id,
            sid: session,
            jti: self.refresh_id(session, generation).into(),
            role: subject.role.as_str().into(),
            typ: REFRESH.into(),
            r#gen: Some(generation),
            iat: rotated_at.timestamp(),
            exp: expires_at.timestamp(),
            adm: subject.kind == SubjectKind::Admin,
        })
    }

    /// Checks signature, type and time of an access token. Revocation is the gate's business.
    ///
    /// # Errors
    /// [`InvalidToken`].
    pub fn open_access(&self, token: &str, now: DateTime<Utc>) -> Result<AccessClaims, InvalidToken> {
        self.open(token, ACCESS, now, |wire| {
            let kind = if wire.adm { SubjectKind::Admin } else { SubjectKind::User };
            let phone = PhoneNumber::parse(&wire.sub).map_err(|_| InvalidToken)?;
            let subject = Subject { kind, id: wire.uid, phone, role: wire.role.into_owned() };
            Ok(AccessClaims { subject, session: wire.sid })
        })
    }

    /// Checks signature, type, time and derivation of a refresh token. Whether it is the current one is the store's
    /// business.
    ///
    /// # Errors
    /// [`InvalidToken`].
    pub fn open_refresh(&self, token: &str, now: DateTime<Utc>) -> Result<RefreshClaims, InvalidToken> {
        self.open(token, REFRESH, now, |wire| {
            let generation = wire.r#gen.ok_or(InvalidToken)?;
            let derived = self.refresh_id(wire.sid, generation);
            if bool::from(derived.as_bytes().ct_eq(wire.jti.as_bytes())) {
                Ok(RefreshClaims { session: wire.sid, generation })
            } else {
                Err(InvalidToken)
            }
        })
    }

    /// The keyed hash under which a one-time code is stored.
    #[must_use]
    pub fn otp_hash(&self, phone: PhoneNumber, purpose: &str, code: &str) -> Vec<u8> {
        let mut mac = self.otp.clone();
        for part in [phone.e164().to_string().as_str(), purpose, code] {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        mac.finalize().into_bytes().to_vec()
    }

    fn refresh_id(&self, session: Uuid, generation: i64) -> String {
        let mut mac = self.derivation.clone();
        mac.update(session.as_bytes());
        mac.update(&generation.to_be_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    fn sign(&self, wire: &Wire<'_>) -> String {
        // Plain strings and numbers under an HMAC key always sign; an empty token would open nothing.
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), wire, &self.encoding).unwrap_or_default()
    }

    fn open<T>(
        &self,
        token: &str,
        kind: &str,
        now: DateTime<Utc>,
        read: impl FnOnce(Wire<'_>) -> Result<T, InvalidToken>,
    ) -> Result<T, InvalidToken> {
        let (message, signature) = token.rsplit_once('.').ok_or(InvalidToken)?;
        let (header, payload) = message.split_once('.').ok_or(InvalidToken)?;
        // Only our own header is taken, to the letter: no other algorithm can be asked for.
        if header != self.header {
            return Err(InvalidToken);
        }
        let genuine =
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, Algorithm::HS256);
        if !genuine.unwrap_or(false) {
            return Err(InvalidToken);
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| InvalidToken)?;
        let wire: Wire<'_> = serde_json::from_slice(&payload).map_err(|_| InvalidToken)?;
        if wire.typ != kind || wire.exp <= now.timestamp() {
            return Err(InvalidToken);
        }
        read(wire)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn keys() -> Keys {
        Keys::derive("0123456789abcdef0123456789abcdef").unwrap()
    }

    fn subject() -> Subject {
        Subject {
            kind: SubjectKind::User,
            id: 7,
            phone: PhoneNumber::parse("9876543210").unwrap(),
            role: CUSTOMER_ROLE.to_owned(),
        }
    }

    fn noon() -> DateTime<Utc> {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn an_access_token_opens_until_it_expires_and_only_as_what_it_is() {
        let keys = keys();
        let end = noon() + TimeDelta::seconds(60);
        let token = keys.access(&subject(), Uuid::from_u128(1), Uuid::from_u128(2), noon(), end);
        let claims = keys.open_access(&token, noon()).unwrap();
        assert_eq!((claims.subject, claims.session), (subject(), Uuid::from_u128(1)));
        assert_eq!(keys.open_access(&token, end).unwrap_err(), InvalidToken);
        assert_eq!(keys.open_refresh(&token, noon()).unwrap_err(), InvalidToken);
        let plain: serde_json::Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap())
                .unwrap();
        assert_eq!((&plain["sub"], &plain["typ"]), (&"9876543210".into(), &"access".into()));
    }

    #[test]
    fn a_refresh_token_is_the_same_for_the_same_generation() {
        let keys = keys();
        let end = noon() + TimeDelta::days(2);
        let make = |generation| keys.refresh(&subject(), Uuid::from_u128(1), generation, noon(), end);
        assert_eq!(make(3), make(3));
        assert_ne!(make(3), make(4));
        let claims = keys.open_refresh(&make(3), noon()).unwrap();
        assert_eq!((claims.session, claims.generation), (Uuid::from_u128(1), 3));
        assert_eq!(keys.open_access(&make(3), noon()).unwrap_err(), InvalidToken);
    }

    #[test]
    fn other_keys_and_other_headers_open_nothing() {
        let other = Keys::derive("another secret of at least 32 bytes").unwrap();
        let end = noon() + TimeDelta::seconds(60);
        let token = other.access(&subject(), Uuid::nil(), Uuid::nil(), noon(), end);
        assert!(keys().open_access(&token, noon()).is_err());
        let token = keys().access(&subject(), Uuid::nil(), Uuid::nil(), noon(), end);
        let (_, rest) = token.split_once('.').unwrap();
        let none = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"none"}"#);
        assert!(keys().open_access(&format!("{none}.{rest}"), noon()).is_err());
        assert!(Keys::derive("short").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_no_changed_byte_passes(at in 0_usize..200, with in "[A-Za-z0-9_.-]") {
            let keys = keys();
            let token = keys.access(&subject(), Uuid::nil(), Uuid::nil(), noon(), noon() + TimeDelta::seconds(60));
            let mut changed = token.clone();
            changed.replace_range(at..=at, &with);
            if changed != token {
                prop_assert!(keys.open_access(&changed, noon()).is_err());
            }
        }
    }
}
