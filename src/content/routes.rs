//! `/content`, and the pictures under `/static/uploads`.

use actix_multipart::Multipart;
use actix_web::http::header;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use super::form::{Form, TYPES};
use super::service::{Contents, Wanted};
use crate::access::{Action, Resource};
use crate::auth::Administrator;
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{Code, FieldError, Problem};
use crate::platform::documents::Document;

/// The routes of this feature. They need `web::Data` of [`Contents`].
pub fn routes(cfg: &mut web::ServiceConfig) {
    let at = |path: &str| web::resource(path).default_service(web::to(method_not_allowed));
    cfg.service(
        at("/content/admin").route(web::get().to(admin_content)).route(web::post().to(create_content)),
    )
    .service(
        at("/content/admin/{content_id}")
            .route(web::put().to(update_content))
            .route(web::delete().to(delete_content)),
    )
    .service(at("/content").route(web::get().to(content)))
    .service(at("/static/uploads/{file}").route(web::get().to(picture)));
}

/// The documentation of these routes.
#[derive(OpenApi)]
#[openapi(
    paths(content, admin_content, create_content, update_content, delete_content, picture),
    components(schemas(ContentResponseAdmin, ContentResponseUser))
)]
pub struct Docs;

/// The multipart form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form, which is read piece by piece")]
struct ContentForm {
    /// `Landing_page_img1`, `Landing_page_img2`, `Why_Choose_us`, `FAQ` or `support_contact`.
    content_type: String,
    /// 1 to 200 characters.
    title: String,
    /// At most 20000 characters.
    body: Option<String>,
    /// JPEG, PNG, GIF or WebP, at most 5 MiB and 8000 by 8000 pixels.
    #[schema(value_type = Option<String>, format = Binary)]
    image: Option<Vec<u8>>,
}

/// Content as administrators see it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the documents, which are passed on as they are stored")]
struct ContentResponseAdmin {
    /// 24 hex digits.
    _id: String,
    content_type: String,
    title: String,
    body: Option<String>,
    image_url: Option<String>,
    image_filename: Option<String>,
    created_by: i64,
    created_at: chrono::DateTime<chrono::Utc>,
    updated_at: chrono::DateTime<chrono::Utc>,
    updated_by: i64,
}

/// Content as everyone sees it.
#[derive(Serialize, ToSchema)]
struct ContentResponseUser {
    content_type: Value,
    title: Value,
    body: Value,
    image_url: Value,
}

impl From<Document> for ContentResponseUser {
    fn from(mut document: Document) -> Self {
        let mut take = |field: &str| document.remove(field).unwrap_or_default();
        Self {
            content_type: take("content_type"),
            title: take("title"),
            body: take("body"),
            image_url: take("image_url"),
        }
    }
}

/// A page.
#[derive(Serialize, ToSchema)]
struct ContentPage<T> {
    items: Vec<T>,
    /// Over all pages.
    total: u64,
    page: u32,
    size: u32,
    /// In all.
    pages: u64,
}

fn page<T>(items: Vec<T>, total: u64, page: u32, size: u32) -> ContentPage<T> {
    ContentPage { items, total, page, size, pages: total.div_ceil(size.max(1).into()) }
}

/// The page asked for: number, size, and how many lie before it.
fn place(params: &mut Params) -> (u32, u32, u64) {
    let (page, size) = (params.number("page", 1, 1, 1_000_000), params.number("size", 10, 1, 100));
    (page, size, u64::from(page.saturating_sub(1)).saturating_mul(size.into()))
}

fn content_type(params: &mut Params) -> Option<String> {
    let word = params.short_text("content_type", 50)?;
    if !TYPES.contains(&word.as_str()) {
        params.fault("content_type", format!("must be one of: {}", TYPES.join(" ")));
    }
    Some(word)
}

/// What the pages show, newest first.
#[utoipa::path(get, path = "/content", tag = "Content",
    params(
        ("content_type" = Option<String>, Query, description = "of this type"),
        ("page" = Option<u32>, Query, description = "1 is the first"),
        ("size" = Option<u32>, Query, description = "1 to 100 (10)"),
    ),
    responses((status = 200, body = ContentPage<ContentResponseUser>)))]
async fn content(request: HttpRequest, contents: Data<Contents>) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request);
    let (number, size, offset) = place(&mut params);
    let wanted = Wanted { content_type: content_type(&mut params), ..Wanted::default() };
    params.done()?;
    let (found, total) = contents.some(wanted, &["-created_at"], offset, size.into()).await?;
    let items = found.into_iter().map(ContentResponseUser::from).collect();
    Ok(HttpResponse::Ok().json(page(items, total, number, size)))
}

/// All content, with who made and changed it.
#[utoipa::path(get, path = "/content/admin", tag = "Content", security(("bearer" = [])),
    params(
        ("content_type" = Option<String>, Query, description = "of this type"),
        ("title" = Option<String>, Query, description = "text in the title"),
        ("created_by" = Option<i64>, Query, description = "an administrator's id"),
        ("updated_by" = Option<i64>, Query, description = "an administrator's id"),
        ("created_at_from" = Option<String>, Query, description = "at or after this time or day"),
        ("created_at_to" = Option<String>, Query, description = "before this time, or up to the end of this day"),
        ("updated_at_from" = Option<String>, Query, description = "at or after this time or day"),
        ("updated_at_to" = Option<String>, Query, description = "before this time, or up to the end of this day"),
        ("order_by" = Option<String>, Query, description = "created_at or updated_at"),
        ("order_dir" = Option<String>, Query, description = "desc or asc"),
        ("page" = Option<u32>, Query, description = "1 is the first"),
        ("size" = Option<u32>, Query, description = "1 to 100 (10)"),
    ),
    responses(
        (status = 200, body = ContentPage<ContentResponseAdmin>),
        (status = 403, description = "needs Content:read"),
    ))]
