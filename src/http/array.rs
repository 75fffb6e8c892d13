//! Lists as bare JSON arrays. `X-Total-Count` has the number of all rows, `Link` (RFC 8288) leads to the pages around.

use std::fmt::Write as _;

use actix_web::http::header::{self, ContentType};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::Serialize;

use super::list::RowChunks;
use super::page::Page;
use super::params::Params;
use super::problem::{Code, Problem};

/// Which rows of an array are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows to leave out first.
    pub skip: u32,
    /// Rows to give; 0 is everything.
    pub limit: u32,
}

impl Window {
    /// The most rows in one answer, other than everything.
    pub const MOST: u32 = 10_000;

    /// From the parameters `skip` and `limit`.
    #[must_use]
    pub fn read(params: &mut Params, usual_limit: u32) -> Self {
        let skip = params.number("skip", 0, 0, u32::MAX);
        Self { skip, limit: params.number("limit", usual_limit, 0, Self::MOST) }
    }

    /// As numbers for SQL.
    #[must_use]
    pub fn page(self) -> Page {
        Page::offset(self.skip, self.limit)
    }

    fn links(self, request: &HttpRequest, total: i64) -> Option<String> {
        let (skip, limit) = (i64::from(self.skip), i64::from(self.limit));
        if limit == 0 {
            return None;
        }
        let mut filters = String::new();
        for pair in request.query_string().split('&') {
            let name = pair.split('=').next().unwrap_or_default();
            // What cannot stand between angle brackets is not repeated: a client sends it encoded.
            if !["", "skip", "limit"].contains(&name) && !pair.contains(['<', '>', '"', ' ']) {
                let _ = write!(filters, "{pair}&");
            }
        }
        let mut links = Vec::new();
        let mut link = |skip: i64, rel: &str| {
            links.push(format!("<?{filters}skip={skip}&limit={limit}>; rel=\"{rel}\""))
        };
        link(0, "first");
        if skip > 0 {
            link(skip.saturating_sub(limit).max(0), "prev");
        }
        if skip.saturating_add(limit) < total {
            link(skip.saturating_add(limit), "next");
        }
        let last = total.saturating_sub(1).max(0);
        link(last.saturating_sub(last.checked_rem(limit).unwrap_or(0)), "last");
        Some(links.join(", "))
    }
}

/// The rows of one window, of `total` in all.
pub fn page<T: Serialize>(request: &HttpRequest, window: Window, total: i64, rows: &[T]) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer.insert_header(("x-total-count", total.to_string()));
    if let Some(links) = window.links(request, total) {
        answer.insert_header((header::LINK, links));
    }
    answer.json(rows)
}

/// Too many long lists are being sent.
#[must_use]
pub fn busy() -> Problem {
    let detail = "Too many long lists are being sent: try again shortly, or read page by page";
    Problem::new(Code::Overloaded, detail).retry_after(10)
}

struct Streaming<R, F> {
    chunks: RowChunks<R>,
    shape: F,
    rows: u64,
    ended: bool,
}

/// Everything, sent while the rows arrive, with no more than a few chunks in memory. A failure cuts the connection, so that a
/// partial array never looks whole.
pub fn streamed<R, T, F>(total: i64, chunks: RowChunks<R>, shape: F) -> HttpResponse
where
    R: 'static,
    T: Serialize,
    F: Fn(R) -> T + 'static,
{
    let state = Streaming { chunks, shape, rows: 0, ended: false };
    let body = stream::try_unfold(state, async |mut state: Streaming<R, F>| {
        if state.ended {
            return Ok(None);
        }
        let bytes = next_bytes(&mut state).await.inspect_err(|error| {
            tracing::warn!(error = %error, "list.stream_cut");
        })?;
        Ok::<_, std::io::Error>(Some((bytes, state)))
    });
    HttpResponse::Ok()
        .insert_header(("x-total-count", total.to_string()))
        .content_type(ContentType::json())
        .streaming(body)
}

async fn next_bytes<R, T: Serialize, F: Fn(R) -> T>(state: &mut Streaming<R, F>) -> std::io::Result<Bytes> {
    let cut = || std::io::Error::other("the rows were cut off");
    let rows = state.chunks.recv().await.ok_or_else(cut)?.map_err(std::io::Error::other)?;
    let mut bytes = Vec::with_capacity(rows.len().saturating_mul(256));
    state.ended = rows.is_empty();
    for row in rows {
        bytes.push(if state.rows == 0 { b'[' } else { b',' });
        state.rows = state.rows.saturating_add(1);
        serde_json::to_writer(&mut bytes, &(state.shape)(row))?;
    }
    if state.ended {
        bytes.extend_from_slice(if state.rows == 0 { b"[]" } else { b"]" });
    }
    Ok(Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn links_keep_the_filters_and_stay_within_the_list() {
        let request = TestRequest::with_uri("/admin/?name=a%20b&skip=4&limit=2").to_http_request();
        let links = |skip, limit, total| Window { skip, limit }.links(&request, total);
        assert_eq!(
            links(4, 2, 7).unwrap(),
            "<?name=a%20b&skip=0&limit=2>; rel=\"first\", <?name=a%20b&skip=2&limit=2>; rel=\"prev\", \
             <?name=a%20b&skip=6&limit=2>; rel=\"next\", <?name=a%20b&skip=6&limit=2>; rel=\"last\""
        );
        assert!(!links(0, 2, 2).unwrap().contains("next"));
        assert_eq!(links(0, 0, 7), None);
    }

    #[actix_web::test]
    async fn streams_are_arrays() {
        for chunks in [vec![], vec![vec![1]], vec![vec![1, 2], vec![3]]] {
            let (send, receive) = tokio::sync::mpsc::channel(4);
            let all: Vec<i32> = chunks.concat();
            for chunk in chunks.into_iter().chain([Vec::new()]) {
                send.send(Ok(chunk)).await.unwrap();
            }
            let answer = streamed(3, receive, |row: i32| row);
            let body = actix_web::body::to_bytes(answer.into_body()).await.unwrap();
            assert_eq!(serde_json::from_slice::<Vec<i32>>(&body).unwrap(), all);
        }
    }

    #[actix_web::test]
    async fn a_cut_stream_is_no_array() {
        let (send, receive) = tokio::sync::mpsc::channel(4);
        send.send(Ok(vec![1])).await.unwrap();
        drop(send);
        let answer = streamed(3, receive, |row: i32| row);
        assert!(actix_web::body::to_bytes(answer.into_body()).await.is_err());
    }
}
