//! `/reports/...`: each report by GET with a query string and by POST with a JSON body.

use actix_web::http::header;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::stream;
use gencharge_actors::kernel::UserId;
use serde_json::{Map, Value};
use utoipa::OpenApi;

use super::definition::{Reader, Report};
use super::definitions::ALL;
use super::export::{CsvWriter, JsonWriter, Writer, XlsxWriter, pdf};
use super::query::{Asked, Format};
use super::service::{Reports, Row};
use crate::access::Action;
use crate::auth::Principal;
use crate::http::json::parse_body;
use crate::http::list::RowChunks;
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{Code, Problem};

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// The routes of this feature.
pub fn routes(cfg: &mut web::ServiceConfig) {
    for report in ALL.iter().copied() {
        let asked_by_query = move |request: HttpRequest, reader: Principal, reports: web::Data<Reports>| async move {
            let params = Params::of(&request);
            answer(report, &reader, &reports, params).await
        };
        let asked_by_body = move |body: Bytes, reader: Principal, reports: web::Data<Reports>| async move {
            let object: Map<String, Value> = if body.is_empty() { Map::new() } else { parse_body(&body)? };
            answer(report, &reader, &reports, Params::of_object(&object)).await
        };
        cfg.service(
            web::resource(format!("/reports/{}", report.path))
                .route(web::get().to(asked_by_query))
                .route(web::post().to(asked_by_body))
                .default_service(web::to(method_not_allowed)),
        );
    }
}

async fn answer(
    report: &'static Report,
    principal: &Principal,
    reports: &Reports,
    mut params: Params,
) -> Result<HttpResponse, Problem> {
    let me = match (report.reader, principal) {
        (Reader::Administrator(resource), Principal::Administrator(administrator)) => {
            administrator.require(resource, Action::Read)?;
            None
        }
        (Reader::Customer, Principal::Customer(customer)) => Some(customer.user_id),
        (Reader::Administrator(_), Principal::Customer(_)) => {
            return Err(Problem::new(Code::Forbidden, "This report is for administrators"));
        }
        (Reader::Customer, Principal::Administrator(_)) => {
            return Err(Problem::new(
                Code::Forbidden,
                "This report is for customers: sign in with a customer's number",
            ));
        }
    };
    let asked = Asked::read(report, &mut params, reports.zone());
    params.done()?;
    match asked.format {
        Format::Pdf => pdf_document(report, reports, &asked, me).await,
        Format::Json => {
            let total = reports.count(report, &asked, me).await?;
            let chunks = chunks(report, reports, &asked, me).await?;
            Ok(HttpResponse::Ok()
                .content_type("application/json")
                .insert_header(("X-Total-Count", total))
                .streaming(body(chunks, Box::new(JsonWriter::new(report.columns)))))
        }
        Format::Csv => {
            let chunks = chunks(report, reports, &asked, me).await?;
            let writer = Box::new(CsvWriter::new(report.columns).map_err(unwritable)?);
            Ok(download(report, "text/csv; charset=utf-8", "csv").streaming(body(chunks, writer)))
        }
        Format::Xlsx => {
            let chunks = chunks(report, reports, &asked, me).await?;
            let writer = Box::new(XlsxWriter::new(report.columns).map_err(unwritable)?);
            Ok(download(report, XLSX, "xlsx").streaming(body(chunks, writer)))
        }
    }
}

async fn chunks(
    report: &'static Report,
    reports: &Reports,
    asked: &Asked,
    me: Option<UserId>,
) -> Result<RowChunks<Row>, Problem> {
    reports.rows(report, asked, me).await?.ok_or_else(|| {
        Problem::new(
            Code::Overloaded,
            "Too many long reports are being sent: try again shortly, or ask for less with limit and filters",
        )
        .retry_after(10)
    })
}

fn download(report: &Report, media_type: &'static str, ending: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    let disposition = format!("attachment; filename={}.{ending}", report.file);
    response.content_type(media_type).insert_header((header::CONTENT_DISPOSITION, disposition));
    response
}

fn unwritable(error: impl std::fmt::Display) -> Problem {
    tracing::error!(error = %error, "report.unwritable");
    Problem::internal()
}

async fn pdf_document(
    report: &'static Report,
    reports: &Reports,
    asked: &Asked,
    me: Option<UserId>,
) -> Result<HttpResponse, Problem> {
    let Some(rows) = reports.at_most(report, asked, me, pdf::MOST_ROWS).await? else {
        let most = pdf::MOST_ROWS;
        let message = format!(
            "a PDF has at most {most} rows: ask for less with limit or filters, or choose csv or excel"
        );
        return Err(Problem::field("export_type", message));
    };
    let title = report.file.replace('_', " ");
    let document = web::block(move || pdf::document(&title, report.columns, &rows));
    let bytes = document.await.map_err(unwritable)?.map_err(unwritable)?;
    Ok(download(report, "application/pdf", "pdf").body(bytes))
}

struct Sending {
    chunks: RowChunks<Row>,
    writer: Box<dyn Writer>,
    ended: bool,
}

/// The file while its rows arrive. A failure cuts the connection, so that a partial file never looks whole.
fn body(
    chunks: RowChunks<Row>,
    writer: Box<dyn Writer>,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    let state = Sending { chunks, writer, ended: false };
    stream::try_unfold(state, async |mut state: Sending| {
        if state.ended {
            return Ok(None);
        }
        let bytes = next_bytes(&mut state).await.inspect_err(|error| {
            tracing::warn!(error = %error, "report.stream_cut");
        })?;
        Ok(Some((bytes, state)))
    })
}

async fn next_bytes(state: &mut Sending) -> std::io::Result<Bytes> {
    loop {
        let cut = || std::io::Error::other("the rows stopped before their end");
        let rows = state.chunks.recv().await.ok_or_else(cut)?.map_err(std::io::Error::other)?;
        if rows.is_empty() {
            state.ended = true;
            state.writer.end()?;
            return Ok(state.writer.take());
        }
        state.writer.rows(&rows)?;
        let bytes = state.writer.take();
        // A compressor may hold everything back for a while.
        if !bytes.is_empty() {
            return Ok(bytes);
        }
    }
}

/// The documentation of these routes, made of their definitions.
pub struct Docs;

impl OpenApi for Docs {
    fn openapi() -> utoipa::openapi::OpenApi {
        super::documentation::document()
    }
}
