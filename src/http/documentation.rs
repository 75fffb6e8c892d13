//! `/openapi.json`, and the two pages that show it. Everything they need is in the binary; their security policy lets
//! them load nothing from elsewhere.

use std::io::Read as _;
use std::sync::Arc;

use actix_web::http::header::{self, ContentEncoding, HeaderValue};
use actix_web::web::{self, Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::problem::Problem;
use super::server::method_not_allowed;

/// See `assets/redoc/README.md`.
static REDOC: &[u8] = include_bytes!("../../assets/redoc/redoc.standalone.js.gz");

const DOCS_PAGE: &str = r##"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>GenCharge API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script></body></html>
"##;
const DOCS_START: &str = r##"window.ui = SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, displayRequestDuration: true,
  persistAuthorization: true, validatorUrl: null, tagsSorter: "alpha",
});
"##;
const REDOC_PAGE: &str = r##"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>GenCharge API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style>body{margin:0} a[href*="redocly.com"]{display:none!important}</style></head>
<body><div id="redoc"></div>
<script src="redoc/redoc.standalone.js"></script>
<script src="redoc/start.js"></script></body></html>
"##;
const REDOC_START: &str = r##"Redoc.init("openapi.json", { hideDownloadButton: false }, document.getElementById("redoc"));
"##;

/// Styles are made by script, icons are `data:`, ReDoc's search is a worker made from a `blob:`.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
     connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The document and its pages; clones share them.
#[derive(Clone)]
pub struct Documentation(Arc<Inner>);

struct Inner {
    openapi: File,
    redoc: File,
}

struct File {
    bytes: Bytes,
    etag: HeaderValue,
}

impl File {
    fn new(bytes: Bytes) -> Self {
        let etag = etag(&bytes);
        Self { bytes, etag }
    }
}

impl Documentation {
    /// From the document as `openapi::document` made it.
    #[must_use]
    pub fn new(document: &Value) -> Self {
        let openapi = File::new(Bytes::from(document.to_string()));
        Self(Arc::new(Inner { openapi, redoc: File::new(Bytes::from_static(REDOC)) }))
    }
}

/// The routes; they need `web::Data` of [`Documentation`].
pub fn routes(cfg: &mut web::ServiceConfig) {
    let refused = || web::to(method_not_allowed);
    cfg.service(web::resource("/openapi.json").route(web::get().to(openapi)).default_service(refused()))
        .service(web::resource("/docs").route(web::get().to(docs_page)).default_service(refused()))
        .service(web::resource("/docs/{file}").route(web::get().to(docs_file)).default_service(refused()))
        .service(web::resource("/redoc").route(web::get().to(redoc_page)).default_service(refused()))
        .service(web::resource("/redoc/{file}").route(web::get().to(redoc_file)).default_service(refused()))
        .service(web::resource("/problems/{code}").route(web::get().to(problem)).default_service(refused()));
}

async fn openapi(request: HttpRequest, documentation: Data<Documentation>) -> HttpResponse {
    let file = &documentation.0.openapi;
    send(&request, "application/json", file.bytes.clone(), file.etag.clone())
}

async fn docs_page(request: HttpRequest) -> HttpResponse {
    page(&request, DOCS_PAGE)
}

async fn redoc_page(request: HttpRequest) -> HttpResponse {
    page(&request, REDOC_PAGE)
}

async fn docs_file(request: HttpRequest, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    if name.as_str() == "start.js" {
        return Ok(fixed(&request, "text/javascript", DOCS_START));
    }
    let shown = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "favicon-16x16.png"];
    let file = if shown.contains(&name.as_str()) {
        utoipa_swagger_ui::serve(&name, Arc::new(utoipa_swagger_ui::Config::default())).ok().flatten()
    } else {
        None
    };
    let Some(file) = file else { return Err(Problem::not_found("Page")) };
    let bytes = Bytes::from(file.bytes.into_owned());
    let etag = etag(&bytes);
    Ok(send(&request, &file.content_type, bytes, etag))
}

async fn redoc_file(
    request: HttpRequest,
    name: web::Path<String>,
    documentation: Data<Documentation>,
) -> Result<HttpResponse, Problem> {
    match name.as_str() {
        "start.js" => Ok(fixed(&request, "text/javascript", REDOC_START)),
        "redoc.standalone.js" => Ok(redoc(&request, &documentation.0.redoc)),
        _ => Err(Problem::not_found("Page")),
    }
}

/// What the `type` of a problem document leads to.
async fn problem(code: web::Path<String>) -> Result<HttpResponse, Problem> {
    let explained = super::openapi::explain(&code).ok_or_else(|| Problem::not_found("Problem"))?;
    Ok(HttpResponse::Ok().json(explained))
}

/// Stored compressed; unpacked only for the rare client that cannot.
fn redoc(request: &HttpRequest, file: &File) -> HttpResponse {
    let kind = "text/javascript; charset=utf-8";
    let accepted = request.headers().get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let mut answer = if accepted.is_some_and(|accepted| accepted.contains("gzip")) {
        let mut answer = send(request, kind, file.bytes.clone(), file.etag.clone());
        let gzip = HeaderValue::from_static(ContentEncoding::Gzip.as_str());
        answer.headers_mut().insert(header::CONTENT_ENCODING, gzip);
        answer
    } else {
        let mut plain = Vec::new();
        // The bytes are ours and sound (a test reads them).
        let _ = flate2::read::GzDecoder::new(REDOC).read_to_end(&mut plain);
        let etag = etag(&plain);
        send(request, kind, Bytes::from(plain), etag)
    };
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    answer
}

fn page(request: &HttpRequest, html: &'static str) -> HttpResponse {
    let mut answer = fixed(request, "text/html; charset=utf-8", html);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

fn fixed(request: &HttpRequest, kind: &str, text: &'static str) -> HttpResponse {
    send(request, kind, Bytes::from_static(text.as_bytes()), etag(text.as_bytes()))
}

fn send(request: &HttpRequest, kind: &str, body: Bytes, etag: HeaderValue) -> HttpResponse {
    let known = request
        .headers()
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|given| given.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag));
    let mut answer = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer
        .insert_header((header::ETAG, etag))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache")))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
    if known {
        return answer.finish();
    }
    answer.content_type(kind).body(body)
}

fn etag(bytes: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(bytes);
    let short: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{short}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}
