//! `/auth`: the seven operations.

use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::http::header;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use gencharge_actors::kernel::{PhoneNumber, UserType};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::extract::bearer;
use super::gate::{Customer, Principal};
use super::service::{Auth, AuthError, Tokens};
use super::signup::Registration;
use crate::http::json::parse_body;
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{Code, FieldError, Problem};
use crate::users::{EmailAddress, PersonName, RegisteredUser};

/// The refresh token's cookie.
const COOKIE: &str = "refresh_token";

/// How the cookie is made. `Secure` everywhere but in development, which runs over plain http.
#[derive(Clone, Copy, Debug)]
pub struct CookieRules {
    /// Send it over https only.
    pub secure: bool,
}

/// Mounts the feature.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(post("/auth/signup", web::post().to(signup)))
        .service(post("/auth/verify-otp-signup", web::post().to(verify_otp_signup)))
        .service(post("/auth/register", web::post().to(register)))
        .service(post("/auth/login", web::post().to(login)))
        .service(post("/auth/verify-otp-login", web::post().to(verify_otp_login)))
        .service(post("/auth/logout", web::post().to(logout)))
        .service(post("/auth/refresh", web::post().to(refresh)));
}

fn post(path: &str, route: actix_web::Route) -> actix_web::Resource {
    web::resource(path).route(route).default_service(web::to(method_not_allowed))
}

/// The feature's part of the API description.
#[derive(OpenApi)]
#[openapi(paths(signup, verify_otp_signup, register, login, verify_otp_login, logout, refresh))]
pub struct Docs;

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::CodeTooSoon { seconds } => {
                Problem::new(Code::RateLimited, format!("A code was sent recently: ask again in {seconds} s"))
                    .retry_after(seconds)
            }
            AuthError::Messages(_) => Problem::new(
                Code::Overloaded,
                "Too many messages wait for delivery: no code was made, try again shortly",
            ),
            AuthError::InvalidCode => Problem::new(
                Code::InvalidOtp,
                "The code is wrong, used or expired: try again, or ask for a new one (after five tries a code is dead)",
            ),
            AuthError::Blocked => Problem::new(Code::Forbidden, "The account is blocked: contact support"),
            AuthError::NumberTaken => {
                Problem::new(Code::Duplicate, "The number has an account: sign in instead")
            }
            AuthError::InvalidToken => Problem::new(
                Code::NotAuthenticated,
                "The refresh token does not hold (any more): sign in again",
            ),
            AuthError::AlreadyRegistered => {
                Problem::new(Code::Duplicate, "The profile is registered already")
            }
            AuthError::EmailTaken => {
                Problem::new(Code::Duplicate, "Another customer has this e-mail address: give another")
            }
            AuthError::InvalidReferral => Problem::new(
                Code::InvalidReferral,
                "The referral code belongs to nobody else: correct it or leave it out",
            ),
            AuthError::UserTypeMissing => Problem::field("user_type", "must be one of: prepaid postpaid"),
            AuthError::NoSuchCustomer => Problem::not_authenticated(),
            AuthError::Codes(error) => error.into(),
            AuthError::Store(error) => error.into(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
struct SignupBody {
    /// Ten digits, or `+91` and ten digits.
    phone_number: String,
    /// `prepaid` or `postpaid`; may be said at registration instead.
    user_type: Option<String>,
}

#[derive(Deserialize, ToSchema)]
struct LoginBody {
    /// Ten digits, or `+91` and ten digits.
    phone_number: String,
}

#[derive(Deserialize, ToSchema)]
struct CodeBody {
    /// Ten digits, or `+91` and ten digits.
    phone_number: String,
    /// Six digits.
    otp: String,
}

/// The OAuth2 password form: the phone number as `username`, the code as `password`. Other fields are ignored.
#[derive(Deserialize, ToSchema)]
struct PasswordForm {
    username: String,
    password: String,
}

#[derive(Deserialize, ToSchema)]
struct RegisterBody {
    /// 2 to 50 characters.
    name: String,
    /// No two customers share one.
    email: String,
    /// `prepaid` or `postpaid`; may be absent when the signup said it.
    user_type: Option<String>,
    /// The referrer's code.
    referee_code: Option<String>,
}

#[derive(Deserialize, ToSchema)]
struct RefreshBody {
    refresh_token: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AuthMessage)]
