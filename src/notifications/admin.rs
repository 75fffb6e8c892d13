//! What administrators do: announcements, and messages that were not delivered.

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, NaiveDateTime, TimeZone as _, Utc};
use gencharge_actors::notification::{NoticeId, Recipient};
use serde_json::{Map, Value, json};

use super::Notifications;
use super::announcements::NewAnnouncement;
use super::deliveries::FailedMessage;
use super::shape::{AnnouncementBody, NotificationDocument};
use crate::access::{Action, Resource};
use crate::auth::Administrator;
use crate::http::json::parse_body;
use crate::http::page::Page;
use crate::http::params::Params;
use crate::http::problem::FieldError;
use crate::http::{Code, Problem};

/// The longest announcement, in characters.
const LONGEST: usize = 2000;

/// Announces to a group: at once, or when `scheduled_at` has come. Needs `Announcement:write`.
#[utoipa::path(
    post, path = "/notification/announcement", tag = "Notifications",
    request_body = AnnouncementBody,
    responses(
        (status = 201, description = "Announced, or kept until it is due", body = NotificationDocument),
        (status = 401, description = "Not signed in"),
        (status = 403, description = "needs Announcement:write"),
        (status = 422, description = "A field has a value that cannot be"),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn announce(
    admin: Administrator,
    body: Bytes,
    notifications: web::Data<Notifications>,
) -> Result<HttpResponse, Problem> {
    admin.require(Resource::Announcement, Action::Write)?;
    let new = checked(parse_body(&body)?, notifications.timezone)?;
    let (group, scheduled_at) = (new.recipient.kind(), new.scheduled_at);
    let entry = |id: &str| {
        let particulars = json!({ "recipient_type": group, "scheduled_at": scheduled_at });
        admin.audits("CREATE_ANNOUNCEMENT", "notifications", format!("announcement/{id}")).with(particulars)
    };
    let notice = notifications.announce(new, admin.admin_id, entry).await?;
    let attachments: Value = serde_json::from_str(&notice.attachments).unwrap_or_default();
    let shown = json!({
        "_id": notice.id.to_string(),
        "sender_type": notice.sender,
        "description": notice.description,
        "recipient_type": group,
        "recipient_id": null,
        "status": notice.status,
        "type": notice.kind,
        "attachments": attachments,
        "created_at": notice.created_at,
        "scheduled_at": notice.scheduled_at,
    });
    Ok(HttpResponse::Created().json(shown))
}

fn checked(body: AnnouncementBody, timezone: chrono_tz::Tz) -> Result<NewAnnouncement, Problem> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, message: &str| {
        faults.push(FieldError { field: field.to_owned(), message: message.to_owned() });
    };
    let description = body.description.trim().to_owned();
    if description.is_empty() || description.chars().count() > LONGEST || description.contains('\0') {
        fault("description", "must have 1 to 2000 characters, none of them NUL");
    }
    let attachments = match body.attachments {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(attachments))
            if !Value::Object(attachments.clone()).to_string().contains("\\u0000") =>
        {
            attachments
        }
        Some(_) => {
            fault("attachments", "must be an object without NUL characters");
            Map::new()
        }
    };
    let recipient = match body.recipient_type.as_str() {
        "all_admin" => Recipient::AllAdmins,
        "prepaid_users" => Recipient::PrepaidUsers,
        "postpaid_users" => Recipient::PostpaidUsers,
        "blocked" => Recipient::Blocked,
        other => {
            if !matches!(other, "all_users" | "all_user") {
                fault(
                    "recipient_type",
                    "must be one of all_admin, all_users, prepaid_users, postpaid_users, blocked",
                );
            }
            Recipient::AllUsers
        }
    };
    let scheduled_at = body.scheduled_at.as_deref().map(|text| moment(text, timezone));
    if scheduled_at == Some(None) {
        fault("scheduled_at", "must be a time such as 2026-01-31T10:00:00Z, within the next ten years");
    }
    if faults.is_empty() {
        Ok(NewAnnouncement { description, attachments, recipient, scheduled_at: scheduled_at.flatten() })
    } else {
        Err(Problem::fields(faults))
    }
}

/// RFC 3339; without an offset, a time where the business is.
fn moment(text: &str, timezone: chrono_tz::Tz) -> Option<DateTime<Utc>> {
    let at = match DateTime::parse_from_rfc3339(text) {
        Ok(at) => at.with_timezone(&Utc),
        Err(_) => {
            let local: NaiveDateTime = text.parse().ok()?;
            timezone.from_local_datetime(&local).earliest()?.with_timezone(&Utc)
        }
    };
    let year = chrono::Datelike::year(&at);
    (2000..2200).contains(&year).then_some(at)
}

