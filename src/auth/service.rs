//! The auth operations without HTTP: rules, tokens, and what each failure is.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::account::{Change, WrongState};
use gencharge_actors::kernel::{AccountStatus, Clock, Paise, PhoneNumber, Random, UserId, UserType};
use gencharge_actors::notification::Language;
use gencharge_actors::notification::channel::{Codes, CodesFull, Message};
use sqlx::PgPool;
use uuid::Uuid;

use super::codes::{self, Claim, CodeError, CodeStore, Issued, NewCode, Purpose, Taken};
use super::gate::Gate;
use super::session::{self, Login, Rotation, Span};
use super::signup::{self, Registration, SignedUp};
use super::token::{CUSTOMER_ROLE, Keys, Subject, SubjectKind};
use crate::audit::{self, Entry};
use crate::users::{self, Profile};

/// The figures of sign-in.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Life of an access token.
    pub access_ttl: Duration,
    /// Life of a refresh token.
    pub refresh_ttl: Duration,
    /// Life of a one-time code.
    pub otp_ttl: Duration,
    /// Codes to one number in an hour.
    pub otp_per_hour: u32,
    /// Answers carry the code.
    pub dev_otp: bool,
    /// The language that codes are sent in.
    pub language: Language,
    /// What a referral earns once the referred customer recharges.
    pub referral_reward: Paise,
}

