//! The other side of text messages and e-mail: providers that record what they are given, and fail when told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A provider on a port of its own; its thread ends with the process.
#[derive(Clone)]
pub struct Provider {
    pub port: u16,
    /// What it answers: an HTTP status, or an SMTP code.
    answer: Arc<Mutex<u16>>,
    got: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    /// One that takes text messages by HTTP.
    pub fn sms() -> Self {
        Self::new(200, sms)
    }

    /// One that takes e-mail by SMTP.
    pub fn smtp() -> Self {
        Self::new(250, smtp)
    }

    fn new(answer: u16, serve: fn(TcpStream, &Provider) -> std::io::Result<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let provider = Self { port, answer: Arc::new(Mutex::new(answer)), got: Arc::default() };
        let served = provider.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &served);
            }
        });
        provider
    }

    /// From now on it answers this.
    pub fn answer(&self, code: u16) {
        *self.answer.lock().unwrap() = code;
    }

    /// What it took, whole.
    pub fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }

    /// What it took that contains `text`.
    pub fn got_with(&self, text: &str) -> Vec<String> {
        self.got().into_iter().filter(|message| message.contains(text)).collect()
    }

    fn take(&self, message: String, success: u16) -> u16 {
        let answer = *self.answer.lock().unwrap();
        if answer == success {
            self.got.lock().unwrap().push(message);
        }
        answer
    }
}

fn sms(mut stream: TcpStream, provider: &Provider) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let status = provider.take(head + &String::from_utf8(body).unwrap(), 200);
    write!(stream, "HTTP/1.1 {status} So\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn smtp(mut stream: TcpStream, provider: &Provider) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    write!(stream, "220 test\r\n")?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        let command = line.to_ascii_uppercase();
        if command.starts_with("DATA") {
            write!(stream, "354 go on\r\n")?;
            let mut message = String::new();
            while reader.read_line(&mut message)? > 0 && !message.ends_with("\r\n.\r\n") {}
            let code = provider.take(message, 250);
            write!(stream, "{code} so\r\n")?;
        } else if command.starts_with("QUIT") {
            write!(stream, "221 bye\r\n")?;
            return Ok(());
        } else {
            write!(stream, "250 test\r\n")?;
        }
        line.clear();
    }
    Ok(())
}
