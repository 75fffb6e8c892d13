//! Framing of HTTP/1.1 answers: the least that a load generator must read of one.

/// Longest status line and headers accepted, in bytes.
pub const HEAD_LIMIT: usize = 16 * 1024;
/// Most bytes of a body that are kept; what comes after is counted and dropped.
pub const KEEP_LIMIT: usize = 64 * 1024;

/// Why an answer cannot be framed. The connection is of no use afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadAnswer {
    /// The status line is not `HTTP/1.x NNN`.
    StatusLine,
    /// The head is longer than [`HEAD_LIMIT`].
    HeadTooLong,
    /// `Content-Length` is not a number, or contradicts another one.
    ContentLength,
    /// Neither `Content-Length` nor chunked: the end would be the end of the connection.
    NoLength,
    /// A chunk's size or end is malformed.
    Chunk,
}

/// What is read of the head of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Status code, 200 to 999 (interim 1xx answers are skipped).
    pub status: u16,
    /// `Idempotent-Replayed: true` was there.
    pub replayed: bool,
    /// The server closes after this answer.
    pub close: bool,
}

/// Where the body of a finished answer lies; see [`Reader::body`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// In the bytes just fed, from and to.
    Input(usize, usize),
    /// In the reader.
    Kept,
}

/// Result of feeding bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// The answer is not complete; all bytes were taken.
    More,
    /// The answer is complete after `consumed` of the bytes fed.
    Done { head: Head, body: Body, consumed: usize },
}

#[derive(Debug, Clone, Copy)]
enum Chunk {
    Size(Option<u64>),
    Extension(u64),
    Data(u64),
    DataEnd,
    Trailer { empty: bool },
}

#[derive(Debug, Clone, Copy)]
enum State {
    Head,
    Length { head: Head, left: u64 },
    Chunked { head: Head, chunk: Chunk },
}

/// Reads one answer at a time. An answer that arrives in one piece is framed where it lies, without a copy.
#[derive(Debug)]
pub struct Reader {
    keep_success: bool,
    state: State,
    kept: Vec<u8>,
}

impl Reader {
    /// `keep_success`: keep the bodies of 2xx answers too, not only those of errors.
    pub fn new(keep_success: bool) -> Self {
        Self { keep_success, state: State::Head, kept: Vec::new() }
    }

    /// Forgets what was read and waits for the head of the next answer.
    pub fn reset(&mut self) {
        self.state = State::Head;
        self.kept.clear();
    }

    /// The body of a finished answer; `input` is what was fed last. At most [`KEEP_LIMIT`] bytes when it came in pieces, and
    /// empty when it was not to be kept.
    pub fn body<'a>(&'a self, input: &'a [u8], body: Body) -> &'a [u8] {
        match body {
            Body::Input(from, to) => input.get(from..to).unwrap_or_default(),
            Body::Kept => &self.kept,
        }
    }

    /// Takes the bytes of one read.
    pub fn feed(&mut self, input: &[u8]) -> Result<Fed, BadAnswer> {
        match self.state {
            State::Head => self.feed_head(input),
            State::Length { head, left } => Ok(self.feed_length(head, left, input, 0)),
            State::Chunked { head, chunk } => self.feed_chunked(head, chunk, input, 0),
        }
    }

    fn feed_head(&mut self, input: &[u8]) -> Result<Fed, BadAnswer> {
        let before = self.kept.len();
        let parsed = if before == 0 {
            parse_head(input)?
        } else {
            self.kept.extend_from_slice(input);
            parse_head(&self.kept)?
        };
        let Some((head, length, head_len)) = parsed else {
            if before == 0 {
                self.kept.extend_from_slice(input);
            }
            return if self.kept.len() > HEAD_LIMIT { Err(BadAnswer::HeadTooLong) } else { Ok(Fed::More) };
        };
        // The head ends in the bytes just fed: otherwise it would have been found before.
        self.kept.clear();
        let from = head_len.saturating_sub(before);
        match length {
            Length::Known(left) => Ok(self.feed_length(head, left, input, from)),
            Length::Chunked => self.feed_chunked(head, Chunk::Size(None), input, from),
        }
    }

    fn feed_length(&mut self, head: Head, left: u64, input: &[u8], from: usize) -> Fed {
        let available = input.len().saturating_sub(from);
        let taken = usize::try_from(left).map_or(available, |left| left.min(available));
        let to = from.saturating_add(taken);
        let left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
        let whole_here = matches!(self.state, State::Head);
        if left == 0 {
            if whole_here {
                return Fed::Done { head, body: Body::Input(from, to), consumed: to };
            }
            self.keep(head, input.get(from..to));
            return Fed::Done { head, body: Body::Kept, consumed: to };
        }
        self.keep(head, input.get(from..to));
        self.state = State::Length { head, left };
        Fed::More
    }

