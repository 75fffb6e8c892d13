//! Lists as JSON bodies, written row by row into one buffer; long ones are sent while their rows arrive.

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc;

use super::page::page_count;
use super::problem::Problem;

/// Rows that are looked up before an unpaged list is streamed instead of sent whole.
pub const WHOLE_LIST_ROWS: i64 = 2_000;

/// What a list says about itself after its rows.
#[derive(Clone, Debug, Serialize)]
pub struct Tail {
    /// Rows in the list, over all pages.
    pub total: i64,
    /// The page given.
    pub page: u32,
    /// Rows on a page as asked for; 0 is everything.
    pub size: u32,
    /// Pages in the list.
    pub pages: i64,
    /// Where the next page starts, if there is one.
    pub next_cursor: Option<String>,
}

impl Tail {
    /// For page number `page` of `size` rows, from a list of `total` rows.
    #[must_use]
    pub fn new(total: i64, page: u32, size: u32) -> Self {
        Self { total, page, size, pages: page_count(total, size), next_cursor: None }
    }
}

/// A body in the making: `{"<name>":[row,row],"total":...}`.
#[derive(Debug)]
pub struct ListWriter {
    buffer: Vec<u8>,
    rows: i64,
}

impl ListWriter {
    /// Starts a body whose rows stand under `name`.
    #[must_use]
    pub fn open(name: &'static str) -> Self {
        let mut buffer = Vec::with_capacity(8 * 1024);
        buffer.extend_from_slice(b"{\"");
        buffer.extend_from_slice(name.as_bytes());
        buffer.extend_from_slice(b"\":[");
        Self { buffer, rows: 0 }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the row cannot be written as JSON.
    pub fn push<T: Serialize>(&mut self, row: &T) -> Result<(), serde_json::Error> {
        if self.rows > 0 {
            self.buffer.push(b',');
        }
        self.rows = self.rows.saturating_add(1);
        serde_json::to_writer(&mut self.buffer, row)
    }

    /// Rows added so far.
    #[must_use]
    pub fn rows(&self) -> i64 {
        self.rows
    }

    /// Takes what is written so far.
    pub fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.buffer))
    }

    /// Ends the body.
    ///
    /// # Errors
    /// When the tail cannot be written as JSON.
    pub fn close(&mut self, tail: &Tail) -> Result<Bytes, serde_json::Error> {
        self.buffer.extend_from_slice(b"],");
        // The tail's fields follow in the same object: its opening brace becomes the comma's place.
        let tail = serde_json::to_string(tail)?;
        self.buffer.extend_from_slice(tail.trim_start_matches('{').as_bytes());
        Ok(self.take())
    }
}

/// Rows in the order of the list. A chunk without rows ends it; a channel that closes before one was cut off.
pub type RowChunks<R> = mpsc::Receiver<Result<Vec<R>, sqlx::Error>>;

/// A whole page as an answer.
///
/// # Errors
/// `internal` when a row cannot be written as JSON.
pub fn page<T: Serialize>(name: &'static str, rows: &[T], tail: &Tail) -> Result<HttpResponse, Problem> {
    let mut body = ListWriter::open(name);
    for row in rows {
        body.push(row).map_err(|error| unwritable(&error))?;
    }
    let body = body.close(tail).map_err(|error| unwritable(&error))?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(body))
}

fn unwritable(error: &serde_json::Error) -> Problem {
    tracing::error!(error = %error, "list.unwritable");
    Problem::internal()
}

struct Streaming<R, F> {
    chunks: RowChunks<R>,
    shape: F,
    body: ListWriter,
    ended: bool,
}

/// Everything, sent while the rows arrive, with no more than a few chunks in memory. `shape` turns rows into what is shown.
/// The total is counted on the way. A failure cuts the connection, so that a partial list never looks whole.
pub fn streamed<R, T, F, W>(name: &'static str, chunks: RowChunks<R>, shape: F) -> HttpResponse
where
    R: 'static,
    T: Serialize,
    F: FnMut(Vec<R>) -> W + 'static,
    W: Future<Output = Result<Vec<T>, sqlx::Error>>,
{
    let state = Streaming { chunks, shape, body: ListWriter::open(name), ended: false };
    let body = stream::try_unfold(state, async |mut state: Streaming<R, F>| {
        if state.ended {
            return Ok(None);
        }
        let bytes = next_bytes(&mut state).await.inspect_err(|error| {
            tracing::warn!(error = %error, "list.stream_cut");
        })?;
        Ok::<_, std::io::Error>(Some((bytes, state)))
    });
    HttpResponse::Ok().content_type(ContentType::json()).streaming(body)
}

async fn next_bytes<R, T, F, W>(state: &mut Streaming<R, F>) -> std::io::Result<Bytes>
where
    T: Serialize,
    F: FnMut(Vec<R>) -> W,
    W: Future<Output = Result<Vec<T>, sqlx::Error>>,
{
    let cut = || std::io::Error::other("the rows stopped before their end");
    let rows = state.chunks.recv().await.ok_or_else(cut)?.map_err(std::io::Error::other)?;
    if rows.is_empty() {
        state.ended = true;
        return Ok(state.body.close(&Tail::new(state.body.rows(), 1, 0))?);
    }
    for row in (state.shape)(rows).await.map_err(std::io::Error::other)? {
        state.body.push(&row)?;
    }
    Ok(state.body.take())
}

/// Where a page ended, so that the next can start after it: the order it belongs to, the last row's sort keys, and what
/// the answer repeats without counting again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Names the order; a cursor fits no other.
    pub order: String,
    /// Sort keys of the last row, most significant first.
    pub keys: [i64; 3],
    /// The number of the next page.
    pub page: u32,
    /// Rows in the list when it was first asked for.
    pub total: i64,
}

impl Cursor {
    /// As clients carry it.
    #[must_use]
    pub fn encode(&self) -> String {
        let [a, b, c] = self.keys;
        URL_SAFE_NO_PAD.encode(format!("1 {} {a} {b} {c} {} {}", self.order, self.page, self.total))
    }

    /// Reads one that belongs to `order`; `None` when it is not one of ours or of another order.
    #[must_use]
    pub fn decode(text: &str, order: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = std::str::from_utf8(&bytes).ok()?;
        let mut parts = plain.split(' ');
        if parts.next()? != "1" || parts.next()? != order {
            return None;
        }
        let mut number = || parts.next()?.parse::<i64>().ok();
        let keys = [number()?, number()?, number()?];
        let page = u32::try_from(number()?).ok()?;
        let total = number().filter(|total| *total >= 0)?;
        Some(Self { order: order.to_owned(), keys, page, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json() {
        for rows in [vec![], vec![1], vec![1, 2]] {
            let mut body = ListWriter::open("things");
            for row in &rows {
                body.push(row).unwrap();
            }
            let bytes = body.close(&Tail::new(21, 2, 10)).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(
                value,
                serde_json::json!({"things": rows, "total": 21, "page": 2, "size": 10, "pages": 3, "next_cursor": null})
            );
        }
    }

    #[test]
    fn cursors_survive_the_round_trip_and_fit_one_order() {
        let cursor = Cursor { order: "amount.desc".into(), keys: [-5, 7, i64::MAX], page: 2, total: 40 };
        assert_eq!(Cursor::decode(&cursor.encode(), "amount.desc"), Some(cursor.clone()));
        assert_eq!(Cursor::decode(&cursor.encode(), "amount.asc"), None);
        for bad in ["", "x", "AAAA", "MSBh"] {
            assert_eq!(Cursor::decode(bad, "amount.desc"), None, "{bad}");
        }
    }
}