/// Every announcement, also those that wait for their time, newest first. Needs `Announcement:read`.
#[utoipa::path(
    get, path = "/notification/announcements", tag = "Notifications",
    params(
        ("page" = Option<u32>, Query, description = "1 is the first"),
        ("size" = Option<u32>, Query, description = "1 to 100; 50 when absent"),
    ),
    responses(
        (status = 200, description = "A page; `X-Total-Count` has the number of all", body = [Value]),
        (status = 401, description = "Not signed in"),
        (status = 403, description = "needs Announcement:read"),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn announcements(
    admin: Administrator,
    request: HttpRequest,
    notifications: web::Data<Notifications>,
) -> Result<HttpResponse, Problem> {
    admin.require(Resource::Announcement, Action::Read)?;
    let (offset, limit) = page(Params::of(&request))?;
    let to_u64 = |number: i64| u64::try_from(number).unwrap_or(0);
    let (mut found, total) = notifications.announced().list(to_u64(offset), to_u64(limit)).await?;
    for document in &mut found {
        // Kept as text, so that a store need not know what is in it.
        let attachments = document.get("attachments").and_then(Value::as_str).unwrap_or("{}");
        let attachments = serde_json::from_str(attachments).unwrap_or_default();
        document.insert("attachments".to_owned(), attachments);
    }
    Ok(HttpResponse::Ok().insert_header(("X-Total-Count", total.to_string())).json(found))
}

/// Takes an announcement back whose time has not come. Needs `Announcement:delete`.
#[utoipa::path(
    delete, path = "/notification/announcements/{id}", tag = "Notifications",
    params(("id" = String, Path, description = "24 hex digits")),
    responses(
        (status = 204, description = "It will not be published"),
        (status = 401, description = "Not signed in"),
        (status = 403, description = "needs Announcement:delete"),
        (status = 404, description = "No announcement with this id waits"),
        (status = 422, description = "Not an id"),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn cancel(
    admin: Administrator,
    id: web::Path<String>,
    notifications: web::Data<Notifications>,
) -> Result<HttpResponse, Problem> {
    admin.require(Resource::Announcement, Action::Delete)?;
    let id = NoticeId::parse(&id).ok_or_else(|| Problem::field("id", "must be 24 hex digits"))?;
    let entry = admin.audits("DELETE_ANNOUNCEMENT", "notifications", format!("announcement/{id}"));
    if notifications.cancel(id, entry).await? {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(Problem::not_found("An announcement with this id that is not published yet"))
    }
}

/// Copies of notices that were not delivered: those tried again, or (`state=dead`) those given up. Needs
/// `Announcement:read`.
#[utoipa::path(
    get, path = "/notification/failures", tag = "Notifications",
    params(
        ("state" = Option<String>, Query, description = "`retrying` or `dead` (when absent)"),
        ("page" = Option<u32>, Query, description = "1 is the first"),
        ("size" = Option<u32>, Query, description = "1 to 100; 50 when absent"),
    ),
    responses(
        (status = 200, description = "A page; `X-Total-Count` has the number of all", body = [FailedMessage]),
        (status = 401, description = "Not signed in"),
        (status = 403, description = "needs Announcement:read"),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn failures(
    admin: Administrator,
    request: HttpRequest,
    notifications: web::Data<Notifications>,
) -> Result<HttpResponse, Problem> {
    admin.require(Resource::Announcement, Action::Read)?;
    let mut params = Params::of(&request);
    let dead = params.choice("state", &["dead", "retrying"]) == "dead";
    let (offset, limit) = page(params)?;
    let (found, total) = notifications.deliveries.failures(dead, offset, limit).await?;
    Ok(HttpResponse::Ok().insert_header(("X-Total-Count", total.to_string())).json(found))
}

/// Has a copy that was not delivered tried again at once. Needs `Announcement:write`.
#[utoipa::path(
    post, path = "/notification/failures/{channel}/{id}/retry", tag = "Notifications",
    params(
        ("channel" = String, Path, description = "`sms` or `email`"),
        ("id" = String, Path, description = "the notice: 24 hex digits"),
    ),
    responses(
        (status = 202, description = "It is tried again"),
        (status = 401, description = "Not signed in"),
        (status = 403, description = "needs Announcement:write"),
        (status = 404, description = "Nothing of this channel and id has failed"),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn retry(
    admin: Administrator,
    path: web::Path<(String, String)>,
    notifications: web::Data<Notifications>,
) -> Result<HttpResponse, Problem> {
    admin.require(Resource::Announcement, Action::Write)?;
    let (channel, id) = path.into_inner();
    let id = NoticeId::parse(&id).ok_or_else(|| Problem::field("id", "must be 24 hex digits"))?;
    if !matches!(channel.as_str(), "sms" | "email") {
        return Err(Problem::new(Code::NotFound, "The channels are sms and email"));
    }
    let now = notifications.clock.now();
    if notifications.deliveries.retry(&channel, &id.to_string(), now).await? {
        Ok(HttpResponse::Accepted().finish())
    } else {
        Err(Problem::not_found("A failed message of this channel and id"))
    }
}

fn page(mut params: Params) -> Result<(i64, i64), Problem> {
    let page = params.number("page", 1, 0, 1_000_000);
    let size = params.number("size", 50, 1, 100);
    params.done()?;
    let Page { offset, limit } = Page::numbered(page, size);
    Ok((offset, limit.unwrap_or(100)))
}
