//! `/messages`.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gencharge_actors::messages::ReplayError;
use serde::Serialize;
use utoipa::{IntoParams, IntoResponses, OpenApi, ToSchema};

use super::store::{ParkedBatch, ParkedMessage, SetAside, Wanted};
use crate::access::{Action, Resource};
use crate::auth::Administrator;
use crate::http::array::{self, Window};
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{Code, Problem};

/// Rows in an answer when nothing is said, and at most.
const USUAL: u32 = 50;
const MOST: u32 = 200;
/// The longest text of a filter.
const MAX_WORD: usize = 255;

/// The routes of this feature. They need `web::Data` of [`SetAside`].
pub fn routes(cfg: &mut web::ServiceConfig) {
    let at = |path: &str| web::resource(path).default_service(web::to(method_not_allowed));
    cfg.service(at("/messages/parked").route(web::get().to(list)))
        .service(
            at("/messages/parked/{parked_id}").route(web::get().to(one)).route(web::delete().to(discard)),
        )
        .service(at("/messages/parked/{parked_id}/replay").route(web::post().to(replay)))
        .service(at("/messages/outbox").route(web::get().to(batches)))
        .service(at("/messages/outbox/{batch_id}/replay").route(web::post().to(put_back)));
}

/// The documentation of these routes.
#[derive(OpenApi)]
#[openapi(paths(list, one, discard, replay, batches, put_back))]
pub struct Docs;

/// A parked message, whole.
#[derive(Serialize, ToSchema)]
struct WholeMessage {
    #[serde(flatten)]
    message: ParkedMessage,
    /// The producer's headers.
    headers: BTreeMap<String, String>,
    /// The body, when it is text.
    text: Option<String>,
    /// The body in base64, when it is not.
    base64: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Answer {
    message: &'static str,
}

/// Answers of these routes that several of them give.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the documentation only")]
enum Reading {
    #[response(status = 403, description = "forbidden: needs Messages:read")]
    Forbidden,
}

#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the documentation only")]
enum Replaying {
    #[response(status = 200)]
    Done(Answer),
    #[response(status = 403, description = "forbidden: needs Messages:edit")]
    Forbidden,
    #[response(status = 404, description = "not_found: it is not set aside")]
    NotThere,
}

/// Which part of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the documentation only")]
struct Part {
    /// How many to leave out first.
    skip: Option<u32>,
    /// How many in the answer (50).
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

fn window(params: &mut Params) -> Window {
    Window { skip: params.number("skip", 0, 0, 1_000_000), limit: params.number("limit", USUAL, 1, MOST) }
}

/// Messages that nobody could take, newest first, without their bodies.
#[utoipa::path(
    get, path = "/messages/parked", tag = "Messages", operation_id = "parkedMessages", security(("bearer" = [])),
    params(
        Part,
        ("queue" = Option<String>, Query, description = "such as gencharge.commands"),
        ("code" = Option<String>, Query, description = "why, such as unknown_partner"),
        ("user_id" = Option<String>, Query, description = "the producer's user at the broker"),
    ),
    responses(
        (status = 200, body = [ParkedMessage], headers(("X-Total-Count" = i64), ("Link" = String))),
        Reading,
    ),
)]
async fn list(
    administrator: Administrator,
    request: HttpRequest,
    aside: web::Data<SetAside>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Messages, Action::Read)?;
    let mut params = Params::of(&request);
    let window = window(&mut params);
    let wanted = Wanted {
        queue: params.short_text("queue", MAX_WORD),
        code: params.short_text("code", MAX_WORD),
        user_id: params.short_text("user_id", MAX_WORD),
    };
    params.done()?;
    let (rows, total) = aside.messages(&wanted, window).await?;
    Ok(array::page(&request, window, total, &rows))
}

/// A message that nobody could take, with its headers and its body as it came.
#[utoipa::path(
    get, path = "/messages/parked/{parked_id}", tag = "Messages", operation_id = "parkedMessage",
    security(("bearer" = [])), params(("parked_id" = i64, Path)),
    responses(
        (status = 200, body = WholeMessage),
        Reading,
        (status = 404, description = "not_found"),
    ),
)]
async fn one(
    administrator: Administrator,
    id: web::Path<i64>,
    aside: web::Data<SetAside>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Messages, Action::Read)?;
    let (message, parked) = aside.message(*id).await?.ok_or_else(not_there)?;
    let text = std::str::from_utf8(&parked.body).ok().map(ToOwned::to_owned);
    let base64 = text.is_none().then(|| STANDARD.encode(&parked.body));
    Ok(HttpResponse::Ok().json(WholeMessage { message, headers: parked.headers, text, base64 }))
}