struct MessageAnswer {
    message: &'static str,
    /// The code, only with `GENCHARGE_DEV_OTP=1` (development).
    #[serde(skip_serializing_if = "Option::is_none")]
    dev_otp: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Token {
    /// For `Authorization: Bearer`.
    access_token: String,
    /// For the next refresh; also set as the cookie `refresh_token`.
    refresh_token: String,
    /// `bearer`
    token_type: &'static str,
}

fn phone(field: &str, text: &str) -> Result<PhoneNumber, Problem> {
    PhoneNumber::parse(text.trim()).map_err(|error| Problem::field(field, error.to_string()))
}

fn user_type(text: Option<&str>) -> Result<Option<UserType>, Problem> {
    text.map(|word| {
        word.parse().map_err(|error: gencharge_actors::kernel::UnknownWord| {
            Problem::field("user_type", error.to_string())
        })
    })
    .transpose()
}

/// The same words whether or not the number has an account.
fn code_sent(dev_otp: Option<String>) -> web::Json<MessageAnswer> {
    web::Json(MessageAnswer { message: "OTP sent to the phone number", dev_otp })
}

fn signed_in(auth: &Auth, rules: CookieRules, tokens: Tokens) -> HttpResponse {
    let max_age = time::Duration::seconds(i64::try_from(auth.refresh_ttl().as_secs()).unwrap_or(i64::MAX));
    let cookie = cookie(rules, tokens.refresh.clone()).max_age(max_age).finish();
    HttpResponse::Ok().cookie(cookie).insert_header((header::CACHE_CONTROL, "no-store")).json(Token {
        access_token: tokens.access,
        refresh_token: tokens.refresh,
        token_type: "bearer",
    })
}

/// The cookie's removal, for whoever ends the caller's account.
#[must_use]
pub fn without_cookie(rules: CookieRules) -> Cookie<'static> {
    let mut gone = cookie(rules, String::new()).finish();
    gone.make_removal();
    gone
}

fn cookie(rules: CookieRules, value: String) -> actix_web::cookie::CookieBuilder<'static> {
    Cookie::build(COOKIE, value).path("/").http_only(true).secure(rules.secure).same_site(SameSite::Lax)
}

/// Start a signup: send a code
///
/// The answer is the same for a number that has an account; who shows the code is then told to sign in instead.
#[utoipa::path(post, path = "/auth/signup", tag = "Auth", request_body = SignupBody,
    responses((status = 200, body = MessageAnswer), (status = 429, description = "rate_limited: 30 s between codes, so many an hour")))]
async fn signup(
    auth: web::Data<Auth>,
    body: web::Json<SignupBody>,
) -> Result<web::Json<MessageAnswer>, Problem> {
    let phone = phone("phone_number", &body.phone_number)?;
    let user_type = user_type(body.user_type.as_deref())?;
    Ok(code_sent(auth.begin_signup(phone, user_type).await?))
}

/// Check the code, create the customer and sign in
#[utoipa::path(post, path = "/auth/verify-otp-signup", tag = "Auth", request_body = CodeBody,
    responses((status = 200, body = Token), (status = 400, description = "invalid_otp, duplicate")))]
async fn verify_otp_signup(
    auth: web::Data<Auth>,
    rules: web::Data<CookieRules>,
    body: web::Json<CodeBody>,
) -> Result<HttpResponse, Problem> {
    let phone = phone("phone_number", &body.phone_number)?;
    let tokens = auth.finish_signup(phone, &body.otp).await?;
    Ok(signed_in(&auth, **rules, tokens))
}

/// Complete the profile
#[utoipa::path(post, path = "/auth/register", tag = "Auth", security(("bearer" = ["user"])), request_body = RegisterBody,
    responses((status = 200, body = RegisteredUser), (status = 400, description = "duplicate, invalid_referral")))]
async fn register(
    customer: Customer,
    auth: web::Data<Auth>,
    body: web::Json<RegisterBody>,
) -> Result<web::Json<RegisteredUser>, Problem> {
    let mut faults = Vec::new();
    let mut fault =
        |field: &str, message: String| faults.push(FieldError { field: field.to_owned(), message });
    let name = PersonName::parse(&body.name).map_err(|error| fault("name", error.to_string())).ok();
    let email = EmailAddress::parse(&body.email).map_err(|error| fault("email", error.to_string())).ok();
    let user_type =
        user_type(body.user_type.as_deref()).map_err(|problem| fault("user_type", problem.detail)).ok();
    let referee_code = body.referee_code.as_deref().map(str::trim).filter(|code| !code.is_empty());
    if referee_code.is_some_and(|code| code.len() > 32) {
        fault("referee_code", "must have at most 32 characters".to_owned());
    }
    let (Some(name), Some(email), Some(user_type), true) = (name, email, user_type, faults.is_empty()) else {
        return Err(Problem::fields(faults));
    };
    let referee_code = referee_code.map(str::to_owned);
    let registration = Registration { name, email, user_type, referee_code };
    Ok(web::Json(auth.register(customer.user_id, &registration).await?.into()))
}

