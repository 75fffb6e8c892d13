//! `GET /audit-logs`.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::log::{AuditLog, Wanted};
use crate::access::{Action, Resource};
use crate::auth::Administrator;
use crate::http::Problem;
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::platform::documents::Document;

/// Entries on a page when nothing is said, and at most.
const USUAL: u32 = 50;
const MOST: u32 = 200;
/// The longest text of a filter.
const MAX_WORD: usize = 100;

/// The routes of this feature. They need `web::Data` of [`AuditLog`].
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/audit-logs")
            .route(web::get().to(audit_logs))
            .default_service(web::to(method_not_allowed)),
    );
}

/// The documentation of these routes.
#[derive(OpenApi)]
#[openapi(paths(audit_logs), components(schemas(AuditLogEntry)))]
pub struct Docs;

/// Entries of the log.
#[derive(Serialize, ToSchema)]
struct AuditLogList {
    /// How many are in this answer; `X-Total-Count` has the number of all that match.
    count: usize,
    /// Newest first.
    #[schema(value_type = Vec<AuditLogEntry>)]
    logs: Vec<Document>,
}

/// One thing that someone did, or tried to.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the documents, which are passed on as they are stored")]
struct AuditLogEntry {
    /// 24 hex digits.
    _id: String,
    /// What: `UPDATE_PLAN`.
    action: String,
    /// The part of the system: `plans`.
    service: String,
    /// `US_<id>`, `AD_<id>` or `SYSTEM`.
    user_id: String,
    /// The administrator's role at that time, or `user`.
    role: String,
    /// What it was done to: `plan/4`.
    target: String,
    /// `success`, or why not.
    status: String,
    /// The fields set and their new values.
    #[schema(value_type = Option<Object>)]
    changes: serde_json::Value,
    /// When, in UTC.
    timestamp: chrono::DateTime<chrono::Utc>,
}

/// What administrators changed and who signed in, newest first.
#[utoipa::path(
    get, path = "/audit-logs", tag = "Audit", security(("bearer" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "entries in the answer (50)", minimum = 1, maximum = 200),
        ("offset" = Option<u32>, Query, description = "how many to leave out first"),
        ("service" = Option<String>, Query, description = "such as plans"),
        ("user_id" = Option<String>, Query, description = "US_<id>, AD_<id> or SYSTEM"),
        ("start_date" = Option<String>, Query, description = "at or after this time or day"),
        ("end_date" = Option<String>, Query, description = "before this time, or up to the end of this day"),
        ("action" = Option<String>, Query, description = "such as UPDATE_PLAN"),
        ("target" = Option<String>, Query, description = "such as plan/4"),
        ("status" = Option<String>, Query, description = "success, or why not"),
    ),
    responses(
        (status = 200, body = AuditLogList, headers(("X-Total-Count" = i64))),
        (status = 401, description = "not_authenticated"),
        (status = 403, description = "forbidden: needs AuditLogs:read"),
        (status = 422, description = "invalid_input: every wrong parameter is named"),
    ),
)]
async fn audit_logs(
    administrator: Administrator,
    request: HttpRequest,
    log: web::Data<AuditLog>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::AuditLogs, Action::Read)?;
    let mut params = Params::of(&request);
    let limit = params.number("limit", USUAL, 1, MOST);
    let offset = params.number("offset", 0, 0, 1_000_000);
    let wanted = Wanted {
        service: params.short_text("service", MAX_WORD),
        action: params.short_text("action", MAX_WORD),
        actor: params.word("user_id"),
        target: params.short_text("target", MAX_WORD),
        status: params.short_text("status", MAX_WORD),
        from: params.moment("start_date"),
        to: params.end_moment("end_date"),
    };
    if let (Some(from), Some(to)) = (wanted.from, wanted.to)
        && to < from
    {
        params.fault("end_date", "must not be before start_date");
    }
    params.done()?;
    let (logs, total) = log.entries(wanted, offset.into(), limit.into()).await?;
    let answer = AuditLogList { count: logs.len(), logs };
    Ok(HttpResponse::Ok().insert_header(("X-Total-Count", total)).json(answer))
}