/// Gives a message back to its queue, as its producer sent it, and takes it off the list.
///
/// When the answer is lost, it may have been given back and still be on the list; whoever takes messages does the same
/// thing once, so giving it back again does no harm.
#[utoipa::path(
    post, path = "/messages/parked/{parked_id}/replay", tag = "Messages", operation_id = "replayParkedMessage",
    security(("bearer" = [])), params(("parked_id" = i64, Path)),
    responses(
        Replaying,
        (status = 409, description = "state_conflict: its queue does not take it, or there is no broker"),
        (status = 503, description = "unavailable: the broker is away"),
    ),
)]
async fn replay(
    administrator: Administrator,
    id: web::Path<i64>,
    aside: web::Data<SetAside>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Messages, Action::Edit)?;
    let (_, parked) = aside.message(*id).await?.ok_or_else(not_there)?;
    let broker = aside.broker.clone().ok_or_else(|| {
        Problem::new(Code::StateConflict, "This process has no broker: set AMQP_URL to give messages back")
    })?;
    broker.replay(&parked).await.map_err(|error| match error {
        ReplayError::Unavailable(text) => {
            tracing::warn!(error.message = %text, "messages.broker_away");
            Problem::new(Code::Unavailable, "The broker is away for a moment: try again shortly")
        }
        ReplayError::Refused(text) => {
            Problem::new(Code::StateConflict, format!("It was not given back: {text}"))
        }
    })?;
    let entry = administrator.audits("REPLAY_MESSAGE", "messages", format!("parked/{id}"));
    aside.remove(*id, entry).await?;
    Ok(HttpResponse::Ok().json(Answer { message: "Given back to its queue" }))
}

/// Throws a message away.
#[utoipa::path(
    delete, path = "/messages/parked/{parked_id}", tag = "Messages", operation_id = "discardParkedMessage",
    security(("bearer" = [])), params(("parked_id" = i64, Path)),
    responses(
        (status = 200, body = Answer),
        (status = 403, description = "forbidden: needs Messages:delete"),
        (status = 404, description = "not_found"),
    ),
)]
async fn discard(
    administrator: Administrator,
    id: web::Path<i64>,
    aside: web::Data<SetAside>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Messages, Action::Delete)?;
    let (message, _) = aside.message(*id).await?.ok_or_else(not_there)?;
    let particulars = serde_json::json!({ "code": message.code, "message_id": message.message_id, "user_id": message.user_id });
    let entry = administrator.audits("DISCARD_MESSAGE", "messages", format!("parked/{id}")).with(particulars);
    if !aside.remove(*id, entry).await? {
        return Err(not_there());
    }
    Ok(HttpResponse::Ok().json(Answer { message: "Thrown away" }))
}

/// Batches of the outbox that no consumer could take, newest first.
#[utoipa::path(
    get, path = "/messages/outbox", tag = "Messages", operation_id = "parkedBatches", security(("bearer" = [])),
    params(Part),
    responses(
        (status = 200, body = [ParkedBatch], headers(("X-Total-Count" = i64), ("Link" = String))),
        Reading,
    ),
)]
async fn batches(
    administrator: Administrator,
    request: HttpRequest,
    aside: web::Data<SetAside>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Messages, Action::Read)?;
    let mut params = Params::of(&request);
    let window = window(&mut params);
    params.done()?;
    let (rows, total) = aside.batches(window).await?;
    Ok(array::page(&request, window, total, &rows))
}

/// Puts a batch of the outbox back among those that wait to be delivered.
#[utoipa::path(
    post, path = "/messages/outbox/{batch_id}/replay", tag = "Messages", operation_id = "replayParkedBatch",
    security(("bearer" = [])), params(("batch_id" = i64, Path)),
    responses(Replaying),
)]
async fn put_back(
    administrator: Administrator,
    id: web::Path<i64>,
    aside: web::Data<SetAside>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Messages, Action::Edit)?;
    let entry = administrator.audits("REPLAY_BATCH", "messages", format!("outbox/{id}"));
    if !aside.put_back(*id, entry).await? {
        return Err(Problem::not_found("Parked batch"));
    }
    Ok(HttpResponse::Ok().json(Answer { message: "It waits to be delivered again" }))
}

fn not_there() -> Problem {
    Problem::not_found("Parked message")
}
