//! `gencharge publish`: commands to the broker, as the user that `AMQP_URL` names.

use std::path::Path;
use std::process::ExitCode;

use gencharge_actors::partner::{CONTENT_TYPE, Message, decode};
use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};

use super::{Failure, PublishArgs};
use crate::config::Config;
use crate::platform::bus::rabbit::{Fate, Outgoing, Publisher, Rabbit};

/// Messages that are published before the first confirm is waited for.
const TOGETHER: usize = 500;
/// Persistent: it survives the broker's restart.
const PERSISTENT: u8 = 2;

/// Publishes every message and prints a line for each: what the broker did with it, and the message's number.
/// Fails when one of them was not taken.
pub(super) async fn run(config: &Config, args: &PublishArgs) -> Result<ExitCode, Failure> {
    let url = config
        .services
        .amqp_url
        .as_ref()
        .ok_or("AMQP_URL: not set; it names the broker and the partner's user")?;
    let rabbit = Rabbit::new(url, &config.services.amqp_prefix)?;
    let link = rabbit.visit("publish").await?;
    let publisher = link.publisher().await?;
    let taken = match (&args.file, &args.message) {
        (Some(path), _) => {
            let path = if path.as_os_str() == "-" { Path::new("/dev/stdin") } else { path };
            all(&rabbit, &publisher, BufReader::new(File::open(path).await?).lines()).await
        }
        (None, message) => {
            let message = message.as_deref().unwrap_or_default();
            all(&rabbit, &publisher, BufReader::new(message.as_bytes()).lines()).await
        }
    };
    link.close().await;
    Ok(if taken? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn all<R: AsyncRead + Unpin>(
    rabbit: &Rabbit,
    publisher: &Publisher,
    mut lines: Lines<BufReader<R>>,
) -> Result<bool, Failure> {
    let (mut number, mut taken) = (0_u64, true);
    let mut waiting = Vec::with_capacity(TOGETHER);
    while let Some(line) = lines.next_line().await? {
        number = number.saturating_add(1);
        if line.trim().is_empty() {
            continue;
        }
        match decode(Some(CONTENT_TYPE), line.as_bytes()) {
            Ok(message) => waiting.push((number, outgoing(rabbit, &message, line)?)),
            Err(reason) => {
                println!("invalid\t{number}\t{}: {}", reason.code, reason.detail);
                taken = false;
            }
        }
        if waiting.len() >= TOGETHER {
            taken &= flush(publisher, &mut waiting).await?;
        }
    }
    Ok(flush(publisher, &mut waiting).await? && taken)
}

fn outgoing(rabbit: &Rabbit, message: &Message, line: String) -> Result<Outgoing, Failure> {
    let properties = BasicProperties::default()
        .with_content_type(ShortString::try_new(CONTENT_TYPE)?)
        .with_user_id(ShortString::try_new(rabbit.user())?)
        .with_delivery_mode(PERSISTENT);
    let (exchange, key) = (rabbit.topology().commands(), message.kind().routing_key().to_owned());
    Ok(Outgoing { exchange, key, properties, body: line.into_bytes() })
}

async fn flush(publisher: &Publisher, waiting: &mut Vec<(u64, Outgoing)>) -> Result<bool, Failure> {
    let (numbers, messages): (Vec<_>, Vec<_>) = std::mem::take(waiting).into_iter().unzip();
    let fates = publisher.publish(&messages).await?;
    for (number, fate) in numbers.iter().zip(&fates) {
        let word = match fate {
            Fate::Confirmed => "confirmed",
            Fate::Unroutable => "unroutable",
            Fate::Refused => "refused",
            Fate::Silent => "not confirmed",
        };
        println!("{word}\t{number}");
    }
    Ok(fates.iter().all(|fate| *fate == Fate::Confirmed))
}