/// Why an auth operation did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A new code must wait.
    #[error("a code was sent recently")]
    CodeTooSoon {
        /// Seconds until one may be asked for.
        seconds: u32,
    },
    /// Too many messages wait for delivery.
    #[error(transparent)]
    Messages(#[from] CodesFull),
    /// The code is wrong, used, dead or expired.
    #[error("the code does not hold")]
    InvalidCode,
    /// The account is blocked; only told to who has shown a code for it.
    #[error("the account is blocked")]
    Blocked,
    /// The number has an account; only told to who has shown a code for it.
    #[error("the number is registered")]
    NumberTaken,
    /// The refresh token does not hold.
    #[error("the token does not hold")]
    InvalidToken,
    /// The profile is complete.
    #[error("registered already")]
    AlreadyRegistered,
    /// Another customer has the e-mail address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// Nobody has that referral code, or it is the customer's own.
    #[error("the referral code cannot be used")]
    InvalidReferral,
    /// Neither the signup nor the registration says prepaid or postpaid.
    #[error("no user type")]
    UserTypeMissing,
    /// The customer is gone.
    #[error("no such customer")]
    NoSuchCustomer,
    /// The store of codes.
    #[error(transparent)]
    Codes(#[from] CodeError),
    /// The database.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// Both tokens of a sign-in or refresh.
#[derive(Debug)]
pub struct Tokens {
    /// For requests.
    pub access: String,
    /// For the next refresh.
    pub refresh: String,
}

/// Sign-in; clones share everything.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    pool: PgPool,
    codes: Arc<dyn CodeStore>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    keys: Keys,
    gate: Gate,
    sms: Codes,
    rules: Rules,
}

impl Auth {
    /// The service, in the gate's database.
    #[must_use]
    pub fn new(
        codes: Arc<dyn CodeStore>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        keys: Keys,
        gate: Gate,
        sms: Codes,
        rules: Rules,
    ) -> Self {
        let pool = gate.pool().clone();
        Self(Arc::new(Inner { pool, codes, clock, random, keys, gate, sms, rules }))
    }

    /// Life of a refresh token, for the cookie.
    #[must_use]
    pub fn refresh_ttl(&self) -> Duration {
        self.0.rules.refresh_ttl
    }

    /// Issues a code for a signup. A number that has an account gets one too, and learns that when it shows the code.
    /// `Some`: the code, when answers carry it.
    ///
    /// # Errors
    /// [`AuthError::CodeTooSoon`], [`AuthError::Messages`], [`AuthError::Store`].
    pub async fn begin_signup(
        &self,
        phone: PhoneNumber,
        user_type: Option<UserType>,
    ) -> Result<Option<String>, AuthError> {
        self.issue(phone, Purpose::Signup, user_type).await
    }

    /// Issues a code for a sign-in; it is sent only when the number has an account, and the answer does not tell.
    ///
    /// # Errors
    /// [`AuthError::CodeTooSoon`], [`AuthError::Messages`], [`AuthError::Store`].
    pub async fn begin_login(&self, phone: PhoneNumber) -> Result<Option<String>, AuthError> {
        self.issue(phone, Purpose::Login, None).await
    }

    async fn issue(
        &self,
        phone: PhoneNumber,
        purpose: Purpose,
        user_type: Option<UserType>,
    ) -> Result<Option<String>, AuthError> {
        let Inner { pool, codes: store, clock, random, keys, sms, rules, .. } = &*self.0;
        // The place comes first: a code that could not be sent would only start the cool-down.
        let slot = sms.reserve()?;
        let code = codes::draw(random.as_ref());
        let new = NewCode {
            phone,
            purpose,
            hash: codes::hash(keys, phone, purpose, &code),
            now: clock.now(),
            ttl: bounded(rules.otp_ttl),
            per_hour: i32::try_from(rules.otp_per_hour).unwrap_or(i32::MAX),
            user_type,
        };
        let (at, minutes) = (new.now, new.ttl.num_minutes().max(1));
        // Asked whatever the answer is used for, so that known and unknown numbers take the same time.
        let known = session::is_known(pool, phone).await?;
        if let Issued::Wait { seconds } = store.issue(new).await? {
            return Err(AuthError::CodeTooSoon { seconds });
        }
        if known || purpose == Purpose::Signup {
            let id = format!("code.{}", random_uuid(random.as_ref()).simple());
            slot.send(Message::code(id, phone, (&code, minutes), at, rules.language));
        }
        Ok(rules.dev_otp.then_some(code))
    }

    /// Takes a signup code, makes the customer (with preferences, wallet and line) and signs in.
    ///
    /// # Errors
    /// [`AuthError::InvalidCode`], [`AuthError::NumberTaken`], [`AuthError::Store`].
    pub async fn finish_signup(&self, phone: PhoneNumber, code: &str) -> Result<Tokens, AuthError> {
        let Inner { pool, random, .. } = &*self.0;
        let span = self.span(random_uuid(random.as_ref()));
        let Taken { user_type } = self.take(phone, Purpose::Signup, code, span.now).await?;
        match signup::sign_up(pool, random.as_ref(), phone, user_type, span).await? {
            SignedUp::Taken => Err(AuthError::NumberTaken),
            SignedUp::Open(user) => {
                tracing::info!(user.id = user.get(), "auth.signed_up");
                let role = CUSTOMER_ROLE.to_owned();
                Ok(self.tokens(&Subject { kind: SubjectKind::User, id: user.get(), phone, role }, span))
            }
        }
    }

    /// Takes a login code and signs in; wakes a customer who had paused the account.
    ///
    /// # Errors
    /// [`AuthError::InvalidCode`], [`AuthError::Blocked`], [`AuthError::Store`].
    pub async fn finish_login(&self, phone: PhoneNumber, code: &str) -> Result<Tokens, AuthError> {
        let Inner { pool, random, .. } = &*self.0;
        let span = self.span(random_uuid(random.as_ref()));
        self.take(phone, Purpose::Login, code, span.now).await?;
        let subject = match session::login(pool, phone, span).await? {
            Login::Open(subject) => subject,
            Login::Deactive(subject) => {
                self.wake(&subject, span).await?;
                subject
            }
            Login::Blocked => return Err(AuthError::Blocked),
            Login::Refused => return Err(AuthError::InvalidCode),
        };
        Ok(self.tokens(&subject, span))
    }

    /// Uses the code. It is used up even when what follows fails: a new one may be asked for at once.
    async fn take(
        &self,
        phone: PhoneNumber,
        purpose: Purpose,
        code: &str,
        now: DateTime<Utc>,
    ) -> Result<Taken, AuthError> {
        let hash = codes::hash(&self.0.keys, phone, purpose, code);
        let taken = self.0.codes.take(Claim { phone, purpose, hash, now }).await?;
        taken.ok_or(AuthError::InvalidCode)
    }

    async fn wake(&self, subject: &Subject, span: Span) -> Result<(), AuthError> {
        let user = UserId(subject.id);
        let mut tx = self.0.pool.begin().await?;
        let woken = users::change_status(&mut tx, user, Change::Reactivate, span.now).await;
        match woken {
            Ok(_) => {}
            // Blocked or removed between the two statements.
            Err(users::StatusError::NotFound) => return Err(AuthError::InvalidCode),
            Err(users::StatusError::WrongState(WrongState(AccountStatus::Active))) => {}
            Err(users::StatusError::WrongState(_)) => return Err(AuthError::Blocked),
            Err(users::StatusError::Store(error)) => return Err(error.into()),
        }
        session::open(&mut tx, subject, span).await?;
        tx.commit().await?;
        self.0.gate.set_standing(user, AccountStatus::Active);
        Ok(())
    }

    /// Rotates a refresh token.
    ///
    /// # Errors
    /// [`AuthError::InvalidToken`], [`AuthError::Store`].
    pub async fn refresh(&self, token: &str) -> Result<Tokens, AuthError> {
        let Inner { pool, clock, keys, gate, .. } = &*self.0;
        let claims = keys.open_refresh(token, clock.now()).map_err(|_| AuthError::InvalidToken)?;
        let span = self.span(claims.session);
        match session::rotate(pool, &claims, span).await? {
            Rotation::Successor { subject, generation, rotated_at, refresh_until } => Ok(Tokens {
                access: self.access(&subject, span),
                refresh: keys.refresh(&subject, claims.session, generation, rotated_at, refresh_until),
            }),
            Rotation::Reused { access_until } => {
                gate.revoke_session(claims.session, access_until.timestamp());
                tracing::warn!(session.id = %claims.session, "auth.refresh_token_reused");
                Err(AuthError::InvalidToken)
            }
            Rotation::Refused => Err(AuthError::InvalidToken),
        }
    }

    /// The session that a refresh token belongs to, for ending it.
    ///
    /// # Errors
    /// [`AuthError::InvalidToken`].
    pub fn session_of(&self, refresh_token: &str) -> Result<Uuid, AuthError> {
        let claims = self.0.keys.open_refresh(refresh_token, self.0.clock.now());
        claims.map(|claims| claims.session).map_err(|_| AuthError::InvalidToken)
    }

    /// Ends the session; with `all`, every session of whoever holds it.
    ///
    /// # Errors
    /// [`AuthError::InvalidToken`] when it is over already, [`AuthError::Store`].
    pub async fn logout(&self, session: Uuid, all: bool) -> Result<(), AuthError> {
        let Inner { pool, clock, gate, .. } = &*self.0;
        let now = clock.now();
        if !all {
            let until = session::end(pool, session, now).await?.ok_or(AuthError::InvalidToken)?;
            gate.revoke_session(session, until.timestamp());
            return Ok(());
        }
        let holder = session::holder(pool, session, now).await?.ok_or(AuthError::InvalidToken)?;
        let mut tx = pool.begin().await?;
        let ended = session::end_all(&mut tx, holder.kind, holder.id, "logout_all", now).await?;
        let actor = holder.kind.actor(holder.id);
        let entry = Entry { actor, role: holder.role, ..session::audited("LOGOUT_ALL", session) };
        audit::record(&mut tx, now, entry).await?;
        tx.commit().await?;
        for (session, until) in ended {
            gate.revoke_session(session, until.timestamp());
        }
        Ok(())
    }

    /// Completes a customer's profile.
    ///
    /// # Errors
    /// Those of registration, and [`AuthError::Store`].
    pub async fn register(&self, user: UserId, registration: &Registration) -> Result<Profile, AuthError> {
        let Inner { pool, clock, rules, .. } = &*self.0;
        signup::register(pool, user, registration, rules.referral_reward, clock.now()).await
    }

    fn span(&self, session: Uuid) -> Span {
        let now: DateTime<Utc> = self.0.clock.now();
        let rules = &self.0.rules;
        Span {
            session,
            now,
            access_until: now + bounded(rules.access_ttl),
            refresh_until: now + bounded(rules.refresh_ttl),
        }
    }

    fn access(&self, subject: &Subject, span: Span) -> String {
        let jti = random_uuid(self.0.random.as_ref());
        self.0.keys.access(subject, span.session, jti, span.now, span.access_until)
    }

    fn tokens(&self, subject: &Subject, span: Span) -> Tokens {
        Tokens {
            access: self.access(subject, span),
            refresh: self.0.keys.refresh(subject, span.session, 0, span.now, span.refresh_until),
        }
    }
}

/// A setting's duration as a difference of times, at most ten years.
pub(super) fn bounded(duration: Duration) -> TimeDelta {
    let most = TimeDelta::days(3650);
    TimeDelta::from_std(duration).map_or(most, |delta| delta.min(most))
}

/// A random (version 4) UUID from injected randomness.
pub(super) fn random_uuid(random: &dyn Random) -> Uuid {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
