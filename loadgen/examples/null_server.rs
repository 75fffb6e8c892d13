//! A server that answers every request with the same bytes, to measure the load generator against:
//! `null_server PORT [BODY_BYTES]`. It takes each read for one whole request, as a closed-loop client sends them.

use std::io::{Error, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1).map(|text| text.parse::<u16>().map_err(Error::other));
    let port = args.next().unwrap_or(Ok(8099))?;
    let body = "x".repeat(usize::from(args.next().unwrap_or(Ok(400))?));
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\ncontent-type: application/json\r\n\
         x-request-id: 00000000-0000-0000-0000-000000000000\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n{body}"
    );
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port).into())?;
    poll.registry().register(&mut listener, Token(usize::MAX), Interest::READABLE)?;
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let mut scratch = vec![0; 65536];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == Token(usize::MAX) {
                while let Ok((mut client, _)) = listener.accept() {
                    client.set_nodelay(true)?;
                    poll.registry().register(&mut client, Token(clients.len()), Interest::READABLE)?;
                    clients.push(Some(client));
                }
                continue;
            }
            let Some(place) = clients.get_mut(event.token().0) else { continue };
            let Some(client) = place else { continue };
            match client.read(&mut scratch) {
                Ok(0) => *place = None,
                Ok(_) => client.write_all(answer.as_bytes())?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => *place = None,
            }
        }
    }
}