async fn admin_content(
    administrator: Administrator,
    request: HttpRequest,
    contents: Data<Contents>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Content, Action::Read)?;
    let mut params = Params::of(&request);
    let (number, size, offset) = place(&mut params);
    let wanted = Wanted {
        content_type: content_type(&mut params),
        title: params.short_text("title", 200),
        created_by: params.id("created_by"),
        updated_by: params.id("updated_by"),
        created: (params.moment("created_at_from"), params.end_moment("created_at_to")),
        updated: (params.moment("updated_at_from"), params.end_moment("updated_at_to")),
    };
    for (name, (from, to)) in [("created_at_to", wanted.created), ("updated_at_to", wanted.updated)] {
        if from.zip(to).is_some_and(|(from, to)| to < from) {
            params.fault(name, "must not be before its beginning");
        }
    }
    let by = params.choice("order_by", &["created_at", "updated_at"]);
    let direction = params.choice("order_dir", &["desc", "asc"]);
    let sort: &[&str] = match (by, direction) {
        ("created_at", "desc") => &["-created_at"],
        ("created_at", _) => &["created_at"],
        (_, "desc") => &["-updated_at"],
        _ => &["updated_at"],
    };
    params.done()?;
    let (found, total) = contents.some(wanted, sort, offset, size.into()).await?;
    Ok(HttpResponse::Ok().json(page(found, total, number, size)))
}

/// Make content, with a picture or without.
#[utoipa::path(post, path = "/content/admin", tag = "Content", security(("bearer" = [])),
    request_body(content = ContentForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = ContentResponseAdmin),
        (status = 400, description = "unusable_image: it is none of the kinds taken, or broken"),
        (status = 403, description = "needs Content:write"),
    ))]
async fn create_content(
    administrator: Administrator,
    contents: Data<Contents>,
    parts: Multipart,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Content, Action::Write)?;
    let form = Form::read(parts).await?;
    let missing = [("content_type", form.content_type.is_none()), ("title", form.title.is_none())];
    let missing: Vec<_> = missing
        .iter()
        .filter(|(_, missing)| *missing)
        .map(|(field, _)| FieldError { field: (*field).to_owned(), message: "must be given".to_owned() })
        .collect();
    if !missing.is_empty() {
        return Err(Problem::fields(missing));
    }
    let entry = administrator.audits("CREATE_CONTENT", "content", "").with(json!({ "title": form.title }));
    let made = contents.make(form, administrator.admin_id, entry).await?;
    Ok(HttpResponse::Created().json(made))
}

/// Change the given fields; a new picture replaces the old one.
#[utoipa::path(put, path = "/content/admin/{content_id}", tag = "Content", security(("bearer" = [])),
    params(("content_id" = String, Path)),
    request_body(content = ContentForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, body = ContentResponseAdmin),
        (status = 400, description = "unusable_image: it is none of the kinds taken, or broken"),
        (status = 403, description = "needs Content:edit"),
        (status = 404, description = "no such content"),
    ))]
async fn update_content(
    administrator: Administrator,
    content_id: Path<String>,
    contents: Data<Contents>,
    parts: Multipart,
) -> Result<Json<Document>, Problem> {
    administrator.require(Resource::Content, Action::Edit)?;
    let form = Form::read(parts).await?;
    let changes =
        json!({ "content_type": form.content_type, "title": form.title, "image": form.image.is_some() });
    let entry = administrator.audits("UPDATE_CONTENT", "content", "").with(changes);
    contents.change(&content_id, form, administrator.admin_id, entry).await.map(Json)
}

/// Delete content and its picture.
#[utoipa::path(delete, path = "/content/admin/{content_id}", tag = "Content", security(("bearer" = [])),
    params(("content_id" = String, Path)),
    responses(
        (status = 200, description = "`{message}`"),
        (status = 403, description = "needs Content:delete"),
        (status = 404, description = "no such content"),
    ))]
async fn delete_content(
    administrator: Administrator,
    content_id: Path<String>,
    contents: Data<Contents>,
) -> Result<Json<Value>, Problem> {
    administrator.require(Resource::Content, Action::Delete)?;
    contents.delete(&content_id, administrator.audits("DELETE_CONTENT", "content", "")).await?;
    Ok(Json(json!({ "message": "Content deleted successfully" })))
}

/// A picture. Its name never gets another picture.
#[utoipa::path(get, path = "/static/uploads/{file}", tag = "Content", params(("file" = String, Path)),
    responses((status = 200, description = "the picture"), (status = 404, description = "no such picture")))]
async fn picture(file: Path<String>, contents: Data<Contents>) -> Result<HttpResponse, Problem> {
    let found = contents.pictures().read(&file).await.map_err(|error| {
        tracing::error!(%error, "content.picture_unreadable");
        Problem::new(Code::Unavailable, "The picture cannot be read at the moment: try again shortly")
    })?;
    let (bytes, media) = found.ok_or_else(|| Problem::not_found("Picture"))?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, media))
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"))
        .body(bytes))
}