    fn feed_chunked(
        &mut self,
        head: Head,
        mut chunk: Chunk,
        input: &[u8],
        from: usize,
    ) -> Result<Fed, BadAnswer> {
        let mut at = from;
        while let Some(&byte) = input.get(at) {
            if let Chunk::Data(left) = chunk {
                let available = input.len().saturating_sub(at);
                let taken = usize::try_from(left).map_or(available, |left| left.min(available));
                let to = at.saturating_add(taken);
                self.keep(head, input.get(at..to));
                at = to;
                let left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                chunk = if left == 0 { Chunk::DataEnd } else { Chunk::Data(left) };
                continue;
            }
            at = at.saturating_add(1);
            match step_chunk(chunk, byte)? {
                Some(next) => chunk = next,
                None => return Ok(Fed::Done { head, body: Body::Kept, consumed: at }),
            }
        }
        self.state = State::Chunked { head, chunk };
        Ok(Fed::More)
    }

    fn keep(&mut self, head: Head, bytes: Option<&[u8]>) {
        if !self.keep_success && head.status < 300 {
            return;
        }
        let bytes = bytes.unwrap_or_default();
        let room = KEEP_LIMIT.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }
}

/// `None`: the last chunk and its trailer are read.
fn step_chunk(chunk: Chunk, byte: u8) -> Result<Option<Chunk>, BadAnswer> {
    let after_size = |size| if size == 0 { Chunk::Trailer { empty: true } } else { Chunk::Data(size) };
    let next = match (chunk, byte) {
        (Chunk::Size(Some(_)) | Chunk::Extension(_) | Chunk::DataEnd | Chunk::Trailer { .. }, b'\r') => chunk,
        (Chunk::Size(Some(size)) | Chunk::Extension(size), b'\n') => after_size(size),
        (Chunk::Size(Some(size)), b';' | b' ' | b'\t') | (Chunk::Extension(size), _) => {
            Chunk::Extension(size)
        }
        (Chunk::Size(size), _) => {
            let digit = char::from(byte).to_digit(16).ok_or(BadAnswer::Chunk)?;
            let size = size.unwrap_or(0).checked_mul(16).and_then(|size| size.checked_add(digit.into()));
            Chunk::Size(Some(size.ok_or(BadAnswer::Chunk)?))
        }
        (Chunk::DataEnd, b'\n') => Chunk::Size(None),
        (Chunk::DataEnd | Chunk::Data(_), _) => return Err(BadAnswer::Chunk),
        (Chunk::Trailer { empty: true }, b'\n') => return Ok(None),
        (Chunk::Trailer { empty: false }, b'\n') => Chunk::Trailer { empty: true },
        (Chunk::Trailer { .. }, _) => Chunk::Trailer { empty: false },
    };
    Ok(Some(next))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known(u64),
    Chunked,
}

/// The head, how the body's end is found, and the bytes up to the body; `None` while incomplete.
fn parse_head(buffer: &[u8]) -> Result<Option<(Head, Length, usize)>, BadAnswer> {
    let mut rest = buffer;
    loop {
        let Some((line, after)) = split_line(rest) else { return Ok(None) };
        rest = after;
        let (status, old) = parse_status(line)?;
        let mut head = Head { status, replayed: false, close: old };
        let mut length = None;
        loop {
            let Some((line, after)) = split_line(rest) else { return Ok(None) };
            rest = after;
            if line.is_empty() {
                break;
            }
            read_header(line, &mut head, &mut length)?;
        }
        if status < 200 {
            continue;
        }
        let length = match length {
            _ if status == 204 || status == 304 => Length::Known(0),
            Some(length) => length,
            None => return Err(BadAnswer::NoLength),
        };
        return Ok(Some((head, length, buffer.len().saturating_sub(rest.len()))));
    }
}

/// The first line without its end, and what follows it.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..)?))
}

/// Status code, and whether the server speaks HTTP/1.0 (and so closes).
fn parse_status(line: &[u8]) -> Result<(u16, bool), BadAnswer> {
    let rest = line.strip_prefix(b"HTTP/1.").ok_or(BadAnswer::StatusLine)?;
    let &[minor, b' ', a, b, c, ref reason @ ..] = rest else { return Err(BadAnswer::StatusLine) };
    if !reason.is_empty() && !reason.starts_with(b" ") {
        return Err(BadAnswer::StatusLine);
    }
    let mut status = 0_u16;
    for digit in [a, b, c] {
        let digit = char::from(digit).to_digit(10).and_then(|digit| u16::try_from(digit).ok());
        status = status * 10 + digit.ok_or(BadAnswer::StatusLine)?;
    }
    if status < 100 { Err(BadAnswer::StatusLine) } else { Ok((status, minor == b'0')) }
}