/// Send a login code to a customer or administrator
///
/// The answer is the same for a number that has no account.
#[utoipa::path(post, path = "/auth/login", tag = "Auth", request_body = LoginBody,
    responses((status = 200, body = MessageAnswer), (status = 429, description = "rate_limited: 30 s between codes, so many an hour")))]
async fn login(
    auth: web::Data<Auth>,
    body: web::Json<LoginBody>,
) -> Result<web::Json<MessageAnswer>, Problem> {
    let phone = phone("phone_number", &body.phone_number)?;
    Ok(code_sent(auth.begin_login(phone).await?))
}

/// Check the code and sign in
///
/// As JSON (`phone_number`, `otp`), or as the OAuth2 password form (`username`: the phone number, `password`: the code).
#[utoipa::path(post, path = "/auth/verify-otp-login", tag = "Auth",
    request_body(content((CodeBody = "application/json"), (PasswordForm = "application/x-www-form-urlencoded"))),
    responses((status = 200, body = Token), (status = 400, description = "invalid_otp"), (status = 403, description = "forbidden: blocked")))]
async fn verify_otp_login(
    auth: web::Data<Auth>,
    rules: web::Data<CookieRules>,
    request: HttpRequest,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    let media = media_type(&request);
    let (phone, code) = if media.is_empty() || media == "application/json" {
        let CodeBody { phone_number, otp } = parse_body(&body)?;
        (phone("phone_number", &phone_number)?, otp)
    } else if media == "application/x-www-form-urlencoded" {
        let PasswordForm { username, password } = parse_form(&body)?;
        (phone("username", &username)?, password)
    } else {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "Send application/json or application/x-www-form-urlencoded",
        ));
    };
    let tokens = auth.finish_login(phone, &code).await?;
    Ok(signed_in(&auth, **rules, tokens))
}

fn media_type(request: &HttpRequest) -> String {
    let value =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn parse_form(body: &Bytes) -> Result<PasswordForm, Problem> {
    let text =
        std::str::from_utf8(body).map_err(|_| Problem::new(Code::MalformedBody, "The form must be UTF-8"))?;
    web::Query::<PasswordForm>::from_query(text)
        .map(web::Query::into_inner)
        .map_err(|error| Problem::field("body", error.to_string()))
}

/// End this session, or with `all=true` every session of the caller
///
/// By the access token as bearer, or without one by the cookie.
#[utoipa::path(post, path = "/auth/logout", tag = "Auth", security(("bearer" = [])), params(("all" = Option<bool>, Query)),
    responses((status = 200, body = MessageAnswer), (status = 401, description = "not_authenticated")))]
async fn logout(
    auth: web::Data<Auth>,
    rules: web::Data<CookieRules>,
    principal: Option<Principal>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request);
    let all = params.flag("all").unwrap_or(false);
    params.done()?;
    let by_cookie = request.cookie(COOKIE).and_then(|cookie| auth.session_of(cookie.value()).ok());
    let session = principal
        .map(|principal| principal.session())
        .or(by_cookie)
        .ok_or_else(Problem::not_authenticated)?;
    auth.logout(session, all).await?;
    let mut answer = HttpResponse::Ok();
    // A cookie of another sign-in (another tab, another account) is left alone.
    if by_cookie == Some(session) {
        answer.cookie(without_cookie(**rules));
    }
    let message = if all { "Signed out everywhere" } else { "Signed out" };
    Ok(answer.json(MessageAnswer { message, dev_otp: None }))
}

/// Rotate tokens
///
/// The refresh token from the JSON body (`refresh_token`), else the cookie, else as bearer. Within 10 s the same token gives
/// the same successor; later use of it ends the whole session.
#[utoipa::path(post, path = "/auth/refresh", tag = "Auth", request_body(content = Option<RefreshBody>),
    responses((status = 200, body = Token), (status = 401, description = "not_authenticated")))]
async fn refresh(
    auth: web::Data<Auth>,
    rules: web::Data<CookieRules>,
    request: HttpRequest,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    let given = if body.is_empty() { None } else { parse_body::<RefreshBody>(&body)?.refresh_token };
    let token = given
        .or_else(|| request.cookie(COOKIE).map(|cookie| cookie.value().to_owned()))
        .or_else(|| bearer(&request).map(str::to_owned))
        .ok_or_else(|| Problem::from(AuthError::InvalidToken))?;
    let tokens = auth.refresh(&token).await?;
    Ok(signed_in(&auth, **rules, tokens))
}
