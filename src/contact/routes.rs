//! `/contact-form`, and `/contact-from`, as it was once misspelt.

use actix_web::web::{Bytes, Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use utoipa::{OpenApi, ToSchema};

use super::service::{Contacts, Wanted};
use crate::access::{Action, Resource};
use crate::auth::Administrator;
use crate::http::Faults;
use crate::http::Problem;
use crate::http::json::parse_body;
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::platform::documents::Document;
use crate::users::EmailAddress;

/// Forms in one answer, at most and when nothing is said.
const MOST: u32 = 1_000;
/// Characters of a message.
const MAX_DESCRIPTION: usize = 5_000;
/// The order of the list.
const NEWEST_FIRST: &str = "desc";

/// The routes of this feature. They need `web::Data` of [`Contacts`].
pub fn routes(cfg: &mut web::ServiceConfig) {
    // Clients know the misspelt paths. The documented ones come first: they name the route.
    cfg.service(
        web::resource(["/contact-form/contacts", "/contact-from/contacts"])
            .route(web::get().to(contacts))
            .route(web::post().to(contact))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource([
            "/contact-form/contacts/{contact_id}/resolved",
            "/contact-from/contacts/{contact_id}/resolved",
        ])
        .route(web::patch().to(resolve))
        .default_service(web::to(method_not_allowed)),
    );
}

/// The documentation of these routes.
#[derive(OpenApi)]
#[openapi(paths(contact, contacts, resolve), components(schemas(ContactFormResponse)))]
pub struct Docs;

/// A message.
#[derive(Deserialize, ToSchema)]
struct ContactForm {
    /// 1 to 255 characters.
    name: String,
    /// Where the answer goes.
    email: String,
    /// 1 to 5000 characters.
    description: String,
}

/// Whether it is settled.
#[derive(Deserialize, ToSchema)]
struct ContactResolve {
    resolved: bool,
}

/// A message as it is kept.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the documents, which are passed on as they are stored")]
struct ContactFormResponse {
    /// 24 hex digits.
    _id: String,
    name: String,
    email: String,
    description: String,
    created_at: chrono::DateTime<chrono::Utc>,
    resolved: bool,
}

fn sized(text: &str, most: usize) -> Result<String, String> {
    let text = text.trim();
    if (1..=most).contains(&text.chars().count()) && !text.contains('\0') {
        Ok(text.to_owned())
    } else {
        Err(format!("must have 1 to {most} characters"))
    }
}

/// Write to the operator. At most five messages an hour from one e-mail address.
#[utoipa::path(post, path = "/contact-form/contacts", tag = "Contact", request_body = ContactForm,
    responses((status = 200, body = ContactFormResponse), (status = 429, description = "rate_limited")))]
async fn contact(contacts: Data<Contacts>, body: Bytes) -> Result<Json<Document>, Problem> {
    let form: ContactForm = parse_body(&body)?;
    let mut faults = Faults::default();
    let name = faults.keep("name", sized(&form.name, 255));
    let email = faults.keep("email", EmailAddress::parse(&form.email));
    let description = faults.keep("description", sized(&form.description, MAX_DESCRIPTION));
    let (Some(name), Some(email), Some(description)) = (name, email, description) else {
        return Err(faults.problem());
    };
    contacts.submit(name, email.as_str().to_owned(), description).await.map(Json)
}

/// Messages by their time.
#[utoipa::path(get, path = "/contact-form/contacts", tag = "Contact", security(("bearer" = [])),
    params(
        ("email" = Option<String>, Query, description = "the whole address"),
        ("resolved" = Option<bool>, Query, description = "settled or not"),
        ("start_date" = Option<String>, Query, description = "at or after this time or day"),
        ("end_date" = Option<String>, Query, description = "before this time, or up to the end of this day"),
        ("order" = Option<String>, Query, description = "desc (newest first) or asc"),
        ("limit" = Option<u32>, Query, description = "1 to 1000 (1000)"),
        ("offset" = Option<u32>, Query, description = "how many to leave out first"),
    ),
    responses(
        (status = 200, body = Vec<ContactFormResponse>, headers(("X-Total-Count" = i64))),
        (status = 403, description = "needs Contact-form:read"),
    ))]
async fn contacts(
    administrator: Administrator,
    request: HttpRequest,
    contacts: Data<Contacts>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::ContactForm, Action::Read)?;
    let mut params = Params::of(&request);
    let email = params.short_text("email", 255).and_then(|text| match EmailAddress::parse(&text) {
        Ok(email) => Some(email.as_str().to_owned()),
        Err(error) => {
            params.fault("email", error.to_string());
            None
        }
    });
    let wanted = Wanted {
        email,
        resolved: params.flag("resolved"),
        from: params.moment("start_date"),
        to: params.end_moment("end_date"),
    };
    let newest_first = params.choice("order", &[NEWEST_FIRST, "asc"]) == NEWEST_FIRST;
    let limit = params.number("limit", MOST, 1, MOST);
    let offset = params.number("offset", 0, 0, 1_000_000);
    if wanted.from.zip(wanted.to).is_some_and(|(from, to)| to < from) {
        params.fault("end_date", "must not be before start_date");
    }
    params.done()?;
    let (forms, total) = contacts.forms(wanted, newest_first, offset.into(), limit.into()).await?;
    Ok(HttpResponse::Ok().insert_header(("X-Total-Count", total)).json(forms))
}

/// Say whether a message is settled.
#[utoipa::path(patch, path = "/contact-form/contacts/{contact_id}/resolved", tag = "Contact", security(("bearer" = [])),
    params(("contact_id" = String, Path, description = "24 hex digits")), request_body = ContactResolve,
    responses(
        (status = 200, body = ContactFormResponse),
        (status = 403, description = "needs Contact-form:write"),
        (status = 404, description = "no such message"),
    ))]
async fn resolve(
    administrator: Administrator,
    contact_id: Path<String>,
    contacts: Data<Contacts>,
    body: Bytes,
) -> Result<Json<Document>, Problem> {
    administrator.require(Resource::ContactForm, Action::Write)?;
    if contact_id.len() != 24 || !contact_id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Problem::field("contact_id", "must be 24 hex digits"));
    }
    let ContactResolve { resolved } = parse_body(&body)?;
    let id = contact_id.to_ascii_lowercase();
    let by = administrator.audits("RESOLVE_CONTACT", "contact", format!("contact/{id}"));
    contacts.resolve(&id, resolved, by.with(json!({ "resolved": resolved }))).await.map(Json)
}