fn read_header(line: &[u8], head: &mut Head, length: &mut Option<Length>) -> Result<(), BadAnswer> {
    // Most headers are none of the four: their first letter says so.
    if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T' | b'i' | b'I')) {
        return Ok(());
    }
    let Some(colon) = line.iter().position(|&byte| byte == b':') else { return Ok(()) };
    let Some((name, value)) = line.split_at_checked(colon) else { return Ok(()) };
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    if name.eq_ignore_ascii_case(b"content-length") {
        let number = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        let known = Length::Known(number.ok_or(BadAnswer::ContentLength)?);
        match *length {
            Some(Length::Known(_)) if *length != Some(known) => return Err(BadAnswer::ContentLength),
            Some(Length::Chunked) => {}
            _ => *length = Some(known),
        }
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        *length = if value.eq_ignore_ascii_case(b"chunked") {
            Some(Length::Chunked)
        } else {
            return Err(BadAnswer::NoLength);
        };
    } else if name.eq_ignore_ascii_case(b"connection") {
        head.close |= value.eq_ignore_ascii_case(b"close");
    } else if name.eq_ignore_ascii_case(b"idempotent-replayed") {
        head.replayed = value.eq_ignore_ascii_case(b"true");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nIdempotent-Replayed: true\r\nx: y\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3;q=1\r\nhel\r\n2\r\nlo\r\n0\r\nt: x\r\n\r\n";

    /// Feeds in pieces of `size` and gives head, body and the bytes left over.
    fn read_in_pieces(bytes: &[u8], size: usize) -> (Head, Vec<u8>, usize) {
        let mut reader = Reader::new(true);
        let mut fed = 0;
        for piece in bytes.chunks(size) {
            if let Fed::Done { head, body, consumed } = reader.feed(piece).unwrap() {
                return (head, reader.body(piece, body).to_vec(), bytes.len() - fed - consumed);
            }
            fed += piece.len();
        }
        panic!("not complete in pieces of {size}");
    }

    #[test]
    fn an_answer_is_framed_however_it_is_cut() {
        for size in 1..=PLAIN.len() {
            let (head, body, left) = read_in_pieces(PLAIN, size);
            assert_eq!(head, Head { status: 200, replayed: true, close: false });
            assert_eq!((body.as_slice(), left), (&b"hello"[..], 0), "pieces of {size}");
        }
        for size in 1..=CHUNKED.len() {
            let (head, body, left) = read_in_pieces(CHUNKED, size);
            assert_eq!(head, Head { status: 503, replayed: false, close: true });
            assert_eq!((body.as_slice(), left), (&b"hello"[..], 0), "pieces of {size}");
        }
    }

    #[test]
    fn two_answers_in_one_read_are_told_apart() {
        let mut both = PLAIN.to_vec();
        both.extend_from_slice(CHUNKED);
        let (head, body, left) = read_in_pieces(&both, both.len());
        assert_eq!((head.status, body.as_slice(), left), (200, &b"hello"[..], CHUNKED.len()));
        // The second one's beginning arrives with the first one's end.
        for size in 1..=both.len() {
            let (head, _, left) = read_in_pieces(&both, size);
            assert_eq!(head.status, 200);
            assert!(left >= CHUNKED.len());
        }
    }

    #[test]
    fn interim_and_bodiless_answers() {
        let (head, body, left) =
            read_in_pieces(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 7);
        assert_eq!((head.status, body.len(), left), (204, 0, 0));
    }

    #[test]
    fn unframeable_answers_are_refused() {
        let cases: [(&[u8], BadAnswer); 6] = [
            (b"SSH-2.0-x\r\n", BadAnswer::StatusLine),
            (b"HTTP/1.1 2000 OK\r\n", BadAnswer::StatusLine),
            (b"HTTP/1.1 200 OK\r\n\r\nbody", BadAnswer::NoLength),
            (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", BadAnswer::ContentLength),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", BadAnswer::ContentLength),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", BadAnswer::Chunk),
        ];
        for (bytes, error) in cases {
            assert_eq!(Reader::new(true).feed(bytes), Err(error));
        }
        let mut reader = Reader::new(true);
        assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\nx: "), Ok(Fed::More));
        assert_eq!(reader.feed(&[b'y'; HEAD_LIMIT]), Err(BadAnswer::HeadTooLong));
    }

    #[test]
    fn long_bodies_are_counted_but_not_all_kept() {
        let length = KEEP_LIMIT * 2;
        let mut bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        bytes.resize(bytes.len() + length, b'z');
        let (_, body, left) = read_in_pieces(&bytes, 1000);
        assert_eq!((body.len(), left), (KEEP_LIMIT, 0));
    }
}
